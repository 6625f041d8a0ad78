# SPDX-License-Identifier: GPL-2.0-or-later
"""The structures of bpf/wire.h as numpy types, and the ring's bytes as columns.

``decode`` turns the ring's slots into three numpy arrays without a Python step per record.

Invariant: the dtypes here are those structs, byte for byte (tests/format/test_wire.py asks the compiler).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

Array = np.ndarray[Any, Any]

SLOT_BYTES = 256
SLOTS_MAX = 8
SLOT_CONTINUES = 0x0B07D7AC
PACKET_BYTES = 80
FIRST_STEPS = 4
MORE_STEPS = 10
DATA_BYTES = 248
SNAPLEN_MAX = 7 * DATA_BYTES

RECORD_RX, RECORD_TX, RECORD_LATE, RECORD_HOOK, RECORD_DATA, RECORD_SOCKET = 1, 2, 3, 4, 5, 6
RECORD_VLAN, RECORD_LIST, RECORD_CLONED, RECORD_INSIDE_LIST, RECORD_RECEIVED = 1, 2, 4, 8, 16
RECORD_VLAN_AD = 32
STEP_PASS = 0  # only counted
STEP_TAP, STEP_FANOUT, STEP_HANDLER, STEP_PROTOCOL, STEP_HOOK, STEP_VLAN, STEP_DROP, STEP_NETNS = 1, 2, 3, 4, 5, 6, 7, 8
STEP_QUEUED, STEP_LOCAL, STEP_SOCKET, STEP_ANSWERED, STEP_SEGMENTS, STEP_FORWARDED = 9, 10, 11, 12, 13, 14
STEPS_BEYOND_IP = (STEP_LOCAL, STEP_SOCKET, STEP_ANSWERED, STEP_FORWARDED)
GIVEN_TO_TUNNEL, GIVEN_TO_FULL, GIVEN_STATE_SHIFT = 1, 2, 4
NETNS_FROM_HERE, NETNS_NEXT_STEP = 0, 1
DROPPED_SKB, DROPPED_CLONE = 0, 1
VERDICT_ANOTHER = 1
VERDICT_PENDING = 255
OUTCOME_UNKNOWN, OUTCOME_FULL = 0, 3
FUNC_PACKET_RCV, FUNC_TPACKET_RCV, FUNC_PACKET_RCV_SPKT = 1, 2, 3
FUNC_CHAINS = (34, 35, 36, 37, 38)  # of a drop: ``orig_ifindex`` is the number of a chain
FUNC_NF_HOOK = 39  # of a drop: ``orig_ifindex`` is an address in the function whose hook it is
FUNC_SOCKET = 40  # of a drop: ``orig_ifindex`` is the inode of the socket that it was given to
FUNC_TC = 41  # of a drop: ``orig_ifindex`` is the number of a filter of tc
FUNC_IP6_PROTOCOL_DELIVER_RCU, FUNC_TCP_ADD_BACKLOG = 49, 57
FUNC_HANDLER = 63  # a function by its address; from 64 on, in older recordings, by its place in the start event

FUNCTIONS = {
    1: "packet_rcv",
    2: "tpacket_rcv",
    3: "packet_rcv_spkt",
    4: "packet_rcv_fanout",
    16: "ip_rcv",
    17: "ipv6_rcv",
    18: "arp_rcv",
    19: "ip_list_rcv",
    20: "ipv6_list_rcv",
    32: "vlan_do_receive",
    33: "gro_cells_receive",
    34: "nft_do_chain",
    35: "ipt_do_table",
    36: "ip6t_do_table",
    37: "arpt_do_table",
    38: "ebt_do_table",
    39: "nf_hook_slow",
    41: "tcf_classify",
    45: "xsk_generic_rcv",
    46: "ip_forward",
    47: "ip6_forward",
    48: "ip_protocol_deliver_rcu",
    49: "ip6_protocol_deliver_rcu",
    50: "udp_queue_rcv_one_skb",
    51: "udpv6_queue_rcv_one_skb",
    52: "raw_rcv",
    53: "rawv6_rcv",
    54: "ping_queue_rcv_skb",
    55: "tcp_v4_do_rcv",
    56: "tcp_v6_do_rcv",
    57: "tcp_add_backlog",
    58: "tcp_timewait_state_process",
    59: "tcp_check_req",
    60: "arp_xmit",
    61: "ndisc_send_na",
}
OUTCOMES = {0: "unknown", 1: "captured", 2: "filtered", 3: "full", 4: "ignored"}
VERDICTS = {0: "CONSUMED", 1: "ANOTHER", 2: "EXACT", 3: "PASS", VERDICT_PENDING: "unknown"}
COUNTERS = ("sent", "lost", "steps_lost", "too_deep", "unbalanced", "filter_blind", "data_lost")
COUNTERS_MAX = 8

STEP = np.dtype(
    [
        ("t_ns", "<u4"),
        ("ifindex", "<u4"),
        ("orig_ifindex", "<u4"),
        ("arg", "<u4"),
        ("kind", "u1"),
        ("round", "u1"),
        ("result", "u1"),
        ("func", "u1"),
        ("skb_low", "<u4"),
    ]
)
RECORD = np.dtype(
    [
        ("time_ns", "<u8"),
        ("skb", "<u8"),
        ("netns", "<u4"),
        ("ifindex", "<u4"),
        ("len", "<u4"),
        ("cpu", "<u2"),
        ("protocol", "<u2"),
        ("vlan_tci", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("steps", "<u2"),
        ("steps_lost", "<u2"),
        ("seq", "<u4"),
        ("parent", "<u4"),
        ("duration_ns", "<u4"),
        ("arphrd", "<u2"),
        ("captured", "u1"),
        ("pkt_type", "u1"),
        ("last_skb", "<u4"),
        ("head", "<u4"),
        ("frame", "<u4"),
        ("sender", "<u4"),
        ("packet", "u1", (PACKET_BYTES,)),
    ]
)
COUNT_KEY = np.dtype(
    [
        ("netns", "<u4"),
        ("ifindex", "<u4"),
        ("arg", "<u4"),
        ("more", "<u4"),
        ("kind", "u1"),
        ("result", "u1"),
        ("func", "u1"),
        ("outgoing", "u1"),
    ]
)
#: What stands in ``packet`` of a RECORD_SOCKET.
SOCKET_FACTS = np.dtype(
    [
        ("inode", "<u4"),
        ("uid", "<u4"),
        ("family", "<u2"),
        ("type", "<u2"),
        ("protocol", "<u2"),
        ("port", "<u2"),
        ("remote_port", "<u2"),
        ("unused", "<u2"),
        ("address", "u1", (16,)),
        ("remote", "u1", (16,)),
    ]
)
COUNT = np.dtype([("key", COUNT_KEY), ("count", "<u8")])
_FIRST_SLOT = np.dtype([("ring", "<u8"), ("record", RECORD), ("first", STEP, (FIRST_STEPS,))])
_MORE_SLOT = np.dtype([("marker", "<u8"), ("more", STEP, (MORE_STEPS,)), ("unused", "<u8")])


@dataclass(frozen=True)
class Passes:
    """Records as columns. ``records`` has shape (n,) of RECORD; the steps of record ``i`` are
    ``steps[offsets[i]:offsets[i + 1]]`` of STEP; ``offsets`` has shape (n + 1,) of int64. ``facts`` is the result of
    ``analysis.shapes.facts`` for these passes, where it was computed already."""

    records: Array
    steps: Array
    offsets: Array
    facts: Optional[Mapping[str, Array]] = None

    def __len__(self) -> int:
        return len(self.records)

    def take(self, places: Array) -> Passes:
        """Return the passes at these places (an index array or a boolean mask), in that order."""
        if places.dtype == bool:
            if places.all():
                return self
            places = np.flatnonzero(places)
        if len(places) and places[-1] - places[0] == len(places) - 1 and (np.diff(places) == 1).all():
            return self._slice(int(places[0]), int(places[-1]) + 1)
        # take(), not []: numpy copies a structure field by field, but takes it whole
        counts = np.diff(self.offsets).take(places)
        offsets = _offsets(counts)
        begins = np.repeat(self.offsets.take(places) - offsets[:-1], counts)
        return Passes(
            self.records.take(places),
            self.steps.take(begins + np.arange(offsets[-1])),
            offsets,
            _each(self.facts, lambda column: column.take(places)),
        )

    @property
    def of_step(self) -> Array:
        """For every step, the place of its pass, shape (steps,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def having(self, steps: Array) -> Array:
        """Return the place of the pass of each of these steps (an index array)."""
        found: Array = np.searchsorted(self.offsets, steps, side="right") - 1
        return found

    def _slice(self, begin: int, end: int) -> Passes:
        """Return consecutive passes, without a copy."""
        offsets = self.offsets[begin : end + 1]
        return Passes(
            self.records[begin:end],
            self.steps[offsets[0] : offsets[-1]],
            offsets - offsets[0],
            _each(self.facts, lambda column: column[begin:end]),
        )


def _each(facts: Optional[Mapping[str, Array]], do: Callable[[Array], Array]) -> Optional[Mapping[str, Array]]:
    return None if facts is None else {name: do(column) for name, column in facts.items()}


_CACHED_ROWS = 1 << 12


def columns(structures: Array, *names: str) -> dict[str, Array]:
    """Return fields of structures, shape (n,), as columns.

    Reading a field goes through all of the memory: this goes through it once for all fields, as many rows at a time as
    fit a CPU's cache.
    """
    result = {
        name: np.empty((len(structures), *structures.dtype[name].shape), structures.dtype[name].base) for name in names
    }
    for begin in range(0, len(structures), _CACHED_ROWS):
        rows = structures[begin : begin + _CACHED_ROWS]
        for name, column in result.items():
            column[begin : begin + _CACHED_ROWS] = rows[name]
    return result


def structures(dtype: np.dtype[Any], count: int, columns: dict[str, Array]) -> Array:
    """Return columns as structures, shape (count,); fields without a column are zero."""
    result = np.zeros(count, dtype)
    for begin in range(0, count, _CACHED_ROWS):
        rows = result[begin : begin + _CACHED_ROWS]
        for name, column in columns.items():
            rows[name] = column[begin : begin + _CACHED_ROWS]
    return result


EMPTY = Passes(np.zeros(0, RECORD), np.zeros(0, STEP), np.zeros(1, np.int64))


def _offsets(counts: Array) -> Array:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def concatenate(parts: list[Passes]) -> Passes:
    """Return several batches as one; a single one keeps its facts."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return EMPTY
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Passes(
        np.concatenate([_whole(part.records) for part in parts]).view(RECORD),
        np.concatenate([_whole(part.steps) for part in parts]).view(STEP),
        _offsets(counts),
    )


def _whole(array: Array) -> Array:
    """Return structures as bytes, which numpy copies at once and not field by field."""
    return array.view(f"V{array.dtype.itemsize}")


def decode(slots: Array) -> Passes:
    """Return the passes in slots, shape (n, 256) of uint8, of complete records; those that are no passes are left
    out."""
    if not len(slots):
        return EMPTY
    slots = np.ascontiguousarray(slots)
    starts = np.flatnonzero(slots.view("<u4")[:, 0] != SLOT_CONTINUES)
    first = slots if len(starts) == len(slots) else slots.take(starts, axis=0)
    fields = first.view(_FIRST_SLOT)[:, 0]
    records = _whole(fields["record"]).copy().view(RECORD)
    counts = records["steps"].astype(np.int64)
    offsets = _offsets(counts)
    there = np.minimum(counts, FIRST_STEPS)
    places = np.repeat(np.arange(len(first)) * FIRST_STEPS - _offsets(there)[:-1], there)
    steps = _whole(fields["first"]).reshape(-1).take(places + np.arange(len(places))).view(STEP)
    if len(starts) < len(slots):
        steps = _decode_more(slots, starts, counts, offsets, steps)
    passes = Passes(records, steps, offsets)
    others = records["kind"] >= RECORD_DATA
    return passes.take(~others) if others.any() else passes


def kept_bytes(slots: Array) -> list[tuple[int, int, bytes]]:
    """Return (cpu, seq of the pass, first bytes of its packet) for every record of packets' bytes in slots, shape
    (n, 256) of uint8."""
    if not len(slots):
        return []
    starts, records = _first_slots(slots)
    return [
        (
            int(records["cpu"][place]),
            int(records["seq"][place]),
            slots[starts[place] + 1 : starts[place] + SLOTS_MAX, 8:].tobytes()[: int(records["len"][place])],
        )
        for place in np.flatnonzero(records["kind"] == RECORD_DATA)
    ]


def told_sockets(slots: Array) -> Array:
    """Return the records of sockets in slots, shape (n, 256) of uint8: shape (m,) of RECORD, with SOCKET_FACTS in their
    ``packet``."""
    if not len(slots):
        return EMPTY.records
    _, records = _first_slots(slots)
    found: Array = records[records["kind"] == RECORD_SOCKET]
    return found


def _first_slots(slots: Array) -> tuple[Array, Array]:
    """Return where records begin in slots, and the records."""
    starts = np.flatnonzero(slots.view("<u4")[:, 0] != SLOT_CONTINUES)
    return starts, slots.view(_FIRST_SLOT)[:, 0][starts]["record"]


def _decode_more(slots: Array, starts: Array, counts: Array, offsets: Array, first: Array) -> Array:
    """Return all steps in order, given the steps of the records' first slots."""
    steps = _whole(np.empty(offsets[-1], STEP))
    there = np.minimum(counts, FIRST_STEPS)
    steps[np.repeat(offsets[:-1] - _offsets(there)[:-1], there) + np.arange(len(first))] = _whole(first)
    begins = np.zeros(len(slots), np.int64)
    begins[starts] = 1
    more = np.flatnonzero(begins == 0)
    owner = np.cumsum(begins).take(more) - 1
    before = FIRST_STEPS + (more - starts.take(owner) - 1) * MORE_STEPS  # steps in the slots before
    held = np.clip(counts.take(owner) - before, 0, MORE_STEPS)
    nth = np.arange(held.sum()) - np.repeat(_offsets(held)[:-1], held)
    found = _whole(slots.take(more, axis=0).view(_MORE_SLOT)[:, 0]["more"]).reshape(-1)
    steps[np.repeat(offsets.take(owner) + before, held) + nth] = found.take(
        np.repeat(np.arange(len(more)) * MORE_STEPS, held) + nth
    )
    return steps.view(STEP)
