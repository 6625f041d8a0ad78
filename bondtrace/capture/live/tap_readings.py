# SPDX-License-Identifier: GPL-2.0-or-later
"""Schedules the reading of taps, without a clock and without I/O.

Taps are read twice a second. They are *wanted* sooner where a packet was given to an unknown tap, or where one
was hooked in or out, as what was read of it before describes another state. A host may have thousands, so a reading may
take seconds: wanted readings are delayed so that they take at most half of the time, beyond a credit.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from ...format.wire import STEP_HOOK, STEP_TAP, Passes

EVERY_NS = 500_000_000
SHARE = 10  # readings that are not wanted take at most one part in this many of the time
CREDIT_NS = 3_000_000_000  # wanted readings: half of the time, and at once as much as this
MOST_NS = 10_000_000_000  # in a longer reading this process was stopped for a part of the time


class Schedule:
    """Which taps are wanted, and when the next reading may be. Times are CLOCK_MONOTONIC, in ns."""

    def __init__(self) -> None:
        self.unknown: set[int] = set()  # were given packets, and have not been looked for
        self.hooked: set[int] = set()  # were hooked in or out since the last reading
        self._strangers: set[int] = set()  # were looked for, and are in no list
        self._begun_ns = self._ended_ns = 0  # of the last reading
        self._next_ns = self._soonest_ns = 0
        self._credit_ns = CREDIT_NS

    def notice(self, passes: Passes, known: Container[int]) -> None:
        """Note what in these passes is a reason to read the taps soon."""
        kinds, args = passes.steps["kind"], passes.steps["arg"]
        given = np.unique(args[kinds == STEP_TAP]).tolist()
        self.unknown |= {inode for inode in given if inode and inode not in known and inode not in self._strangers}
        self.hooked |= set(np.unique(args[kinds == STEP_HOOK]).tolist())

    def is_due(self, time_ns: int, at_once: bool = False) -> bool:
        """Should the taps be read now? ``at_once``: a wanted reading is not delayed."""
        wanted = bool(self.unknown or self.hooked)
        if wanted and at_once:
            return True
        return time_ns >= (self._soonest_ns if wanted else self._next_ns)

    def begin(self, time_ns: int) -> int:
        """Note when a reading begins; return when the previous one did."""
        before_ns, self._begun_ns = self._begun_ns, time_ns
        return before_ns

    def end(self, time_ns: int, known: Container[int]) -> None:
        """Note when the reading ended, and which taps it showed. Those that no list shows (in a namespace that only a
        file descriptor keeps alive) do not make a reading wanted again."""
        self._strangers |= {inode for inode in self.unknown if inode not in known}
        self.unknown, self.hooked = set(), set()
        took_ns = min(time_ns - self._begun_ns, MOST_NS)
        rested_ns = self._begun_ns - self._ended_ns
        self._ended_ns = time_ns
        self._credit_ns = min(self._credit_ns + rested_ns, CREDIT_NS) - took_ns
        self._soonest_ns = time_ns + max(-self._credit_ns, 0)
        self._next_ns = time_ns + max(EVERY_NS, SHARE * took_ns)
