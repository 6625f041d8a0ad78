# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the devices of the host, and decides which of them are traced.

Traced are the devices that were named, those below them and those above them (net/topology.py), in whichever namespace.
A name stands for the device that had it when the trace began or got it later, by ifindex: a rename does not lose it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...format.events import Event, device_event, device_gone_event
from ...model import Device
from ...net.rx_handlers import handler_of
from ...net.topology import Family, Key, family, is_tunnel, key_of
from ..host.devices import Change

LACP_MODE = "802.3ad"


class DeviceFollower:
    """The devices of the host as they are now (``known``), and the traced ones among them. It reads nothing itself.

    :param names: the devices to trace; all of the traced namespaces where empty.
    :param traced_netns: the inodes of the traced namespaces.
    """

    def __init__(self, names: tuple[str, ...], traced_netns: Iterable[int], devices: Iterable[Device]) -> None:
        self.names = names
        self.known: dict[Key, Device] = {key_of(device): device for device in devices}
        self.namespaces = set(traced_netns)
        self._named: set[Key] = set()
        self._above: set[Key] = set()  # of the devices that were last traced, those of which what joins above is, too
        self._called: dict[str, set[Key]] = {}  # by given name: the devices that ever had it
        self._absent: set[str] = set()  # names whose devices are all gone now

    def here(self) -> list[Device]:
        """Return the devices of the traced namespaces."""
        return [device for device in self.known.values() if device.netns in self.namespaces]

    def kinds(self) -> set[str]:
        """Return the kinds of all known devices, wherever they are."""
        return {device.kind for device in self.known.values()}

    def traced(self) -> Family:
        """Return the devices to trace as they are now; without names all of the traced namespaces, and what is above
        them elsewhere."""
        if not self.names:
            everything = {key_of(device) for device in self.here()}
            return self._remembered(Family(everything, family(self.known.values(), everything).above))
        for device in self.here():
            if device.name in self.names:
                self._called.setdefault(device.name, set()).add(key_of(device))
                self._named.add(key_of(device))
        self._named = {key for key in self._named if key in self.known}
        return self._remembered(family(self.known.values(), self._named))

    def _remembered(self, traced: Family) -> Family:
        self._above = traced.above
        return traced

    def carries(self, key: Key) -> bool:
        """Was it last among the devices of which what is stacked on them is traced, too?"""
        return key in self._above

    def handlers(self, traced: set[Key]) -> set[str]:
        """Return the rx_handlers of these devices, by their kinds and those of their masters."""
        devices = [self.known[key] for key in traced if key in self.known]
        masters = [self.known.get((one.netns, one.master)) for one in devices if one.master is not None]
        kinds = {one.kind for one in (*devices, *masters) if one is not None}
        return {function for function in map(handler_of, kinds) if function}

    def take(self, change: Change, time_ns: int) -> list[Event]:
        """Take a change; return its events."""
        device = change.device
        assert device is not None
        key = key_of(device)
        if change.what == "remove":
            self.known.pop(key, None)
            return [device_gone_event(time_ns, *key)]
        known = self.known.get(key)
        if known and known.kind == device.kind:  # what notifications do not have
            is_same = (known.link, known.link_netnsid) == (device.link, device.link_netnsid)
            link_netns = known.link_netns if is_same and device.link_netns is None else device.link_netns
            device = replace(device, link_netns=link_netns, underlay=known.underlay)
        if known == device:
            return []
        self.known[key] = device
        return [device_event(time_ns, device)]

    def take_all(self, netns: int, there: Iterable[Device], time_ns: int) -> list[Event]:
        """Take all devices of a namespace as they are now, as far as they are not known to be so."""
        now = {key_of(device): device for device in there}
        gone = [device for key, device in self.known.items() if key[0] == netns and key not in now]
        changes = [*(Change("remove", device) for device in gone), *(Change("add", device) for device in now.values())]
        return [event for change in changes for event in self.take(change, time_ns)]

    def take_underlays(self, underlays: Mapping[Key, tuple[Key, ...]], time_ns: int) -> list[Event]:
        """Take what tunnels run over now; return the events of those of which that has changed."""
        changed = {key for key, found in underlays.items() if key in self.known and self.known[key].underlay != found}
        for key in changed:
            self.known[key] = replace(self.known[key], underlay=underlays[key])
        return [device_event(time_ns, self.known[key]) for key in sorted(changed)]

    def tunnels(self) -> list[Device]:
        """Return the tunnels of all namespaces that are up."""
        return [device for device in self.known.values() if device.up and is_tunnel(device)]

    def unheard(self) -> set[int]:
        """Return the namespaces of traced devices that change without a notification that is heard: those that are not
        traced themselves, and those with a bond in mode 802.3ad, of whose LACP state the kernel does not notify."""
        traced = self.traced().all
        lacp = {key[0] for key in traced if key in self.known and self.known[key].bond_mode == LACP_MODE}
        return {netns for netns, _ in traced} - self.namespaces | lacp

    def let_go(self, netns: int, time_ns: int) -> list[Event]:
        """Stop tracing a namespace."""
        self.namespaces.discard(netns)
        self._named = {key for key in self._named if key[0] != netns}
        return self.take_all(netns, (), time_ns)

    def absences(self) -> list[str]:
        """Return a sentence for each named device that is gone since the last call, and for each that is back."""
        absent = {name for name, keys in self._called.items() if not keys & self.known.keys()}
        gone, back = sorted(absent - self._absent), sorted(self._absent - absent)
        self._absent = absent
        return [
            *(f"{name} is gone; a device of that name will be traced once there is one" for name in gone),
            *(f"{name} is back" for name in back),
        ]
