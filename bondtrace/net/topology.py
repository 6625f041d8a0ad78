# SPDX-License-Identifier: GPL-2.0-or-later
"""What is stacked on what: the one rule by which devices are above and below each other.

A device sits on another if that one hands it its packets as they are: a master on its slaves (bond, team, bridge, VRF,
Open vSwitch), and what is in ``STACKED_KINDS`` on its ``link``. Other kinds have a ``link`` of another meaning:

- of a pair (``PAIRED_KINDS``) it is the peer: what one end sends the other receives;
- of a tunnel (``TUNNEL_KINDS``) it is the device by which outer packets leave.

What a tunnel receives was another packet before. So it does not *sit on* a device, it *runs over* its underlay
(``Device.underlay``: by its link, its routes, its own address). Both relations decide what is traced together
(``family``); only the first says that a packet goes on as it is (``edges``, ``sits_on``).

Source: ``ndo_get_iflink`` and ``rtnl_link_ops`` of the drivers. A device without a kind that has a link is a port of a
switch chip (DSA, before it had a kind).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Optional

from ..model import Device

Key = tuple[int, int]
"""A device: (netns, ifindex)."""

STACKED_KINDS = frozenset(
    (
        *("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"),
        *("dsa", "ether", "rmnet", "lowpan", "ipoib", "virt_wifi"),
    )
)
PAIRED_KINDS = frozenset(("veth", "netkit", "vxcan"))
TUNNEL_KINDS = frozenset(
    (
        *("vxlan", "geneve", "bareudp", "gtp", "amt", "pfcp", "l2tpeth", "wireguard", "ovpn", "ppp"),
        *("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan"),
        *("ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm"),
    )
)
"""What the kernel takes out of packets of a protocol (decapsulates, decrypts) and then receives on a device of its own.
Not "tun": its packets come from a program. Not "macsec", which sits on its link, though it decrypts, too."""


def key_of(device: Device) -> Key:
    """Return what names the device on this host."""
    return device.netns, device.ifindex


def key_number(key: Key) -> int:
    """Return a device's key as one number, as columns and BPF maps have it: netns in the upper half of 64 bits."""
    netns, ifindex = key
    return netns << 32 | ifindex


def key_from(number: int) -> Key:
    """Return the key that ``key_number`` made a number of."""
    return number >> 32, number & 0xFFFFFFFF


def is_stacked(device: Device) -> bool:
    """Is it of a kind whose link is the device below it?"""
    return device.kind in STACKED_KINDS


def is_tunnel(device: Device) -> bool:
    """Does it receive what was another packet before, which arrived on its underlay?"""
    return device.kind in TUNNEL_KINDS


def is_ifb(device: Device) -> bool:
    """Is it an intermediate functional block: what tc redirects to it goes back to where it came from?"""
    return device.kind == "ifb"


def lower_of(device: Device) -> Optional[Key]:
    """Return the device that hands it its packets, where that is known; not its slaves."""
    netns = device.netns if device.link_netnsid is None else device.link_netns
    if not is_stacked(device) or device.link is None or netns is None:
        return None
    return netns, device.link


def edges(device: Device) -> list[tuple[Key, Key]]:
    """Return the (lower, upper) pairs that follow from a device's own fields: it on its link, its master on it."""
    found = []
    if device.master is not None:
        found.append((key_of(device), (device.netns, device.master)))
    lower = lower_of(device)
    if lower is not None:
        found.append((lower, key_of(device)))
    return found


def runs_over(device: Device) -> list[tuple[Key, Key]]:
    """Return the (underlay, tunnel) pairs of a tunnel, as far as they are known; of other devices none."""
    return [(one, key_of(device)) for one in device.underlay if one != key_of(device)] if is_tunnel(device) else []


def sits_on(upper: Device, lower: Device) -> bool:
    """Is one the other's master, or stacked on it?"""
    return (key_of(lower), key_of(upper)) in (*edges(upper), *edges(lower))


def share_lower(a: Device, b: Device) -> bool:
    """Do two devices of one kind sit on the same device? A broadcast goes to all macvlans of one."""
    return a.kind == b.kind and lower_of(a) is not None and lower_of(a) == lower_of(b)


def are_peers(a: Device, b: Device) -> bool:
    """Are they the two ends of a pair, as far as the ifindex that each has as its link shows?"""
    if a.kind != b.kind or a.kind not in PAIRED_KINDS or key_of(a) == key_of(b):
        return False
    return (a.link, b.link) == (b.ifindex, a.ifindex)


class Family(NamedTuple):
    """The devices ``named`` and all ``below`` them; the same and all ``above`` them."""

    below: set[Key]
    above: set[Key]

    @property
    def all(self) -> set[Key]:
        """All of them."""
        return self.below | self.above


def family(devices: Iterable[Device], named: Iterable[Key]) -> Family:
    """Return the devices ``named``, all that are below them and all above them, tunnels above their underlay.

    Each repeatedly, but never down again from what is above: the siblings are left out.
    """
    below: dict[Key, list[Key]] = {}
    above: dict[Key, list[Key]] = {}
    for lower, upper in (edge for device in devices for edge in (*edges(device), *runs_over(device))):
        below.setdefault(upper, []).append(lower)
        above.setdefault(lower, []).append(upper)
    start = set(named)
    return Family(reached(start, below), reached(start, above))


def reached(start: Iterable[Key], ways: Mapping[Key, Sequence[Key]]) -> set[Key]:
    """Return ``start`` and all that can be reached from there."""
    found = set(start)
    pending = list(found)
    while pending:
        new = [key for key in ways.get(pending.pop(), ()) if key not in found]
        found.update(new)
        pending += new
    return found
