# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of one pass to the values of ``model``: its steps, with the names and namespaces of their devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import numpy as np

from ..format.wire import (
    DROPPED_CLONE,
    FUNC_CHAINS,
    FUNC_HANDLER,
    FUNC_NF_HOOK,
    FUNC_TC,
    FUNCTIONS,
    NETNS_FROM_HERE,
    OUTCOMES,
    RECORD_LATE,
    RECORD_RECEIVED,
    RECORD_TX,
    STEP_DROP,
    STEP_FANOUT,
    STEP_HANDLER,
    STEP_NETNS,
    STEP_PROTOCOL,
    STEP_QUEUED,
    STEP_SEGMENTS,
    STEP_TAP,
    STEP_VLAN,
    VERDICTS,
    Array,
    Passes,
)
from ..model import Packet, Pass, Step
from ..net.arphrd import WITH_ETHERNET_HEADER
from ..net.netfilter import hook_of_caller
from ..net.topology import Key
from . import beyond_ip, fanout, verdicts
from .bonds import Asked
from .branches import Place
from .contents import Contents, Progress, is_fragment, tags_of
from .ip_drops import with_own_drops
from .scene import Scene
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
_MAC_BYTES = 6


def assembled(
    passes: Passes, place: int, begin_ns: int, packet: Packet, at: Place, scene: Scene
) -> tuple[Pass, Contents]:
    """Return the pass at this place, and what the rules ask of its packet.

    :param begin_ns: when its journey began.
    :param packet: what it is a pass of.
    :param at: where it is in its journey.
    """
    record = passes.records[place]
    time_ns, netns = int(record["time_ns"]), int(record["netns"])
    way = _Way(scene, netns, int(record["ifindex"]), time_ns, Progress(record, _tpid_beside(packet)))
    steps = [] if record["kind"] == RECORD_LATE else [_enter(record, time_ns - begin_ns, way)]
    raw = passes.steps[passes.offsets[place] : passes.offsets[place + 1]]
    of_steps, leaves = _namespaces(netns, raw)
    for nth, step in enumerate(raw):
        if not _is_left_out(step, scene):
            way.is_in(of_steps[nth], of_steps[nth + leaves[nth]])
            to_step = _TO_STEP.get(int(step["kind"]), _step)
            steps.append(to_step(step, record, time_ns - begin_ns, way, scene))
    steps = beyond_ip.with_protocols(beyond_ip.with_outcomes(with_own_drops(steps)), packet)
    end_ns = time_ns + max(int(record["duration_ns"]), max(raw["t_ns"].tolist(), default=0))
    sent = record["kind"] == RECORD_TX
    contents = _contents(record, packet, steps, way)
    one = Pass(
        direction="tx" if sent else "rx",
        cpu=int(record["cpu"]),
        netns=netns,
        skb=int(record["skb"]),
        time_ns=time_ns,
        end_ns=end_ns,
        steps=fanout.named(steps, contents, scene, time_ns),
        packet=packet,
        steps_lost=int(record["steps_lost"]),
        sender=(int(record["sender"]) or None) if sent else None,
        parent=at.parent,
        follows=at.follows,
        received=bool(record["flags"] & RECORD_RECEIVED),
    )
    return one, contents


def _is_left_out(raw: Array, scene: Scene) -> bool:
    """Is it a step of which nothing is said by itself?"""
    kind = raw["kind"]
    return bool(
        kind in (STEP_NETNS, STEP_SEGMENTS) or (kind == STEP_DROP and is_only_freed(int(raw["skb_low"]), scene))
    )


def _namespaces(netns: int, raw: Array) -> tuple[list[int], list[bool]]:
    """Return for every step the namespace of its device, and whether the next step is in another one."""
    kinds = raw["kind"].tolist()
    if STEP_NETNS not in kinds:  # nearly always
        return [netns] * len(kinds), [False] * len(kinds)
    leaves = [*((raw["kind"] == STEP_NETNS) & (raw["result"] == NETNS_FROM_HERE))[1:].tolist(), False]
    return namespaces(np.array([netns]), raw, np.array([0, len(raw)])).tolist(), leaves


def _tpid_beside(packet: Packet) -> Optional[int]:
    """Return the type of the tag beside a packet's bytes; ``None`` without one, and where it is not known."""
    return packet.tags[0].tpid if packet.tags and not packet.tags[0].in_frame else None


def _contents(record: Array, packet: Packet, steps: list[Step], way: _Way) -> Contents:
    """Return what the rules ask of a pass's packet, after its last step."""
    if record["kind"] == RECORD_LATE:
        return Contents()
    is_grouped = any(step.kind == "fanout" for step in steps)
    tags = tags_of(record, _tpid_beside(packet)) if way.progress.is_tagged else ()
    is_dropped = any(step.kind == "drop" for step in steps)  # nothing else depends on it
    to_group = is_dropped and any(octet & 1 for octet in _destination(record)[:1])
    return Contents(way.progress.deliver(), tags, is_grouped and is_fragment(record), to_group)


def _destination(record: Array) -> bytes:
    """Return the MAC address that a frame is for; b"" where there is none, or it was not captured."""
    has_header = record["arphrd"] in WITH_ETHERNET_HEADER and record["captured"] >= _MAC_BYTES
    return record["packet"][:_MAC_BYTES].tobytes() if has_header else b""


class _Way:
    """The devices that a pass visits: their names, rounds and namespaces, at one time.

    ``netns`` and ``next_netns`` are the namespaces of the step at hand and of the one after it; ``here`` is where the
    packet is after the steps so far, (round, netns, ifindex); ``progress`` is what it is there.
    """

    def __init__(self, scene: Scene, netns: int, ifindex: int, time_ns: int, progress: Progress) -> None:
        self._scene, self._time_ns, self.progress = scene, time_ns, progress
        self.own = self.netns = self.next_netns = netns
        self.here = 1, netns, ifindex
        self._rounds = {(netns, ifindex): 1}

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
    way.progress.step(int(raw["round"]))
    function = function_name(int(raw["func"]), int(raw["skb_low"]), kind, scene)
    netfilter, tc = _netfilter(raw, scene), _tc(raw, scene)
    refusing = beyond_ip.refusing_socket(raw)
    if netfilter or tc or refusing is not None:
        orig = int(record["ifindex"])  # its place in the step has another number
    verdict = _verdict(raw)
    onward = int(raw["arg"]) if verdict == "ANOTHER" else None
    if onward is not None:
        way.goes_on(number, onward)
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
        outcome=OUTCOMES.get(int(raw["result"]), "unknown") if kind == STEP_TAP else None,
        verdict=verdict,
        next_dev=None if onward is None else way.name(onward, way.next_netns),
        next_ifindex=onward,
        reason=_reason(raw, record, (function, verdict), way, scene),
        inferred=not int(raw["round"]),
        netns=way.netns,
        next_netns=0 if onward is None else way.next_netns,
        clone=kind == STEP_DROP and int(raw["result"]) == DROPPED_CLONE,
        netfilter=netfilter,
        tc=tc,
        socket=refusing,
    )


def _netfilter(raw: Array, scene: Scene) -> Optional[str]:
    """Return which chain had the packet dropped, or at which hook it was."""
    func, number = int(raw["func"]), int(raw["orig_ifindex"])
    if raw["kind"] != STEP_DROP or func not in (*FUNC_CHAINS, FUNC_NF_HOOK):
        return None
    if func == FUNC_NF_HOOK:
        return hook_of_caller(scene.symbols.get(number, f"0x{number:08x}"))
    return scene.chain(number) or "a chain whose name was not recorded"


def _tc(raw: Array, scene: Scene) -> Optional[str]:
    """Return which filter of tc had the packet dropped."""
    if raw["kind"] != STEP_DROP or raw["func"] != FUNC_TC:
        return None
    return scene.tc_filter(int(raw["orig_ifindex"])) or "a filter that was not recorded"


def _queued(raw: Array, record: Array, offset_ns: int, way: _Way, scene: Scene) -> Step:
    """Return the step by which the packet was handed to another device, which receives it later."""
    told = _where_it_is(raw, record, offset_ns, way)
    return replace(told, kind="queued", next_dev=way.name(int(raw["ifindex"])), inferred=not int(raw["round"]))


def _beyond(raw: Array, record: Array, offset_ns: int, way: _Way, scene: Scene) -> Step:
    """Return the step of what becomes of the packet beyond IP, on the device where it is."""
    told = replace(_where_it_is(raw, record, offset_ns, way), kind=beyond_ip.KINDS[int(raw["kind"])])
    if told.kind == "local":
        return replace(told, ip_protocol=int(raw["arg"]))
    if told.kind == "forwarded" and raw["arg"]:
        return replace(told, next_dev=way.name(int(raw["arg"])))  # by a pass of its own, so without next_ifindex
    if told.kind != "socket":
        return told
    outcome, state = beyond_ip.outcome_of(raw, scene), beyond_ip.state_of(raw)
    return replace(told, outcome=outcome, state=state, socket=int(raw["arg"]))


def _where_it_is(raw: Array, record: Array, offset_ns: int, way: _Way) -> Step:
    """Return a step on the device where the packet is, whatever device the step itself names."""
    number, netns, ifindex = way.here
    orig = int(record["ifindex"])
    return Step(
        t_ns=int(raw["t_ns"]) + offset_ns,
        kind="",
        round=number,
        dev=way.name(ifindex, netns),
        orig_dev=way.name(orig, way.own),
        ifindex=ifindex,
        orig_ifindex=orig,
        function=FUNCTIONS.get(int(raw["func"])),
        netns=netns,
    )


_TO_STEP = {STEP_QUEUED: _queued, **dict.fromkeys(beyond_ip.KINDS, _beyond)}


def _verdict(raw: Array) -> Optional[str]:
    """Return the verdict of an rx_handler or a VLAN device. One that is down has dropped the packet: there is no device
    that it is on then (``vlan_do_receive`` returns false, as for a tag that nobody has)."""
    kind = raw["kind"]
    if kind not in (STEP_HANDLER, STEP_VLAN):
        return None
    verdict = VERDICTS.get(int(raw["result"]), "unknown")
    return "CONSUMED" if kind == STEP_VLAN and verdict == "PASS" and not raw["arg"] else verdict


def _reason(
    raw: Array, record: Array, answer: tuple[Optional[str], Optional[str]], way: _Way, scene: Scene
) -> Optional[str]:
    """Return the reason of a step whose function and verdict are ``answer``."""
    kind, (function, verdict), time_ns = raw["kind"], answer, int(record["time_ns"])
    place = way.netns, int(raw["ifindex"])
    if kind == STEP_VLAN:
        asked = way.progress.ask_vlan(verdict == "ANOTHER")
        return verdicts.vlan_reason(verdict, place, asked, scene, time_ns)
    if kind == STEP_HANDLER:
        return verdicts.reason(function, verdict, _asked(place, record, way, scene))
    if kind == STEP_TAP and OUTCOMES.get(int(raw["result"])) == "full":
        return "ring" if function == "tpacket_rcv" else "receive buffer"
    return scene.drop_reason(int(raw["arg"])) if kind == STEP_DROP else None


def _asked(place: Key, record: Array, way: _Way, scene: Scene) -> Asked:
    netns, time_ns = place[0], int(record["time_ns"])
    device = scene.device(*place, time_ns)
    master = scene.device(netns, device.master, time_ns) if device and device.master else None
    active = scene.device(netns, master.active_slave, time_ns) if master and master.active_slave else None
    return Asked(way.progress.protocol, _destination(record), device, master, active.name if active else "")


def is_only_freed(address: int, scene: Scene) -> bool:
    """Return whether a drop at this address is none: the fragments of a packet are freed with it, whatever became of it
    (``skb_release_data``)."""
    return scene.symbols.get(address) == "skb_release_data"


def function_name(func: int, address: int, kind: int, scene: Scene) -> Optional[str]:
    """Return the kernel's function of a step, from its ``func``, ``skb_low`` and ``kind``."""
    if func > FUNC_HANDLER:  # older recordings number the handlers
        handlers = scene.handlers
        place = func - FUNC_HANDLER - 1
        return handlers[place] if place < len(handlers) else f"rx_handler-{place}"
    if func == FUNC_HANDLER or kind == STEP_DROP:
        return scene.symbols.get(address, f"0x{address:08x}")
    return FUNCTIONS.get(func)
