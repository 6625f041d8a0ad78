# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an rx_handler returned its verdict: one plain phrase.

The verdict itself is the kernel's; the phrase explains it, from the handler's code (docs/receive-path.md), the packet,
and the devices at that time (``bonds``: the bond's mode and options).

Invariant: what became of a packet that a switch (bridge, Open vSwitch) took is concluded from the packet's later
passes, never assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..model import Pass, Step, Tag
from ..net import rx_handlers
from ..net.topology import Key
from . import bonds
from .bonds import Asked
from .contents import tag_words
from .scene import Scene

_BROADCAST, _LINK_LOCAL = b"\xff" * 6, b"\x01\x80\xc2\x00\x00"  # 01:80:c2:00:00:00 to 0f
_MACSEC = 0x88E5


def reason(function: Optional[str], verdict: Optional[str], asked: Asked) -> Optional[str]:
    """Return the phrase for a verdict of an rx_handler; ``None`` for an unknown verdict."""
    if function == rx_handlers.BOND:
        return bonds.reason(verdict, asked)
    by_packet = _PASSED.get(function or "") if verdict == "PASS" and asked.destination else None
    return (by_packet and by_packet(asked)) or rx_handlers.phrase(function, verdict)


def _many(asked: Asked) -> str:
    return "broadcast" if asked.destination == _BROADCAST else "multicast"


def _is_own(asked: Asked) -> bool:
    return asked.device is not None and asked.destination.hex(":") == asked.device.address


def _macvlan(asked: Asked) -> str:
    if asked.is_multicast:
        return f"{_many(asked)}: macvlans that take it get copies, by a queue"
    if _is_own(asked):
        return "for the lower device's own address"
    return "unicast to an address that no macvlan has"


def _ipvlan(asked: Asked) -> str:
    if asked.is_multicast:
        return f"{_many(asked)}: in mode l2 ipvlans get copies, by a queue"
    return "for no address of an ipvlan; in mode l3s IP asks for that later"


def _bridge(asked: Asked) -> Optional[str]:
    is_link_local = asked.destination[:5] == _LINK_LOCAL and asked.destination[5] < 0x10
    return None if is_link_local else "left to the port: ebtables' broute, MRP or CFM"


def _macsec(asked: Asked) -> str:
    if asked.protocol == _MACSEC:
        return "protected, in a channel that no MACsec device has: left to the port"
    return "not protected: left to the port, and copies to MACsec devices that are not strict"


_PASSED = {
    "macvlan_handle_frame": _macvlan,
    "ipvlan_handle_frame": _ipvlan,
    "br_handle_frame": _bridge,
    "macsec_handle_frame": _macsec,
}


def vlan_reason(verdict: Optional[str], place: Key, asked: Optional[Tag], scene: Scene, time_ns: int) -> Optional[str]:
    """Return why ``vlan_do_receive`` answered as it did on the device ``place``, asked about a tag."""
    phrase = rx_handlers.phrase("vlan_do_receive", verdict)
    if asked is None or verdict not in ("PASS", "CONSUMED"):
        return phrase
    of_id = [one for one in scene.vlans_on(place, time_ns) if one.vlan_id == asked.id]
    if verdict == "CONSUMED":
        down = [one.name for one in of_id if not one.up and asked.tpid in (None, one.vlan_protocol or asked.tpid)]
        return f"{down[0]} is down: dropped" if len(down) == 1 else phrase
    others = [one for one in of_id if one.vlan_protocol not in (None, asked.tpid)]
    if not others:
        return phrase
    return f"{phrase} {tag_words(asked)}: {others[0].name} takes {tag_words(Tag(asked.id, others[0].vlan_protocol))}"


def with_ways_on(passes: Sequence[Pass], scene: Scene) -> tuple[Pass, ...]:
    """Return the passes of a journey; where a switch took the packet, the reason says where it went next."""
    return tuple(_with_way_on(one, passes[place + 1 :], scene) for place, one in enumerate(passes))


def _with_way_on(one: Pass, later: Sequence[Pass], scene: Scene) -> Pass:
    if not any(_switched(step) for step in one.steps):
        return one
    steps = tuple(
        replace(step, reason=f"{step.reason}: {_way_on(one, step, later, scene)}") if _switched(step) else step
        for step in one.steps
    )
    return replace(one, steps=steps)


def _switched(step: Step) -> bool:
    return step.function in rx_handlers.SWITCHES and step.verdict == "CONSUMED"


def _way_on(one: Pass, taken: Step, later: Sequence[Pass], scene: Scene) -> str:
    port = scene.device(taken.netns, taken.ifindex, one.time_ns)
    up, out = [], []
    for other in later:
        if not other.steps:
            continue
        first = other.steps[0]
        device = scene.device(first.netns, first.ifindex, one.time_ns)
        if device is None or port is None or first.netns != taken.netns:
            continue
        if other.direction == "tx" and device.master == port.master:
            out.append(first.dev)
        elif other.direction == "rx" and (device.ifindex == port.master or device.kind == "openvswitch"):
            up.append(first.dev)
    ways = [
        f"{verb} {' and '.join(dict.fromkeys(names))}"
        for verb, names in (("passed up to", up), ("forwarded to", out))
        if names
    ]
    if ways:
        return ", ".join(ways)
    if any(other.direction == "rx" and other.netns != taken.netns for other in later):
        return "forwarded by a veth without taps"
    after = one.steps[one.steps.index(taken) :]
    return "dropped by it" if any(step.kind == "drop" for step in after) else "where it went on is not traced"
