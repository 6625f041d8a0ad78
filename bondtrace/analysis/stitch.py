# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes to journeys: which passes are trips of the same packet.

Everything works on columns; Python objects are made only for what is shown (``assemble``). The rules, in the order in
which they are tried; 2 to 4 also need the same contents (``fingerprint``):

1. A *late* record (a tap, protocol handler or drop after its packet's core call) belongs to the pass that it names as
   its parent, or, in list mode, to the pass of its list receive with the same skb.
2. A pass nested in another on its CPU (a bridge's local delivery, a forwarded packet's transmit) belongs to that one's
   journey; nested in a list receive, to the pass there with the same skb.
3. Passes with the same skb address that follow one another belong together if the packet can have gone that way: from a
   device to the one below or above it, through a veth to its peer, or routed to another device (``Devices.related``).
4. So do passes whose skbs share their data (``head``): clones (a macvlan's broadcast, a bridge's flooding).

The kernel reuses addresses at once, so an address alone never joins: contents and way must agree, and a pass that
repeats a device begins a new journey. What no rule joins stays a journey of its own.

Invariant: journeys come in the order in which they began, and are the same however the stream is cut into batches, as
long as no pass lasts longer than ``HOLD_NS - GAP_NS``.

Example (tests/analysis/test_stitch.py runs it): on one CPU, eth0, a slave of bond0, receives two packets in list 9 and
one in list 10. "(9)" is inside list 9, after its core calls::

    pass          µs  list  skb  head  contents
    1 rx eth0      0  9     A    1     an echo request; the bond's rx_handler hands it to bond0
    2 rx eth0      5  9     B    2     a packet to be routed, handed to bond0 as well
    3 late bond0  10  9     A B  -     ip_list_rcv, a step for each of the two
    4 tx bond0    15  (9)   C    3     the echo reply
    5 tx eth0     20  (9)   C    3     the echo reply
    6 tx eth2     25  (9)   B    2     pass 2's packet, with other MAC addresses and TTL
    7 rx eth0     60  10    A    4     a broadcast, handed to bond0; address A is in use again
    8 rx mv0      90  -     D    4     a clone of it, which a worker hands to mv0, a macvlan on bond0

- Rule 1 moves each step of 3 to the pass of list 9 with its skb: A's to 1, B's to 2. Nothing is left of 3.
- Rule 2 joins 6 to 2, the pass of list 9 with skb B. That list has no pass with skb C.
- Rule 3 joins 5 to 4: same skb and contents, and eth0 is below bond0. 7 follows 1 with skb A, but has other contents.
- Rule 4 joins 8 to 7: same head and contents, and mv0 is above bond0, the device that 7 was on last.

So there are four journeys, in this order: 1; 2 and 6; 4 and 5; 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Callable

import numpy as np

from ..format.wire import (
    DROPPED_CLONE,
    EMPTY,
    FUNCTIONS,
    NETNS_NEXT_STEP,
    RECORD_INSIDE_LIST,
    RECORD_LATE,
    RECORD_LIST,
    RECORD_RX,
    RECORD_TX,
    STEP,
    STEP_DROP,
    STEP_NETNS,
    Array,
    Passes,
    concatenate,
)
from ..util.arrays import alike, first_like, mix, stable_order
from .shapes import Facts, facts, with_facts
from .whereabouts import namespaces

HOLD_NS = 100_000_000
_LISTS = [func for func, name in FUNCTIONS.items() if name.endswith("_list_rcv")]
_WAYS = ("up", "down", "over", "through")
REST_NS = 2 * HOLD_NS  # with much traffic, the time between two calls that return journeys,
_MANY = 1 << 18  # unless this many passes are held
_FEW = 1 << 13  # below this number, passes are joined again on every call
GAP_NS = 50_000_000  # the longest time between the end of a pass and the beginning of the next one of its journey

Related = Callable[[tuple[int, int], tuple[int, int], str], bool]


@dataclass(frozen=True)
class Rows:
    """The passes of several batches, numbered consecutively; only those that are asked for are copied."""

    parts: tuple[Passes, ...] = ()

    @property
    def ends(self) -> list[int]:
        """For every batch, the number after that of its last pass."""
        return list(accumulate(len(part) for part in self.parts))

    def take(self, numbers: Array) -> Passes:
        """Return the passes with these numbers, in this order."""
        wanted = np.zeros(sum(map(len, self.parts)), bool)
        wanted[numbers] = True
        begins = [0, *self.ends]
        found = [
            replace(part, facts=None).take(wanted[begin : begin + len(part)]) for begin, part in zip(begins, self.parts)
        ]
        return concatenate(found).take((np.cumsum(wanted) - 1).take(numbers))


@dataclass(frozen=True)
class Journeys:
    """Journeys as columns.

    Journey ``i`` has the passes ``offsets[i]:offsets[i + 1]`` of ``passes`` and the number ``numbers[i]``, counted from
    the beginning of the trace; it began at ``begins_ns[i]``, and ``shapes[i]`` is a hash of all that an answer can
    depend on, except the times. ``places`` are the numbers of the passes in ``rows``.
    """

    rows: Rows
    places: Array
    offsets: Array
    numbers: Array
    begins_ns: Array
    shapes: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def passes(self) -> Passes:
        """The passes ordered by journey and time: a copy, made when it is first asked for."""
        return self.rows.take(self.places)

    def take(self, places: Array) -> Journeys:
        """Return the journeys at these places (an index array, in order), with their numbers."""
        counts = np.diff(self.offsets).take(places)
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        begins = np.repeat(self.offsets.take(places) - offsets[:-1], counts)
        return Journeys(
            self.rows,
            self.places.take(begins + np.arange(offsets[-1])),
            offsets,
            self.numbers.take(places),
            self.begins_ns.take(places),
            self.shapes.take(places),
        )

    @property
    def of_pass(self) -> Array:
        """For every pass, the place of its journey, shape (passes,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


NO_JOURNEYS = Journeys(
    Rows(),
    np.zeros(0, np.int64),
    np.zeros(1, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.uint64),
    np.zeros(0, np.uint64),
)


class Stitcher:
    """Joins a stream of batches to journeys.

    :param related: ``related(a, b, way)`` says whether a packet can go from device ``a`` to ``b``, each (netns,
        ifindex), as the devices are stacked now; ``way`` is "up", "down", "over" or "through" (``Devices.related``).
    :param first_id: the number of the first journey.
    :param strays: says whether late records without their pass are journeys. With a packet filter they are not: they
        are of packets that it refused.
    :param rest_ns: how long ``add(later=True)`` may hold journeys back.
    """

    def __init__(
        self, related: Related, first_id: int = 1, strays: Callable[[], bool] = lambda: True, rest_ns: int = REST_NS
    ) -> None:
        self._related, self._strays, self._rest_ns = related, strays, rest_ns
        self._coming: list[Passes] = []
        self._rows, self._held, self._facts = Rows(), np.zeros(0, np.int64), facts(EMPTY)
        self._next_id = first_id
        self._told_ns = 0

    def add(self, batch: Passes, now_ns: int, later: bool = False) -> Journeys:
        """Take a batch; return the journeys to which nothing later than ``now_ns`` can add.

        What is held back is joined again in every call that returns some.

        :param later: with much traffic, return none until a later call.
        """
        if len(batch):
            self._coming.append(batch)
        held = len(self._held) + sum(map(len, self._coming))
        if later and _FEW <= held < _MANY and self._told_ns <= now_ns < self._told_ns + self._rest_ns:
            return NO_JOURNEYS
        self._told_ns = now_ns
        return self._complete(now_ns - HOLD_NS)

    def flush(self) -> Journeys:
        """Return the journeys that are left."""
        return self._complete(None)

    def _complete(self, before_ns: int | None) -> Journeys:
        self._take_in()
        lot = _Lot(self._facts, stable_order(self._facts["time_ns"]))
        journey = _join(lot, self._related)
        done = np.ones(len(journey), bool)
        if before_ns is not None:  # none that is not over, and none that began after one that is not
            open_ = lot["end_ns"] >= before_ns if before_ns > 0 else done
            done = journey < journey[open_].min(initial=len(journey))
        places = np.flatnonzero(done)
        if not self._strays():
            places = places.compress(lot["kind"].take(places) != RECORD_LATE)
        journeys = self._number(lot, journey, places)
        self._hold(lot.order.compress(~done))
        return journeys

    def _take_in(self) -> None:
        """Append what has come to what is held; move the steps of late records to where they belong."""
        coming, self._coming = self._coming, []
        if any(part.facts is None for part in coming):  # a live trace has many small batches: all at once
            coming = [with_facts(concatenate(coming))]
        known = [self._facts, *(part.facts or {} for part in coming)]
        first = sum(map(len, self._rows.parts))
        self._rows = Rows((*self._rows.parts, *coming))
        self._held = np.concatenate([self._held, np.arange(first, sum(map(len, self._rows.parts)))])
        self._facts = {name: np.concatenate([one[name] for one in known]) for name in self._facts}
        if (self._facts["kind"] == RECORD_LATE).any():
            whole = with_facts(merge_late(self._rows.take(self._held)))
            self._rows, self._held, self._facts = Rows((whole,)), np.arange(len(whole)), whole.facts or {}

    def _hold(self, places: Array) -> None:
        """Hold back only the passes at these places."""
        self._held = self._held.take(places)
        self._facts = {name: column.take(places) for name, column in self._facts.items()}
        done = sum(bool(end <= self._held.min(initial=end)) for end in self._rows.ends)
        self._held -= [0, *self._rows.ends][done]
        self._rows = Rows(self._rows.parts[done:])

    def _number(self, lot: _Lot, journey: Array, places: Array) -> Journeys:
        """Return the passes at these places, which are ordered by time, as journeys with the next numbers."""
        of = journey.take(places)
        firsts, rest = places.compress(of == places), places.compress(of != places)
        nth = np.empty(len(journey), np.int64)
        nth[firsts] = np.arange(len(firsts))
        of = nth.take(of.compress(of != places))  # of the rest
        by_journey = stable_order(of)
        rest, of = rest.take(by_journey), of.take(by_journey)
        counts = np.bincount(of, minlength=len(firsts))
        offsets = np.zeros(len(firsts) + 1, np.int64)
        np.cumsum(counts + 1, out=offsets[1:])
        within = np.arange(1, len(rest) + 1) - (np.cumsum(counts) - counts).take(of)
        whole = np.empty(len(places), np.int64)
        whole[offsets[:-1]] = firsts
        whole[offsets.take(of) + within] = rest
        shapes = lot.some("shape", firsts)
        np.add.at(shapes, of, mix(lot.some("shape", rest), within))
        numbers = np.arange(self._next_id, self._next_id + len(firsts))
        self._next_id += len(firsts)
        return Journeys(
            self._rows, self._held.take(lot.order.take(whole)), offsets, numbers, lot["time_ns"].take(firsts), shapes
        )


def merge_late(passes: Passes) -> Passes:
    """Move the steps of late records to the passes they belong to. A late record whose passes are not found stays as
    it is."""
    if not (passes.records["kind"] == RECORD_LATE).any():
        return passes
    owner = np.repeat(np.arange(len(passes)), np.diff(passes.offsets))
    enters = passes.steps["kind"] == STEP_NETNS
    late = (passes.records["kind"] == RECORD_LATE).take(owner)
    moved = np.flatnonzero(late & ~enters)
    target, is_clone = _late_targets(passes, owner[moved], passes.steps[moved])
    drops = passes.steps["kind"][moved] == STEP_DROP
    strays = moved[(target < 0) & drops]  # drops of packets that were never recorded: of no use
    found = target >= 0
    steps, owner = passes.steps.copy(), owner.copy()
    steps["result"][moved[is_clone]] = DROPPED_CLONE
    moved, target = moved[found], target[found]
    begins_ns = passes.records["time_ns"].astype(np.int64)
    shift = begins_ns.take(owner[moved]) - begins_ns.take(target)
    steps["t_ns"][moved] = np.clip(steps["t_ns"][moved] + shift, 0, 0xFFFFFFFF)
    named, places = _with_namespaces(passes, steps, moved, target)
    owner[moved] = target
    keep = np.ones(len(owner), bool)
    keep[strays] = False
    keep[np.flatnonzero(late & enters & np.isin(np.arange(len(owner)) + 1, moved))] = False
    owner, steps = np.insert(owner, places, owner[places]), np.insert(steps, places, named)
    return _regroup(passes, steps, owner, np.insert(keep, places, True))


def _with_namespaces(passes: Passes, steps: Array, moved: Array, target: Array) -> tuple[Array, Array]:
    """Return the steps that are to name the namespaces of late steps, shape (k,), and before which steps they go:
    where a late step's device is not, or may not be, in the namespace that its new pass is in."""
    netns = namespaces(passes.records["netns"], passes.steps, passes.offsets)
    enters = np.flatnonzero(passes.steps["kind"] == STEP_NETNS)
    passes_entering = np.searchsorted(passes.offsets, enters, side="right") - 1
    differs = netns[moved] != passes.records["netns"][target]
    may = differs | (np.isin(target, passes_entering) & ~np.isin(steps["func"][moved], _LISTS))
    places = moved[may]
    named = steps[places].copy()
    named["kind"], named["result"], named["arg"] = STEP_NETNS, NETNS_NEXT_STEP, netns[places]
    return named, places


def _regroup(passes: Passes, steps: Array, owner: Array, keep: Array) -> Passes:
    """Give the steps that are kept to their new owners, in order of time; remove late records without steps."""
    steps, owner = steps[keep], owner[keep]
    order = np.lexsort((steps["t_ns"], owner))
    counts = np.bincount(owner, minlength=len(passes))
    records = passes.records.copy()
    records["steps"] = counts
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    whole = Passes(records, steps[order].astype(STEP, copy=False), offsets)
    return whole.take((records["kind"] != RECORD_LATE) | (counts > 0))


def _late_targets(passes: Passes, owner: Array, steps: Array) -> tuple[Array, Array]:
    """Return the pass to which each late step belongs, or -1; and whether that is of a clone of its packet. Both have
    the shape of ``owner``."""
    records = passes.records
    drops = steps["kind"] == STEP_DROP
    # skb_low of a drop's step is not the skb's
    skb_low = np.where(drops, records["skb"][owner].astype(np.uint32), steps["skb_low"])
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
    head = records["head"].take(owner)
    shared = _last_like((frame | records["head"]).take(at), frame.take(owner) | head)
    clones = drops & (targets < 0) & (shared >= 0) & (head > 0)
    targets[clones] = at[shared[clones]]
    return targets, clones


def _last_like(keys: Array, wanted: Array) -> Array:
    """Return for each wanted number the last place in ``keys`` that has it, or -1."""
    found = first_like(keys[::-1], wanted)
    return np.where(found >= 0, len(keys) - 1 - found, -1)


class _Lot:
    """The facts of passes, ordered by time; ``order`` has for each place where its facts are."""

    def __init__(self, facts: Facts, order: Array) -> None:
        self._facts, self.order = facts, order
        self._known: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, name: str) -> Array:
        """Return a fact of all passes."""
        if name not in self._known:
            self._known[name] = self._facts[name].take(self.order)
        return self._known[name]

    def some(self, name: str, places: Array) -> Array:
        """Return a fact of the passes at these places."""
        return self._facts[name].take(self.order.take(places))


def _join(lot: _Lot, related: Related) -> Array:
    """Return for every pass the place of its journey's first pass, shape (n,)."""
    before = np.arange(len(lot))  # the place of the pass to which each was joined, or its own
    _join_nested(lot, before)
    _join_in_list(lot, before)
    for address in ("skb", "head"):
        _join_same(address, lot, before, related)
    linked = np.flatnonzero(before != np.arange(len(lot)))
    while len(linked):  # follow the links to the first pass of each journey
        nearer = before.take(linked)
        further = before.take(nearer)
        before[linked] = further
        linked = linked.compress(nearer != further)
    return before


def _join_nested(lot: _Lot, before: Array) -> None:
    """Join passes that are nested in another to that one."""
    nested = np.flatnonzero(lot["parent"])
    if not len(nested):
        return
    found = first_like(lot["own"], lot["parent"].take(nested))
    same = (found >= 0) & (found < nested)
    found, nested = found.compress(same), nested.compress(same)
    same = lot["print"].take(found) == lot["print"].take(nested)
    before[nested.compress(same)] = found.compress(same)


def _join_in_list(lot: _Lot, before: Array) -> None:
    """Join what was sent or received again inside a list receive to the pass there with the same skb."""
    if not (lot["flags"] & RECORD_INSIDE_LIST).any():
        return
    inside = np.flatnonzero(lot["flags"] & RECORD_INSIDE_LIST)
    listed = np.flatnonzero(
        (lot["kind"] == RECORD_RX) & (lot["flags"] & (RECORD_LIST | RECORD_INSIDE_LIST) == RECORD_LIST)
    )
    if not len(listed):
        return
    wanted = _list_key(lot, inside, "skb")
    for skb in ("skb", "last_skb"):
        place = first_like(_list_key(lot, listed, skb), wanted)
        found = listed.take(np.maximum(place, 0))
        same = (place >= 0) & (found < inside) & (before.take(inside) == inside)
        before[inside[same]] = found[same]


def _list_key(lot: _Lot, places: Array, skb: str) -> Array:
    """Return a number for (CPU, list receive, skb, contents) of these passes."""
    key = lot.some("own", places) >> np.uint64(32) << np.uint64(32) | lot.some("frame", places)
    key *= np.uint64(0x9E3779B97F4A7C15)
    key ^= lot.some(skb, places).astype(np.uint32)
    return (key * np.uint64(0xBF58476D1CE4E5B9)) ^ lot.some("print", places)


def _join_same(address: str, lot: _Lot, before: Array, related: Related) -> None:
    """Join passes that follow one another with the same address (0: not known) of their skb or of its data."""
    order = stable_order(lot[address])  # and by time where the address is the same
    addresses, prints = lot[address].take(order), lot["print"].take(order)
    links = np.flatnonzero((addresses[1:] == addresses[:-1]) & (prints[1:] == prints[:-1]))
    links = links.compress(addresses.take(links) != 0)
    earlier, later = order.take(links), order.take(links + 1)
    may = before.take(later) == later
    links, earlier, later = links.compress(may), earlier.compress(may), later.compress(may)
    entered, to = lot.some("device", earlier), lot.some("device", later)
    kinds = lot.some("kind", earlier), lot.some("kind", later)
    may = (
        (entered != to)
        & (kinds[0] != RECORD_LATE)
        & (kinds[1] != RECORD_LATE)
        & (lot.some("time_ns", later) <= lot.some("end_ns", earlier) + np.uint64(GAP_NS))
    )
    sent = kinds[0] == RECORD_TX, kinds[1] == RECORD_TX
    way = np.where(sent[1], np.where(sent[0], 1, 3), np.where(sent[0], 2, 0)).astype(np.uint64)
    ways = np.stack([entered, lot.some("left", earlier), to, way])[:, may]
    if not ways.size:
        return
    some, _, which = alike(mix(*ways))
    can = np.array(
        [
            related(_key(entered), _key(to), _WAYS[how]) or related(_key(left), _key(to), _WAYS[how])
            for entered, left, to, how in ways[:, some].T.tolist()
        ]
    )
    links = links.compress(may).compress(can.take(which))
    if (np.diff(links) == 1).any():
        links = _without_repeats(links, order, lot)
    before[order.take(links + 1)] = order.take(links)


def _without_repeats(links: Array, order: Array, lot: _Lot) -> Array:
    """Return those links that stay where no chain may visit a device again. ``links[i]`` says that in this order pass
    ``links[i] + 1`` follows the one before it."""
    places = np.union1d(links, links + 1)
    linked = np.zeros(len(places), bool)
    linked[np.searchsorted(places, links)] = True
    passes = order.take(places)
    _cut_repeats(linked[:-1], lot.some("device", passes), lot.some("kind", passes))
    return places.compress(linked)


def _key(device: int) -> tuple[int, int]:
    return device >> 32, device & 0xFFFFFFFF


def _cut_repeats(linked: Array, device: Array, kind: Array) -> None:
    """Cut chains where they visit a device again in the same direction: that is the same contents sent once more.
    ``linked[i]`` says that pass ``i + 1`` follows pass ``i``."""
    chain = np.concatenate([[0], np.cumsum(~linked)])
    # A link is between two devices: only a chain of three passes or more can visit one again.
    long = np.flatnonzero(np.bincount(chain).take(chain) > 2)
    order = long.take(np.lexsort((long, kind.take(long), device.take(long), chain.take(long))))
    earlier, later = order[:-1], order[1:]
    again = (chain[earlier] == chain[later]) & (device[earlier] == device[later]) & (kind[earlier] == kind[later])
    begin = 0
    for last, place in sorted(zip(earlier[again].tolist(), later[again].tolist()), key=lambda pair: pair[1]):
        if last >= begin:
            linked[place - 1] = False
            begin = place
