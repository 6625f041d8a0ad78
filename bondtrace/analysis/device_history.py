# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of devices: as they were at a time, what was stacked on what, and whether a packet can go from one to
another (net/topology.py has the rule)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Callable, Optional

from ..model import Device
from ..net.topology import Key, are_peers, edges, family, is_ifb, is_tunnel, reached, share_lower, sits_on
from .history import LAST_NS, History


class Devices(Mapping[Key, History[Device]]):
    """The histories of all devices that events have named, by (netns, ifindex)."""

    def __init__(self) -> None:
        self._histories: dict[Key, History[Device]] = {}
        self._tunnels: list[Key] = []
        self._numbered: dict[int, list[Key]] = {}  # by ifindex, the devices that have it
        self._stacked: Optional[dict[Key, list[Key]]] = None  # ``stacking`` as of now
        self._below: Optional[dict[Key, list[Key]]] = None  # the other way, as far as something is sent that way

    def __getitem__(self, key: Key) -> History[Device]:
        return self._histories[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._histories)

    def __len__(self) -> int:
        return len(self._histories)

    def put(self, key: Key, time_ns: int, device: Optional[Device]) -> None:
        """Take a device as it is from that time on; ``None``: it has gone."""
        if key not in self._histories:
            self._histories[key] = History()
            self._numbered.setdefault(key[1], []).append(key)
        self._histories[key].put(time_ns, device)
        self._stacked = self._below = None
        if device is not None and key not in self._tunnels and (is_tunnel(device) or device.kind == "macsec"):
            self._tunnels.append(key)

    def at(self, key: Key, time_ns: int) -> Optional[Device]:
        """Return the device as it was then, or as it last was if it had gone."""
        history = self._histories.get(key)
        return (history.at(time_ns) or history.last_known()) if history else None

    def traced(
        self,
        names: Collection[str],
        namespaces: Collection[int],
        time_ns: int,
        reaches_out: bool = True,
        start_ns: int = LAST_NS,
    ) -> set[Key]:
        """Return the devices that a trace of these names covered then: those of these namespaces that had been called
        so by then, with all that is below and above them (``topology.family``). Without names all of the namespaces,
        and what is above these in others, where the trace ``reaches_out`` so far.

        :param start_ns: what the devices of other namespaces were then they had been before, too; later ones are found
            some time after they came, and covered only from then on.
        """
        here = [key for key in self if key[0] in namespaces]
        if not names and not reaches_out:
            return set(here)
        until_ns = max(time_ns, start_ns)
        there = (key for key in self if key[0] in namespaces or self[key].first_ns <= until_ns)
        devices = (device for key in there if (device := self.at(key, time_ns)) is not None)
        if not names:
            return {*here, *family(devices, here).above}
        named = [key for key in here if any(one.name in names for one in self[key].until(time_ns))]
        return family(devices, named).all

    def stacking(self, time_ns: int) -> dict[Key, list[Key]]:
        """Return for each device those that sat directly on it then."""
        devices = {key: device for key in self if (device := self.at(key, time_ns)) is not None}
        found: dict[Key, list[Key]] = {}
        for lower, upper in (edge for device in devices.values() for edge in edges(device)):
            if lower in devices and upper in devices:
                found.setdefault(lower, []).append(upper)
        return found

    def related(self, first: Key, second: Key, way: str) -> bool:
        """Can a packet go from the first device to the second, as they are stacked now?

        :param way: "up": what is received goes to what sits on a device, or copies of it to several such, or through a
            pair (veth) elsewhere; "down": what is sent goes to what the device sits on, directly or not (what no tap
            listens on has no pass of its own for what it sends); "over": from what sends to what receives, for one from
            an ifb, which gives back what tc redirected to it; "through": what was received is sent, routed in its
            namespace (at once it is nested in the receive, later if its next hop had to be asked for).
        """
        a, b = self._newest(first), self._newest(second)
        if a is None or b is None or first == second:
            return False
        if way != "down" and self._crosses_pair(a, b):
            return True
        if way == "up":
            return sits_on(b, a) or share_lower(a, b)
        if is_ifb(a):
            return a.netns == b.netns
        if way == "down":
            return first in above(second, self._stacked_now())
        is_stacked = sits_on(a, b) or sits_on(b, a)
        if way == "through":
            return a.netns == b.netns and not is_stacked
        return is_stacked or share_lower(a, b)

    def sending_again(self, is_heard: Callable[[Key], bool]) -> set[Key]:
        """Return the devices of which what they send is sent once more below them, as they are stacked now, and is
        heard of there: surely, or where it may have had to wait in a queue.

        :param is_heard: does this device have a pass of its own for what it sends?
        """
        below, heard = self._senders_below(), {key for key in self if is_heard(key)}
        surely: set[Key] = set()
        before = -1
        while before < len(surely):
            before = len(surely)
            surely |= {upper for upper in below if all(lower in heard or lower in surely for lower in below[upper])}
        ways = {upper: self.sent_by(upper) for upper in below.keys() - surely}
        return surely | {upper for upper, way in ways.items() if way & heard and any(map(self._has_queue, way))}

    def sent_by(self, key: Key) -> set[Key]:
        """Return the devices below this one, directly or not, by which what it sends may leave now."""
        below = self._senders_below()
        return reached(below.get(key, ()), below)

    def tunnels(self) -> list[Key]:
        """Return the devices that wrap what they send into other packets, and receive what was inside of others."""
        return self._tunnels

    def _crosses_pair(self, a: Device, b: Device) -> bool:
        """Can a packet of ``a`` be sent into the pair whose other end is ``b``: from that end itself, or switched or
        routed to it in its namespace? (An end that no tap listens on has no pass of its own for what it sends.)"""
        peers = (self._newest(key) for key in self._numbered.get(b.link or 0, ()))
        return any(peer is not None and peer.netns == a.netns and are_peers(peer, b) for peer in peers)

    def _stacked_now(self) -> dict[Key, list[Key]]:
        if self._stacked is None:
            self._stacked = self.stacking(LAST_NS)
        return self._stacked

    def _senders_below(self) -> dict[Key, list[Key]]:
        if self._below is None:
            edges_now = ((lower, upper) for lower, uppers in self._stacked_now().items() for upper in uppers)
            self._below = {}
            for lower, upper in edges_now:
                if self._sends_by(upper, lower):
                    self._below.setdefault(upper, []).append(lower)
        return self._below

    def _sends_by(self, upper: Key, lower: Key) -> bool:
        """May what the upper device sends leave by this one below it? A bond with an active slave sends by that one. (A
        VRF also shows as sent what it received.)"""
        a = self._newest(upper)
        if a is None or a.kind == "vrf":
            return False
        return a.bond_mode != "active-backup" or a.active_slave in (None, lower[1])

    def _has_queue(self, key: Key) -> bool:
        device = self._newest(key)
        return device is not None and device.qdisc != "noqueue"

    def _newest(self, key: Key) -> Optional[Device]:
        history = self._histories.get(key)
        return history.last_known() if history else None


def above(key: Key, stacking: Mapping[Key, list[Key]]) -> set[Key]:
    """Return every device that is stacked on this one, directly or not; itself where they go in a circle."""
    return reached(stacking.get(key, ()), stacking)
