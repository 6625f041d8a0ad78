# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes to journeys: which passes are trips of the same packet.

Everything works on columns; Python objects are only made for what is shown (``assemble``). Rules, in the
order in which they are tried, each needing the same contents (``fingerprint``):

1. A *late* record (a tap, protocol handler or drop after its packet's core call) belongs to the pass that it
   was nested in, or, in list mode, to the pass of its list receive with the same skb.
2. A pass nested in another on its CPU (a bridge's local delivery, a forwarded packet's transmit) belongs
   to that one's journey; nested in a list receive, to the pass there with the same skb.
3. Passes with the same skb address that follow one another belong together if the packet can have gone
   that way: from a device to the one below or above it, or through a veth to its peer.
4. So do passes whose skbs share their data: clones (a macvlan's broadcast, a bridge's flooding).

The kernel reuses addresses at once, so an address alone never joins: contents and way must agree, and
a pass that repeats a device begins a new journey. What no rule joins stays a journey of its own.

Journeys come in the order in which they began, and are the same however the stream is cut into batches, as
long as no pass lasts longer than ``HOLD_NS - GAP_NS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from .wire import (
    EMPTY,
    RECORD_INSIDE_LIST,
    RECORD_LATE,
    RECORD_LIST,
    RECORD_RX,
    RECORD_TX,
    STEP,
    STEP_DROP,
    STEP_HANDLER,
    STEP_VLAN,
    VERDICT_ANOTHER,
    Array,
    Passes,
    concatenate,
)

HOLD_NS = 100_000_000
_WAYS = ("up", "down", "over", "through")
GAP_NS = 50_000_000  # at most this lies between the end of a pass and the begin of the next of its journey

Related = Callable[[tuple[int, int], tuple[int, int], str], bool]


@dataclass(frozen=True)
class Journeys:
    """``passes`` in the order of their journeys and times; journey ``i`` has the passes
    ``offsets[i]:offsets[i + 1]`` and the number ``numbers[i]``, counted from the begin of the trace."""

    passes: Passes
    offsets: Array
    numbers: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, places: Array) -> Journeys:
        """The journeys at these places (an index array, in order), with their numbers."""
        counts = np.diff(self.offsets)[places]
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        begins = np.repeat(self.offsets[places] - offsets[:-1], counts)
        return Journeys(self.passes.take(begins + np.arange(offsets[-1])), offsets, self.numbers[places])

    @property
    def of_pass(self) -> Array:
        """For every pass the place of its journey, shape (passes,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def fingerprint(passes: Passes) -> Array:
    """A number a pass that is equal for the same packet on different devices, shape (n,) of uint64.

    It covers what no hop on this host rewrites: not the MAC addresses (ALB, macvlan), the VLAN tags, TTL,
    checksums. Bytes beyond the captured ones count as zero.
    """
    packet = passes.records["packet"].copy()
    captured = passes.records["captured"].astype(np.int64)
    packet[np.arange(packet.shape[1]) >= captured[:, None]] = 0
    for _ in range(2):  # a customer's tag in a provider's
        ethertype = packet[:, 12].astype(np.uint32) << 8 | packet[:, 13]
        tagged = np.isin(ethertype, (0x8100, 0x88A8)) & np.isin(passes.records["arphrd"], (1, 772))
        packet[tagged, :-4] = packet[tagged, 4:]
    body = packet[:, 14:76]
    kind = packet[:, 12].astype(np.uint32) << 8 | packet[:, 13]
    ipv4, ipv6 = kind == 0x0800, kind == 0x86DD
    body[np.ix_(ipv4, (1, 8, 10, 11))] = 0
    body[np.ix_(ipv6, (7,))] = 0
    for is_ip, header, protocol in ((ipv4, 20, body[:, 9]), (ipv6, 40, body[:, 6])):
        body[np.ix_(is_ip & (protocol == 6), (header + 16, header + 17))] = 0
        body[np.ix_(is_ip & (protocol == 17), (header + 6, header + 7))] = 0
    weights = np.random.default_rng(20141122).integers(1, 1 << 63, body.shape[1], dtype=np.uint64) | np.uint64(1)
    with np.errstate(over="ignore"):
        mixed: Array = (body.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        mixed += kind.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mixed


class Stitcher:
    """Joins a stream of batches. ``related(a, b, way)`` says whether a packet can go from device ``a`` to ``b``,
    each (netns, ifindex), as the devices are stacked now; ``way`` is "up", "down", "over" or "through"
    (Scene.related). ``strays`` says whether late records without their pass are journeys: with a packet filter they
    are of packets that it refused."""

    def __init__(self, related: Related, first_id: int = 1, strays: Callable[[], bool] = lambda: True) -> None:
        self._related, self._strays = related, strays
        self._held = EMPTY
        self._next_id = first_id

    def add(self, batch: Passes, now_ns: int) -> Journeys:
        """Take a batch; give the journeys that nothing later than ``now_ns`` can add to."""
        self._held = concatenate([self._held, batch])
        return self._complete(now_ns - HOLD_NS)

    def flush(self) -> Journeys:
        """Give what is left."""
        return self._complete(None)

    def _complete(self, before_ns: int | None) -> Journeys:
        passes = merge_late(self._held)
        order = np.argsort(passes.records["time_ns"], kind="stable")
        passes = passes.take(order)
        journey = join(passes, self._related)
        if before_ns is not None:
            ends = passes.records["time_ns"] + passes.records["duration_ns"]
            last = np.zeros(len(passes), np.uint64)
            np.maximum.at(last, journey, ends)
            done = last[journey] < before_ns if before_ns > 0 else np.zeros(len(passes), bool)
            done &= journey < journey[~done].min(initial=len(passes))  # none before one that began earlier
            self._held = passes.take(~done)
            passes, journey = passes.take(done), journey[done]
        else:
            self._held = EMPTY
        if not self._strays():
            known = passes.records["kind"] != RECORD_LATE
            passes, journey = passes.take(known), journey[known]
        return self._number(passes, journey)

    def _number(self, passes: Passes, journey: Array) -> Journeys:
        order = np.argsort(journey, kind="stable")
        begins = np.flatnonzero(np.diff(journey[order], prepend=-1))
        offsets = np.append(begins, len(passes)).astype(np.int64)
        numbers = np.arange(self._next_id, self._next_id + len(begins))
        self._next_id += len(begins)
        return Journeys(passes.take(order), offsets, numbers)


def merge_late(passes: Passes) -> Passes:
    """Move the steps of late records into the passes they belong to. A late record that finds none stays as
    it is."""
    late = np.flatnonzero(passes.records["kind"] == RECORD_LATE)
    if not len(late):
        return passes
    counts = np.diff(passes.offsets)
    owner = np.repeat(np.arange(len(passes)), counts)
    moved = np.flatnonzero(np.isin(owner, late))
    drops = passes.steps["kind"][moved] == STEP_DROP
    whose = passes.records["skb"][owner[moved]].astype(np.uint32)  # a drop's step has another address
    skb_low = np.where(drops, whose, passes.steps["skb_low"][moved])
    target = _late_targets(passes, owner[moved], skb_low)
    found = target >= 0
    strays = moved[~found & drops]  # of a packet that was never told: it says nothing
    moved, target = moved[found], target[found]
    steps = passes.steps.copy()
    shift = (passes.records["time_ns"][owner[moved]].astype(np.int64)
             - passes.records["time_ns"][target].astype(np.int64))
    steps["t_ns"][moved] = np.clip(steps["t_ns"][moved] + shift, 0, 0xFFFFFFFF)
    owner[moved] = target
    keep = np.ones(len(owner), bool)
    keep[strays] = False
    return _regroup(passes, steps[keep], owner[keep])


def _regroup(passes: Passes, steps: Array, owner: Array) -> Passes:
    """Give the steps to their new owners, in order of time; drop late records left empty."""
    order = np.lexsort((steps["t_ns"], owner))
    counts = np.bincount(owner, minlength=len(passes))
    records = passes.records.copy()
    records["steps"] = counts
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    whole = Passes(records, steps[order].astype(STEP, copy=False), offsets)
    return whole.take((records["kind"] != RECORD_LATE) | (counts > 0))


def _late_targets(passes: Passes, owner: Array, skb_low: Array) -> Array:
    """The pass that each late step belongs to, or -1; shape of ``owner``."""
    records = passes.records
    nested = {(int(r["cpu"]), int(r["seq"])): i for i, r in _rows(records, records["kind"] != RECORD_LATE)}
    listed: dict[tuple[int, int, int], int] = {}
    for i, r in _rows(records, (records["kind"] == RECORD_RX) & (records["flags"] & RECORD_INSIDE_LIST == 0)):
        for skb in (int(r["skb"]), int(r["last_skb"])):
            listed[int(r["cpu"]), int(r["frame"]), skb & 0xFFFFFFFF] = i
    targets = np.full(len(owner), -1, np.int64)
    for place, (late, low) in enumerate(zip(owner, skb_low)):
        record = records[late]
        cpu = int(record["cpu"])
        target = nested.get((cpu, int(record["parent"]))) if record["parent"] else None
        if target is None:
            target = listed.get((cpu, int(record["frame"]), int(low)))
        if target is not None:
            targets[place] = target
    return targets


def _rows(records: Array, mask: Array) -> list[tuple[int, Array]]:
    return [(int(i), records[i]) for i in np.flatnonzero(mask)]


def join(passes: Passes, related: Related) -> Array:
    """For every pass (sorted by time) the place of its journey's first pass, shape (n,)."""
    count = len(passes)
    prints = fingerprint(passes)
    before = np.arange(count)
    _join_nested(passes, prints, before)
    _join_in_list(passes, prints, before)
    _join_same(passes.records["skb"], passes, prints, before, related)
    _join_same(passes.records["head"], passes, prints, before, related)
    while True:  # follow the links to the first pass of each journey
        further = before[before]
        if np.array_equal(further, before):
            return before
        before = further


def _join_nested(passes: Passes, prints: Array, before: Array) -> None:
    records = passes.records
    nested = np.flatnonzero((records["parent"] > 0) & (records["kind"] != RECORD_LATE))
    if not len(nested):
        return
    key = records["cpu"].astype(np.int64) << 32 | records["seq"]
    order = np.argsort(key, kind="stable")
    wanted = records["cpu"][nested].astype(np.int64) << 32 | records["parent"][nested]
    found = order[np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)]
    same = (key[found] == wanted) & (prints[found] == prints[nested]) & (found < nested)
    before[nested[same]] = found[same]


def _join_in_list(passes: Passes, prints: Array, before: Array) -> None:
    """What was sent or received again inside a list receive, to the pass there with the same skb."""
    records = passes.records
    inside = np.flatnonzero(records["flags"] & RECORD_INSIDE_LIST)
    listed = np.flatnonzero((records["kind"] == RECORD_RX)
                            & (records["flags"] & (RECORD_LIST | RECORD_INSIDE_LIST) == RECORD_LIST))
    if not len(inside) or not len(listed):
        return
    for skb in (records["skb"][listed].astype(np.uint32), records["last_skb"][listed]):
        key = _list_key(records[listed], skb, prints[listed])
        order = np.argsort(key, kind="stable")
        wanted = _list_key(records[inside], records["skb"][inside].astype(np.uint32), prints[inside])
        place = order[np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)]
        found = listed[place]
        same = (key[place] == wanted) & (found < inside) & (before[inside] == inside)
        before[inside[same]] = found[same]


def _list_key(records: Array, skb: Array, prints: Array) -> Array:
    """A number for (CPU, list receive, skb, contents)."""
    with np.errstate(over="ignore"):
        key: Array = records["cpu"].astype(np.uint64) << np.uint64(32) | records["frame"]
        key *= np.uint64(0x9E3779B97F4A7C15)
        return (key ^ skb.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9) ^ prints


def _ways_out(passes: Passes) -> Array:
    """For every pass the ifindex of the device that the packet was on last, shape (n,) of uint32."""
    last: Array = passes.records["ifindex"].copy()
    some = np.flatnonzero(np.diff(passes.offsets))
    steps = passes.steps[passes.offsets[1:][some] - 1]
    onward = np.isin(steps["kind"], (STEP_HANDLER, STEP_VLAN)) & (steps["result"] == VERDICT_ANOTHER)
    last[some] = np.where(onward, steps["arg"], steps["ifindex"])
    return last


def _join_same(address: Array, passes: Passes, prints: Array, before: Array, related: Related) -> None:
    """Passes that follow one another with the same address (0: not known) of their skb or of its data."""
    records = passes.records
    order = np.lexsort((records["time_ns"], address))
    first, second = order[:-1], order[1:]
    netns = records["netns"].astype(np.uint64) << np.uint64(32)
    device = netns | records["ifindex"]
    left = netns | _ways_out(passes)
    may = ((address[first] == address[second]) & (address[first] != 0) & (prints[first] == prints[second])
           & (device[first] != device[second]) & (records["kind"][first] != RECORD_LATE)
           & (records["kind"][second] != RECORD_LATE) & (before[second] == second))
    may &= records["time_ns"][second] <= records["time_ns"][first] + records["duration_ns"][first] + np.uint64(GAP_NS)
    links = np.flatnonzero(may)
    if not len(links):
        return
    was_sent, is_sent = records["kind"][first] == RECORD_TX, records["kind"][second] == RECORD_TX
    way = np.where(is_sent, np.where(was_sent, 1, 3), np.where(was_sent, 2, 0))
    ways = np.stack([device[first[links]], left[first[links]], device[second[links]], way[links].astype(np.uint64)])
    pairs, which = np.unique(ways, axis=1, return_inverse=True)
    may[links] = np.array([related(_key(entered), _key(to), _WAYS[how]) or related(_key(last), _key(to), _WAYS[how])
                           for entered, last, to, how in pairs.T.tolist()])[which.reshape(-1)]
    _cut_repeats(may, device[order], records["kind"][order])
    before[second[may]] = first[may]


def _key(device: int) -> tuple[int, int]:
    return device >> 32, device & 0xFFFFFFFF


def _cut_repeats(linked: Array, device: Array, kind: Array) -> None:
    """``linked[i]`` says that pass ``i + 1`` follows pass ``i``: cut where a chain comes by a device again in the
    same direction, which is the same contents sent once more."""
    chain = np.concatenate([[0], np.cumsum(~linked)])
    order = np.lexsort((np.arange(len(device)), kind, device, chain))
    earlier, later = order[:-1], order[1:]
    again = (chain[earlier] == chain[later]) & (device[earlier] == device[later]) & (kind[earlier] == kind[later])
    begin = 0
    for last, place in sorted(zip(earlier[again].tolist(), later[again].tolist()), key=lambda pair: pair[1]):
        if last >= begin:
            linked[place - 1] = False
            begin = place


__all__ = ["HOLD_NS", "Journeys", "Stitcher", "fingerprint", "join", "merge_late"]
