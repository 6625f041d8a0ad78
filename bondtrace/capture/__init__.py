# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel: its programs (``kernel``), its devices and taps (``host``), the trace of both (``live``)."""
