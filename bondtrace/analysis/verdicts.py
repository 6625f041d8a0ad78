# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an rx_handler returned its verdict: one plain phrase.

The verdict itself is the kernel's; the phrase explains it, from the handler's code (docs/receive-path.md) and the mode
of the bond at that time.

Invariant: what became of a packet that a switch (bridge, Open vSwitch) took is concluded from the packet's later
passes, never assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..model import Device, Pass, Step
from ..net import rx_handlers
from .scene import Scene

_SLOW_PROTOCOLS, _ARP = 0x8809, 0x0806
_ACTIVE = {
    "802.3ad": "enabled port of 802.3ad",
    "balance-tlb": "current slave of balance-tlb",
    "balance-alb": "a slave of balance-alb that may receive this frame",
    **{mode: f"every slave receives in {mode}" for mode in ("balance-rr", "balance-xor", "broadcast")},
}
_INACTIVE = {"802.3ad": "port of 802.3ad that is not enabled"}


def reason(function: Optional[str], verdict: Optional[str], protocol: int, master: Optional[Device]) -> Optional[str]:
    """Return the phrase; ``None`` for an unknown verdict.

    :param protocol: the packet's skb->protocol.
    :param master: the device that the receiving one was enslaved to, as it was then; ``None`` where not known.
    """
    if function == rx_handlers.BOND:
        phrase = _bond(verdict, protocol, master)
        return f"{phrase}; the ARP monitor looked at it" if phrase and _monitored(verdict, protocol, master) else phrase
    return rx_handlers.phrase(function, verdict)


def _bond(verdict: Optional[str], protocol: int, bond: Optional[Device]) -> Optional[str]:
    mode = (bond.bond_mode if bond else None) or ""
    if verdict == "ANOTHER":
        return _ACTIVE.get(mode, "active slave")
    if verdict == "EXACT":
        return _INACTIVE.get(mode, "inactive slave")
    if verdict == "PASS":
        return "link-local frame on an inactive slave"
    if verdict == "CONSUMED":
        lacp = protocol == _SLOW_PROTOCOLS
        return "LACP frame consumed by the bond" if lacp else "consumed by the bond; why is not recorded"
    return None


def _monitored(verdict: Optional[str], protocol: int, bond: Optional[Device]) -> bool:
    return verdict != "CONSUMED" and protocol == _ARP and bool(bond and bond.arp_interval_ms)


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
