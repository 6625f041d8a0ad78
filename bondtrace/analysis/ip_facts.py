# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses, settings and routes of the host, which decide whether IP takes or answers a packet, as of a time.

Invariant: memory does not grow with the number of addresses that ways are asked for, which others choose: those are
forgotten that were asked for longest ago.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..model import IpSettings
from ..net.topology import Key
from .history import History

WAYS_KEPT = 1 << 12


class IpFacts:
    """The settings of devices, and the ways to addresses, as they were over time."""

    def __init__(self) -> None:
        self._settings: dict[Key, History[IpSettings]] = {}
        self._ways: dict[tuple[int, str], History[tuple[int, ...]]] = {}

    def put_settings(self, time_ns: int, told: IpSettings) -> None:
        """Take a device's settings from this time on."""
        self._settings.setdefault((told.netns, told.ifindex), History()).put(time_ns, told)

    def put_way(self, time_ns: int, netns: int, address: str, devices: tuple[int, ...]) -> None:
        """Take the devices by which packets to an address leave a namespace from this time on."""
        history = self._ways.pop((netns, address), None) or History()
        if history.at(time_ns) != devices:
            history.put(time_ns, devices)
        self._ways[netns, address] = history
        if len(self._ways) > WAYS_KEPT:
            del self._ways[next(iter(self._ways))]

    def setting(self, key: Key, name: str, time_ns: int) -> Optional[tuple[int, int]]:
        """Return a setting of a device and that of "all"; ``None`` where it was not recorded."""
        told = self._settings[key].at(time_ns) if key in self._settings else None
        return next(((own, of_all) for one, own, of_all in told.settings if one == name), None) if told else None

    def way(self, netns: int, address: str, time_ns: int) -> Optional[tuple[int, ...]]:
        """Return the devices by which packets to an address left; ``None`` where that was not asked."""
        return self._ways[netns, address].at(time_ns) if (netns, address) in self._ways else None

    def owners(self, netns: int, address: str, time_ns: int) -> Optional[list[Key]]:
        """Return the devices of a namespace that have an address; ``None`` where none of it was read."""
        there = list(self._of(netns, time_ns))
        return [(one.netns, one.ifindex) for one in there if address in one.addresses] if there else None

    def _of(self, netns: int, time_ns: int) -> Iterator[IpSettings]:
        for key, history in self._settings.items():
            told = history.at(time_ns) if key[0] == netns else None
            if told is not None:
                yield told
