# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet filter on passes, by the bytes of each that were kept.

A frame is looked at as a capture file of its device has it (bpf/filter.c does the same live): from the link-layer
header on, where the device has one, and with a VLAN tag that lay beside the bytes put back into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..format.wire import PACKET_BYTES, RECORD_LATE, RECORD_VLAN, RECORD_VLAN_AD, Array, Passes
from ..net.arphrd import WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ..net.classic_bpf import Instruction, run
from ..net.ethertypes import ETH_P_8021AD, ETH_P_8021Q
from ..net.pcap import Filter

Contents = Mapping[tuple[int, int], bytes]
"""More of the packets' bytes than the records hold, by (cpu, seq) of the record (``format.payload``)."""

NO_CONTENTS: Contents = MappingProxyType({})

FOREIGN = 3
"""The verdict on a pass whose frame nobody can look at: its device has another link layer, or it is known only by late
steps."""

_ROWS = 1 << 13  # passes at a time: with all their bytes they are 14 MB
_TAG_AT, _TAG_BYTES = 12, 4  # behind the two addresses


def verdicts(passes: Passes, wanted: Filter, contents: Contents = NO_CONTENTS) -> Array:
    """Return the filter's verdict on each pass, shape (n,) of uint8: ``REJECT``, ``ACCEPT``, ``BLIND`` where too few
    bytes were kept, or ``FOREIGN``."""
    found: Array = np.full(len(passes), FOREIGN, np.uint8)
    arphrd, is_known = passes.records["arphrd"], passes.records["kind"] != RECORD_LATE
    for program, types in ((wanted.ethernet, WITH_ETHERNET_HEADER), (wanted.raw, WITHOUT_HEADER)):
        there = np.flatnonzero(np.isin(arphrd, types) & is_known)
        for begin in range(0, len(there), _ROWS):
            places = there[begin : begin + _ROWS]
            found[places] = _judged(program, passes.records.take(places), contents, types is WITH_ETHERNET_HEADER)
    return found


def _judged(program: Sequence[Instruction], records: Array, contents: Contents, is_ethernet: bool) -> Array:
    packets, kept = _kept(records, contents)
    lengths = np.maximum(records["len"].astype(np.int64), kept)
    if is_ethernet:
        packets, kept, lengths = _with_tags(records, packets, kept, lengths)
    return run(program, packets, kept, lengths)


def _kept(records: Array, contents: Contents) -> tuple[Array, Array]:
    """Return the bytes of each packet that were kept, shape (n, m), and how many these are."""
    packets, kept = records["packet"], records["captured"].astype(np.int64)
    keys = zip(records["cpu"].tolist(), records["seq"].tolist()) if contents else ()
    longer = {place: contents[key] for place, key in enumerate(keys) if len(contents.get(key, b"")) > kept[place]}
    if not longer:
        return packets, kept
    wide = np.zeros((len(records), max(PACKET_BYTES, *map(len, longer.values()))), np.uint8)
    wide[:, :PACKET_BYTES] = packets
    for place, data in longer.items():
        wide[place, : len(data)] = np.frombuffer(data, np.uint8)
        kept[place] = len(data)
    return wide, kept


def _with_tags(records: Array, packets: Array, kept: Array, lengths: Array) -> tuple[Array, Array, Array]:
    """Put the tags beside the bytes back in their place. Of a packet that was cut before it, nothing from there on is
    known."""
    tagged = np.flatnonzero(records["flags"] & RECORD_VLAN)
    if not len(tagged):
        return packets, kept, lengths
    wide = np.zeros((len(packets), packets.shape[1] + _TAG_BYTES), np.uint8)
    wide[:, : packets.shape[1]] = packets
    wide[tagged, _TAG_AT + _TAG_BYTES :] = packets[tagged, _TAG_AT:]
    kinds = np.where(records["flags"][tagged] & RECORD_VLAN_AD, ETH_P_8021AD, ETH_P_8021Q)
    for at, value in ((_TAG_AT, kinds), (_TAG_AT + 2, records["vlan_tci"][tagged])):
        wide[tagged, at], wide[tagged, at + 1] = value >> 8, value & 0xFF
    is_whole = kept[tagged] >= _TAG_AT
    kept[tagged] += _TAG_BYTES * is_whole
    lengths[tagged] += _TAG_BYTES
    return wide, kept, lengths
