# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns to the values of ``model``: the journeys that somebody wants to look at, one by one.

Times of steps are since the begin of their journey. Names are as they were at the time of the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from . import reasons, verdicts
from .host.labels import label
from .model import Journey, Packet, Pass, Step
from .packet import describe
from .scene import Scene
from .stitch import Journeys
from .wire import (
    FUNC_HANDLER,
    FUNCTIONS,
    OUTCOMES,
    RECORD_LATE,
    RECORD_TX,
    RECORD_VLAN,
    STEP_DROP,
    STEP_FANOUT,
    STEP_HANDLER,
    STEP_PROTOCOL,
    STEP_TAP,
    STEP_VLAN,
    VERDICTS,
    Array,
    Passes,
)

_KINDS = {STEP_TAP: "tap", STEP_FANOUT: "fanout", STEP_HANDLER: "rx_handler", STEP_PROTOCOL: "protocol",
          STEP_VLAN: "vlan", STEP_DROP: "drop"}


def journeys(columns: Journeys, scene: Scene) -> Iterator[Journey]:
    """Every journey of the columns, in order."""
    for place in range(len(columns)):
        yield journey(columns, place, scene)


def journey(columns: Journeys, place: int, scene: Scene) -> Journey:
    """The journey at a place of the columns."""
    begin, end = int(columns.offsets[place]), int(columns.offsets[place + 1])
    records = columns.passes.records[begin:end]
    begin_ns = int(records["time_ns"].min())
    passes = verdicts.with_ways_on([_pass(columns.passes, i, begin_ns, scene) for i in range(begin, end)])
    end_ns = max(one.end_ns for one in passes)
    complete = not any(one.steps_lost for one in passes) and not (records["kind"] == RECORD_LATE).any()
    first = records[0]
    packet = _packet(first)
    protocols = tuple(dict.fromkeys(one for one in (packet.ethertype, int(first["protocol"])) if one))
    return Journey(
        id=int(columns.numbers[place]), time_ns=begin_ns, wall_ns=begin_ns + scene.wall_offset_ns,
        duration_ns=end_ns - begin_ns, direction=passes[0].direction, complete=complete,
        packet=packet, passes=passes, unseen=reasons.unseen(passes, scene, protocols), notes=_notes(passes, scene))


def _notes(passes: tuple[Pass, ...], scene: Scene) -> tuple[str, ...]:
    """Taps that were offered the packet more than once, told as such. What a tap ignored does not count."""
    seen: dict[int, list[Step]] = {}
    for one in passes:
        for step in one.steps:
            if step.tap is not None and step.outcome != "ignored":
                seen.setdefault(step.tap, []).append(step)
    return tuple(f"{_tap_label(inode, scene, passes[0].time_ns)} {_times(steps)}"
                 for inode, steps in seen.items() if len(steps) > 1)


def _times(steps: list[Step]) -> str:
    """"saw it twice: on eth0, then bond0"."""
    verb = "saw it" if all(step.outcome == "captured" for step in steps) else "was offered it"
    times = {2: "twice", 3: "three times"}.get(len(steps), f"{len(steps)} times")
    return f"{verb} {times}: on {', then '.join(step.dev for step in steps)}"


def _tap_label(inode: int, scene: Scene, time_ns: int) -> str:
    tap = scene.tap(inode, time_ns)
    return f"{label(tap)} [{inode}]" if tap else f"[{inode}]"


def _packet(record: Array) -> Packet:
    if record["kind"] == RECORD_LATE:
        return Packet(0, 0, "unknown", "", "", "its begin was not recorded")
    return describe(record["packet"].tobytes()[: int(record["captured"])], wire_len=int(record["len"]),
                    ethertype=int(record["protocol"]), arphrd=int(record["arphrd"]),
                    vlan_tci=int(record["vlan_tci"]) if record["flags"] & RECORD_VLAN else None)


def _pass(passes: Passes, place: int, begin_ns: int, scene: Scene) -> Pass:
    record = passes.records[place]
    time_ns = int(record["time_ns"])
    netns = int(record["netns"])
    names = _Names(scene, netns, time_ns)
    steps = [] if record["kind"] == RECORD_LATE else [_enter(record, time_ns - begin_ns, names)]
    raw = passes.steps[passes.offsets[place]: passes.offsets[place + 1]]
    rounds = {int(record["ifindex"]): 1}
    for step in raw:
        steps.append(_step(step, record, time_ns - begin_ns, names, rounds, scene))
    end_ns = time_ns + max(int(record["duration_ns"]), int(raw["t_ns"].max()) if len(raw) else 0)
    sent = record["kind"] == RECORD_TX
    return Pass(direction="tx" if sent else "rx", cpu=int(record["cpu"]), netns=netns,
                skb=int(record["skb"]), time_ns=time_ns, end_ns=end_ns, steps=tuple(steps),
                steps_lost=int(record["steps_lost"]), sender=(int(record["sender"]) or None) if sent else None)


class _Names:
    """Device names of one namespace at one time."""

    def __init__(self, scene: Scene, netns: int, time_ns: int) -> None:
        self._scene, self._netns, self._time_ns = scene, netns, time_ns

    def __getitem__(self, ifindex: int) -> str:
        return self._scene.device_name(self._netns, ifindex, self._time_ns)


def _enter(record: Array, t_ns: int, names: _Names) -> Step:
    ifindex = int(record["ifindex"])
    return Step(t_ns, "enter", 1, names[ifindex], names[ifindex], ifindex, ifindex)


def _step(raw: Array, record: Array, offset_ns: int, names: _Names, rounds: dict[int, int],
          scene: Scene) -> Step:
    kind, ifindex, orig = int(raw["kind"]), int(raw["ifindex"]), int(raw["orig_ifindex"])
    known_round = int(raw["round"])
    # A late step does not know its round: it is that of its device, or the next one.
    number = known_round or rounds.get(ifindex) or max(rounds.values()) + 1
    rounds[ifindex] = number
    func, verdict, next_dev = int(raw["func"]), None, None
    if kind in (STEP_HANDLER, STEP_VLAN):
        verdict = VERDICTS.get(int(raw["result"]), "unknown")
        if verdict == "ANOTHER":
            next_dev = names[int(raw["arg"])]
            rounds.setdefault(int(raw["arg"]), number + 1)
    function = _function(func, int(raw["skb_low"]), kind, scene)
    outcome = OUTCOMES.get(int(raw["result"]), "unknown") if kind == STEP_TAP else None
    reason = _verdict_reason(function, verdict, ifindex, record, scene) if verdict else None
    if outcome == "full":
        reason = "ring" if function == "tpacket_rcv" else "receive buffer"
    elif kind == STEP_DROP:
        reason = scene.drop_reason(int(raw["arg"]))
    return Step(
        t_ns=int(raw["t_ns"]) + offset_ns, kind=_KINDS.get(kind, f"unknown-{kind}"), round=number,
        dev=names[ifindex], orig_dev=names[orig], ifindex=ifindex, orig_ifindex=orig, function=function,
        tap=int(raw["arg"]) if kind == STEP_TAP else None,
        outcome=outcome, verdict=verdict, next_dev=next_dev, next_ifindex=int(raw["arg"]) if next_dev else None,
        reason=reason, inferred=not known_round)


def _verdict_reason(function: Optional[str], verdict: str, ifindex: int, record: Array,
                    scene: Scene) -> Optional[str]:
    netns, time_ns = int(record["netns"]), int(record["time_ns"])
    device = scene.device(netns, ifindex, time_ns)
    master = scene.device(netns, device.master, time_ns) if device and device.master else None
    return verdicts.reason(function, verdict, int(record["protocol"]), master)


def _function(func: int, address: int, kind: int, scene: Scene) -> Optional[str]:
    if func > FUNC_HANDLER:  # older recordings number the handlers
        handlers = scene.handlers
        place = func - FUNC_HANDLER - 1
        return handlers[place] if place < len(handlers) else f"rx_handler-{place}"
    if func == FUNC_HANDLER or kind == STEP_DROP:
        return scene.symbols.get(address, f"0x{address:08x}")
    return FUNCTIONS.get(func)
