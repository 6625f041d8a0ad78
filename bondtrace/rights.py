# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process must be allowed in order to trace."""

from __future__ import annotations

import os

from .errors import BondtraceError


def require_root() -> None:
    """``BondtraceError`` without the rights to load BPF programs."""
    if os.geteuid() != 0:
        raise BondtraceError("tracing needs root (BPF programs are loaded into the kernel); run it with sudo")
