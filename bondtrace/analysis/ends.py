# SPDX-License-Identifier: GPL-2.0-or-later
"""How a received packet's ways through this host ended: which socket took it, who dropped or answered it, by which
device it left.

A packet may have several ways at once: copies for other devices, a delivery besides a forwarding. Each pass that is
the last of its way has an end, and so has a pass in which the packet was delivered although it also went on.

Invariant: an end is what was seen. Where nothing is watched beyond IP that is said, and where it is watched and nothing
was seen the end is "unknown".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..format.stages import DROPS, SOCKETS, SOCKETS6
from ..model import End, Journey, Pass, Step
from . import ip_reasons, look_at, socket_names
from .beyond_ip import KINDS, OF_COPIES, OF_ICMP
from .scene import Scene
from .ways import is_not_sent_on, key_of

_NAMED = 3  # queues
#: The kinds of steps that only the stages beyond IP show.
BEYOND_IP = tuple(KINDS.values())
#: What is said where the stages beyond IP were not asked for.
NOT_WATCHED = "beyond IP not watched: --sockets"
#: The outcomes of a packet that a socket was given and did not take.
REFUSED = frozenset(("full", "filtered", "checksum", "policy", "refused"))
_WITH_SOCKETS = frozenset((6, 17, 136))  # TCP, UDP, UDP-Lite
_IP_HANDLERS = {"ip_rcv": SOCKETS, "ip_list_rcv": SOCKETS, "ipv6_rcv": SOCKETS6, "ipv6_list_rcv": SOCKETS6}
_REQUESTS = {"ARP": ("who-has", look_at.UNANSWERED_ARP), "ICMPv6": ("neighbor solicitation", look_at.UNANSWERED_ND)}
#: What became of a packet that was given to a socket, as a phrase.
OUTCOMES = {
    "queued": "queued",
    "taken": "taken by TCP",
    "backlog": "put into its backlog",
    "tunnel": "taken out of its tunnel",
    "full": "no room in its receive buffer",
    "filtered": "refused by its filter",
    "checksum": "refused for its checksum",
    "policy": "refused by IPsec's policy",
    "refused": "refused",
    "unknown": "whether it took it is not known",
}


def of_journey(passes: Sequence[Pass], scene: Scene, time_ns: int) -> tuple[End, ...]:
    """Return the ends of a journey, in the order of its passes; none of one that was only sent."""
    if not any(one.direction == "rx" for one in passes):
        return ()
    on_ns = _goes_on(passes)
    found = (
        _not_sent_on(place, one, scene)
        if is_not_sent_on(place, passes, scene) and not scene.unheard_below(key_of(one.steps[0]))
        else _end(place, one, place not in on_ns or _last(one).t_ns > on_ns[place], scene, time_ns)
        for place, one in enumerate(passes)
        if one.steps and not one.shown
    )
    return tuple(end for end in found if end is not None)


def of_pass(journey: Journey, one: Pass) -> Optional[End]:
    """Return how the packet's way ended in this pass of the journey; ``None`` where it went on from there."""
    return next((end for end in journey.ends if journey.passes[end.place] is one), None)


def _goes_on(passes: Sequence[Pass]) -> dict[int, int]:
    """Return when the last of those passes began, since the journey did, that followed one, by the place of that one. A
    pass that goes on after that has an end of its own: what followed was a copy."""
    found: dict[int, int] = {}
    for one in passes:
        before = one.follows
        while before is not None and passes[before].shown:
            before = passes[before].follows
        if before is not None and not one.shown:
            found[before] = max(found.get(before, 0), one.time_ns - passes[0].time_ns)
    return found


def _last(one: Pass) -> Step:
    """Return the last step that says how far the packet itself came: not at a tap, and not of a copy."""
    told = (step for step in reversed(one.steps) if step.kind not in ("tap", "fanout") and not step.clone)
    return next(told, one.steps[-1])


def is_watched(function: Optional[str], scene: Scene) -> bool:
    """Does the trace see what becomes of packets that this protocol handler is given?"""
    return scene.attaches(_IP_HANDLERS.get(function or "", SOCKETS))


def beside_steps(journey: Journey, scene: Scene) -> list[str]:
    """Return, as phrases, the ends that no step shows by itself."""
    watches = any(is_watched(one, scene) for one in _IP_HANDLERS)
    return [end.detail for end in journey.ends if end.kind == "unanswered" or (end.kind == "unknown" and watches)]


def outcome_words(step: Step) -> str:
    """Return what became of a packet that was given to a socket, as a phrase."""
    if step.outcome == "full" and step.state == "LISTEN":
        return "no room among its connections that wait for accept()"
    words = OUTCOMES.get(step.outcome or "", step.outcome or "unknown")
    state = f" ({step.state})" if step.state and step.state != "ESTABLISHED" else ""
    reason = f" ({step.reason})" if step.reason and step.outcome == "refused" else ""
    return words + state + reason


def _end(place: int, one: Pass, is_last: bool, scene: Scene, time_ns: int) -> Optional[End]:
    given = [step for step in one.steps if step.kind == "socket"]
    own = _own_end(place, one, scene)
    if given and all(step.function in OF_COPIES for step in given) and own is not None:
        beside = _given(place, one, given, scene, time_ns)
        return replace(own, detail=f"{own.detail}; copies: {beside.detail}")
    if given:
        return _given(place, one, given, scene, time_ns)
    if own is not None:
        return own
    if one.direction == "tx":
        return End("sent", place, f"sent by {one.steps[-1].dev}") if is_last else None
    local = [step for step in one.steps if step.kind == "local"]
    if local:
        return _taken(place, local[-1], scene)
    return _left_open(place, one, scene) if is_last else None


def _not_sent_on(place: int, one: Pass, scene: Scene) -> End:
    words = f"sent by {one.steps[0].dev}, and not seen to be sent on: a queue may still hold it, or have dropped it"
    below = sorted(scene.devices.sent_by(key_of(one.steps[0])))[:_NAMED]
    names = (scene.device_name(*key, one.time_ns) for key in below)
    return End("unknown", place, words, " or ".join(f"`tc -s qdisc show dev {name}`" for name in names))


def _own_end(place: int, one: Pass, scene: Scene) -> Optional[End]:
    """Return the end of a packet that this host answered, was asked to, or dropped, whichever sockets got copies."""
    if any(step.kind == "answered" for step in one.steps):
        return End("answered", place, "answered by this host")
    dropped = [step for step in one.steps if step.kind == "drop" and not step.clone]
    if dropped and not _is_only_released(dropped[-1], one):
        return _dropped(place, one, dropped[-1], scene)
    return _unanswered(place, one, scene) if any(step.kind == "local" for step in one.steps) else None


def _taken(place: int, step: Step, scene: Scene) -> End:
    """Return the end of a packet that IP gave to a protocol, and of which nothing more was seen. Of protocols whose
    sockets are seen, and where drops are not seen, that is too little to say that it took it."""
    name = socket_names.protocol_name(step.ip_protocol or 0)
    if step.ip_protocol in _WITH_SOCKETS or not scene.attaches(DROPS):
        return End("unknown", place, f"given to {name}; what became of it there was not seen")
    return End("protocol", place, f"taken by the kernel's own {name}")


def _is_only_released(step: Step, one: Pass) -> bool:
    """Does the kernel release so what it has worked on? ICMPv6 does so with all, before 5.17 at least; ICMP with what
    raw sockets got copies of, if no ping socket waits for it."""
    if step.base_function == "icmpv6_rcv" and step.is_unexplained:
        return True
    is_copied = any(given.kind == "socket" for given in one.steps)
    return is_copied and step.base_function in OF_ICMP and (step.is_unexplained or step.reason == "NO_SOCKET")


def _given(place: int, one: Pass, given: Sequence[Step], scene: Scene, time_ns: int) -> End:
    """Return the end of a packet that was given to sockets."""
    is_taken = any(step.outcome not in REFUSED for step in given)
    shown = [step for step in given if not is_taken or step.outcome != "filtered"]
    words = (f"{socket_names.of_step(step, scene, time_ns)}: {outcome_words(step)}" for step in shown)
    refused = [step for step in shown if step.outcome in REFUSED]
    advice = look_at.after_drop(refused[-1], one.packet) if refused else ""
    return End("socket" if is_taken else "refused", place, "; ".join(dict.fromkeys(words)), advice)


def _dropped(place: int, one: Pass, step: Step, scene: Scene) -> End:
    why = step.reason or "the kernel gives no reason"
    by = f", netfilter: {step.netfilter}" if step.netfilter else f", tc: {step.tc}" if step.tc else ""
    if step.harmless:
        words = f"dropped by design in {step.function}: {why}; {step.harmless}"
        return End("dropped", place, words, harmless=step.harmless)
    known = ip_reasons.after_drop(step, one, scene) or _kept_by_handler(step, one)
    advice = known or look_at.after_drop(step, one.packet)
    return End("dropped", place, f"dropped in {step.function}: {why}{by}", advice)


def _kept_by_handler(step: Step, one: Pass) -> str:
    """Return which rx_handler kept the packet from everybody who would have taken it; "" where none did."""
    kept = next((other for other in one.steps if other.verdict == "EXACT"), None)
    if kept is None or step.reason != "UNHANDLED_PROTO":
        return ""
    return f"{kept.function} keeps what {kept.dev} receives to that device ({kept.reason}); nobody there asked for it"


def _unanswered(place: int, one: Pass, scene: Scene) -> Optional[End]:
    """Return the end of a request of ARP or neighbour discovery that was delivered, and not answered."""
    message, advice = _REQUESTS.get(one.packet.protocol, ("", ""))
    if not message or one.packet.message != message:
        return None
    known = ip_reasons.of_unanswered(one, scene)
    words = "not answered by this host" + (f": {known}" if known else "")
    return End("unanswered", place, words, "" if known else look_at.said(advice, one.steps[-1], one.packet))


def _left_open(place: int, one: Pass, scene: Scene) -> End:
    """Return the end of a pass in which neither a socket nor a drop was seen."""
    last = _last(one)
    if last.kind == "protocol":
        if not is_watched(last.function, scene):
            return End("not-watched", place, NOT_WATCHED)
        if one.packet.message == "fragment":
            return End("handed-on", place, "a fragment: held until the others of its packet are there")
        if last.function == "arp_rcv":
            return _unanswered(place, one, scene) or End("protocol", place, "taken by the kernel's own ARP")
    if last.verdict == "CONSUMED":
        return End("consumed", place, f"{last.function}: {last.reason or 'consumed'}")
    if last.kind == "queued":
        return End("handed-on", place, f"handed to {last.next_dev}, to be received there later")
    if last.kind == "forwarded":
        dev = last.next_dev or "a device that is not known"
        words = f"forwarded to {dev}; what that sends is only seen where a tap is on it"
        return End("forwarded", place, words, look_at.said(look_at.FORWARDED, last, one.packet))
    copy = next((step for step in reversed(one.steps) if step.clone), None)
    if copy is not None:
        of_copy = _dropped(place, one, copy, scene)
        words = f"what became of it was not seen; a copy of it was {of_copy.detail}"
        return replace(of_copy, kind="unknown", detail=words)
    if last.kind == "protocol" and last.function in _IP_HANDLERS:
        return End("unknown", place, "what became of it was not seen", look_at.said(look_at.ROUTED, last, one.packet))
    if last.kind != "protocol" and any(step.outcome == "captured" for step in one.steps):
        return End("unknown", place, "packet sockets took it; whether anything else did was not seen")
    return End("unknown", place, "what became of it was not seen")
