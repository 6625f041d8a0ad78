# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace: which taps saw this packet, on which device, and why not the others."""

__version__ = "0.1.0"
