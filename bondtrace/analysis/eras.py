# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tap would have been offered under the delivery rules of an older kernel.

It is modelled from source, not run. The facts about a packet (by which slave it came, whether that was inactive for
this very frame, what was stacked on what) are the recorded ones; the rules are the era's.

Invariant: where the facts do not decide, or how the era handled a device is not modelled, the answer is "unknown" with
the cause, never a guess.

Sources: net/core/dev.c and include/linux/netdevice.h of the kernels named with each era; docs/eras.md describes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ..errors import UsageError
from ..model import ETH_P_ALL, Device, Journey, Pass, Tap
from ..net.rx_handlers import BOND, BRIDGE
from . import watched
from .scene import Scene
from .tap_history import Presence

_ETH_P_ARP, _ETH_P_SLOW = 0x0806, 0x8809
_CORE = "__netif_receive_skb_core"
# What drops a packet in a round, between the taps and delivery by protocol: tc ingress, netfilter ingress.
_BEFORE_PROTOCOLS = (_CORE, "sch_handle_ingress", "tc_run", "tcf_classify", "nf_hook_ingress")
_NOBODY_TOOK_IT = ("UNHANDLED_PROTO", "PTYPE_ABSENT")


@dataclass(frozen=True)
class Era:
    """Delivery rules that held for a range of kernels.

    ``model`` is the rule of reception: "skb_bond", "null_or_orig" or "rounds". ``link_local_pass``: an inactive slave
    keeps link-local frames for all that listen there. ``ignore_outgoing``: taps can ask not to get outgoing packets.
    ``null_or_bond``: delivery by protocol also matches null_or_bond, which is NULL except above a VLAN.
    """

    name: str
    kernels: str
    model: str
    rule: str
    source: str
    link_local_pass: bool = False
    ignore_outgoing: bool = False
    null_or_bond: bool = False


_SKB_BOND = (
    "skb_bond() comes before any tap: a frame on an inactive slave is freed, and for any other skb->dev "
    "becomes the bond; then a tap matches if it is bound to no device or to skb->dev"
)
_NULL_OR_ORIG = (
    "a tap matches if its device is null_or_orig, skb->dev or orig_dev; skb->dev is the bond, unless the "
    "frame is for an inactive slave: then null_or_orig is orig_dev, and unbound taps do not match"
)
_NO_WCARD = "deliver_no_wcard in the skb keeps that mark when the frame is received again"
_ROUNDS = (
    "the bond is an rx_handler between rounds: in every round a tap matches if it is bound to no device or to skb->dev"
)

ERAS = (
    Era(
        "2.6.18",
        "RHEL 5",
        "skb_bond",
        _SKB_BOND,
        "skb_bond and netif_receive_skb in net/core/dev.c, skb_bond_should_drop in include/linux/netdevice.h",
    ),
    Era(
        "2.6.32",
        "2.6.32 of kernel.org",
        "null_or_orig",
        _NULL_OR_ORIG,
        "netif_receive_skb in net/core/dev.c, skb_bond_should_drop in include/linux/netdevice.h",
    ),
    Era(
        "rhel6.0",
        "RHEL 6.0 and 6.1",
        "null_or_orig",
        f"{_NULL_OR_ORIG}; {_NO_WCARD}; delivery by protocol also matches null_or_bond, which without a VLAN is NULL: "
        "sockets bound to no device match on an inactive slave, too",
        "netif_receive_skb in net/core/dev.c (null_or_bond), skb_bond_should_drop in include/linux/netdevice.h",
        null_or_bond=True,
    ),
    Era(
        "rhel6",
        "RHEL 6.2 to 6.6, and 2.6.36",
        "null_or_orig",
        f"{_NULL_OR_ORIG}; {_NO_WCARD}",
        "__netif_receive_skb in net/core/dev.c (skb->deliver_no_wcard), skb_bond_should_drop",
    ),
    Era(
        "2.6.39",
        "2.6.39 to 3.18",
        "rounds",
        _ROUNDS,
        "__netif_receive_skb in net/core/dev.c, bond_handle_frame in drivers/net/bonding/bond_main.c",
    ),
    Era(
        "4.0",
        "4.0 to 4.18",
        "rounds",
        f"{_ROUNDS}; taps that are bound to a device are in a list of its own",
        "__netif_receive_skb_core in net/core/dev.c (dev->ptype_all)",
    ),
    Era(
        "4.19",
        "4.19",
        "rounds",
        f"{_ROUNDS}; an inactive slave keeps link-local frames (PASS)",
        "bond_handle_frame in drivers/net/bonding/bond_main.c",
        link_local_pass=True,
    ),
    Era(
        "4.20",
        "4.20 to 6.14",
        "rounds",
        f"{_ROUNDS}; a tap may refuse what is sent (PACKET_IGNORE_OUTGOING)",
        "dev_queue_xmit_nit in net/core/dev.c",
        link_local_pass=True,
        ignore_outgoing=True,
    ),
    Era(
        "6.15",
        "6.15 and later",
        "rounds",
        f"{_ROUNDS}; the list of unbound taps is the namespace's own",
        "__netif_receive_skb_core in net/core/dev.c (net->ptype_all)",
        link_local_pass=True,
        ignore_outgoing=True,
    ),
)


def find_era(name: str) -> Era:
    """Return the era of this name.

    :raises UsageError: for an unknown name; the message lists the known ones.
    """
    for era in ERAS:
        if era.name == name.lower():
            return era
    raise UsageError(f"no era {name!r} is modelled: give one of {', '.join(era.name for era in ERAS)}")


@dataclass(frozen=True)
class Offer:
    """A tap is given the packet, with ``dev`` as the name of skb->dev; ``direction`` is "rx" or "tx"."""

    dev: str
    direction: str


@dataclass(frozen=True)
class Answer:
    """The answer for one tap: what it was offered (``recorded``, ``None``: not watched), what it would have been
    (``modelled``, ``None``: unknown), and ``why``, in a sentence, where the latter is not an offer in every place."""

    tap: int
    recorded: Optional[tuple[Offer, ...]]
    modelled: Optional[tuple[Offer, ...]]
    why: str = ""

    @property
    def differs(self) -> bool:
        """Would the tap have been offered something else than was recorded?"""
        return None not in (self.modelled, self.recorded) and self.modelled != self.recorded


class _Unknown(Exception):
    """The facts do not decide; the text says why."""


def answers(journey: Journey, scene: Scene, era: Era) -> tuple[Answer, ...]:
    """Return an answer for every tap that was hooked in when the journey began, or may have been but was not read."""
    return tuple(
        _answer(tap, presence, journey, scene, era)
        for tap, presence in scene.taps_at(journey.time_ns)
        if presence in (Presence.HOOKED, Presence.UNREAD)
    )


def _answer(tap: Tap, presence: Presence, journey: Journey, scene: Scene, era: Era) -> Answer:
    recorded = (
        None
        if watched.blind_to(tap, scene)
        else tuple(
            Offer(step.dev, one.direction)
            for one in journey.passes
            for step in one.steps
            if step.tap == tap.inode and step.outcome != "ignored"
        )
    )
    if presence is Presence.UNREAD:
        return Answer(tap.inode, recorded, None, "how it was bound then was not read")
    if tap.fanout_id is not None:
        return Answer(tap.inode, recorded, None, "which member of a fanout group is chosen is not modelled")
    offers: list[Offer] = []
    reasons: list[str] = []
    try:
        for one in journey.passes:
            given, why = (_sent if one.direction == "tx" else _received)(tap, one, journey, scene, era)
            offers += given
            reasons += [why] if why else []
    except _Unknown as unknown:
        return Answer(tap.inode, recorded, None, str(unknown))
    return Answer(tap.inode, recorded, tuple(offers), "; ".join(dict.fromkeys(reasons)))


_Result = tuple[list[Offer], str]


def _sent(tap: Tap, one: Pass, journey: Journey, scene: Scene, era: Era) -> _Result:
    """Apply dev_queue_xmit_nit, which is the same from 2.6.18 on, except for PACKET_IGNORE_OUTGOING."""
    first = one.steps[0]
    if tap.netns != first.netns or tap.ifindex not in (0, first.ifindex):
        return [], ""
    if tap.protocol != ETH_P_ALL:
        return [], "what is sent is offered only to taps for all protocols"
    if one.sender == tap.inode:
        return [], "a socket is not offered what it sent itself"
    if tap.ignore_outgoing and era.ignore_outgoing:
        return [], "it asked not to get what is sent"
    return [Offer(first.dev, "tx")], ""


@dataclass(frozen=True)
class Frame:
    """A received frame as the old rules see it. ``master`` is the bond of the slave on which it arrived, if it was one;
    ``inactive``: that slave was inactive for this frame, according to the bond's verdict."""

    name: str
    ifindex: int
    netns: int
    ethertype: int
    master: Optional[Device] = None
    inactive: bool = False


def _received(tap: Tap, one: Pass, journey: Journey, scene: Scene, era: Era) -> _Result:
    if not one.steps or one.steps[0].kind != "enter":
        raise _Unknown("the begin of its receive was not recorded")
    for place in sorted({(step.netns, step.ifindex) for step in one.steps}) if watched.has_gaps(scene) else ():
        blind = watched.blind_above(place, scene, one.time_ns)
        if blind:
            raise _Unknown(blind)
    if _dropped_by_xdp(one) and not era.link_local_pass:
        raise _Unknown("generic XDP dropped it, which kernels before 4.12 do not have")
    if era.model == "rounds":
        return _by_rounds(tap, one, journey, era)
    frame = frame_of(one, journey, scene)
    if tap.netns != frame.netns or tap.protocol not in (ETH_P_ALL, frame.ethertype):
        return [], ""
    by_protocol = tap.protocol != ETH_P_ALL
    if by_protocol and any(step.function == BRIDGE and step.verdict == "CONSUMED" for step in one.steps):
        return [], "the bridge consumed it before delivery by protocol"
    if era.model == "skb_bond":
        given, why = by_skb_bond(tap.ifindex, frame)
    else:
        given, why = by_null_or_orig(tap.ifindex, frame, era.null_or_bond and by_protocol)
    if given and by_protocol and not frame.inactive and _dropped_early(one):
        raise _Unknown("whether it would have been dropped before delivery by protocol is not modelled")
    return given, why


def frame_of(one: Pass, journey: Journey, scene: Scene) -> Frame:
    """Return what the rules before 2.6.39 need to know about a frame. Only bonds and bridges are modelled: anything
    else is unknown."""
    if journey.packet.tags:
        raise _Unknown("how frames with a VLAN tag were received then is not modelled")
    first = one.steps[0]
    handlers = [step for step in one.steps if step.kind in ("rx_handler", "vlan")]
    for step in handlers:
        if step.function not in (BOND, BRIDGE):
            raise _Unknown(f"how {step.function} and its like were done then is not modelled")
    bond = next((step for step in handlers if step.function == BOND), None)
    device = scene.device(first.netns, first.ifindex, one.time_ns)
    master = scene.device(first.netns, device.master, one.time_ns) if device and device.master else None
    unrecorded = _Unknown(f"the bond's answer for {first.dev} was not recorded")
    if bond is None:
        if master is not None and master.kind == "bond":
            raise unrecorded
        return Frame(first.dev, first.ifindex, first.netns, journey.packet.ethertype)
    if bond.verdict is None:
        raise unrecorded
    if master is None:
        raise _Unknown(f"of which bond {first.dev} was a slave was not recorded")
    inactive = bond.verdict in ("EXACT", "PASS")
    if not inactive and master.all_slaves_active and master.active_slave != first.ifindex:
        raise _Unknown(f"the bond's all_slaves_active, newer than these rules, hides whether {first.dev} was inactive")
    return Frame(first.dev, first.ifindex, first.netns, journey.packet.ethertype, master, inactive)


def should_drop(frame: Frame) -> bool:
    """Would skb_bond_should_drop say so? Only for an inactive slave, except for LACP and for ARP that the monitor
    wants. (What else balance-alb accepts, the bond's recorded verdict has accepted.)"""
    bond = frame.master
    if not frame.inactive or bond is None:
        return False
    if frame.ethertype == _ETH_P_ARP and bond.arp_interval_ms != 0 and bond.arp_validate not in ("none", "active"):
        raise _Unknown("whether the ARP monitor wanted this frame is not recorded")
    if frame.ethertype == _ETH_P_SLOW and bond.bond_mode is None:
        raise _Unknown("the bond's mode was not recorded")
    return not (bond.bond_mode == "802.3ad" and frame.ethertype == _ETH_P_SLOW)


def by_skb_bond(bound_to: int, frame: Frame) -> _Result:
    """Apply the rule of 2.6.18."""
    if should_drop(frame):
        return [], f"skb_bond() freed it on {frame.name}, an inactive slave, before any tap"
    device = frame.master or frame
    dev, ifindex = device.name, device.ifindex
    if bound_to in (0, ifindex):
        return [Offer(dev, "rx")], ""
    moved = frame.master is not None and bound_to == frame.ifindex
    return [], f"skb_bond() had made {dev} of skb->dev before any tap" if moved else ""


def by_null_or_orig(bound_to: int, frame: Frame, null_or_bond: bool = False) -> _Result:
    """Apply the rule of 2.6.32 and RHEL 6: ``ptype->dev`` in (null_or_orig, skb->dev, orig_dev); 0 stands for NULL.

    ``null_or_bond``: it is delivery by protocol in RHEL 6.0 or 6.1, which compares with null_or_bond, too: NULL, as
    frames of a VLAN are not modelled.
    """
    drop = should_drop(frame)
    null_or_orig = frame.ifindex if drop else 0
    device = frame.master if frame.master and not drop else frame
    dev, ifindex = device.name, device.ifindex
    if bound_to not in (null_or_orig, ifindex, frame.ifindex) and not (null_or_bond and bound_to == 0):
        return [], f"only exact matches: {frame.name} is an inactive slave" if drop and not bound_to else ""
    told = (
        f"it matches as orig_dev, and is told {dev}: a libpcap from 1.0 to 1.9.1 without a mapped ring drops it"
        if bound_to == frame.ifindex != ifindex
        else ""
    )
    return [Offer(dev, "rx")], told


def _by_rounds(tap: Tap, one: Pass, journey: Journey, era: Era) -> _Result:
    rounds = list(_rounds(one))
    xdp = _dropped_by_xdp(one)
    if tap.protocol == ETH_P_ALL:
        shown = rounds[:-1] if xdp else rounds
        return [
            Offer(dev, "rx") for netns, ifindex, dev in shown if netns == tap.netns and tap.ifindex in (0, ifindex)
        ], "generic XDP dropped it before the taps" if xdp else ""
    if tap.protocol != journey.packet.ethertype or tap.netns != rounds[-1][0]:
        return [], ""
    verdicts = [step.verdict for step in one.steps if step.kind == "rx_handler"]
    if "CONSUMED" in verdicts:
        return [], "an rx_handler consumed it before delivery by protocol"
    first, last = rounds[0], rounds[-1]
    exact = "EXACT" in verdicts or ("PASS" in _bonds(one) and not era.link_local_pass)
    if exact and tap.ifindex == 0:
        return [], f"only exact matches on {first[2]}, an inactive slave"
    if tap.ifindex != 0 and (tap.netns, tap.ifindex) not in (first[:2], last[:2]):
        return [], ""
    if xdp or ("EXACT" not in verdicts and _dropped_early(one)):
        return [], "it was dropped before delivery by protocol"
    return [Offer(last[2], "rx")], ""


def _dropped_by_xdp(one: Pass) -> bool:
    return any(step.kind == "drop" and step.base_function == "do_xdp_generic" for step in one.steps)


def _bonds(one: Pass) -> list[Optional[str]]:
    return [step.verdict for step in one.steps if step.function == BOND]


def _dropped_early(one: Pass) -> bool:
    """Was it dropped before delivery by protocol (tc, netfilter), and not because nobody took it?"""
    for place, step in enumerate(one.steps):
        if step.kind != "drop" or any(before.kind == "protocol" for before in one.steps[:place]):
            continue
        if step.base_function == _CORE and step.is_unexplained:
            raise _Unknown("this kernel does not say why it dropped the packet")
        if step.base_function == "nf_hook_slow":
            if step.netfilter is None:
                raise _Unknown("at which hook of netfilter it was dropped was not recorded")
            return "ingress" in step.netfilter
        return step.base_function in _BEFORE_PROTOCOLS and step.reason not in _NOBODY_TOOK_IT
    return False


def _rounds(one: Pass) -> Iterator[tuple[int, int, str]]:
    """Yield (netns, ifindex, name) of skb->dev, round by round."""
    first = one.steps[0]
    yield first.netns, first.ifindex, first.dev
    for step in one.steps:
        if step.next_ifindex is not None and step.next_dev is not None:
            yield step.next_netns, step.next_ifindex, step.next_dev


def era_of(release: str) -> Era:
    """Return the era, from 2.6.39 on, to which a kernel's release ("6.1.0-56-amd64") belongs by its number: for
    comparing the models with what kernels do."""
    words = release.split("-")[0].split(".")
    number = (int(words[0]), int(words[1]))
    found = [era for era in ERAS if era.model == "rounds" and _number(era.name) <= number]
    return found[-1]


def _number(name: str) -> tuple[int, int]:
    words = name.split(".")
    return (2, 6) if words[0] == "2" else (int(words[0]), int(words[1]))
