# SPDX-License-Identifier: GPL-2.0-or-later
"""The taps' own word: capture files, as they are on disk."""

import struct

import numpy as np

from bondtrace.format.recording import Recording
from bondtrace.format.wire import PACKET_BYTES, STEP_TAP, concatenate


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


def untagged(length, data, most=PACKET_BYTES):
    """A packet without its VLAN tag, which a file has in the frame and an skb beside it; four bytes less of all."""
    tagged = data[12:14] in (b"\x81\x00", b"\x88\xa8")
    return length - 4 if tagged else length, (data[:12] + data[16:] if tagged else data)[: most - 4]
