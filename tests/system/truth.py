# SPDX-License-Identifier: GPL-2.0-or-later
"""The taps' own word: capture files, as they are on disk."""

import struct

import numpy as np

from bondtrace.errors import BondtraceError
from bondtrace.format.recording import Recording
from bondtrace.format.wire import PACKET_BYTES, RECORD_RX, RECORD_TX, STEP_NETNS, STEP_TAP, concatenate
from bondtrace.pipeline import Pipeline


def read_pcap(path, most=PACKET_BYTES):
    """[(wall_ns, length, first bytes, at the `most`)] of a capture file in the classic format."""
    data = path.read_bytes()
    magic = struct.unpack_from("<I", data)[0]
    unit = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[magic]
    packets, at = [], 24
    while at < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, at)
        begin = at + 16
        packets.append((seconds * 10**9 + fraction * unit, length, data[begin : begin + min(captured, most)]))
        at = begin + captured
    return packets


def captured_by(recording, inode):
    """[(length, first bytes)]: what a recording says this tap captured."""
    begin_ns, end_ns = (int(one) for one in traced_span(recording))
    passes = concatenate([batch.passes for batch in Recording(recording).batches()])
    passes = passes.take((passes.records["time_ns"] >= begin_ns) & (passes.records["time_ns"] <= end_ns))
    owner = np.repeat(np.arange(len(passes)), np.diff(passes.offsets))
    steps = passes.steps
    mine = owner[(steps["kind"] == STEP_TAP) & (steps["arg"] == inode) & (steps["result"] == 1)]
    return [
        (int(record["len"]), record["packet"].tobytes()[: int(record["captured"])]) for record in passes.records[mine]
    ]


def in_file(path, begin_ns, end_ns, most=PACKET_BYTES):
    """[(length, first bytes)]: what the tap's capture file holds of that time."""
    return [(length, first) for wall_ns, length, first in read_pcap(path, most) if begin_ns <= wall_ns <= end_ns]


def disagreement(said, truth):
    """(said but not in the file, in the file but not said), packet by packet. bondtrace copies only the linear
    part of a packet, so what it has of one is a prefix of what the file has."""
    left, wrong = sorted(truth), []
    for length, prefix in sorted(said, key=lambda packet: -len(packet[1])):
        match = next((packet for packet in left if packet[0] == length and packet[1].startswith(prefix)), None)
        if match:
            left.remove(match)
        else:
            wrong.append((length, prefix))
    return wrong, left


def traced_span(recording):
    """(begin, end) of the time in which everything was traced, CLOCK_MONOTONIC."""
    events = [event for batch in Recording(recording).batches() for event in batch.events]
    start = next(event for event in events if event["kind"] == "start")
    end = next(event for event in events if event["kind"] == "end")
    return start["time_ns"], end["not_before_ns"]


def traced_time(recording):
    """The same in nanoseconds since the Unix epoch."""
    events = [event for batch in Recording(recording).batches() for event in batch.events]
    start = next(event for event in events if event["kind"] == "start")
    return tuple(one + start["wall_offset_ns"] for one in traced_span(recording))


ETHERNET, COOKED, COOKED_2 = 1, 113, 276  # link types of capture files
_HEADER = {ETHERNET: 14, COOKED: 16, COOKED_2: 20}
_TAGS = (b"\x81\x00", b"\x88\xa8")


def link_type(path):
    """The link type of a capture file; 0 where it has not begun yet."""
    data = path.read_bytes()[:24]
    return struct.unpack_from("<I", data, 20)[0] if len(data) == 24 else 0


def comparable(length, data, link, arphrd=None):
    """(length, bytes) of a packet as a file of this link type has it, such that those of a file and those of a
    recording can be compared: without VLAN tags, which a file has in the frame and an skb beside it, and, where the
    file has no Ethernet frames, without a link-layer header. ``arphrd`` is the kind of device of a packet from a
    recording."""
    header = _HEADER.get(link, 0) if arphrd is None else 14 * (arphrd == 1)
    if link == COOKED_2 and arphrd is None:  # its protocol comes first
        data = data[2:header] + data[:2] + data[header:]
    tags = 0
    while header and data[header - 2 + tags : header + tags] in _TAGS:
        tags += 4
    data, length = data[: header - 2] + data[header - 2 + tags :] if tags else data, length - tags
    return (length, data) if link == ETHERNET else (length - header, data[header:])


def untagged(length, data, most=PACKET_BYTES):
    """A packet without its VLAN tag, which a file has in the frame and an skb beside it; four bytes less of all."""
    tagged = data[12:14] in (b"\x81\x00", b"\x88\xa8")
    return length - 4 if tagged else length, (data[:12] + data[16:] if tagged else data)[: most - 4]


def contradictions(journeys, scene):
    """["..."]: taps that are told to have been given a packet on a device of another namespace than their own, or on
    another device than the one that they are bound to. Neither can be: it is a fault of bondtrace."""
    found = []
    for journey, step in _offers(journeys):
        tap = scene.tap(step.tap, journey.time_ns)
        if tap is None or tap.ifindex == -1:
            continue
        name = f"#{journey.id}: {step.outcome} by [{tap.inode}]"
        if tap.netns != step.netns:
            found.append(f"{name}, which lives in netns {tap.netns}, on {step.dev} of netns {step.netns}")
        elif tap.ifindex and tap.ifindex not in (step.ifindex, step.orig_ifindex):
            found.append(f"{name}, which is bound to {tap.dev}, on {step.dev}")
    return found


def _offers(journeys):
    """(journey, step) of each tap that was given a packet and had a say in it: the kernel asks after the namespace
    before anything else, so `ignored` may be in any."""
    for journey in journeys:
        for one in journey.passes:
            for step in one.steps:
                if step.kind == "tap" and step.outcome in ("captured", "filtered", "full"):
                    yield journey, step


def contradictions_in(recording):
    """The same of a recording; [] if it cannot be read, as some are damaged on purpose. It is assembled only where a
    look at its columns does not suffice, as some are long."""
    try:
        if not _may_contradict(list(Recording(recording).batches())):
            return []
        journeys = []
        pipeline = Pipeline(show=journeys.append)
        pipeline.run(Recording(recording).batches())
    except BondtraceError:
        return []
    return contradictions(journeys, pipeline.scene)


def _may_contradict(batches):
    """Does a pass change its namespace, or is a tap given a packet in another than its own, or on another device?"""
    where = {}  # {inode: {(netns, ifindex), ...}}: all that it ever was bound to
    for event in (event for batch in batches for event in batch.events if event["kind"] == "tap"):
        where.setdefault(event["tap"]["inode"], set()).add((event["tap"]["netns"], event["tap"]["ifindex"]))
    passes = concatenate([batch.passes for batch in batches])
    owner = np.repeat(np.arange(len(passes)), np.diff(passes.offsets))
    received = np.isin(passes.records["kind"][owner], (RECORD_RX, RECORD_TX))
    if (passes.steps["kind"][received] == STEP_NETNS).any():
        return True
    mine = received & (passes.steps["kind"] == STEP_TAP) & np.isin(passes.steps["result"], (1, 2, 3))
    steps, netns = passes.steps[mine], passes.records["netns"][owner[mine]]
    told = set(zip(*(column.tolist() for column in (steps["arg"], netns, steps["ifindex"], steps["orig_ifindex"]))))
    return any(
        inode in where and not where[inode] & {(there, one) for one in (0, -1, ifindex, orig)}
        for inode, there, ifindex, orig in told
    )
