# SPDX-License-Identifier: GPL-2.0-or-later
"""What to change so that a tap gets packets that it did not get: the device to capture on, an option.

Invariant: it follows from the reason and the packet's way alone; "" where nothing that the tap could do helps.
"""

from __future__ import annotations

from typing import Callable, Optional

from ..model import ETH_P_ALL, Journey, Tap
from . import look_at
from .scene import Scene

_PLACES_NAMED = 4
_REFUSES = "or let a filter refuse what is not needed"
#: By what a tap did with a packet that it did not capture, and what it is: tcpdump, or another with a ring or without.
_OF_OUTCOME = {
    ("full", "tcpdump"): "give it a larger buffer (tcpdump -B KIB), capture less of each packet (-s), write to a file "
    f"(-w) instead of printing, {_REFUSES}",
    ("full", "ring"): f"give it a larger ring (PACKET_RX_RING), have its program read faster, {_REFUSES}",
    ("full", "queue"): "give its socket a larger receive buffer (SO_RCVBUF, at most net.core.rmem_max), have its "
    f"program read faster, {_REFUSES}",
    ("filtered", "tcpdump"): "`tcpdump -d FILTER` shows what it asks; where the packets have a VLAN tag, it needs "
    "`vlan and ...`",
    ("filtered", "ring"): "`ss -0bp` shows the filter that its program set",
    ("filtered", "queue"): "`ss -0bp` shows the filter that its program set",
}


def of_unseen(reason: str, tap: Tap, journey: Journey, scene: Scene) -> str:
    """Return what to change, given a packet that the tap was not offered for this reason, as a sentence's end."""
    rule = _RULES.get(reason)
    return rule(tap, journey, scene) if rule else ""


def _elsewhere(tap: Tap, journey: Journey, scene: Scene) -> str:
    places = _places(journey, tap.netns)
    if not places:
        return _namespace(tap, journey, scene)
    return f"capture where such packets pass: {_commands(places)}, or `-i any`"


def _namespace(tap: Tap, journey: Journey, scene: Scene) -> str:
    there = next((step for one in journey.passes for step in one.steps if step.netns != tap.netns), None)
    if there is None:
        return ""
    name = scene.namespace_name(there.netns)
    enter = f"ip netns exec {name}" if name else "nsenter -t PID -n"
    return f"capture in the network namespace of {there.dev}: `{enter} tcpdump -i {there.dev}`"


def _before(tap: Tap, journey: Journey, scene: Scene) -> str:
    """A device before the one that took the packet, or dropped it, has it."""
    drop = next((step for one in journey.passes for step in one.steps if step.kind == "drop" and not step.clone), None)
    advice = look_at.after_drop(drop, journey.packet) if drop else ""
    places = _commands(_places(journey, tap.netns))
    where = f"capture before that: {places}" if places else ""
    return "; ".join(one for one in (where, f"look at {advice}" if advice else "") if one)


def _inactive(tap: Tap, journey: Journey, scene: Scene) -> str:
    steps = [step for one in journey.passes for step in one.steps]
    kept = next((step for step in steps if step.verdict in ("EXACT", "PASS")), steps[0])
    capture = f"what comes by a slave that is not active ends there: capture on it (`tcpdump -i {kept.dev}`)"
    if kept.verdict == "PASS":  # link-local frames: the bond's options do not matter
        return capture
    return f"{capture}, or set the bond's all_slaves_active; if it should have come by the active one, ask the switch"


def _protocol(tap: Tap, journey: Journey, scene: Scene) -> str:
    return f"it asked for the Ethernet type 0x{tap.protocol:04x} only: one for all (ETH_P_ALL, as tcpdump's) gets them"


def _outgoing(tap: Tap, journey: Journey, scene: Scene) -> str:
    if tap.protocol != ETH_P_ALL:
        return "what is sent is offered to taps for all protocols only (ETH_P_ALL, as tcpdump's)"
    return _elsewhere(tap, journey, scene)


def _said(words: str) -> Callable[[Tap, Journey, Scene], str]:
    return lambda tap, journey, scene: words


_RULES: dict[str, Callable[[Tap, Journey, Scene], str]] = {
    "bound-elsewhere": _elsewhere,
    "netns": _namespace,
    "protocol": _protocol,
    "inactive-slave": _inactive,
    "consumed-before": _before,
    "dropped-before": _before,
    "outgoing-not-offered": _outgoing,
    "outgoing-ignored": _said("it ignores what is sent (PACKET_IGNORE_OUTGOING, `tcpdump -Q in`): leave that out"),
    "own-packet": _said("a socket is not offered what it sends itself: capture with another one"),
    "fanout-other-member": _said("the members of a fanout group share the packets: read all of them"),
    "held-for-reassembly": _said(
        "the group puts fragments together first (PACKET_FANOUT_FLAG_DEFRAG): capture without that flag"
    ),
    "handed-on": _said("GRO may have made one packet of several: `ethtool -K DEVICE gro off` on the device below"),
    "not-running": _said("it was not hooked in: it has to be bound, and its device to be up"),
    "not-yet-open": _said("begin to capture earlier"),
    "not-watched": _said("`bondtrace doctor` says what this trace does not see, and why"),
    "not-traced": _said("trace that device, too: the line `not traced` of the summary has the option"),
}


def _places(journey: Journey, netns: int) -> list[str]:
    """Return the devices of a namespace that the packet passed, in order."""
    steps = (step for one in journey.passes for step in one.steps if step.netns == netns)
    return list(dict.fromkeys(step.dev for step in steps))


def _commands(places: list[str]) -> str:
    return " or ".join(f"`tcpdump -i {dev}`" for dev in places[:_PLACES_NAMED])


def of_outcome(outcome: Optional[str], tap: Optional[Tap]) -> str:
    """Return what to change so that a tap (``None``: not known) captures packets with which it did this."""
    of_tcpdump = tap is None or any(process.comm == "tcpdump" for process in tap.processes)
    kind = "tcpdump" if of_tcpdump else "ring" if tap and tap.buffer == "ring" else "queue"
    return _OF_OUTCOME.get((outcome or "", kind), "")
