# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the devices of the host, and decides which of them are traced.

Traced are the devices that were named, those below them and those above them (net/topology.py). A name stands for
the device that had it when the trace began or got it later, by ifindex: a rename does not lose it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...format.events import Event, device_event, device_gone_event
from ...model import Device
from ...net.rx_handlers import handler_of
from ...net.topology import Family, Key, family, key_of
from ..host.devices import Change


class DeviceFollower:
    """The devices of the host as they are now (``known``), and the traced ones among them. It reads nothing itself.

    :param names: the devices to trace; all of the traced namespaces where empty.
    :param traced_netns: the inodes of the traced namespaces.
    """

    def __init__(self, names: tuple[str, ...], traced_netns: Iterable[int], devices: Iterable[Device]) -> None:
        self.names = names
        self.known: dict[Key, Device] = {key_of(device): device for device in devices}
        self._netns = set(traced_netns)
        self._named: set[Key] = set()
        self._called: dict[str, set[Key]] = {}  # by given name: the devices that ever had it
        self._absent: set[str] = set()  # names whose devices are all gone now

    def here(self) -> list[Device]:
        """Return the devices of the traced namespaces."""
        return [device for device in self.known.values() if device.netns in self._netns]

    def traced(self) -> Family:
        """Return the devices to trace as they are now."""
        if not self.names:
            everything = {key_of(device) for device in self.here()}
            return Family(everything, everything)
        for device in self.here():
            if device.name in self.names:
                self._called.setdefault(device.name, set()).add(key_of(device))
                self._named.add(key_of(device))
        self._named = {key for key in self._named if key in self.known}
        return family(self.known.values(), self._named)

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
        if known and (known.link, known.link_netnsid) == (device.link, device.link_netnsid):
            device = replace(device, link_netns=known.link_netns)  # notifications do not have it
        if known == device:
            return []
        self.known[key] = device
        return [device_event(time_ns, device)]

    def take_all(self, there: Iterable[Device], time_ns: int) -> list[Event]:
        """Take all devices of the traced namespaces as they are now, after notifications were lost."""
        now = {key_of(device): device for device in there}
        gone = [device for device in self.here() if key_of(device) not in now]
        changes = [*(Change("remove", device) for device in gone), *(Change("add", device) for device in now.values())]
        return [event for change in changes for event in self.take(change, time_ns)]

    def let_go(self, netns: int, time_ns: int) -> list[Event]:
        """Stop tracing a namespace."""
        gone = [Change("remove", device) for device in self.known.values() if device.netns == netns]
        self._netns.discard(netns)
        self._named = {key for key in self._named if key[0] != netns}
        return [event for change in gone for event in self.take(change, time_ns)]

    def absences(self) -> list[str]:
        """Return a sentence for each named device that is gone since the last call, and for each that is back."""
        absent = {name for name, keys in self._called.items() if not keys & self.known.keys()}
        gone, back = sorted(absent - self._absent), sorted(self._absent - absent)
        self._absent = absent
        return [
            *(f"{name} is gone; a device of that name will be traced once there is one" for name in gone),
            *(f"{name} is back" for name in back),
        ]
