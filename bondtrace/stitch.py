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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Callable

import numpy as np

from .columns import alike, mix, stable_order
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
    columns,
    concatenate,
)

HOLD_NS = 100_000_000
_WAYS = ("up", "down", "over", "through")
REST_NS = 2 * HOLD_NS  # where there is much traffic, journeys are given so often,
_MANY = 1 << 18  # and whenever so many passes have come together
_FEW = 1 << 13  # so many passes are joined anew whenever some come
GAP_NS = 50_000_000  # at most this lies between the end of a pass and the begin of the next of its journey

Columns = Mapping[str, Array]
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
    prints = np.empty(len(passes), np.uint64)
    for begin in range(0, len(passes), _CACHED_ROWS):
        prints[begin: begin + _CACHED_ROWS] = _prints(passes.records[begin: begin + _CACHED_ROWS])
    return prints


def with_prints(passes: Passes) -> Passes:
    """The same, with their fingerprints: work that a ``Stitcher`` need not do then, and that another thread can."""
    return replace(passes, prints=fingerprint(passes))


def _prints(records: Array) -> Array:
    body = records["packet"][:, _TYPE: _TYPE + _COVERED].copy()
    words = body.view("<u8")
    short = np.flatnonzero(records["captured"] < _TYPE + _COVERED)
    words[short] &= _CAPTURED.take(records["captured"].take(short), axis=0)
    tagged = np.flatnonzero(_is_tag(body) & np.isin(records["arphrd"], (1, 772)))
    if len(tagged):
        body[tagged] = _untagged(records["packet"][tagged], records["captured"][tagged])
    words &= _kept(body)
    words ^= words >> np.uint64(32)  # so that no two of the highest bits outweigh each other
    mixed: Array = words @ _WEIGHTS
    return mixed


_CACHED_ROWS = 1 << 12
_TYPE, _COVERED = 12, 64  # from the Ethernet type on, so many bytes
_WEIGHTS = np.random.default_rng(20141122).integers(1, 1 << 63, _COVERED // 8, dtype=np.uint64) | np.uint64(1)


def _is_tag(body: Array) -> Array:
    tag: Array = (body[:, 0] == 0x81) & (body[:, 1] == 0) | (body[:, 0] == 0x88) & (body[:, 1] == 0xA8)
    return tag


def _untagged(packet: Array, captured: Array) -> Array:
    """What is covered of packets that have VLAN tags in their bytes: one, or a customer's in a provider's."""
    packet[np.arange(packet.shape[1]) >= captured.astype(np.int64)[:, None]] = 0
    for _ in range(2):
        tagged = _is_tag(packet[:, _TYPE:])
        packet[tagged, :-4] = packet[tagged, 4:]
    return packet[:, _TYPE: _TYPE + _COVERED]


def _mask(*zero: int) -> Array:
    """Words that keep all bytes but these, counted from the network header."""
    mask = np.full(_COVERED, 0xFF, np.uint8)
    mask[[2 + place for place in zero]] = 0
    return mask.view("<u8")


_CAPTURED = np.where(np.arange(_TYPE, _TYPE + _COVERED) < np.arange(256)[:, None], 0xFF, 0).astype(np.uint8).view("<u8")
# What a hop may rewrite: in IPv4 TOS, TTL, checksum, in IPv6 the hop limit; the checksums of TCP and UDP.
_OF_OTHERS, _OF_IPV4, _OF_IPV6 = 0, 1, 4
_REWRITTEN = np.stack([_mask(), _mask(1, 8, 10, 11), _mask(1, 8, 10, 11, 36, 37), _mask(1, 8, 10, 11, 26, 27),
                       _mask(7), _mask(7, 56, 57), _mask(7, 46, 47)])


def _kept(body: Array) -> Array:
    """What of each packet no hop rewrites, as words: shape (n, 8), or (8,) where it is the same for all."""
    kind = body[:, 0].astype(np.uint16) << 8 | body[:, 1]
    ipv4, ipv6 = kind == 0x0800, kind == 0x86DD
    of = ipv4 * np.uint8(_OF_IPV4) + ipv6 * np.uint8(_OF_IPV6)
    protocol = np.where(ipv6, body[:, 2 + 6], body[:, 2 + 9])
    of += (ipv4 | ipv6) * ((protocol == 6) * np.uint8(1) + (protocol == 17) * np.uint8(2))
    same = bool(len(of)) and bool((of == of[0]).all())
    mask: Array = _REWRITTEN[of[0]] if same else _REWRITTEN.take(of, axis=0)
    return mask


class Stitcher:
    """Joins a stream of batches. ``related(a, b, way)`` says whether a packet can go from device ``a`` to ``b``,
    each (netns, ifindex), as the devices are stacked now; ``way`` is "up", "down", "over" or "through"
    (Scene.related). ``strays`` says whether late records without their pass are journeys: with a packet filter they
    are of packets that it refused. ``rest_ns``: how long ``add(later=True)`` may let journeys wait."""

    def __init__(self, related: Related, first_id: int = 1, strays: Callable[[], bool] = lambda: True,
                 rest_ns: int = REST_NS) -> None:
        self._related, self._strays, self._rest_ns = related, strays, rest_ns
        self._held: list[Passes] = []
        self._next_id = first_id
        self._told_ns = 0

    def add(self, batch: Passes, now_ns: int, later: bool = False) -> Journeys:
        """Take a batch; give the journeys that nothing later than ``now_ns`` can add to. ``later``: where there is much
        traffic, give none until a later call. What is held back is joined anew in every call that gives some."""
        if len(batch):
            self._held.append(batch)
        held = sum(len(one) for one in self._held)
        if later and _FEW <= held < _MANY and self._told_ns <= now_ns < self._told_ns + self._rest_ns:
            return Journeys(EMPTY, np.zeros(1, np.int64), np.zeros(0, np.int64))
        self._told_ns = now_ns
        return self._complete(now_ns - HOLD_NS)

    def flush(self) -> Journeys:
        """Give what is left."""
        return self._complete(None)

    def _complete(self, before_ns: int | None) -> Journeys:
        passes = merge_late(concatenate(self._held))
        order = stable_order(passes.records["time_ns"])
        records, journey = _join(passes, order, self._related)
        self._held = []
        places = np.arange(len(passes))
        if before_ns is not None:
            ends = records["time_ns"] + records["duration_ns"]
            last = np.zeros(len(passes), np.uint64)
            np.maximum.at(last, journey, ends)
            done = last.take(journey) < before_ns if before_ns > 0 else np.zeros(len(passes), bool)
            done &= journey < journey[~done].min(initial=len(passes))  # none before one that began earlier
            self._held = [passes.take(order[~done])] if not done.all() else []
            places = np.flatnonzero(done)
        if not self._strays():
            places = places[records["kind"].take(places) != RECORD_LATE]
        return self._number(passes, order, journey, places)

    def _number(self, passes: Passes, by_time: Array, journey: Array, places: Array) -> Journeys:
        """The passes at these places in order of time as journeys, with the next numbers."""
        places = places.take(stable_order(journey.take(places)))
        begins = np.flatnonzero(np.diff(journey.take(places), prepend=-1))
        offsets = np.append(begins, len(places)).astype(np.int64)
        numbers = np.arange(self._next_id, self._next_id + len(begins))
        self._next_id += len(begins)
        return Journeys(replace(passes, prints=None).take(by_time.take(places)), offsets, numbers)


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
    cpu, kind = records["cpu"].astype(np.uint64) << np.uint64(32), records["kind"]
    parent = records["parent"].take(owner)
    at = np.flatnonzero(kind != RECORD_LATE)
    nested = _last_like((cpu | records["seq"]).take(at), cpu.take(owner) | parent)
    targets = np.where((nested >= 0) & (parent > 0), at.take(nested), -1) if len(at) else np.full(len(owner), -1)
    at = np.flatnonzero((kind == RECORD_RX) & (records["flags"] & RECORD_INSIDE_LIST == 0))
    _, _, which = alike(cpu | records["frame"])
    frame = which.astype(np.uint64) << np.uint64(32)
    both = np.stack([records["skb"].take(at) & np.uint64(0xFFFFFFFF), records["last_skb"].take(at)], axis=1)
    listed = _last_like((frame.take(at)[:, None] | both).reshape(-1), frame.take(owner) | skb_low)
    rest = (targets < 0) & (listed >= 0)
    targets[rest] = at[listed[rest] // 2]
    return targets


def _last_like(keys: Array, wanted: Array) -> Array:
    """For each number that is wanted the last place in ``keys`` that has it, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1)
    order = stable_order(keys)
    found = order.take(np.maximum(np.searchsorted(keys.take(order), wanted, side="right") - 1, 0))
    return np.where(keys.take(found) == wanted, found, -1)


def join(passes: Passes, related: Related) -> Array:
    """For every pass (sorted by time) the place of its journey's first pass, shape (n,)."""
    return _join(passes, np.arange(len(passes)), related)[1]


_JOINED_BY = ("time_ns", "duration_ns", "kind", "cpu", "seq", "parent", "flags", "frame", "skb", "last_skb", "head",
              "netns", "ifindex")


def _join(passes: Passes, order: Array, related: Related) -> tuple[Columns, Array]:
    """The same, and the passes' columns ``_JOINED_BY``: both of the passes in this order, that of time. The passes
    themselves stay where they are: a copy of them takes longer than one of all that is asked of them."""
    count = len(passes)
    records = columns(passes.records, *_JOINED_BY)
    prints = fingerprint(passes) if passes.prints is None else passes.prints
    left = _ways_out(passes, records)
    if not (order[1:] > order[:-1]).all():
        records = {name: column.take(order) for name, column in records.items()}
        prints, left = prints.take(order), left.take(order)
    before = np.arange(count)
    _join_nested(records, prints, before)
    _join_in_list(records, prints, before)
    for address in (records["skb"], records["head"]):
        _join_same(address, records, left, prints, before, related)
    while True:  # follow the links to the first pass of each journey
        further = before.take(before)
        if np.array_equal(further, before):
            return records, before
        before = further


def _join_nested(records: Columns, prints: Array, before: Array) -> None:
    nested = np.flatnonzero((records["parent"] > 0) & (records["kind"] != RECORD_LATE))
    if not len(nested):
        return
    cpu = records["cpu"].astype(np.uint64) << np.uint64(32)
    key = cpu | records["seq"]
    order = stable_order(key)
    wanted = cpu.take(nested) | records["parent"].take(nested)
    found = order.take(np.minimum(np.searchsorted(key.take(order), wanted), len(order) - 1))
    same = (key.take(found) == wanted) & (prints.take(found) == prints.take(nested)) & (found < nested)
    before[nested[same]] = found[same]


def _join_in_list(records: Columns, prints: Array, before: Array) -> None:
    """What was sent or received again inside a list receive, to the pass there with the same skb."""
    inside = np.flatnonzero(records["flags"] & RECORD_INSIDE_LIST)
    listed = np.flatnonzero((records["kind"] == RECORD_RX)
                            & (records["flags"] & (RECORD_LIST | RECORD_INSIDE_LIST) == RECORD_LIST))
    if not len(inside) or not len(listed):
        return
    wanted = _list_key(records, inside, records["skb"], prints)
    for skb in (records["skb"], records["last_skb"]):
        key = _list_key(records, listed, skb, prints)
        order = stable_order(key)
        place = order[np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)]
        found = listed[place]
        same = (key[place] == wanted) & (found < inside) & (before[inside] == inside)
        before[inside[same]] = found[same]


def _list_key(records: Columns, places: Array, skb: Array, prints: Array) -> Array:
    """A number for (CPU, list receive, skb, contents) of these passes."""
    with np.errstate(over="ignore"):
        key: Array = records["cpu"][places].astype(np.uint64) << np.uint64(32) | records["frame"][places]
        key *= np.uint64(0x9E3779B97F4A7C15)
        return ((key ^ skb[places].astype(np.uint32)) * np.uint64(0xBF58476D1CE4E5B9)) ^ prints[places]


def _ways_out(passes: Passes, records: Columns) -> Array:
    """For every pass the ifindex of the device that the packet was on last, shape (n,) of uint32."""
    last: Array = records["ifindex"].copy()
    some = np.flatnonzero(np.diff(passes.offsets))
    steps = columns(passes.steps.take(passes.offsets[1:].take(some) - 1), "kind", "result", "arg", "ifindex")
    onward = ((steps["kind"] == STEP_HANDLER) | (steps["kind"] == STEP_VLAN)) & (steps["result"] == VERDICT_ANOTHER)
    last[some] = np.where(onward, steps["arg"], steps["ifindex"])
    return last


def _join_same(address: Array, records: Columns, left: Array, prints: Array, before: Array, related: Related) -> None:
    """Passes that follow one another with the same address (0: not known) of their skb or of its data; ``left`` are the
    devices on which the packets were last."""
    order = stable_order(address)  # and, where it is the same, of time
    address, kind, printed = address.take(order), records["kind"].take(order), prints.take(order)
    netns = records["netns"].astype(np.uint64) << np.uint64(32)
    device = (netns | records["ifindex"]).take(order)
    time_ns = records["time_ns"].take(order)
    until_ns = time_ns + records["duration_ns"].take(order) + np.uint64(GAP_NS)
    told = kind != RECORD_LATE
    may = ((address[:-1] == address[1:]) & (address[1:] != 0) & (printed[:-1] == printed[1:])
           & (device[:-1] != device[1:]) & told[:-1] & told[1:] & (time_ns[1:] <= until_ns[:-1]))
    may &= (before == np.arange(len(before))).take(order[1:])
    links = np.flatnonzero(may)
    if not len(links):
        return
    went = (netns | left).take(order.take(links))
    sent = kind == RECORD_TX
    way = np.where(sent[1:], np.where(sent[:-1], 1, 3), np.where(sent[:-1], 2, 0)).take(links)
    ways = np.stack([device.take(links), went, device.take(links + 1), way.astype(np.uint64)])
    some, _, which = alike(mix(*ways))
    may[links] = np.array([related(_key(entered), _key(to), _WAYS[how]) or related(_key(last), _key(to), _WAYS[how])
                           for entered, last, to, how in ways[:, some].T.tolist()])[which]
    _cut_repeats(may, device, kind)
    before[order[1:][may]] = order[:-1][may]


def _key(device: int) -> tuple[int, int]:
    return device >> 32, device & 0xFFFFFFFF


def _cut_repeats(linked: Array, device: Array, kind: Array) -> None:
    """``linked[i]`` says that pass ``i + 1`` follows pass ``i``: cut where a chain comes by a device again in the
    same direction, which is the same contents sent once more."""
    chain = np.concatenate([[0], np.cumsum(~linked)])
    # A link is between two devices: only a chain of three passes or more can come by one again.
    long = np.flatnonzero(np.bincount(chain).take(chain) > 2)
    order = long.take(np.lexsort((long, kind.take(long), device.take(long), chain.take(long))))
    earlier, later = order[:-1], order[1:]
    again = (chain[earlier] == chain[later]) & (device[earlier] == device[later]) & (kind[earlier] == kind[later])
    begin = 0
    for last, place in sorted(zip(earlier[again].tolist(), later[again].tolist()), key=lambda pair: pair[1]):
        if last >= begin:
            linked[place - 1] = False
            begin = place


__all__ = ["HOLD_NS", "Journeys", "Stitcher", "fingerprint", "join", "merge_late", "with_prints"]
