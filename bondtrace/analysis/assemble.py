# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns to the values of ``model``, for the journeys that are to be shown one by one.

Times of steps are relative to the beginning of their journey. Names are as they were at the time of the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

import numpy as np

from ..format.wire import (
    DROPPED_CLONE,
    FUNC_HANDLER,
    FUNCTIONS,
    NETNS_FROM_HERE,
    OUTCOMES,
    RECORD_LATE,
    RECORD_TX,
    RECORD_VLAN,
    RECORD_VLAN_AD,
    STEP_DROP,
    STEP_FANOUT,
    STEP_HANDLER,
    STEP_NETNS,
    STEP_PROTOCOL,
    STEP_QUEUED,
    STEP_TAP,
    STEP_VLAN,
    VERDICTS,
    Array,
    Passes,
)
from ..model import Journey, Packet, Pass, Step
from ..net.dissect import describe
from ..net.topology import Key
from . import branches, verdicts, why_unseen
from .scene import Scene
from .stitch import Journeys
from .tap_names import label
from .whereabouts import namespaces

_KINDS = {
    STEP_TAP: "tap",
    STEP_FANOUT: "fanout",
    STEP_HANDLER: "rx_handler",
    STEP_PROTOCOL: "protocol",
    STEP_VLAN: "vlan",
    STEP_DROP: "drop",
    STEP_QUEUED: "queued",
}
_ETH_P_8021Q, _ETH_P_8021AD = 0x8100, 0x88A8


def journeys(columns: Journeys, scene: Scene) -> Iterator[Journey]:
    """Yield every journey of the columns, in order."""
    for place in range(len(columns)):
        yield journey(columns, place, scene)


def journey(columns: Journeys, place: int, scene: Scene) -> Journey:
    """Return the journey at a place of the columns."""
    begin, end = int(columns.offsets[place]), int(columns.offsets[place + 1])
    records = columns.passes.records[begin:end]
    begin_ns = int(records["time_ns"].min())
    packets = _packets(records, scene)
    passes = tuple(_pass(columns.passes, begin + nth, begin_ns, packet, scene) for nth, packet in enumerate(packets))
    passes = verdicts.with_ways_on(_hung_together(passes, records, scene), scene)
    passes = _with_inferred(passes, columns.inferred[begin:end])
    end_ns = max(one.end_ns for one in passes)
    complete = not any(one.steps_lost for one in passes) and not (records["kind"] == RECORD_LATE).any()
    packet = packets[0]
    protocols = tuple(dict.fromkeys(one for one in (packet.ethertype, int(records[0]["protocol"])) if one))
    return Journey(
        id=int(columns.numbers[place]),
        time_ns=begin_ns,
        wall_ns=begin_ns + scene.wall_offset_ns,
        duration_ns=end_ns - begin_ns,
        direction=passes[0].direction,
        complete=complete,
        packet=packet,
        passes=passes,
        unseen=why_unseen.unseen(passes, scene, protocols),
        notes=_notes(passes, scene),
    )


def _hung_together(passes: tuple[Pass, ...], records: Array, scene: Scene) -> tuple[Pass, ...]:
    """Return the passes with what each follows and is a branch of."""
    if len(passes) == 1:
        return passes
    return tuple(
        replace(
            one,
            parent=at.parent,
            follows=at.follows,
            shown=at.follows is not None and _is_shown(one, passes[at.follows], scene),
        )
        for one, at in zip(passes, branches.places(records))
    )


def _is_shown(one: Pass, before: Pass, scene: Scene) -> bool:
    """Is this a received packet that a VRF's driver shows to the VRF's taps for all protocols? It does so by
    ``dev_queue_xmit_nit``, as if the packet were sent (vrf_ip_rcv, vrf_ip6_rcv); it came by a device of the VRF."""
    if one.direction != "tx" or before.direction != "rx" or not one.steps:
        return False
    device = scene.device(one.steps[0].netns, one.steps[0].ifindex, one.time_ns)
    if device is None or device.kind != "vrf":
        return False
    came = {scene.device(step.netns, step.ifindex, one.time_ns) for step in before.steps}
    return any(port is not None and port.netns == device.netns and port.master == device.ifindex for port in came)


def _with_inferred(passes: tuple[Pass, ...], inferred: Array) -> tuple[Pass, ...]:
    """Mark the passes that stitching concluded to belong to the journey."""
    if not inferred.any():
        return passes
    return tuple(replace(one, inferred=bool(concluded)) for one, concluded in zip(passes, inferred))


def _notes(passes: tuple[Pass, ...], scene: Scene) -> tuple[str, ...]:
    """Return a note for each tap that was offered the packet more than once. Offers that it ignored do not count."""
    seen: dict[int, list[Step]] = {}
    for _, step in branches.in_order(passes):
        if step.tap is not None and step.outcome != "ignored":
            seen.setdefault(step.tap, []).append(step)
    return tuple(
        f"{_tap_label(inode, scene, passes[0].time_ns)} {_times(steps)}"
        for inode, steps in seen.items()
        if len(steps) > 1
    )


def _times(steps: list[Step]) -> str:
    """Return, for example, "saw it twice: on eth0, then bond0"."""
    verb = "saw it" if all(step.outcome == "captured" for step in steps) else "was offered it"
    times = {2: "twice", 3: "three times"}.get(len(steps), f"{len(steps)} times")
    return f"{verb} {times}: on {', then '.join(step.dev for step in steps)}"


def _tap_label(inode: int, scene: Scene, time_ns: int) -> str:
    tap = scene.tap(inode, time_ns)
    return f"{label(tap)} [{inode}]" if tap else f"[{inode}]"


def _packets(records: Array, scene: Scene) -> list[Packet]:
    """Return the packet of every pass. What is the same as in the pass before is described once."""
    found: list[Packet] = []
    before: tuple[object, ...] = ()
    for record in records:
        if record["kind"] == RECORD_LATE:
            found.append(Packet(0, 0, "unknown", "", "", "its begin was not recorded"))
            before = ()
            continue
        now = (
            record["packet"].tobytes()[: int(record["captured"])],
            *(int(record[name]) for name in ("len", "protocol", "arphrd", "vlan_tci", "flags")),
        )
        found.append(found[-1] if now == before else _packet(record, scene))
        before = now
    return found


def _packet(record: Array, scene: Scene) -> Packet:
    tagged = record["flags"] & RECORD_VLAN
    return describe(
        record["packet"].tobytes()[: int(record["captured"])],
        wire_len=int(record["len"]),
        ethertype=int(record["protocol"]),
        arphrd=int(record["arphrd"]),
        vlan_tci=int(record["vlan_tci"]) if tagged else None,
        vlan_tpid=_tag_type(int(record["flags"]), scene) if tagged else None,
    )


def _tag_type(flags: int, scene: Scene) -> Optional[int]:
    """Return the Ethernet type of the tag beside the frame; ``None`` in older recordings, which do not say it."""
    if flags & RECORD_VLAN_AD:
        return _ETH_P_8021AD
    return _ETH_P_8021Q if scene.start.get("vlan_tpid") is True else None


def _pass(passes: Passes, place: int, begin_ns: int, packet: Packet, scene: Scene) -> Pass:
    record = passes.records[place]
    time_ns = int(record["time_ns"])
    netns = int(record["netns"])
    way = _Way(scene, netns, int(record["ifindex"]), time_ns)
    steps = [] if record["kind"] == RECORD_LATE else [_enter(record, time_ns - begin_ns, way)]
    raw = passes.steps[passes.offsets[place] : passes.offsets[place + 1]]
    of_steps = namespaces(np.array([netns]), raw, np.array([0, len(raw)])).tolist()
    leaves = [*((raw["kind"] == STEP_NETNS) & (raw["result"] == NETNS_FROM_HERE))[1:].tolist(), False]
    for at, step in enumerate(raw):
        if step["kind"] != STEP_NETNS:
            way.is_in(of_steps[at], of_steps[at + leaves[at]])
            to_step = _queued if step["kind"] == STEP_QUEUED else _step
            steps.append(to_step(step, record, time_ns - begin_ns, way, scene))
    end_ns = time_ns + max(int(record["duration_ns"]), int(raw["t_ns"].max()) if len(raw) else 0)
    sent = record["kind"] == RECORD_TX
    return Pass(
        direction="tx" if sent else "rx",
        cpu=int(record["cpu"]),
        netns=netns,
        skb=int(record["skb"]),
        time_ns=time_ns,
        end_ns=end_ns,
        steps=tuple(steps),
        packet=packet,
        steps_lost=int(record["steps_lost"]),
        sender=(int(record["sender"]) or None) if sent else None,
    )


class _Way:
    """The devices that a pass visits: their names, rounds and namespaces, at one time.

    ``netns`` and ``next_netns`` are the namespaces of the step at hand and of the one after it, ``here`` is where the
    packet is after the steps so far: (round, netns, ifindex).
    """

    def __init__(self, scene: Scene, netns: int, ifindex: int, time_ns: int) -> None:
        self._scene, self._time_ns = scene, time_ns
        self.own = self.netns = self.next_netns = netns
        self._rounds = {(netns, ifindex): 1}
        self.here = 1, netns, ifindex

    def is_in(self, netns: int, next_netns: int) -> None:
        """Take the namespaces of the next step, and of the one after it."""
        self.netns, self.next_netns = netns, next_netns

    def number(self, known: int, ifindex: int) -> int:
        """Return the round of a step. A late step does not know it (0): it is the round of its device, or a new one."""
        key = self.netns, ifindex
        number = known or self._rounds.get(key) or max(self._rounds.values()) + 1
        self._rounds[key] = number
        self.here = number, *key
        return number

    def goes_on(self, number: int, ifindex: int) -> None:
        """Note the device of the round after this one."""
        self._rounds.setdefault((self.next_netns, ifindex), number + 1)
        self.here = number + 1, self.next_netns, ifindex

    def name(self, ifindex: int, netns: Optional[int] = None) -> str:
        """Return the name of a device, by default of the namespace of the step at hand."""
        return self._scene.device_name(self.netns if netns is None else netns, ifindex, self._time_ns)


def _enter(record: Array, t_ns: int, way: _Way) -> Step:
    ifindex = int(record["ifindex"])
    name = way.name(ifindex)
    return Step(t_ns, "enter", 1, name, name, ifindex, ifindex, netns=way.own)


def _step(raw: Array, record: Array, offset_ns: int, way: _Way, scene: Scene) -> Step:
    kind, ifindex, orig = int(raw["kind"]), int(raw["ifindex"]), int(raw["orig_ifindex"])
    number = way.number(int(raw["round"]), ifindex)
    function = function_name(int(raw["func"]), int(raw["skb_low"]), kind, scene)
    verdict = VERDICTS.get(int(raw["result"]), "unknown") if kind in (STEP_HANDLER, STEP_VLAN) else None
    onward = int(raw["arg"]) if verdict == "ANOTHER" else None
    if onward is not None:
        way.goes_on(number, onward)
    outcome = OUTCOMES.get(int(raw["result"]), "unknown") if kind == STEP_TAP else None
    return Step(
        t_ns=int(raw["t_ns"]) + offset_ns,
        kind=_KINDS.get(kind, f"unknown-{kind}"),
        round=number,
        dev=way.name(ifindex),
        orig_dev=way.name(orig, way.own),
        ifindex=ifindex,
        orig_ifindex=orig,
        function=function,
        tap=int(raw["arg"]) if kind == STEP_TAP else None,
        outcome=outcome,
        verdict=verdict,
        next_dev=None if onward is None else way.name(onward, way.next_netns),
        next_ifindex=onward,
        reason=_reason(raw, way.netns, record, function, verdict, outcome, scene),
        inferred=not int(raw["round"]),
        netns=way.netns,
        next_netns=0 if onward is None else way.next_netns,
        clone=kind == STEP_DROP and int(raw["result"]) == DROPPED_CLONE,
    )


def _queued(raw: Array, record: Array, offset_ns: int, way: _Way, scene: Scene) -> Step:
    """Return the step by which the packet was handed to another device, which receives it later."""
    number, netns, ifindex = way.here
    orig = int(record["ifindex"])
    return Step(
        t_ns=int(raw["t_ns"]) + offset_ns,
        kind="queued",
        round=number,
        dev=way.name(ifindex, netns),
        orig_dev=way.name(orig, way.own),
        ifindex=ifindex,
        orig_ifindex=orig,
        function=FUNCTIONS.get(int(raw["func"])),
        next_dev=way.name(int(raw["ifindex"])),
        inferred=not int(raw["round"]),
        netns=netns,
    )


def _reason(
    raw: Array,
    netns: int,
    record: Array,
    function: Optional[str],
    verdict: Optional[str],
    outcome: Optional[str],
    scene: Scene,
) -> Optional[str]:
    if verdict:
        return _verdict_reason(function, verdict, (netns, int(raw["ifindex"])), record, scene)
    if outcome == "full":
        return "ring" if function == "tpacket_rcv" else "receive buffer"
    return scene.drop_reason(int(raw["arg"])) if raw["kind"] == STEP_DROP else None


def _verdict_reason(function: Optional[str], verdict: str, key: Key, record: Array, scene: Scene) -> Optional[str]:
    time_ns = int(record["time_ns"])
    device = scene.device(*key, time_ns)
    master = scene.device(device.netns, device.master, time_ns) if device and device.master else None
    return verdicts.reason(function, verdict, int(record["protocol"]), master)


def function_name(func: int, address: int, kind: int, scene: Scene) -> Optional[str]:
    """Return the kernel's function of a step, from its ``func``, ``skb_low`` and ``kind``."""
    if func > FUNC_HANDLER:  # older recordings number the handlers
        handlers = scene.handlers
        place = func - FUNC_HANDLER - 1
        return handlers[place] if place < len(handlers) else f"rx_handler-{place}"
    if func == FUNC_HANDLER or kind == STEP_DROP:
        return scene.symbols.get(address, f"0x{address:08x}")
    return FUNCTIONS.get(func)
