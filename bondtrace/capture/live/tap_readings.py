# SPDX-License-Identifier: GPL-2.0-or-later
"""When the taps are read: a scheduler without a clock and without I/O.

Taps are read twice a second. They are *wanted* sooner where a packet was given to a tap that is not known, or where one
was hooked in or out, as what was read of it before is of another state. A host may have thousands, so a reading may
take seconds: what is wanted is put off so that reading takes half of the time at most, beyond a credit.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from ...format.wire import STEP_HOOK, STEP_TAP, Passes

EVERY_NS = 500_000_000
SHARE = 10  # without being wanted, readings take one part of so many of the time
CREDIT_NS = 3_000_000_000  # where they are wanted: half of the time, and so much at once
MOST_NS = 10_000_000_000  # of a reading that took longer this process stood still for a part


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
        """Take from these passes what is a reason to read the taps soon."""
        kinds, args = passes.steps["kind"], passes.steps["arg"]
        given = np.unique(args[kinds == STEP_TAP]).tolist()
        self.unknown |= {inode for inode in given if inode and inode not in known and inode not in self._strangers}
        self.hooked |= set(np.unique(args[kinds == STEP_HOOK]).tolist())

    def is_due(self, time_ns: int, at_once: bool = False) -> bool:
        """Are the taps to be read? ``at_once``: where they are wanted nothing is put off."""
        wanted = bool(self.unknown or self.hooked)
        if wanted and at_once:
            return True
        return time_ns >= (self._soonest_ns if wanted else self._next_ns)

    def begin(self, time_ns: int) -> int:
        """Take when a reading begins; return when the one before it did."""
        before_ns, self._begun_ns = self._begun_ns, time_ns
        return before_ns

    def end(self, time_ns: int, known: Container[int]) -> None:
        """Take when the reading ended, and which taps it has shown. Those that no list shows (a namespace that only a
        file descriptor holds) are looked for only now and then."""
        self._strangers |= {inode for inode in self.unknown if inode not in known}
        self.unknown, self.hooked = set(), set()
        took_ns = min(time_ns - self._begun_ns, MOST_NS)
        rested_ns = self._begun_ns - self._ended_ns
        self._ended_ns = time_ns
        self._credit_ns = min(self._credit_ns + rested_ns, CREDIT_NS) - took_ns
        self._soonest_ns = time_ns + max(-self._credit_ns, 0)
        self._next_ns = time_ns + max(EVERY_NS, SHARE * took_ns)
