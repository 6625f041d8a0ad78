# SPDX-License-Identifier: GPL-2.0-or-later
"""The clocks of a live trace: CLOCK_MONOTONIC, which all records use, and the time of day."""

from __future__ import annotations

import time
from typing import Optional

STEP_NS = 50_000_000  # the time of day was set where it moved by more against CLOCK_MONOTONIC


def now_ns() -> int:
    """Return CLOCK_MONOTONIC, the clock of the kernel's steps, in ns."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wall_offset_ns() -> int:
    """Return what to add to CLOCK_MONOTONIC for the time of day: of several pairs of readings the one that was taken in
    the shortest time, as this process may be stopped in between."""
    pairs = [(now_ns(), time.time_ns(), now_ns()) for _ in range(5)]
    before_ns, wall_ns, after_ns = min(pairs, key=lambda pair: pair[2] - pair[0])
    return wall_ns - (before_ns + after_ns) // 2


class WallClock:
    """Notices when the time of day is set. Journeys keep the clock of the start, so their times stay in order."""

    def __init__(self, offset_ns: int) -> None:
        self.offset_ns = offset_ns

    def moved(self, offset_ns: int) -> Optional[str]:
        """Take a new reading of the offset; return a note where it differs from the last by more than ``STEP_NS``."""
        step_ns = offset_ns - self.offset_ns
        if abs(step_ns) <= STEP_NS:
            return None
        self.offset_ns = offset_ns
        return (
            f"the time of day moved by {step_ns / 1e9:+.3f} s (it was set, or the machine slept); packets "
            "keep the clock of the start of the trace"
        )


class Every:
    """A timer without a clock of its own: due at first, and again this many ns after each restart."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._next_ns = 0

    def is_due(self, time_ns: int) -> bool:
        """Is it time again?"""
        return time_ns >= self._next_ns

    def restart(self, time_ns: int) -> None:
        """Wait one period from that time on."""
        self._next_ns = time_ns + self._period_ns
