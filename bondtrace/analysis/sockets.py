# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that packets were given to, and how they changed.

Invariant: a socket is answered for as it was at the time that is asked for; its processes may have been found only
later, and hold for the state before them. Memory does not grow without end: of many sockets those are forgotten that
were told of longest ago, and of one that changes all the time (a resolver's, which connects for every question) its
oldest states.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

from ..model import Socket

KEPT = 1 << 15
STATES_KEPT = 64  # of each


class Sockets:
    """The states of each socket by its inode, in order of time."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[list[int], list[Socket]]] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(self._states)

    def put(self, time_ns: int, told: Socket) -> None:
        """Take what a socket is from this time on."""
        times_ns, states = self._states.pop(told.inode, ([], []))
        self._states[told.inode] = times_ns, states
        if len(self._states) > KEPT:
            del self._states[next(iter(self._states))]
        place = bisect_right(times_ns, time_ns)
        times_ns.insert(place, time_ns)
        states.insert(place, told)
        if len(states) > STATES_KEPT:
            del times_ns[0], states[0]

    def at(self, inode: int, time_ns: int) -> Optional[Socket]:
        """Return the socket as it was then, or first was if that is later; ``None`` where nothing is known of it."""
        if inode not in self._states:
            return None
        times_ns, states = self._states[inode]
        place = max(bisect_right(times_ns, time_ns) - 1, 0)
        found = states[place]
        for later in states[place + 1 :]:
            if found.processes or replace(later, processes=()) != found:
                break
            found = later
        return found
