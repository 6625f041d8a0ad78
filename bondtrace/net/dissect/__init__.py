# SPDX-License-Identifier: GPL-2.0-or-later
"""Names a packet in one line, from the first bytes of it that the kernel side copied."""

from __future__ import annotations

from .control import describe, one_line

__all__ = ["describe", "one_line"]
