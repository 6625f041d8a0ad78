# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts over many journeys: none of them grows with their number."""
