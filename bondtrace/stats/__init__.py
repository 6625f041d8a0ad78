# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts over many journeys; memory does not grow with the number of journeys."""
