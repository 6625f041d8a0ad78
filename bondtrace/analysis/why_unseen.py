# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a tap was not offered a packet.

The rules are the kernel's (net/core/dev.c, net/packet/af_packet.c, drivers/net/bonding/bond_main.c;
docs/receive-path.md).

Invariant: a reason is one of a closed list (``REASONS``); where the facts do not decide, it is ``unknown``, never a
guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from ..model import ETH_P_ALL, Pass, Step, Tap, Unseen
from ..net import rx_handlers
from . import watched
from .scene import Scene
from .tap_history import Presence

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
    "not-running",
    "not-yet-open",
    "not-watched",
    "not-traced",
    "unknown",
)

_BY_PRESENCE = {
    Presence.NOT_YET: ("not-yet-open", "it was opened only afterwards"),
    Presence.UNSURE: ("unknown", "it opened, bound or closed at about that time: bondtrace cannot tell"),
    Presence.UNREAD: ("unknown", "how it was bound then was not read: bondtrace cannot tell"),
}
_KEPT = 100_000  # taps in cached answers


def unseen(passes: tuple[Pass, ...], scene: Scene, protocols: tuple[int, ...]) -> tuple[Unseen, ...]:
    """Return every tap that was not offered the packet, with the reason.

    :param protocols: the values of skb->protocol on the way: the packet's Ethernet type and, for a tagged frame, that
        of the tag.
    """
    known = scene.known(passes[0].time_ns).unseen
    said = protocols, tuple(_said(one) for one in passes)
    if said not in known:
        if sum(map(len, known.values())) > _KEPT:
            known.clear()
        known[said] = _unseen(passes, scene, protocols)
    return known[said]


def _said(one: Pass) -> tuple[object, ...]:
    """Return everything in a pass that a reason depends on: it is the same for most packets, and there may be
    thousands of taps to answer for."""
    return (
        one.direction,
        one.sender,
        one.steps_lost > 0,
        *(
            (step.kind, step.netns, step.ifindex, step.dev, step.tap, step.function, step.verdict, step.reason)
            for step in one.steps
        ),
    )


def _unseen(passes: tuple[Pass, ...], scene: Scene, protocols: tuple[int, ...]) -> tuple[Unseen, ...]:
    offered = {step.tap for one in passes for step in one.steps if step.kind == "tap"}
    journey = _Facts(passes, scene, protocols, {inode for inode in offered if inode is not None})
    return tuple(
        Unseen(tap.inode, *journey.why_not(tap, presence))
        for tap, presence in scene.taps_at(passes[0].time_ns)
        if tap.inode not in offered
    )


class _Facts:
    """What a journey's passes show, prepared for the question about each tap."""

    def __init__(self, passes: tuple[Pass, ...], scene: Scene, protocols: tuple[int, ...], offered: set[int]) -> None:
        self._passes, self._scene, self._protocols, self._offered = passes, scene, protocols, offered
        self._time_ns = passes[0].time_ns
        self._has_gaps = watched.has_gaps(scene)
        self._visited = {(step.netns, step.ifindex) for one in passes for step in one.steps}
        self._namespaces = {step.netns for one in passes for step in one.steps}
        self._rx = [one for one in passes if one.direction == "rx"]
        self._names = {(step.netns, step.ifindex): step.dev for one in passes for step in one.steps}
        self._whole = all(one.steps and one.steps[0].kind == "enter" and not one.steps_lost for one in passes)

    def why_not(self, tap: Tap, presence: Presence) -> tuple[str, str]:
        """Return (reason, detail) for a tap that was not offered the packet."""
        checks = (self._not_there, self._not_traced, self._not_watched, self._elsewhere, self._in_place)
        for check in checks:
            answer = check(tap, presence)
            if answer:
                return answer
        return "unknown", "no rule explains it: bondtrace cannot tell"

    def _not_traced(self, tap: Tap, presence: Presence) -> Optional[tuple[str, str]]:
        """A tap on a device of which nothing is recorded, unless the packet was seen there."""
        if (tap.netns, tap.ifindex) in self._visited or (tap.ifindex == 0 and tap.netns in self._namespaces):
            return None
        outside = watched.outside(tap, self._scene, self._time_ns)
        return (watched.NOT_TRACED, outside) if outside else None

    def _not_watched(self, tap: Tap, presence: Presence) -> Optional[tuple[str, str]]:
        """Answer for a tap that may have been given the packet where this trace would not have seen it."""
        if not self._has_gaps:
            return None
        blind = watched.blind_to(tap, self._scene) or watched.blind_way(tap, self._scene)
        return (watched.REASON, blind) if blind else None

    def _why_is_not_watched(self, tap: Tap) -> Optional[tuple[str, str]]:
        """Answer for a tap on a device that is stacked on one that the packet visited, where the probe that would show
        what happened between the two is not attached: it was not given the packet, and why is not known."""
        for key in sorted(self._visited) if self._has_gaps else ():
            blind = self._is_above(*key, tap) and watched.blind_between(
                key, (tap.netns, tap.ifindex), self._scene, self._time_ns
            )
            if blind:
                return "unknown", f"it was not offered it; why is not known: {blind}"
        return None

    def _not_there(self, tap: Tap, presence: Presence) -> Optional[tuple[str, str]]:
        if presence in _BY_PRESENCE:
            return _BY_PRESENCE[presence]
        if tap.ifindex == -1:
            return "not-running", "the device that it was bound to is gone"
        if tap.protocol == 0:
            return "not-running", "it has not been bound to a protocol: nothing is hooked"
        if presence is Presence.OUT:
            return "not-running", "it was not hooked in: not bound yet, or its device was down"
        return None

    def _elsewhere(self, tap: Tap, presence: Presence) -> Optional[tuple[str, str]]:
        """Answer for a tap that is bound to a device which the packet did not visit, or in another namespace."""
        if tap.netns not in self._namespaces:
            return "netns", "it lives in another network namespace"
        if tap.ifindex == 0 or (tap.netns, tap.ifindex) in self._visited:
            return None
        unsure = self._why_is_not_watched(tap)
        if unsure:
            return unsure
        name = self._scene.device_name(tap.netns, tap.ifindex, self._time_ns)
        for step, netns in self._handled():
            if not self._is_above(netns, step.ifindex, tap):
                continue
            if step.verdict in ("EXACT", "PASS") and step.function in rx_handlers.EXACT:
                return "inactive-slave", (
                    f"bound to {name}, and {step.function} kept the packet on {step.dev}: "
                    f"{step.reason} ({step.verdict})"
                )
            if step.verdict == "CONSUMED":
                return "consumed-before", (
                    f"bound to {name}, and {step.function} consumed the packet on {step.dev}: {step.reason}"
                )
        dropped = self._dropped_below(tap)
        if dropped:
            return "dropped-before", f"bound to {name}, and the packet went no further than {dropped}"
        return "bound-elsewhere", f"bound to {name}; the packet passed {self._path()}"

    def _dropped_below(self, tap: Tap) -> Optional[str]:
        """Return, as a phrase, the slave on which a packet ended before the rx_handler could hand it to the tap's
        device, as tc ingress, netfilter ingress or generic XDP took it; ``None`` where that is not so. Without a drop
        reported by the kernel it is concluded only where the handler would have been seen."""
        if not self._whole:
            return None
        for one in self._rx:
            last = one.steps[-1]
            device = self._scene.device(last.netns, last.ifindex, self._time_ns)
            if _was_handled(one, last.ifindex) or not self._is_above(last.netns, last.ifindex, tap):
                continue
            if last.kind == "drop":
                return f"{last.dev}: {drop_phrase(last)}"
            if device is not None and device.master is not None and self._handler_of(last.netns, device.master):
                return f"{last.dev}: taken or dropped there before the rx_handler (tc, netfilter or XDP ingress)"
        return None

    def _handler_of(self, netns: int, master: int) -> bool:
        """Is the rx_handler that the master installs on its slaves among the attached ones?"""
        device = self._scene.device(netns, master, self._time_ns)
        return device is not None and rx_handlers.handler_of(device.kind) in self._scene.handlers

    def _handled(self) -> Iterator[tuple[Any, int]]:
        for one in self._rx:
            for step in one.steps:
                if step.kind == "rx_handler":
                    yield step, step.netns

    def _is_above(self, netns: int, ifindex: int, tap: Tap) -> bool:
        """Is the tap's device stacked on this one (its master, or something on that, maybe in another namespace)?"""
        return (tap.netns, tap.ifindex) in self._scene.above((netns, ifindex), self._time_ns)

    def _path(self) -> str:
        return " and ".join(dict.fromkeys(self._names.values()))

    def _in_place(self, tap: Tap, presence: Presence) -> Optional[tuple[str, str]]:
        """Answer for a tap whose device the packet visited, or that is bound to no device."""
        if tap.fanout_id is not None and self._is_of_group(self._offered, tap):
            return "fanout-other-member", f"fanout group {tap.fanout_id} gave it to another member"
        if not self._rx_at(tap):
            return self._outgoing(tap)
        if tap.protocol not in (ETH_P_ALL, *self._protocols):
            return "protocol", (
                f"it takes only protocol 0x{tap.protocol:04x}; this packet is "
                f"{' in '.join(f'0x{one:04x}' for one in self._protocols)}"
            )
        if tap.protocol != ETH_P_ALL:
            return self._stopped_before_delivery(tap)
        return None

    def _rx_at(self, tap: Tap) -> bool:
        """Was it received (not only sent) where this tap listens?"""
        return any(
            tap.ifindex in (0, step.ifindex) and step.netns == tap.netns for one in self._rx for step in one.steps
        )

    def _outgoing(self, tap: Tap) -> Optional[tuple[str, str]]:
        if any(one.sender == tap.inode for one in self._passes):
            return "own-packet", "it sent the packet itself; the kernel does not offer a socket its own packets"
        if tap.fanout_id is not None and self._is_of_group({one.sender for one in self._passes if one.sender}, tap):
            return "own-packet", f"a member of its fanout group {tap.fanout_id} sent the packet"
        if tap.protocol != ETH_P_ALL:
            return "outgoing-not-offered", "outgoing packets are offered only to taps for all protocols"
        if tap.ignore_outgoing:
            return "outgoing-ignored", "it asked not to get outgoing packets (PACKET_IGNORE_OUTGOING)"
        return None

    def _is_of_group(self, inodes: set[int], tap: Tap) -> bool:
        """Is one of these surely in the tap's fanout group?"""
        others = (self._scene.tap_surely(inode, self._time_ns) for inode in inodes)
        return any(
            other is not None and (other.netns, other.fanout_id) == (tap.netns, tap.fanout_id) for other in others
        )

    def _stopped_before_delivery(self, tap: Tap) -> Optional[tuple[str, str]]:
        """Answer for a tap for one protocol. These are served last, in the last round only: they never get on the lower
        device what a handler kept or handed on, unless they are bound to orig_dev itself."""
        for step, _ in self._handled():
            if step.verdict == "CONSUMED":
                return "consumed-before", f"{step.function} consumed the packet on {step.dev}: {step.reason}"
            if step.verdict == "EXACT" and tap.ifindex == 0:
                return "inactive-slave", (
                    f"{step.function} on {step.dev} let only taps bound to that device have it: {step.reason} (EXACT)"
                )
        if self._dropped_somewhere():
            drops = [drop_phrase(step) for one in self._rx for step in one.steps if step.kind == "drop"]
            blind = None if drops else self._blind_to_delivery()
            if blind:
                return "unknown", f"it was not offered it; why is not known: {blind}"
            how = drops[0] if drops else "the packet was taken or dropped"
            return "dropped-before", f"{how}, before delivery by protocol"
        served = {device for one in self._rx if one.steps for device in (one.steps[0].ifindex, one.steps[-1].ifindex)}
        if tap.ifindex and tap.ifindex not in served:
            return "bound-elsewhere", (
                "taps for one protocol are served only on the first and the last device of "
                f"the packet's way ({self._path()})"
            )
        return None

    def _blind_to_delivery(self) -> Optional[str]:
        """Return why it is not known how far the packet got; ``None`` where what would show it is attached."""
        above = (watched.blind_above(key, self._scene, self._time_ns) for key in sorted(self._visited))
        return watched.blind_to_delivery(self._protocols, self._scene) or next((one for one in above if one), None)

    def _dropped_somewhere(self) -> bool:
        """Did every received pass end without a handler's or a protocol handler's step on its last device?"""
        return self._whole and all(not _was_handled(one, one.steps[-1].ifindex) for one in self._rx)


def _was_handled(one: Pass, ifindex: int) -> bool:
    """Did the packet get as far as an rx_handler, VLAN handling or a protocol handler on this device?"""
    return any(step.kind in ("rx_handler", "vlan", "protocol") and step.ifindex == ifindex for step in one.steps)


def drop_phrase(step: Step) -> str:
    """Return what the kernel reports about a drop: the name of its reason, where it has one, and the function."""
    where = f" in {step.function}" if step.function else ""
    return f"the kernel dropped it{where}: {step.reason or 'it gives no reason'}"
