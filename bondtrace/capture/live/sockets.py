# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the sockets that packets are given to: what they are, which the kernel side tells of each once, and who holds
them, which is looked for in ``/proc``.

Invariant: searches take at most one part in ``SHARE`` of the time. A socket is told of at once, and once more when its
processes were found; one that nobody holds (a tunnel's, or one whose owner has ended) is looked for ``SEARCHES`` times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...format.events import Event, socket_event
from ...format.wire import SOCKET_FACTS, Array
from ...model import Process, Socket
from ..host.addresses import ip_text, size_of
from ..host.taps import find_holders
from .clock import now_ns

SHARE = 5
SEARCHES = 3
KEPT = 1 << 15  # the kernel side tells again of one that is forgotten


class SocketFollower:
    """The sockets that were told of, by inode.

    :param is_asked: does the kernel side tell of any?
    :param find: returns the processes that hold sockets, by inode.
    :param now: CLOCK_MONOTONIC in ns.
    """

    def __init__(
        self,
        is_asked: bool = False,
        find: Callable[[set[int]], dict[int, tuple[Process, ...]]] = find_holders,
        now: Callable[[], int] = now_ns,
    ) -> None:
        self.is_asked = is_asked
        self._find, self._now = find, now
        self._known: dict[int, Socket] = {}
        self._searches: dict[int, int] = {}  # that are left, by inode
        self._next_ns = 0

    def take(self, records: Array) -> list[Event]:
        """Take records of sockets, shape (n,) of RECORD; return an event for each that is new or has changed."""
        events = []
        for record in records:
            told = parse_socket(record)
            known = self._known.get(told.inode)
            if known is not None and replace(known, processes=()) == told:
                continue
            self._known[told.inode] = told
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
            self._searches[told.inode] = SEARCHES
            events.append(socket_event(int(record["time_ns"]), told))
        return events

    def find_processes(self) -> list[Event]:
        """Look for the processes of sockets that have none, if it is time; return an event for each that was found."""
        begun_ns = self._now()
        if not self._searches or begun_ns < self._next_ns:
            return []
        found = self._find(set(self._searches))
        ended_ns = self._now()
        self._next_ns = ended_ns + SHARE * (ended_ns - begun_ns)
        self._searches = {inode: left - 1 for inode, left in self._searches.items() if left > 1 and inode not in found}
        there = sorted(inode for inode in found if inode in self._known)
        for inode in there:
            self._known[inode] = replace(self._known[inode], processes=found[inode])
        return [socket_event(ended_ns, self._known[inode]) for inode in there]


def parse_socket(record: Array) -> Socket:
    """Return the socket of one RECORD_SOCKET, without processes."""
    facts = np.frombuffer(record["packet"].tobytes()[: SOCKET_FACTS.itemsize], SOCKET_FACTS)[0]
    family = int(facts["family"])
    return Socket(
        inode=int(facts["inode"]),
        netns=int(record["netns"]),
        family=family,
        type=int(facts["type"]),
        protocol=int(facts["protocol"]),
        address=_address(family, facts["address"]),
        port=int(facts["port"]),
        remote=_address(family, facts["remote"]),
        remote_port=int(facts["remote_port"]),
        ifindex=int(record["ifindex"]),
        uid=int(facts["uid"]),
    )


def _address(family: int, value: Array) -> str:
    """Return an address as people write it; "" for "any", and in a family that is not known."""
    data = value.tobytes()[: size_of(family)]
    return ip_text(data) if any(data) else ""
