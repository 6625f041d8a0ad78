# SPDX-License-Identifier: GPL-2.0-or-later
"""Drops by which nobody loses anything: the kernel drops so what somebody else has, or what is not for this host.

Invariant: a drop is by design only where the facts of its pass and of its devices prove it; where they leave it open it
is a drop like any other.

Sources: docs/receive-path.md, "Drops by design", with the kernel's functions for each rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..model import Pass, Step
from ..net import rx_handlers
from .beyond_ip import OF_ICMP
from .contents import Contents
from .scene import Scene

#: The modes of a bond in which one slave takes what is for a group, and the others get copies.
_ONE_TAKES = ("active-backup", "balance-tlb", "balance-alb")
_NO_HANDLER = (None, "UNHANDLED_PROTO", "PTYPE_ABSENT")
_TAKEN = ("queued", "backlog", "taken", "tunnel")


def marked(passes: tuple[Pass, ...], contents: Sequence[Contents], scene: Scene) -> tuple[Pass, ...]:
    """Return the passes with, at each drop by which nobody loses anything, why that is so (``Step.harmless``)."""
    return tuple(
        replace(one, steps=tuple(_marked(place, one, its, scene) for place in range(len(one.steps))))
        if any(step.kind == "drop" for step in one.steps)
        else one
        for one, its in zip(passes, contents)
    )


def _marked(place: int, one: Pass, its: Contents, scene: Scene) -> Step:
    step = one.steps[place]
    if step.kind != "drop" or step.clone or step.netfilter or step.tc or step.socket is not None:
        return step
    before = one.steps[:place]
    why = (
        _of_inactive_slave(step, before, its, one.time_ns, scene)
        or _for_another_host(step, its)
        or _has_answered(step, before)
        or _of_echo_reply(step, before, one)
    )
    return replace(step, harmless=why) if why else step


def _of_inactive_slave(step: Step, before: Sequence[Step], its: Contents, time_ns: int, scene: Scene) -> Optional[str]:
    """A frame for a group on a slave that is not the current one: the switch sends it to every slave, and the bond
    takes that of the current slave."""
    handler = next((one for one in reversed(before) if one.kind == "rx_handler"), None)
    if handler is None or (handler.function, handler.verdict) != (rx_handlers.BOND, "EXACT") or not its.to_group:
        return None
    if step.base_function != "__netif_receive_skb_core" or step.reason not in _NO_HANDLER:
        return None
    slave = scene.device(step.netns, step.ifindex, time_ns)
    bond = scene.device(step.netns, slave.master, time_ns) if slave and slave.master else None
    if bond is None or bond.bond_mode not in _ONE_TAKES or bond.active_slave in (None, 0, step.ifindex):
        return None
    active = scene.device(step.netns, bond.active_slave or 0, time_ns)
    if active is None or active.master != bond.ifindex or not active.up or active.mii_status not in (None, "up"):
        return None
    return f"an inactive slave's copy: {bond.name} takes what is for a group from {active.name}"


def _for_another_host(step: Step, its: Contents) -> Optional[str]:
    """A frame for another MAC address. One with a VLAN tag that nobody took is called so, too, whomever it is for."""
    if step.reason != "OTHERHOST" or its.tags != ():
        return None
    return "the frame is for another MAC address"


def _has_answered(step: Step, before: Sequence[Step]) -> Optional[str]:
    """A request that was answered before: ICMPv6 releases so what it has worked on."""
    if step.base_function != "icmpv6_rcv" or not step.is_unexplained:
        return None
    return "it was answered before" if any(one.kind == "answered" for one in before) else None


def _of_echo_reply(step: Step, before: Sequence[Step], one: Pass) -> Optional[str]:
    """An echo reply, after the raw sockets of ICMP (most kinds of ping have one) got their copies: the kernel says that
    no ping socket waits for it, or, without a reason, a raw socket was seen to take it."""
    if one.packet.message != "echo reply" or step.base_function not in OF_ICMP:
        return None
    if step.reason == "NO_SOCKET":
        return "raw sockets (ping's) got copies before, and no ping socket waits for it"
    is_taken = any(given.kind == "socket" and given.outcome in _TAKEN for given in before)
    return "a raw socket took a copy before" if step.is_unexplained and is_taken else None
