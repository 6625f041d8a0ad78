# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows devices beyond the traced namespaces: what is stacked on traced ones in others, and what tunnels run over.

Only the traced namespaces have monitors: those would keep others alive. Others are read, and when is decided here:

- all of them now and then, and soon after something was heard that such a device may have caused: a stacked device or a
  tunnel was moved, one elsewhere changed (``ElsewhereMonitor``), or the kernel notified of a traced device that is as
  it was, as it does where something is stacked on it;
- those that have traced devices more often;
- tunnels' underlays likewise, as nothing notifies of routes and peers.

Invariant: readings take at most one part in ``SHARE`` of the time, however many namespaces there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Optional, Protocol

from ...format.events import Event
from ...model import Device
from ...net.topology import TUNNEL_KINDS, Key, is_stacked, is_tunnel, key_of
from ..host.devices import Change, is_linked_abroad
from ..host.namespaces import Namespace
from .devices import DeviceFollower

EVERYWHERE_NS, REACHED_NS, UNDERLAYS_NS = 5_000_000_000, 500_000_000, 1_000_000_000
SHARE = 20


class Reader(Protocol):
    """What is needed of ``loop.Host``."""

    @property
    def now(self) -> Callable[[], int]: ...

    @property
    def devices(self) -> Callable[[Namespace, Sequence[Namespace]], Optional[list[Device]]]: ...

    @property
    def underlays(self) -> Callable[[Iterable[Device], Sequence[Namespace]], Mapping[Key, tuple[Key, ...]]]: ...


class Pace:
    """When something that takes time is done again: after a period, or sooner where that is wanted, but never more than
    one part in ``SHARE`` of the time. Times are CLOCK_MONOTONIC, in ns."""

    def __init__(self, period_ns: int, time_ns: int) -> None:
        self.is_wanted = False
        self._period_ns = period_ns
        self._next_ns, self._soonest_ns = time_ns + period_ns, time_ns

    def is_due(self, time_ns: int) -> bool:
        """Is it time?"""
        return time_ns >= (self._soonest_ns if self.is_wanted else self._next_ns)

    def done(self, begun_ns: int, ended_ns: int) -> None:
        """Note that it was done, and how long that took."""
        self.is_wanted = False
        self._soonest_ns = ended_ns + SHARE * (ended_ns - begun_ns)
        self._next_ns = max(self._soonest_ns, begun_ns + self._period_ns)


class Reach:
    """Reads what no monitor tells into the devices as they are known. ``host``: how to read, and the time."""

    def __init__(self, devices: DeviceFollower, host: Reader) -> None:
        self._devices, self._host = devices, host
        self._at_once: set[int] = set()  # namespaces of devices of which only a reading tells all
        time_ns = host.now()
        self.everywhere = Pace(EVERYWHERE_NS, time_ns)
        self._reached = Pace(REACHED_NS, time_ns)
        self._underlays = Pace(UNDERLAYS_NS, time_ns)

    def take(self, change: Change, namespaces: Sequence[Namespace], time_ns: int) -> list[Event]:
        """Take a change that a monitor saw; return its events."""
        device = change.device
        if device is None:  # notifications were lost
            self.everywhere.is_wanted = True
            return self._read({change.netns}, namespaces)
        self._underlays.is_wanted |= is_tunnel(device)
        if change.what == "elsewhere":
            self.everywhere.is_wanted |= is_stacked(device) or is_tunnel(device)
            return []
        events = self._devices.take(change, time_ns)
        known = self._devices.known.get(key_of(device))
        if known is not None and is_linked_abroad(known) and known.link_netns is None:
            self._at_once.add(device.netns)
        if not events and not self.everywhere.is_wanted:
            self.everywhere.is_wanted = self._devices.carries(key_of(device))
        return events

    def is_due(self, time_ns: int) -> bool:
        """Is there anything to ``read``?"""
        paces = (self.everywhere, self._reached, self._underlays)
        return bool(self._at_once) or any(one.is_due(time_ns) for one in paces)

    def read(self, namespaces: Sequence[Namespace]) -> list[Event]:
        """Read what is due; return the events of what has changed. ``namespaces``: those of the host."""
        begun_ns = self._host.now()
        events = self._read_at_once(namespaces)
        if self.everywhere.is_due(begun_ns):
            others = {one.inode for one in namespaces} - self._devices.namespaces
            events += self._read(others, namespaces)
            self.everywhere.done(begun_ns, self._host.now())
            self._reached.done(begun_ns, self._host.now())
        elif self._reached.is_due(begun_ns):
            events += self._read(self._devices.reached(), namespaces)
            self._reached.done(begun_ns, self._host.now())
        return events + self._read_underlays(namespaces)

    def _read_at_once(self, namespaces: Sequence[Namespace]) -> list[Event]:
        wanted, self._at_once = self._at_once, set()
        return self._read(wanted, namespaces) if wanted else []

    def _read(self, wanted: set[int], namespaces: Sequence[Namespace]) -> list[Event]:
        """Read the devices of these namespaces; one that cannot be read stays as it is known."""
        events = []
        for namespace in namespaces:
            there = self._host.devices(namespace, namespaces) if namespace.inode in wanted else None
            if there is not None:
                events += self._devices.take_all(namespace.inode, there, self._host.now())
        kinds = {event["device"]["kind"] for event in events if event["kind"] == "device"}
        self._underlays.is_wanted |= bool(kinds & TUNNEL_KINDS)
        return events

    def _read_underlays(self, namespaces: Sequence[Namespace]) -> list[Event]:
        begun_ns = self._host.now()
        if not self._underlays.is_due(begun_ns):
            return []
        tunnels = self._devices.tunnels()
        found = self._host.underlays(tunnels, namespaces) if tunnels else {}
        self._underlays.done(begun_ns, self._host.now())
        return self._devices.take_underlays(found, self._host.now())

    def forget(self, namespaces: Iterable[Namespace]) -> list[Event]:
        """Take the namespaces that there are now; return the events of the devices of others that have gone."""
        there = {one.inode for one in namespaces} | self._devices.namespaces
        gone = {netns for netns, _ in self._devices.known} - there
        time_ns = self._host.now()
        return [event for netns in sorted(gone) for event in self._devices.take_all(netns, (), time_ns)]
