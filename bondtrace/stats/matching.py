# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs packets of a recording with those of a capture file: by the bytes that both have, and by time.

A file has the time when the kernel received the packet, a recording that when the tap had been given it. So a packet's
time in the recording is later: by the time that it waited in a queue, or in GRO. Packets with the same bytes are paired
in order of time.

Invariant: a packet is in one pair at most; every pair has equal lengths, and equal bytes as far as both have them.
"""

from __future__ import annotations

import numpy as np

from ..format.wire import PACKET_BYTES, Array
from ..util.arrays import mix, side_by_side
from .comparable import Side

BEHIND_NS = 1_000_000_000  # how much later than in the file a packet may be in the recording
AHEAD_NS = 60_000_000  # and how much earlier: a time of day that is set in smaller steps is not noticed
NEAR_NS = 1_000_000  # within this time they are taken for the same first


def pair(said: Side, held: Side) -> Array:
    """Return for every packet of the recording the place of its own in what the file holds, or -1.

    Where one of two has fewer bytes than the other, those with more are paired first: see ``Side.available``. Both
    sides are ordered by time.
    """
    found = np.full(len(said), -1)
    if not len(said) or not len(held):
        return found
    free = np.ones(len(held), bool)
    sizes = np.flatnonzero(np.bincount(np.concatenate([said.available, held.available])))
    for size in sizes[::-1].tolist():
        for mine, theirs in (
            (said.available == size, held.available >= size),
            (said.available > size, held.available == size),
        ):
            here = np.flatnonzero(mine & (found < 0))
            there = np.flatnonzero(theirs & free)
            if len(here) and len(there):
                one, other = _paired(
                    _keys(said, here, size), said.times_ns[here], _keys(held, there, size), held.times_ns[there]
                )
                found[here[one]] = there[other]
                free[there[other]] = False
    return found


def _keys(side: Side, places: Array, size: int) -> Array:
    """Return a hash of the length and the first bytes of each of these packets."""
    data = side.data[places]
    data[:, size:] = 0
    words = data.view(np.uint64)
    return mix(side.lengths[places], *(words[:, nth] for nth in range((min(size, PACKET_BYTES) + 7) // 8)))


def _paired(keys: Array, times_ns: Array, other_keys: Array, other_times_ns: Array) -> tuple[Array, Array]:
    """Return pairs of places of equal keys. Where as many have a key on either side, and none is too far away in time,
    they are paired in order; else one by one."""
    order, firsts, counts = side_by_side(keys)
    other_order, other_firsts, other_counts = side_by_side(other_keys)
    _, mine, theirs = np.intersect1d(
        keys[order[firsts]], other_keys[other_order[other_firsts]], assume_unique=True, return_indices=True
    )
    firsts, counts, other_firsts, other_counts = firsts[mine], counts[mine], other_firsts[theirs], other_counts[theirs]
    is_even = counts == other_counts
    one = order[_spread(firsts[is_even], counts[is_even])]
    other = other_order[_spread(other_firsts[is_even], counts[is_even])]
    later_ns = times_ns[one] - other_times_ns[other]
    groups = np.repeat(np.flatnonzero(is_even), counts[is_even])
    is_even[groups[(later_ns < -AHEAD_NS) | (later_ns > BEHIND_NS)]] = False
    found, others = [one[is_even[groups]]], [other[is_even[groups]]]
    for group in np.flatnonzero(~is_even).tolist():
        some = order[firsts[group] : firsts[group] + counts[group]]
        rest = other_order[other_firsts[group] : other_firsts[group] + other_counts[group]]
        here, there = _one_by_one(times_ns[some].tolist(), other_times_ns[rest].tolist())
        found.append(some[here])
        others.append(rest[there])
    return np.concatenate(found), np.concatenate(others)


def _spread(firsts: Array, counts: Array) -> Array:
    """Return ``first, first + 1, ...`` of each group, one group after the other."""
    if not len(firsts):
        return np.zeros(0, np.int64)
    ends = np.cumsum(counts)
    spread: Array = np.repeat(firsts - ends + counts, counts) + np.arange(ends[-1])
    return spread


def _one_by_one(times_ns: list[int], other_times_ns: list[int]) -> tuple[list[int], list[int]]:
    """Return pairs of places of two ascending lists of times: first of those that are close together, then of others
    that may belong together; each in order."""
    here, there = _in_step(times_ns, other_times_ns, NEAR_NS, NEAR_NS)
    left = sorted(set(range(len(times_ns))) - set(here))
    others = sorted(set(range(len(other_times_ns))) - set(there))
    more, further = _in_step([times_ns[at] for at in left], [other_times_ns[at] for at in others], BEHIND_NS, AHEAD_NS)
    return here + [left[at] for at in more], there + [others[at] for at in further]


def _in_step(
    times_ns: list[int], other_times_ns: list[int], behind_ns: int, ahead_ns: int
) -> tuple[list[int], list[int]]:
    here, there, at, other = [], [], 0, 0
    while at < len(times_ns) and other < len(other_times_ns):
        later_ns = times_ns[at] - other_times_ns[other]
        if later_ns > behind_ns:
            other += 1
        elif later_ns < -ahead_ns:
            at += 1
        else:
            here.append(at)
            there.append(other)
            at, other = at + 1, other + 1
    return here, there
