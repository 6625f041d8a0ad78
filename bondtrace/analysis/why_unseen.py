# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a tap was not offered a packet.

The rules are the kernel's (net/core/dev.c, net/packet/af_packet.c, drivers/net/bonding/bond_main.c, drivers/net/vrf.c;
docs/receive-path.md). Those for a tap where the packet did not come are in ``_Beyond``, the others in ``_Facts``.

Invariant: a reason is one of a closed list (``REASONS``); where the facts do not decide, it is ``unknown``, never a
guess.
"""

from __future__ import annotations

from typing import Optional

from ..format.stages import PROTOCOL_HANDLERS
from ..model import ETH_P_ALL, Pass, Step, Tap, Unseen
from ..net import rx_handlers
from ..net.ethertypes import VLAN_TYPES
from ..net.topology import Key
from . import fanout, telling, watched
from .contents import Contents
from .scene import Scene
from .tap_history import Presence
from .ways import Visit, Ways, is_not_sent_on, key_of, listens

REASONS = (
    "bound-elsewhere",
    "protocol",
    "netns",
    "inactive-slave",
    "consumed-before",
    "dropped-before",
    "outgoing-ignored",
    "own-packet",
    "outgoing-not-offered",
    "fanout-other-member",
    "held-for-reassembly",
    "handed-on",
    "not-running",
    "not-yet-open",
    "not-watched",
    "not-traced",
    "unknown",
)
NO_RULE = "no rule explains it: bondtrace cannot tell"

_BY_PRESENCE = {
    Presence.NOT_YET: ("not-yet-open", "it was opened only afterwards"),
    Presence.UNSURE: ("unknown", "it opened, bound or closed at about that time: bondtrace cannot tell"),
    Presence.UNREAD: ("unknown", "how it was bound then was not read: bondtrace cannot tell"),
}
_KEPT = 100_000  # taps in cached answers
_NAMED = 3  # devices in a phrase
_VRF_SHOWS = "a VRF shows received packets as outgoing ones, and only to taps for all protocols"
_VRF_SHOWS_NOT = "a VRF's taps are shown unicast IP packets only, and no neighbour discovery"
# What drops a packet after the taps of a round: tc ingress, netfilter ingress, and what comes behind them.
_AFTER_TAPS = ("sch_handle_ingress", "tc_run", "tcf_classify", "nf_hook_slow", "nf_hook_ingress")
_REASONS_AFTER_TAPS = ("TC_", "NETFILTER", "UNHANDLED_PROTO")

Answer = Optional[tuple[str, str]]


def unseen(passes: tuple[Pass, ...], scene: Scene, contents: tuple[Contents, ...]) -> tuple[Unseen, ...]:
    """Return every tap that was not offered the packet, with the reason.

    :param contents: what the packet of each pass is to the rules.
    """
    known = scene.known(passes[0].time_ns).unseen
    said = contents, tuple(_said(one) for one in passes)
    if said not in known:
        if sum(map(len, known.values())) > _KEPT:
            known.clear()
        known[said] = _unseen(passes, scene, contents)
    return known[said]


def _said(one: Pass) -> tuple[object, ...]:
    """Return everything in a pass that a reason depends on: it is the same for most packets, and there may be
    thousands of taps to answer for."""
    return (
        one.direction,
        one.received,
        one.follows,
        one.sender,
        one.steps_lost > 0,
        *(
            (step.kind, step.netns, step.ifindex, step.dev, step.tap, step.function, step.verdict, step.reason)
            for step in one.steps
        ),
    )


def _unseen(passes: tuple[Pass, ...], scene: Scene, contents: tuple[Contents, ...]) -> tuple[Unseen, ...]:
    offered = {step.tap for one in passes for step in one.steps if step.kind == "tap"}
    ways = Ways(passes, contents, scene)
    journey = _Facts(ways, {inode for inode in offered if inode is not None})
    answers = (
        (tap, *journey.why_not(tap, presence))
        for tap, presence in scene.taps_at(passes[0].time_ns)
        if tap.inode not in offered
    )
    return tuple(
        Unseen(tap.inode, reason, detail, telling.is_trivial(tap, reason, detail, ways, contents))
        for tap, reason, detail in answers
    )


class _Facts:
    """What a journey's passes show, prepared for the question about each tap."""

    def __init__(self, ways: Ways, offered: set[int]) -> None:
        self._ways, self._scene, self._time_ns = ways, ways.scene, ways.time_ns
        self._offered = offered
        self._has_gaps = watched.has_gaps(ways.scene)
        self._whole = _is_whole(ways.passes)
        self._beyond = _Beyond(ways, self._has_gaps, self._whole)

    def why_not(self, tap: Tap, presence: Presence) -> tuple[str, str]:
        """Return (reason, detail) for a tap that was not offered the packet."""
        answer = self._not_there(tap, presence) or self._not_traced(tap) or self._not_watched(tap)
        if not answer:
            answer = self._in_place(tap) if self._ways.is_at(tap) else self._earlier(tap) or self._beyond.why_not(tap)
        return answer or ("unknown", NO_RULE)

    def _not_traced(self, tap: Tap) -> Answer:
        """A tap on a device of which nothing is recorded, unless the packet was seen there."""
        if self._ways.is_at(tap):
            return None
        outside = watched.outside(tap, self._scene, self._time_ns)
        return (watched.NOT_TRACED, outside) if outside else None

    def _not_watched(self, tap: Tap) -> Answer:
        """Answer for a tap that may have been given the packet where this trace would not have seen it."""
        if not self._has_gaps:
            return None
        blind = watched.blind_to(tap, self._scene) or watched.blind_way(tap, self._scene)
        return (watched.REASON, blind) if blind else None

    def _not_there(self, tap: Tap, presence: Presence) -> Answer:
        if presence in _BY_PRESENCE:
            return _BY_PRESENCE[presence]
        if tap.ifindex == -1:
            return "not-running", "the device that it was bound to is gone"
        if tap.protocol == 0:
            return "not-running", "it has not been bound to a protocol: nothing is hooked"
        if presence is Presence.OUT:
            return "not-running", "it was not hooked in: not bound yet, or its device was down"
        return None

    def _earlier(self, tap: Tap) -> Answer:
        """Answer for a tap that may have been given the packet before: a journey that begins with the sending of what
        was received lacks how that came."""
        first = self._ways.passes[0]
        if first.direction == "rx" or not first.received or tap.netns != first.netns:
            return None
        return "unknown", "it had been received before, and where is not part of this journey: bondtrace cannot tell"

    def _in_place(self, tap: Tap) -> Answer:
        """Answer for a tap whose device the packet visited, or that is bound to no device."""
        if tap.fanout_id is not None and self._is_of_group(self._offered, tap):
            return "fanout-other-member", f"fanout group {tap.fanout_id} gave it to another member"
        visits = self._ways.visits_of(tap)
        if not visits:
            return self._outgoing(tap) or self._held(tap)
        held = self._held(tap)
        if held:
            return held
        if tap.protocol == ETH_P_ALL:
            return self._before_the_taps(visits)
        return self._other_protocol(tap, visits) or self._stopped_before_delivery(tap)

    def _held(self, tap: Tap) -> Answer:
        """Answer for a tap whose group holds the packet, a fragment. One without a member that was offered it has it
        where the group is known to reassemble, or where no other group can be meant."""
        if tap.fanout_id is None:
            return None
        offers = [
            step
            for one, its in zip(self._ways.passes, self._ways.contents)
            for step in one.steps
            if its.fragment and step.kind == "fanout" and listens(tap, key_of(step))
        ]
        is_held = bool(offers) and fanout.has_flag(tap, fanout.DEFRAG)
        if not is_held:
            held = [step for step in offers if str(step.reason).endswith(fanout.HELD)]
            is_held = 0 < len(self._empty_handed(tap)) <= len(held)
        if not is_held:
            return None
        return "held-for-reassembly", (
            f"fanout group {tap.fanout_id} {fanout.HELD} (PACKET_FANOUT_FLAG_DEFRAG): with the last one a member gets "
            "the whole datagram"
        )

    def _empty_handed(self, tap: Tap) -> set[Optional[fanout.Group]]:
        """Return the groups that listen where this tap does, and of which no member was offered the packet."""
        there = (
            other
            for other, presence in self._scene.taps_at(self._time_ns)
            if presence is Presence.HOOKED and other.fanout_id is not None and other.netns == tap.netns
        )
        return {
            fanout.group_of(other)
            for other in there
            if 0 in (other.ifindex, tap.ifindex) or other.ifindex == tap.ifindex
            if not self._is_of_group(self._offered, other)
        }

    def _outgoing(self, tap: Tap) -> Answer:
        if any(one.sender == tap.inode for one in self._ways.passes):
            return "own-packet", "it sent the packet itself; the kernel does not offer a socket its own packets"
        senders = {one.sender for one in self._ways.passes if one.sender}
        if tap.fanout_id is not None and self._is_of_group(senders, tap):
            return "own-packet", f"a member of its fanout group {tap.fanout_id} sent the packet"
        shown = f": {_VRF_SHOWS}" if self._is_shown_by_vrf(tap) else ""
        if tap.protocol != ETH_P_ALL:
            return "outgoing-not-offered", f"outgoing packets are offered only to taps for all protocols{shown}"
        if tap.fanout_id is not None and fanout.has_flag(tap, fanout.IGNORE_OUTGOING):
            return "outgoing-ignored", (
                f"its fanout group asked not to get outgoing packets (PACKET_FANOUT_FLAG_IGNORE_OUTGOING){shown}"
            )
        if tap.ignore_outgoing and tap.fanout_id is None:  # of a group, only its own flag counts
            return "outgoing-ignored", f"it asked not to get outgoing packets (PACKET_IGNORE_OUTGOING){shown}"
        return None

    def _is_shown_by_vrf(self, tap: Tap) -> bool:
        """Is it a received packet, which a VRF showed where the tap listens?"""
        return any(one.shown and any(listens(tap, key_of(step)) for step in one.steps) for one in self._ways.passes)

    def _is_of_group(self, inodes: set[int], tap: Tap) -> bool:
        """Is one of these surely in the tap's fanout group?"""
        others = (self._scene.tap_surely(inode, self._time_ns) for inode in inodes)
        return any(fanout.group_of(other) == fanout.group_of(tap) for other in others)

    def _other_protocol(self, tap: Tap, visits: list[Visit]) -> Answer:
        found = dict.fromkeys(visit.contents.protocol for visit in visits)
        if tap.protocol in found or None in found:
            return None
        how = ""
        if any(one in VLAN_TYPES for one in found):
            how = " at delivery: that of a tag which is still in its bytes"
        elif tap.protocol in VLAN_TYPES and any(visit.contents.tags for visit in visits):
            how = " at delivery: its tag was taken out of its bytes"
        said = " and ".join(f"0x{one:04x}" for one in found)
        return "protocol", f"it takes only protocol 0x{tap.protocol:04x}; this packet is {said}{how}"

    def _before_the_taps(self, visits: list[Visit]) -> Answer:
        """Answer for a tap for all protocols. It comes before all that a packet can go on to on its device, so one that
        ended there without having been offered to any had not got to the taps: generic XDP and VLAN untagging come
        first. (A packet received once more after an ifb has passed them before.)"""
        if not self._whole or any(not visit.ends or len(visit.steps) > 2 for visit in visits):
            return None
        last = visits[-1].last
        if any(visit.last.kind not in ("enter", "drop") or _is_after_taps(visit.last) for visit in visits):
            return None
        if last.kind == "drop":
            return "dropped-before", f"{drop_phrase(last)}, before the taps"
        onward = self._ways.onward(visits[-1].one)
        if onward or all(self._would_be_seen(visit.contents.protocol) for visit in visits):
            how = onward or ": it sent it back, or elsewhere"
            return "dropped-before", f"generic XDP took it on {last.dev} before the taps{how}"
        return None

    def _would_be_seen(self, protocol: Optional[int]) -> bool:
        """Would the trace have seen a packet of this protocol delivered, or dropped?"""
        return protocol in PROTOCOL_HANDLERS and not watched.blind_to_end(protocol, self._scene)

    def _stopped_before_delivery(self, tap: Tap) -> Answer:
        """Answer for a tap for one protocol. These are served last, in the last round only: they never get on the lower
        device what a handler kept or handed on, unless they are bound to orig_dev itself."""
        for step in (step for one, _ in self._ways.rx for step in one.steps if step.kind == "rx_handler"):
            if step.verdict == "CONSUMED":
                return "consumed-before", f"{step.function} consumed the packet on {step.dev}: {step.reason}"
            if step.verdict == "EXACT" and tap.ifindex == 0:
                return "inactive-slave", (
                    f"{step.function} on {step.dev} let only taps bound to that device have it: {step.reason} (EXACT)"
                )
        rx = [one for one, _ in self._ways.rx if one.steps]
        if self._dropped_somewhere(rx):
            drops = [drop_phrase(step) for one in rx for step in one.steps if step.kind == "drop"]
            blind = None if drops else self._blind_to_delivery()
            if blind:
                return "unknown", f"it was not offered it; why is not known: {blind}"
            how = drops[0] if drops else "the packet was taken or dropped"
            return "dropped-before", f"{how}, before delivery by protocol"
        served = {device for one in rx for device in (one.steps[0].ifindex, one.steps[-1].ifindex)}
        if tap.ifindex and tap.ifindex not in served:
            return "bound-elsewhere", (
                "taps for one protocol are served only on the first and the last device of "
                f"the packet's way ({self._ways.path()})"
            )
        return None

    def _blind_to_delivery(self) -> Optional[str]:
        """Return why it is not known how far the packet got; ``None`` where what would show it is attached."""
        above = (watched.blind_above(key, self._scene, self._time_ns) for key in sorted(self._ways.places))
        protocols = [its.protocol for _, its in self._ways.rx if its.protocol is not None]
        return watched.blind_to_delivery(protocols, self._scene) or next((one for one in above if one), None)

    def _dropped_somewhere(self, rx: list[Pass]) -> bool:
        """Did every received pass end without a handler's or a protocol handler's step on its last device?"""
        ends = [visit for one in rx for visit in self._ways.visits(key_of(one.steps[-1])) if visit.one is one]
        return self._whole and not any(visit.went_on for visit in ends)


class _Beyond:
    """What kept a journey's packet from the taps that listen further on than it came, or elsewhere."""

    def __init__(self, ways: Ways, has_gaps: bool, whole: bool) -> None:
        self._ways, self._scene, self._time_ns = ways, ways.scene, ways.time_ns
        self._has_gaps, self._whole = has_gaps, whole

    def why_not(self, tap: Tap) -> tuple[str, str]:
        """Return (reason, detail) for a tap that does not listen at any place of the journey."""
        answer = self._not_watched(tap) or self._queued(tap) or self._dropped_there(tap) or self._not_sent_on(tap)
        if answer:
            return answer
        furthest = self._ways.furthest(tap)
        for rule in (self._vrf, self._kept, self._ended, self._left):
            for key in furthest:
                answer = rule(key, tap)
                if answer:
                    return answer
        if tap.netns not in self._ways.namespaces:
            return "netns", "it lives in another network namespace"
        return "bound-elsewhere", f"{self._ways.name(tap)}; the packet passed {self._ways.path()}{self._refused(tap)}"

    def _not_watched(self, tap: Tap) -> Answer:
        """Answer for a tap on a device that is stacked on one that the packet visited, where the probe that would show
        what happened between the two is not attached: it was not given the packet, and why is not known."""
        upper = tap.netns, tap.ifindex
        for key in sorted(self._ways.places) if self._has_gaps else ():
            if upper in self._scene.above(key, self._time_ns):
                blind = watched.blind_between(key, upper, self._scene, self._time_ns)
                if blind:
                    return "unknown", f"it was not offered it; why is not known: {blind}"
        return None

    def _dropped_there(self, tap: Tap) -> Answer:
        """Answer for a tap on a device on which the packet was dropped before it was offered to any tap there, such as
        the one by which it was to leave."""
        drops = [step for one in self._ways.passes for step in one.steps if step.kind == "drop"]
        drop = next((step for step in drops if tap.ifindex and listens(tap, key_of(step))), None)
        if drop is None or self._is_vrf((tap.netns, tap.ifindex)):
            return None
        return "dropped-before", f"{self._ways.name(tap)}, and before its taps {drop_phrase(drop)}"

    def _queued(self, tap: Tap) -> Answer:
        """Answer for a tap on a device to which the packet was handed to be received later, where that is not part of
        the journey."""
        for step in (step for one in self._ways.passes for step in one.steps if step.kind == "queued"):
            if tap.ifindex and (tap.netns, tap.dev) == (step.next_netns or step.netns, step.next_dev):
                return watched.HANDED_ON, (
                    f"{step.function} handed it to {step.next_dev}, where it was not received by itself: GRO may have "
                    "made one packet of several"
                )
        return None

    def _not_sent_on(self, tap: Tap) -> Answer:
        """Answer for a tap on a device by which the packet was to be sent on, and was not seen to be."""
        passes = self._ways.passes
        for place in (place for place, _ in enumerate(passes) if is_not_sent_on(place, passes, self._scene)):
            first, here = passes[place].steps[0], (tap.netns, tap.ifindex)
            if here not in self._scene.devices.sent_by(key_of(first)):
                continue
            name = self._scene.device_name(*here, self._time_ns)
            words = f"{first.dev} sent it, and it was not seen to leave by {name}"
            unheard = self._scene.unheard_below(key_of(first))
            if not unheard:
                return "unknown", f"{words}: a queue may still hold it, or have dropped it"
            others = " or ".join(self._scene.device_name(*one, self._time_ns) for one in unheard[:_NAMED])
            return "bound-elsewhere", f"{words}: it may have left by {others}, where no tap would show it"
        return None

    def _is_vrf(self, key: Optional[Key]) -> bool:
        device = self._scene.device(*key, self._time_ns) if key else None
        return device is not None and device.kind == "vrf"

    def _vrf(self, key: Key, tap: Tap) -> Answer:
        """Answer for a tap on the VRF of a device that the packet was received on. IP shows it to the VRF's taps, after
        netfilter's prerouting."""
        upper = tap.netns, tap.ifindex
        if not self._is_vrf(upper) or upper not in self._scene.on(key, self._time_ns):
            return None
        steps = [step for visit in self._ways.visits(key) for step in visit.steps]
        if not any(step.kind == "protocol" for step in steps):
            return None
        if steps[-1].kind == "drop":
            return "dropped-before", self._no_further(tap, steps[-1].dev, drop_phrase(steps[-1]))
        if tap.protocol != ETH_P_ALL:
            return "outgoing-not-offered", f"{self._ways.name(tap)}; {_VRF_SHOWS}"
        return "bound-elsewhere", f"{self._ways.name(tap)}; the packet passed {self._ways.path()}: {_VRF_SHOWS_NOT}"

    def _kept(self, key: Key, tap: Tap) -> Answer:
        """Answer by the verdict with which an rx_handler or a VLAN device kept the packet."""
        bound = self._ways.name(tap)
        for step in self._verdicts(key):
            if step.verdict in ("EXACT", "PASS") and step.function in rx_handlers.EXACT:
                return "inactive-slave", (
                    f"{bound}, and {step.function} kept the packet on {step.dev}: {step.reason} ({step.verdict})"
                )
            if step.verdict == "CONSUMED" and step.kind == "vlan":
                return "dropped-before", self._no_further(tap, step.dev, step.reason)
            if step.verdict == "CONSUMED":
                return "consumed-before", (
                    f"{bound}, and {step.function} consumed the packet on {step.dev}: {step.reason}"
                )
        return None

    def _left(self, key: Key, tap: Tap) -> Answer:
        """Answer by the verdict with which an rx_handler left the packet to its device, or gave it to another one."""
        for step in self._verdicts(key):
            what = {"PASS": f"left the packet to {step.dev}", "ANOTHER": f"gave the packet to {step.next_dev}"}
            if step.kind == "rx_handler" and step.verdict in what:
                return "bound-elsewhere", (
                    f"{self._ways.name(tap)}, and {step.function} {what[step.verdict]}: {step.reason} ({step.verdict})"
                )
        return None

    def _verdicts(self, key: Key) -> list[Step]:
        """Return the steps with a verdict on a device, the last first."""
        steps = [step for visit in self._ways.visits(key) for step in visit.steps if step.verdict]
        return steps[::-1]

    def _no_further(self, tap: Tap, dev: str, how: Optional[str]) -> str:
        return f"{self._ways.name(tap)}, and the packet went no further than {dev}: {how}"

    def _ended(self, key: Key, tap: Tap) -> Answer:
        """Answer for a packet that ended on a device before its rx_handler could hand it on, as tc ingress, netfilter
        ingress or generic XDP took it. Without a drop reported by the kernel it is concluded only where the handler
        would have been seen."""
        visits = self._ways.visits(key)
        if not self._whole or not visits or any(visit.went_on for visit in visits) or not visits[-1].ends:
            return None
        last = visits[-1].last
        if last.kind == "drop":
            return "dropped-before", self._no_further(tap, last.dev, drop_phrase(last))
        device = self._scene.device(*key, self._time_ns)
        if device is None or device.master is None or not self._has_handler((key[0], device.master)):
            return None
        how = "taken or dropped there before the rx_handler (tc, netfilter or XDP ingress)"
        return "dropped-before", self._no_further(tap, last.dev, how + self._ways.onward(visits[-1].one))

    def _has_handler(self, master: Key) -> bool:
        """Is the rx_handler that the master installs on its slaves among the attached ones?"""
        device = self._scene.device(*master, self._time_ns)
        return device is not None and rx_handlers.handler_of(device.kind) in self._scene.handlers

    def _refused(self, tap: Tap) -> str:
        """Return, as the end of a phrase, that the tap's VLAN device takes the packet's tag only by its id; "" where
        that is not so."""
        name = self._scene.device_name(tap.netns, tap.ifindex, self._time_ns)
        left = (step for one, _ in self._ways.rx for step in one.steps if (step.kind, step.verdict) == ("vlan", "PASS"))
        return next((f": {step.reason}" for step in left if f": {name} takes " in str(step.reason)), "")


def _is_whole(passes: tuple[Pass, ...]) -> bool:
    """Is every pass recorded from its begin, with all its steps?"""
    return all(one.steps and one.steps[0].kind == "enter" and not one.steps_lost for one in passes)


def _is_after_taps(step: Step) -> bool:
    """Is it a drop by what comes after the taps for all protocols?"""
    reason = step.reason or ""
    return step.kind == "drop" and (step.base_function in _AFTER_TAPS or reason.startswith(_REASONS_AFTER_TAPS))


def drop_phrase(step: Step) -> str:
    """Return what the kernel reports about a drop: the name of its reason, where it has one, and the function."""
    where = f" in {step.function}" if step.function else ""
    return f"the kernel dropped it{where}: {step.reason or 'it gives no reason'}"
