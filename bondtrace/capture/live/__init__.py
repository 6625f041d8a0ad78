# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace of the running kernel, as batches."""
