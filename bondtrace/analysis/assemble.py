# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns to the values of ``model``, for the journeys that are to be shown one by one.

Times of steps are relative to the beginning of their journey. Names are as they were at the time of the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

from ..format.wire import RECORD_LATE, RECORD_VLAN, RECORD_VLAN_AD, STEP_SEGMENTS, Array, Passes
from ..model import Journey, Packet, Pass, Step
from ..net.dissect import describe
from ..net.ethertypes import ETH_P_8021AD, ETH_P_8021Q
from . import branches, by_design, ends, verdicts, why_unseen
from .passes import assembled
from .scene import Scene
from .stitch import Journeys


def journeys(columns: Journeys, scene: Scene) -> Iterator[Journey]:
    """Yield every journey of the columns, in order."""
    for place in range(len(columns)):
        yield journey(columns, place, scene)


def journey(columns: Journeys, place: int, scene: Scene) -> Journey:
    """Return the journey at a place of the columns."""
    begin, end = int(columns.offsets[place]), int(columns.offsets[place + 1])
    records = columns.passes.records[begin:end]
    begin_ns = int(records["time_ns"].min())
    segments = [_segments(columns.passes, at) for at in range(begin, end)]
    packets, inferred = _packets(records, segments, scene), columns.inferred[begin:end].tolist()
    told = [
        assembled(columns.passes, begin + nth, begin_ns, packet, at, scene)
        for nth, (packet, at) in enumerate(zip(packets, branches.places(records, inferred)))
    ]
    passes = verdicts.with_ways_on(_with_shown(tuple(one for one, _ in told), scene), scene)
    contents = tuple(its for _, its in told)
    passes = by_design.marked(_with_inferred(passes, inferred), contents, scene)
    end_ns = max(one.end_ns for one in passes)
    complete = not any(one.steps_lost for one in passes) and not (records["kind"] == RECORD_LATE).any()
    packet = packets[0]
    return Journey(
        id=int(columns.numbers[place]),
        time_ns=begin_ns,
        wall_ns=begin_ns + scene.wall_offset_ns,
        duration_ns=end_ns - begin_ns,
        direction=passes[0].direction,
        complete=complete,
        packet=packet,
        passes=passes,
        unseen=why_unseen.unseen(passes, scene, contents),
        notes=_notes(passes, scene),
        ends=ends.of_journey(passes, scene, begin_ns),
    )


def _with_shown(passes: tuple[Pass, ...], scene: Scene) -> tuple[Pass, ...]:
    """Mark the passes in which a received packet was only shown to transmit taps."""
    shown = [one.follows is not None and _is_shown(one, passes[one.follows], scene) for one in passes]
    return tuple(replace(one, shown=is_shown) if is_shown else one for one, is_shown in zip(passes, shown))


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


def _with_inferred(passes: tuple[Pass, ...], inferred: list[bool]) -> tuple[Pass, ...]:
    """Mark the passes of which stitching concluded, without proof, that they belong to the journey."""
    if not any(inferred):
        return passes
    return tuple(replace(one, inferred=is_inferred) for one, is_inferred in zip(passes, inferred))


def _notes(passes: tuple[Pass, ...], scene: Scene) -> tuple[str, ...]:
    """Return a note for each tap that was offered the packet more than once. Offers that it ignored do not count."""
    seen: dict[int, list[Step]] = {}
    for one in passes:
        for step in one.steps:
            if step.tap is not None and step.outcome != "ignored":
                seen.setdefault(step.tap, []).append(step)
    return tuple(
        f"{_tap_label(inode, scene, passes[0].time_ns)} {_times(sorted(steps, key=lambda step: step.t_ns))}"
        for inode, steps in seen.items()
        if len(steps) > 1
    )


def _times(steps: list[Step]) -> str:
    """Return, for example, "saw it twice: on eth0, then bond0"."""
    verb = "saw it" if all(step.outcome == "captured" for step in steps) else "was offered it"
    times = {2: "twice", 3: "three times"}.get(len(steps), f"{len(steps)} times")
    return f"{verb} {times}: on {', then '.join(step.dev for step in steps)}"


def _tap_label(inode: int, scene: Scene, time_ns: int) -> str:
    name = scene.tap_label(inode, time_ns)
    return f"{name} [{inode}]" if name else f"[{inode}]"


def _segments(passes: Passes, place: int) -> Optional[int]:
    """Return for how many packets on the wire that of a pass stands: its first step says so."""
    first = passes.steps[passes.offsets[place] : passes.offsets[place + 1]][:1]
    return int(first["arg"][0]) if len(first) and first["kind"][0] == STEP_SEGMENTS else None


def _packets(records: Array, segments: list[Optional[int]], scene: Scene) -> list[Packet]:
    """Return the packet of every pass. What is the same as in the pass before is described once."""
    found: list[Packet] = []
    before: tuple[object, ...] = ()
    for record, count in zip(records, segments):
        if record["kind"] == RECORD_LATE:
            found.append(Packet(0, 0, "unknown", "", "", "its begin was not recorded"))
            before = ()
            continue
        now = (
            record["packet"].tobytes()[: int(record["captured"])],
            *(int(record[name]) for name in ("len", "protocol", "arphrd", "vlan_tci", "flags")),
            count,
        )
        found.append(found[-1] if now == before else replace(_packet(record, scene), segments=count))
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
        return ETH_P_8021AD
    return ETH_P_8021Q if scene.start.get("vlan_tpid") is True else None
