# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows what no monitor tells: devices beyond the traced namespaces, and what tunnels run over.

Only the traced namespaces have monitors: those would keep others alive. Others are read, and when is decided here:

- all of them now and then, and soon after something was heard that such a device may have caused: a stacked device or a
  tunnel was moved, one elsewhere changed (``ElsewhereMonitor``), or the kernel notified of a traced device that is as
  it was, as it does where something is stacked on it;
- those that have traced devices more often, and traced ones with a bond in mode 802.3ad: the kernel does not notify of
  LACP's states;
- tunnels' underlays likewise, as nothing notifies of routes and peers.

Invariant: readings take at most one part in ``SHARE`` of the time, and at once not much more than ``SLICE_NS``, however
many namespaces there are: meanwhile the ring fills.
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

EVERYWHERE_NS, UNHEARD_NS, UNDERLAYS_NS = 5_000_000_000, 500_000_000, 1_000_000_000
SHARE = 20
SLICE_NS = 10_000_000


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

    def done(self, time_ns: int) -> None:
        """Note that it is done, or under way."""
        self.is_wanted = False
        self._next_ns = time_ns + self._period_ns

    def rest(self, ended_ns: int, took_ns: int) -> None:
        """Note when it ended and how long it took."""
        self._soonest_ns = ended_ns + SHARE * took_ns
        self._next_ns = max(self._soonest_ns, self._next_ns)


class Reach:
    """Reads what no monitor tells into the devices as they are known. ``host``: how to read, and the time."""

    def __init__(self, devices: DeviceFollower, host: Reader) -> None:
        self._devices, self._host = devices, host
        self._waiting: dict[int, None] = {}  # namespaces that are to be read, in order
        self._took_ns = 0  # by their reading so far
        time_ns = host.now()
        self.everywhere = Pace(EVERYWHERE_NS, time_ns)
        self._unheard = Pace(UNHEARD_NS, time_ns)
        self._underlays = Pace(UNDERLAYS_NS, time_ns)

    def take(self, change: Change, namespaces: Sequence[Namespace], time_ns: int) -> list[Event]:
        """Take a change that a monitor saw; return its events."""
        device = change.device
        if device is None:  # notifications were lost
            self.everywhere.is_wanted = True
            return self._read_one(change.netns, namespaces)
        self._underlays.is_wanted |= is_tunnel(device)
        if change.what == "elsewhere":
            self.everywhere.is_wanted |= is_stacked(device) or is_tunnel(device)
            return []
        events = self._devices.take(change, time_ns)
        known = self._devices.known.get(key_of(device))
        if known is not None and is_linked_abroad(known) and known.link_netns is None:
            self._waiting = {device.netns: None, **self._waiting}
        if not events and not self.everywhere.is_wanted:
            self.everywhere.is_wanted = self._devices.carries(key_of(device))
        return events

    def is_due(self, time_ns: int) -> bool:
        """Is there anything to ``read``?"""
        paces = (self.everywhere, self._unheard, self._underlays)
        return bool(self._waiting) or any(one.is_due(time_ns) for one in paces)

    def read(self, namespaces: Sequence[Namespace]) -> list[Event]:
        """Read what is due, or a part of it; return the events of what has changed. ``namespaces``: those of the host,
        of which the last ones are read first: they may be the newest."""
        begun_ns = self._host.now()
        if not self._took_ns:  # else a round is under way
            self._begin_round(namespaces, begun_ns)
        return self._read_slice(namespaces, begun_ns) + self._read_underlays(namespaces)

    def _begin_round(self, namespaces: Sequence[Namespace], time_ns: int) -> None:
        is_everywhere = self.everywhere.is_due(time_ns)
        if is_everywhere or self._unheard.is_due(time_ns):
            self._waiting.update(dict.fromkeys(self._devices.unheard()))
            self._unheard.done(time_ns)
        if is_everywhere:
            others = (one.inode for one in reversed(namespaces) if one.inode not in self._devices.namespaces)
            self._waiting.update(dict.fromkeys(others))
            self.everywhere.done(time_ns)

    def _read_slice(self, namespaces: Sequence[Namespace], begun_ns: int) -> list[Event]:
        """Read some of the waiting namespaces; once none is left, note how long all took."""
        events: list[Event] = []
        ended_ns = begun_ns
        while self._waiting and ended_ns - begun_ns < SLICE_NS:
            events += self._read_one(next(iter(self._waiting)), namespaces)
            ended_ns = self._host.now()
        self._took_ns += ended_ns - begun_ns
        if self._took_ns and not self._waiting:
            for pace in (self.everywhere, self._unheard):
                pace.rest(ended_ns, self._took_ns)
            self._took_ns = 0
        return events

    def _read_one(self, netns: int, namespaces: Sequence[Namespace]) -> list[Event]:
        """Read the devices of a namespace; where it cannot be read they stay as they are known."""
        self._waiting.pop(netns, None)
        namespace = next((one for one in namespaces if one.inode == netns), None)
        there = None if namespace is None else self._host.devices(namespace, namespaces)
        events = [] if there is None else self._devices.take_all(netns, there, self._host.now())
        kinds = {event["device"]["kind"] for event in events if event["kind"] == "device"}
        self._underlays.is_wanted |= bool(kinds & TUNNEL_KINDS)
        return events

    def _read_underlays(self, namespaces: Sequence[Namespace]) -> list[Event]:
        begun_ns = self._host.now()
        if not self._underlays.is_due(begun_ns):
            return []
        tunnels = self._devices.tunnels()
        found = self._host.underlays(tunnels, namespaces) if tunnels else {}
        ended_ns = self._host.now()
        self._underlays.done(begun_ns)
        self._underlays.rest(ended_ns, ended_ns - begun_ns)
        return self._devices.take_underlays(found, self._host.now())

    def forget(self, namespaces: Iterable[Namespace]) -> list[Event]:
        """Take the namespaces that there are now; return the events of the devices of others that have gone."""
        there = {one.inode for one in namespaces} | self._devices.namespaces
        gone = {netns for netns, _ in self._devices.known} - there
        time_ns = self._host.now()
        return [event for netns in sorted(gone) for event in self._devices.take_all(netns, (), time_ns)]
