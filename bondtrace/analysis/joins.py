# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules by which passes are trips of the same packet (``stitch`` has them in words).

Everything works on columns: a link says that a pass follows an earlier one of its journey.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from ..format.wire import (
    RECORD_INSIDE_LIST,
    RECORD_LATE,
    RECORD_LIST,
    RECORD_RECEIVED,
    RECORD_RX,
    RECORD_TX,
    STEP_DROP,
    STEP_TAP,
    Array,
    Passes,
)
from ..net.topology import Key, key_from, key_number
from ..util.arrays import alike, first_like, mix, previous_like, stable_order
from . import rewritten
from .shapes import Facts

GAP_NS = 150_000_000  # the longest time between the end of a pass and the beginning of the next one of its journey
WAIT_NS = 1_000_000_000  # the same where a packet that was sent is known to be sent again below, maybe from a queue
COPY_NS = 1_000_000  # the same where neither the devices nor the packet prove it
_WAYS = ("up", "down", "over", "through")

Related = Callable[[Key, Key, str], bool]


class Lot:
    """The facts of passes, ordered by time; ``order`` has for each place where its facts are.

    :param rows: returns the passes with these facts, where more of them than their facts is needed.
    """

    def __init__(self, facts: Facts, order: Array, rows: Callable[[Array], Passes]) -> None:
        self._facts, self.order, self._rows = facts, order, rows
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

    def low_skb(self, places: Array) -> Array:
        """Return the low half of the skb's address of the passes at these places."""
        return self.some("skb", places).astype(np.uint32)

    def passes(self, places: Array) -> Passes:
        """Return the passes at these places."""
        return self._rows(self.order.take(places))

    def records(self, places: Array) -> Array:
        """Return the records of the passes at these places."""
        return self.passes(places).records

    def was_received(self, places: Array) -> Array:
        """Return whether each of these passes began with a packet that had been received before."""
        received: Array = self.some("flags", places) & RECORD_RECEIVED != 0
        return received


class Links:
    """For every pass the one that it follows in its journey (``before``), or its own place; whether that is
    ``inferred`` rather than proven; and whether its packet was to be sent again below its device, and was neither seen
    there by then nor dropped (``waiting``)."""

    def __init__(self, count: int) -> None:
        self.before = np.arange(count)
        self.inferred = np.zeros(count, bool)
        self.waiting = np.zeros(count, bool)

    def add(self, later: Array, earlier: Array, inferred: Array | bool = False) -> None:
        """Let these passes follow those."""
        self.before[later] = earlier
        self.inferred[later] = inferred

    def are_free(self, places: Array) -> Array:
        """Return for each of these passes whether it follows none so far."""
        free: Array = self.before.take(places) == places
        return free

    def lead_on(self) -> Array:
        """Return whether another pass follows each one, shape (n,)."""
        linked = np.flatnonzero(self.before != np.arange(len(self.before)))
        leads = np.zeros(len(self.before), bool)
        leads[self.before[linked]] = True
        return leads

    def first(self) -> Array:
        """Return for every pass the place of its journey's first pass, shape (n,)."""
        first = self.before.copy()
        linked = np.flatnonzero(first != np.arange(len(first)))
        while len(linked):
            nearer = first.take(linked)
            further = first.take(nearer)
            first[linked] = further
            linked = linked.compress(nearer != further)
        return first


def join(lot: Lot, related: Related, tunnels: Collection[Key], waiting: Collection[Key]) -> Links:
    """Return which pass follows which.

    :param related: says whether a packet can go from one device to another (``Stitcher``).
    :param tunnels: the devices that wrap what they send into other packets.
    :param waiting: those of which what they send is to be sent again below them (``Scene.waiting``).
    """
    links = Links(len(lot))
    _join_nested(lot, links)
    _join_in_list(lot, links)
    _join_queued(lot, links)
    for address in ("skb", "head"):
        _join_same(address, lot, links, related)
    _join_waited(lot, links, related, waiting)
    _join_rewritten(lot, links, tunnels)
    _join_routed_copies(lot, links)
    return links


def _join_nested(lot: Lot, links: Links) -> None:
    """Join passes that are nested in another to that one: those with its contents, or of its skb or data, whatever was
    made of the contents; a reply that the host makes meanwhile was never received."""
    nested = np.flatnonzero(lot["parent"])
    if not len(nested):
        return
    found = first_like(lot["own"], lot["parent"].take(nested))
    inside = (found >= 0) & (found < nested)
    found, nested = found.compress(inside), nested.compress(inside)
    same = lot["print"].take(found) == lot["print"].take(nested)
    links.add(nested.compress(same), found.compress(same))
    again = ~same & lot.was_received(nested)
    if not again.any():
        return
    found, nested = found.compress(again), nested.compress(again)
    same = (lot.low_skb(nested) == lot.low_skb(found)) | (lot.low_skb(nested) == lot.some("last_skb", found))
    same |= (lot.some("head", nested) == lot.some("head", found)) & (lot.some("head", nested) > 0)
    whose = lot.records(nested[~same]), lot.records(found[~same])
    same[~same] = rewritten.alike_but_for_addresses(*whose) | rewritten.are_fragments(*whose)
    links.add(nested.compress(same), found.compress(same))


def _join_in_list(lot: Lot, links: Links) -> None:
    """Join what was sent or received again inside a list receive to the pass there with the same skb."""
    if not (lot["flags"] & RECORD_INSIDE_LIST).any():
        return
    inside = np.flatnonzero(lot["flags"] & RECORD_INSIDE_LIST)
    listed = np.flatnonzero(
        (lot["kind"] == RECORD_RX) & (lot["flags"] & (RECORD_LIST | RECORD_INSIDE_LIST) == RECORD_LIST)
    )
    if not len(listed):
        return
    contents = lot.some("print", inside), lot.some("print", listed)
    for fact in ("skb", "last_skb"):
        _join_alike(lot, links, inside, listed, ("skb", fact), contents)
    inside = inside.compress(lot.was_received(inside) & links.are_free(inside))
    if not len(inside):
        return
    nothing = np.zeros(len(inside), np.uint64), np.zeros(len(listed), np.uint64)
    for facts in (("skb", "skb"), ("skb", "last_skb"), ("head", "head")):
        _join_alike(lot, links, inside, listed, facts, nothing)
    inside = inside.compress(links.are_free(inside))
    prints = rewritten.prints(lot.records(inside)), rewritten.prints(lot.records(listed))
    _join_alike(lot, links, inside, listed, ("frame", "frame"), prints)
    inside = inside.compress(links.are_free(inside))
    inside = inside.compress(rewritten.is_fragment(lot.records(inside)))
    datagrams = rewritten.datagrams(lot.records(inside)), rewritten.datagrams(lot.records(listed))
    _join_alike(lot, links, inside, listed, ("frame", "frame"), datagrams)


def _join_alike(
    lot: Lot, links: Links, inside: Array, listed: Array, facts: tuple[str, str], more: tuple[Array, Array]
) -> None:
    """Join passes inside a list receive to the first one of it that has the same fact, not 0, and the same of
    ``more``."""
    if not len(inside):
        return
    wanted = _list_key(lot, inside, facts[0]) ^ more[0]
    place = first_like(_list_key(lot, listed, facts[1]) ^ more[1], wanted)
    found = listed.take(np.maximum(place, 0))
    same = (place >= 0) & (found < inside) & links.are_free(inside) & (lot.some(facts[0], inside) != 0)
    links.add(inside[same], found[same])


def _list_key(lot: Lot, places: Array, fact: str) -> Array:
    """Return a number for (CPU, list receive, fact) of these passes."""
    key = lot.some("own", places) >> np.uint64(32) << np.uint64(32) | lot.some("frame", places)
    key *= np.uint64(0x9E3779B97F4A7C15)
    key ^= lot.some(fact, places).astype(np.uint32)
    return key * np.uint64(0xBF58476D1CE4E5B9)


def _join_queued(lot: Lot, links: Links) -> None:
    """Join what was handed on, to be received once more, to the pass that received it: the queue owned the skb
    meanwhile, so none but that packet can have had its address."""
    handed = np.flatnonzero(lot["queued"])
    if not len(handed):
        return
    received = np.flatnonzero(lot["kind"] == RECORD_RX)
    places = np.concatenate([handed, received])
    is_received = np.arange(len(places)) >= len(handed)
    key = mix(
        np.concatenate([lot.some("queued", handed), lot.some("device", received)]),
        np.concatenate([lot.some("queued_skb", handed), lot.low_skb(received)]),
    )
    order = np.lexsort((is_received, places))
    places, is_received, before = places[order], is_received[order], previous_like(key[order])
    follows = is_received & (before >= 0) & ~is_received[before] & (places[before] < places)
    later, earlier = places[follows], places[before[follows]]
    free = links.are_free(later)
    links.add(later[free], earlier[free])


def _join_same(address: str, lot: Lot, links: Links, related: Related) -> None:
    """Join passes that follow one another with the same contents and address (0: not known) of their skb or of its
    data."""
    order = stable_order(lot[address])  # and by time where the address is the same
    addresses, prints = lot[address].take(order), lot["print"].take(order)
    pairs = np.flatnonzero((addresses[1:] == addresses[:-1]) & (prints[1:] == prints[:-1]))
    pairs = pairs.compress(addresses.take(pairs) != 0)
    pairs = pairs.compress(links.are_free(order.take(pairs + 1)))
    pairs = pairs.compress(_can_follow(lot, order.take(pairs), order.take(pairs + 1)))
    earlier, later = order.take(pairs), order.take(pairs + 1)
    can = _are_related(lot, earlier, later, related) | lot.was_received(later)
    inferred = ~can & _are_close(lot, earlier, later)
    inferred[inferred] = (_are_copies if address == "head" else _are_forwarded)(lot, earlier[inferred], later[inferred])
    pairs, inferred = pairs.compress(can | inferred), inferred.compress(can | inferred)
    if (np.diff(pairs) == 1).any():
        kept = _without_repeats(pairs, order, lot)
        pairs, inferred = kept, inferred[np.isin(pairs, kept)]
    links.add(order.take(pairs + 1), order.take(pairs), inferred)


def _can_follow(lot: Lot, earlier: Array, later: Array, gap_ns: int = GAP_NS) -> Array:
    """Return for pairs of passes whether the second is on another device than where the first began, soon after it."""
    can: Array = (
        (lot.some("device", earlier) != lot.some("device", later))
        & (lot.some("kind", earlier) != RECORD_LATE)
        & (lot.some("kind", later) != RECORD_LATE)
        & (lot.some("time_ns", later) <= lot.some("end_ns", earlier) + np.uint64(gap_ns))
    )
    return can


def _are_related(lot: Lot, earlier: Array, later: Array, related: Related) -> Array:
    """Return for pairs of passes whether a packet can go from the device of the first to that of the second."""
    sent = lot.some("kind", earlier) == RECORD_TX, lot.some("kind", later) == RECORD_TX
    way = np.where(sent[1], np.where(sent[0], 1, 3), np.where(sent[0], 2, 0)).astype(np.uint64)
    ways = np.stack([lot.some("device", earlier), lot.some("left", earlier), lot.some("device", later), way])
    if not ways.size:
        return np.zeros(0, bool)
    some, _, which = alike(mix(*ways))
    can = np.array(
        [
            related(key_from(entered), key_from(to), _WAYS[how]) or related(key_from(left), key_from(to), _WAYS[how])
            for entered, left, to, how in ways[:, some].T.tolist()
        ]
    )
    return can.take(which)


def _are_close(lot: Lot, earlier: Array, later: Array) -> Array:
    """Return for pairs of passes whether they follow closely on one CPU, in one namespace."""
    high = np.uint64(32)
    close: Array = (
        (lot.some("own", earlier) >> high == lot.some("own", later) >> high)
        & (lot.some("device", earlier) >> high == lot.some("device", later) >> high)
        & (lot.some("time_ns", later) <= lot.some("end_ns", earlier) + np.uint64(COPY_NS))
    )
    return close


def _are_copies(lot: Lot, earlier: Array, later: Array) -> Array:
    """Return for close pairs of passes with the same data whether both are sent: one has a copy of the other's packet
    (tc's mirror). Copies that arrive on two devices, as somebody else's bridge flooded them, are two packets here."""
    copies: Array = (lot.some("kind", earlier) == RECORD_TX) & (lot.some("kind", later) == RECORD_TX)
    return copies


def _are_forwarded(lot: Lot, earlier: Array, later: Array) -> Array:
    """Return for close pairs of received passes of one skb whether it has the same data, and the first ended in nothing
    that took or dropped the packet: then something handed it to the other device (tc's BPF programs by
    ``dev_forward_skb``)."""
    both: Array = (lot.some("kind", earlier) == RECORD_RX) & (lot.some("kind", later) == RECORD_RX)
    both &= (lot.some("head", earlier) == lot.some("head", later)) & (lot.some("head", later) > 0)
    first = lot.passes(earlier[both])
    ends = first.offsets[1:]
    last = first.steps["kind"].take(np.maximum(ends - 1, 0)) if len(first.steps) else np.zeros(len(first), np.uint8)
    both[both] = (np.diff(first.offsets) == 0) | (last == STEP_TAP)
    return both


def _join_rewritten(lot: Lot, links: Links, tunnels: Collection[Key]) -> None:
    """Join passes of the same skb that follow one another with other contents: routed with its addresses translated, or
    with a tunnel's headers around it."""
    sent = lot["kind"] == RECORD_TX
    of_tunnel = _of_devices(lot["device"], tunnels)
    free = links.are_free(np.arange(len(lot)))
    routed = sent & free & (lot["flags"] & RECORD_RECEIVED != 0)
    unwrapped = ~sent & free & of_tunnel
    if not (routed.any() or of_tunnel.any()):
        return
    earlier, later = _of_one_skb(lot, free)
    for way, may in (
        ("routed", routed[later]),
        ("wrapped", (sent & of_tunnel)[earlier] & sent[later]),
        ("unwrapped", ~sent[earlier] & unwrapped[later]),
    ):
        may &= links.are_free(later)
        before, after = earlier.compress(may), later.compress(may)
        is_same, is_sure = rewritten.compare(lot.records(before), lot.records(after), way)
        links.add(after[is_same], before[is_same], ~is_sure[is_same])


def _join_routed_copies(lot: Lot, links: Links) -> None:
    """Join what was received before and is sent by an skb that no pass had: a copy that was routed, and had to wait for
    its next hop. Without an address that proves it, it is inferred: from contents that only one journey had in that
    namespace shortly before, and not sent on so far."""
    is_tx, free = lot["kind"] == RECORD_TX, links.are_free(np.arange(len(lot)))
    sent = is_tx & free & (lot["flags"] & RECORD_RECEIVED != 0)
    leads_on = np.zeros(len(lot), bool)
    leads_on[links.before[is_tx & ~free]] = True
    received = (lot["kind"] == RECORD_RX) & ~leads_on
    if not sent.any() or not received.any():
        return
    places = np.flatnonzero(received | sent)
    is_sent, journey = sent[places], links.first()[places]
    before = previous_like(mix(rewritten.prints(lot.records(places)), lot.some("device", places) >> np.uint64(32)))
    follows = np.flatnonzero(is_sent & (before >= 0) & ~is_sent[before])
    last, further = before[follows], before[before[follows]]
    begins_ns, ends_ns = lot.some("time_ns", places[follows]), lot.some("end_ns", places) + np.uint64(GAP_NS)
    is_like = (further >= 0) & ~is_sent[further] & (begins_ns <= ends_ns[further])
    sure = (begins_ns <= ends_ns[last]) & ~(is_like & (journey[further] != journey[last]))
    links.add(places[follows[sure]], places[last[sure]], True)


def _join_waited(lot: Lot, links: Links, related: Related, waiting: Collection[Key]) -> None:
    """Join what was sent to the next pass of the same skb or data, with the same contents, if that is sent by a device
    below: the packet may have waited in that one's queue, which owned the skb meanwhile."""
    _note_waiting(lot, links, waiting)
    if not links.waiting.any():
        return
    free = links.are_free(np.arange(len(lot)))
    for address in ("skb", "head"):
        some = np.flatnonzero(np.isin(lot[address], lot.some(address, np.flatnonzero(links.waiting))))
        earlier, later = _of_same(address, lot, some, links.waiting, free & (lot["kind"] == RECORD_TX))
        can = _can_follow(lot, earlier, later, WAIT_NS) & (lot.some("print", earlier) == lot.some("print", later))
        can &= _are_related(lot, earlier, later, related)
        earlier, later = earlier.compress(can), later.compress(can)
        links.add(later, earlier)
        links.waiting[earlier] = free[later] = False


def _note_waiting(lot: Lot, links: Links, waiting: Collection[Key]) -> None:
    sent = np.flatnonzero((lot["kind"] == RECORD_TX) & ~links.lead_on()) if waiting else np.zeros(0, np.int64)
    sent = sent.compress(_of_devices(lot.some("device", sent), waiting))
    if len(sent):
        passes = lot.passes(sent)
        of_drops = np.searchsorted(passes.offsets, np.flatnonzero(passes.steps["kind"] == STEP_DROP), side="right") - 1
        links.waiting[np.delete(sent, of_drops)] = True


def _of_devices(device: Array, keys: Collection[Key]) -> Array:
    """Return which of these devices, as ``key_number``, are among the keys."""
    if not keys:
        return np.zeros(len(device), bool)
    found: Array = np.isin(device, np.array([key_number(one) for one in keys], np.uint64))
    return found


def _of_one_skb(lot: Lot, free: Array) -> tuple[Array, Array]:
    """Return pairs of passes of one skb that follow one another soon, of which the second follows none so far."""
    every = np.arange(len(lot))
    earlier, later = _of_same("skb", lot, every, np.ones(len(lot), bool), free)
    soon = _can_follow(lot, earlier, later)
    return earlier.compress(soon), later.compress(soon)


def _of_same(address: str, lot: Lot, places: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Return pairs of the passes at these places that follow one another with the same address (0: not known).

    :param first: whether a pass may be the first of a pair, shape (n,); ``second`` likewise.
    """
    order = places.take(stable_order(lot.some(address, places)))
    addresses = lot.some(address, order)
    pairs = np.flatnonzero((addresses[1:] == addresses[:-1]) & (addresses[1:] != 0))
    pairs = pairs.compress(first.take(order.take(pairs)) & second.take(order.take(pairs + 1)))
    return order.take(pairs), order.take(pairs + 1)


def _without_repeats(links: Array, order: Array, lot: Lot) -> Array:
    """Return those links that stay where no chain may visit a device again. ``links[i]`` says that in this order pass
    ``links[i] + 1`` follows the one before it."""
    places = np.union1d(links, links + 1)
    linked = np.zeros(len(places), bool)
    linked[np.searchsorted(places, links)] = True
    passes = order.take(places)
    _cut_repeats(linked[:-1], lot.some("device", passes), lot.some("kind", passes))
    return places.compress(linked)


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
