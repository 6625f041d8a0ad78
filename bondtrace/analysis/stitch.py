# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes to journeys: which passes are trips of the same packet.

Everything works on columns; Python objects are made only for what is shown (``assemble``). The rules, in the order in
which they are tried (``late`` has the first, ``joins`` the others):

1. A *late* record (a tap, protocol handler or drop after its packet's core call) belongs to the pass that it names as
   its parent, or, in list mode, to the pass of its list receive with the same skb.
2. A pass nested in another on its CPU (a bridge's local delivery, a forwarded packet's transmit) belongs to that one's
   journey; nested in a list receive, to the pass there with the same skb. It needs the same contents
   (``shapes.fingerprint``); or, where its packet had been received before (skb->skb_iif is set, which is 0 in a new
   skb), the same skb, the same data, or contents that differ in what NAT rewrites.
3. A pass by the skb that another one handed on, to be received on that device (``gro_cells_receive``: what a tunnel
   took out of a packet), belongs to that one's journey: nobody else can use the skb while it is queued.
4. Passes with the same skb address and contents that follow one another belong together if the packet can have gone
   that way: from a device to the one below or above it, through a veth to its peer, by an ifb back to where it came
   from, or routed to another device (``Devices.related``).
5. So do passes with the same contents whose skbs share their data (``head``): clones (a macvlan's broadcast, a bridge's
   flooding). Where only that says so (tc's mirror of what is sent), it is inferred.
6. So do passes with the same skb address or data and contents, of which the first was sent, to be sent again below
   (``Scene.waiting``), even a second later: the packet may have waited in a queue, as a slave's.
7. So do passes with the same skb address and other contents: a received packet that is sent with what NAT rewrites, and
   a tunnel's packet with the one around it (``rewritten``). Where the inner one is encrypted, it is inferred.

The kernel reuses addresses at once, so an address alone never joins: contents and way must agree, and a pass that
repeats a device begins a new journey. What no rule joins stays a journey of its own. ``Journeys.inferred`` marks what
is concluded and not proven.

Invariant: journeys come in the order in which they began, and are the same however the stream is cut into batches, as
long as no pass lasts longer than ``HOLD_NS - GAP_NS``. So a journey is held back for ``HOLD_NS``, or where rule 6 may
still add to it for ``WAIT_NS`` more, and those that began after it with it.

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
- Rule 4 joins 5 to 4: same skb and contents, and eth0 is below bond0. 7 follows 1 with skb A, but has other contents.
- Rule 5 joins 8 to 7: same head and contents, and mv0 is above bond0, the device that 7 was on last.

So there are four journeys, in this order: 1; 2 and 6; 4 and 5; 7 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np

from ..format.wire import EMPTY, RECORD_LATE, Array, Passes, concatenate
from ..net.topology import Key
from ..util.arrays import mix, stable_order
from .joins import GAP_NS, WAIT_NS, Lot, Related, join
from .late import merge_late
from .shapes import facts, with_facts

__all__ = ["GAP_NS", "HOLD_NS", "NO_JOURNEYS", "REST_NS", "Journeys", "Related", "Rows", "Stitcher"]

HOLD_NS = 200_000_000
REST_NS = 2 * HOLD_NS  # with much traffic, the time between two calls that return journeys,
_MANY = 1 << 18  # unless this many passes came, and more than are held
_MOST = 1 << 19  # where more are held, rule 6 waits for none: what a second of the highest rates would take
_FEW = 1 << 13  # below this number, passes are joined again on every call


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
        of_parts = np.split(wanted, self.ends[:-1])
        found = [replace(part, facts=None).take(some) for part, some in zip(self.parts, of_parts) if some.any()]
        return concatenate(found).take((np.cumsum(wanted) - 1).take(numbers))


@dataclass(frozen=True)
class Journeys:
    """Journeys as columns.

    Journey ``i`` has the passes ``offsets[i]:offsets[i + 1]`` of ``passes`` and the number ``numbers[i]``, counted from
    the beginning of the trace; it began at ``begins_ns[i]``, and ``shapes[i]`` is a hash of all that an answer can
    depend on, except the times. ``places`` are the numbers of the passes in ``rows``, and ``inferred`` says for each
    whether it is concluded, not proven, that it belongs to its journey.
    """

    rows: Rows
    places: Array
    offsets: Array
    numbers: Array
    begins_ns: Array
    shapes: Array
    inferred: Array

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
            self.inferred.take(begins + np.arange(offsets[-1])),
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
    np.zeros(0, bool),
)


class Stitcher:
    """Joins a stream of batches to journeys.

    :param related: ``related(a, b, way)`` says whether a packet can go from device ``a`` to ``b``, each (netns,
        ifindex), as the devices are stacked now; ``way`` is "up", "down", "over" or "through" (``Devices.related``).
    :param first_id: the number of the first journey.
    :param strays: says whether late records without their pass are journeys. With a packet filter they are not: they
        are of packets that it refused.
    :param rest_ns: how long ``add(later=True)`` may hold journeys back.
    :param tunnels: returns the devices that wrap what they send into other packets (``Devices.tunnels``).
    :param waiting: returns those of which what they send is to be sent again below them (``Scene.waiting``).
    """

    def __init__(
        self,
        related: Related,
        first_id: int = 1,
        strays: Callable[[], bool] = lambda: True,
        rest_ns: int = REST_NS,
        tunnels: Callable[[], Collection[Key]] = tuple,
        waiting: Callable[[], Collection[Key]] = tuple,
    ) -> None:
        self._related, self._strays, self._rest_ns = related, strays, rest_ns
        self._tunnels, self._waiting = tunnels, waiting
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
        held, coming = len(self._held), sum(map(len, self._coming))
        may_wait = held + coming >= _FEW and coming < max(_MANY, held)
        if later and may_wait and self._told_ns <= now_ns < self._told_ns + self._rest_ns:
            return NO_JOURNEYS
        self._told_ns = now_ns
        return self._complete(now_ns - HOLD_NS)

    def flush(self) -> Journeys:
        """Return the journeys that are left."""
        return self._complete(None)

    def _complete(self, before_ns: int | None) -> Journeys:
        self._take_in()
        lot = Lot(self._facts, stable_order(self._facts["time_ns"]), self._rows_of)
        waiting = self._waiting() if len(lot) <= _MOST else ()
        links = join(lot, self._related, self._tunnels(), waiting)
        journey = links.first()
        done = np.ones(len(journey), bool)
        if before_ns is not None:  # none that is not over, and none that began after one that is not
            open_ = lot["end_ns"] >= before_ns if before_ns > 0 else done
            patient_ns = max(before_ns - WAIT_NS, 0)
            open_ = open_ | (links.waiting & ~links.lead_on() & (lot["end_ns"] >= patient_ns))
            done = journey < journey[open_].min(initial=len(journey))
        places = np.flatnonzero(done)
        if not self._strays():
            places = places.compress(lot["kind"].take(places) != RECORD_LATE)
        journeys = self._number(lot, journey, places, links.inferred)
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

    def _rows_of(self, places: Array) -> Passes:
        """Return held passes, by the places of their facts."""
        return self._rows.take(self._held.take(places))

    def _number(self, lot: Lot, journey: Array, places: Array, inferred: Array) -> Journeys:
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
        _add_order(lot, whole, offsets, shapes)
        numbers = np.arange(self._next_id, self._next_id + len(firsts))
        self._next_id += len(firsts)
        return Journeys(
            self._rows,
            self._held.take(lot.order.take(whole)),
            offsets,
            numbers,
            lot["time_ns"].take(firsts),
            shapes,
            inferred.take(whole),
        )


def _add_order(lot: Lot, whole: Array, offsets: Array, shapes: Array) -> None:
    """Add to the shapes of journeys, in place, before which of their passes each step came: of those of which a
    step came after the begin of a later pass. Whether a packet went on, or a copy of it, depends on that.

    :param whole: the places of the journeys' passes, by journey and time.
    """
    begins_ns, lasts_ns = lot["time_ns"].take(whole), lot["last_ns"].take(whole)
    after = np.flatnonzero(lasts_ns[:-1] > begins_ns[1:])
    of = np.searchsorted(offsets, after, side="right") - 1
    is_within = after + 1 < offsets.take(of + 1)
    after, of = after.compress(is_within), of.compress(is_within)
    if not len(after):
        return
    passes = lot.passes(whole.take(after))
    counts = np.diff(passes.offsets)
    times_ns = np.repeat(passes.records["time_ns"], counts) + passes.steps["t_ns"]
    some, which = np.unique(of, return_inverse=True)
    sizes = np.diff(offsets).take(some)
    others = np.arange(sizes.sum()) + np.repeat(offsets.take(some) - np.cumsum(sizes) + sizes, sizes)
    ranks = _ranks(np.repeat(np.arange(len(some)), sizes), begins_ns.take(others), np.repeat(which, counts), times_ns)
    place = np.repeat(after - offsets.take(of), counts)
    np.add.at(
        shapes, np.repeat(of, counts), mix(ranks, place, np.arange(len(ranks)) - np.repeat(passes.offsets[:-1], counts))
    )


def _ranks(groups: Array, numbers: Array, of: Array, wanted: Array) -> Array:
    """Return how many numbers of its group are smaller than each wanted one; ``groups`` are ascending from 0, ``of``
    has the group of each wanted one."""
    group, value = np.concatenate([groups, of]), np.concatenate([numbers, wanted])
    is_number = np.arange(len(group)) < len(groups)
    order = np.lexsort((is_number, value, group))
    seen = np.empty(len(group), np.int64)
    seen[order] = np.cumsum(is_number.take(order))
    return seen[len(groups) :] - np.searchsorted(groups, of)
