# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows what decides whether IP takes or answers a packet: addresses and settings of the traced devices, and, for a
packet that the check of its source refused (rp_filter), by which devices the way back leads.

Invariant: readings, and questions for ways, each take at most one part in ``SHARE`` of the time; a way is asked for
again only after ``EVERY_NS``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Optional

import numpy as np

from ...format.events import Event, ip_settings_event, route_event
from ...format.wire import STEP_DROP, Passes
from ...model import Device, IpSettings
from ...net.dissect import describe
from ...net.topology import Key
from ..host.addresses import ip_bytes
from ..host.ip_settings import read_settings
from ..host.namespaces import Namespace
from ..host.routes import Routes
from .clock import now_ns

EVERY_NS = 5_000_000_000
SHARE = 20
WAYS_AT_ONCE = 16


def _devices_to(namespace: Namespace, address: str) -> Optional[list[int]]:
    packed = ip_bytes(address)
    if packed is None:
        return None
    with Routes(namespace.path) as routes:
        return sorted(routes.devices_to(packed))


class IpSettingsFollower:
    """The addresses and settings as they were last read, by device.

    :param is_asked: does the trace show what comes beyond IP?
    :param reasons: the kernel's drop reasons by number.
    :param read: returns those of some devices of a namespace.
    :param ways: returns the ifindexes of the devices by which packets to an address leave a namespace, ``None`` where
        that cannot be asked.
    """

    def __init__(
        self,
        is_asked: bool = False,
        reasons: Optional[Mapping[int, str]] = None,
        read: Callable[[Namespace, Mapping[int, str]], list[IpSettings]] = read_settings,
        ways: Callable[[Namespace, str], Optional[list[int]]] = _devices_to,
        now: Callable[[], int] = now_ns,
    ) -> None:
        self.is_asked = is_asked
        self._refused = next((number for number, name in (reasons or {}).items() if name == "IP_RPFILTER"), None)
        self._read, self._ways, self._now = read, ways, now
        self._known: dict[Key, IpSettings] = {}
        self._asked_ns: dict[tuple[int, str], int] = {}
        self._wanted: dict[tuple[int, str], None] = {}  # ways that are still to be asked for, in order
        self._next_ns = self._next_way_ns = 0

    def is_due(self, time_ns: int) -> bool:
        """Is it time to read again?"""
        return self.is_asked and time_ns >= self._next_ns

    def follow(self, devices: Iterable[Device], namespaces: Iterable[Namespace]) -> list[Event]:
        """Read those of these devices; return an event for each that is new or has changed."""
        begun_ns = self._now()
        there = {one.inode: one for one in namespaces}
        wanted: dict[int, dict[int, str]] = {}
        for device in devices:
            wanted.setdefault(device.netns, {})[device.ifindex] = device.name
        found: list[IpSettings] = []
        for netns, names in wanted.items():
            with suppress(OSError):
                found += self._read(there[netns], names) if netns in there else []
        ended_ns = self._now()
        self._next_ns = ended_ns + max(EVERY_NS, SHARE * (ended_ns - begun_ns))
        new = [one for one in found if self._known.get((one.netns, one.ifindex)) != one]
        self._known = {(one.netns, one.ifindex): one for one in found}
        return [ip_settings_event(ended_ns, one) for one in new]

    def ask_ways(self, passes: Passes, namespaces: Collection[Namespace]) -> list[Event]:
        """Ask for the ways back to the sources of packets that rp_filter refused; return an event for each. What cannot
        be asked for yet is with a later call."""
        if not self.is_asked or self._refused is None:
            return []
        self._want(passes)
        begun_ns = self._now()
        if not self._wanted or begun_ns < self._next_way_ns:
            return []
        there = {one.inode: one for one in namespaces}
        events = [event for netns, address in self._wanted for event in self._ask(netns, address, there)]
        self._wanted = {}
        ended_ns = self._now()
        self._next_way_ns = ended_ns + SHARE * (ended_ns - begun_ns)
        return events

    def _want(self, passes: Passes) -> None:
        """Note the sources of packets that rp_filter refused, as many as are asked for at once."""
        if not len(passes) or len(self._wanted) >= WAYS_AT_ONCE:
            return
        steps = passes.steps
        refused = np.flatnonzero((steps["kind"] == STEP_DROP) & (steps["arg"] == self._refused))
        for record in passes.records[np.unique(passes.having(refused))[:WAYS_AT_ONCE]]:
            data = record["packet"].tobytes()[: int(record["captured"])]
            packet = describe(
                data, wire_len=int(record["len"]), ethertype=int(record["protocol"]), arphrd=int(record["arphrd"])
            )
            if len(self._wanted) < WAYS_AT_ONCE:
                self._wanted[int(record["netns"]), packet.src] = None

    def _ask(self, netns: int, address: str, there: Mapping[int, Namespace]) -> list[Event]:
        time_ns = self._now()
        if netns not in there or time_ns < self._asked_ns.get((netns, address), -EVERY_NS) + EVERY_NS:
            return []
        self._asked_ns = {key: asked for key, asked in self._asked_ns.items() if asked > time_ns - EVERY_NS}
        self._asked_ns[netns, address] = time_ns
        with suppress(OSError):
            devices = self._ways(there[netns], address)
            return [] if devices is None else [route_event(time_ns, netns, address, devices)]
        return []
