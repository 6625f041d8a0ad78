# SPDX-License-Identifier: GPL-2.0-or-later
"""Sorting, grouping and hashing of columns, where numpy's own functions would take longer than all the rest.

Invariant: the answers are those of np.argsort(kind="stable") and np.unique.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

Array = np.ndarray[Any, Any]


def stable_order(numbers: Array) -> Array:
    """Return an order that puts equal numbers side by side, shape (n,) of int64.

    It is stable, and ascending except for bits that all numbers share. numpy sorts 16 bits by radix, more by comparing,
    which takes five to ten times as long. The addresses and times of one batch differ in few bits, so two rounds of 16
    are enough.
    """
    if len(numbers) < 2:
        return np.arange(len(numbers))
    values = numbers.astype(np.uint64)
    differing = int(np.bitwise_or.reduce(values ^ values[0]))
    values >>= np.uint64((differing & -differing).bit_length() - 1 if differing else 0)
    order: Array = np.argsort(values.astype(np.uint16), kind="stable")
    for shift in range(16, _width(differing), 16):
        part = (values >> np.uint64(shift)).astype(np.uint16)
        order = order.take(np.argsort(part.take(order), kind="stable"))
    return order


def first_like(numbers: Array, wanted: Array) -> Array:
    """Return the first place in ``numbers`` of each wanted number, or -1; shape of ``wanted``.

    It uses a table with a slot for each number modulo the table's size, in which numbers that count up rarely collide.
    Numbers that lost their slot to another are found by a binary search.
    """
    if not len(numbers):
        return np.full(len(wanted), -1)
    bits = (2 * len(numbers)).bit_length()
    slots, table = _slots(numbers, bits), np.zeros(1 << bits, np.int64)
    table[slots[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # backwards, so that the first one stays
    found: Array = table.take(_slots(wanted, bits))
    missed = np.flatnonzero(numbers.take(found) != wanted)
    if len(missed):
        lost = np.flatnonzero(table.take(slots) != np.arange(len(numbers)))
        found[missed] = _first_in_order(numbers.take(lost), lost, wanted.take(missed))
    return found


def previous_like(numbers: Array, among: Optional[Array] = None) -> Array:
    """Return for each number the last place before it that has the same one, or -1; shape of ``numbers``.

    :param among: says for each place whether it may be found.
    """
    order = stable_order(numbers)
    ordered, places = numbers.take(order), np.arange(len(numbers))
    before = np.maximum.accumulate(places if among is None else np.where(among.take(order), places, -1))[:-1]
    is_like = (before >= 0) & (ordered.take(np.maximum(before, 0)) == ordered[1:])
    found = np.full(len(numbers), -1)
    found[order[1:]] = np.where(is_like, order.take(np.maximum(before, 0)), -1)
    return found


def _slots(numbers: Array, bits: int) -> Array:
    """Return the slot of each number: its lower half, which counts up, shifted by a hash of its upper half."""
    numbers = numbers.astype(np.uint64, copy=False)
    mixed = (numbers >> np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - bits)
    slots: Array = (mixed + numbers & np.uint64((1 << bits) - 1)).astype(np.int64)
    return slots


def _first_in_order(numbers: Array, places: Array, wanted: Array) -> Array:
    if not len(numbers):
        return np.full(len(wanted), -1)
    order = np.argsort(numbers, kind="stable")
    numbers = numbers.take(order)
    at = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return np.where(numbers.take(at) == wanted, places.take(order.take(at)), -1)


def _width(bits: int) -> int:
    """Return the number of bits from the first to the last that is set."""
    return bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0


def alike(numbers: Array) -> tuple[Array, Array, Array]:
    """Return (first, counts, which) of the distinct numbers, in ascending order.

    For each distinct number, the place of its first occurrence and how often it occurs; for every number, the place of
    its value among the distinct ones.
    """
    if not len(numbers):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    few = _few_alike(numbers)
    if few:
        return few
    order, begins, counts = side_by_side(numbers)
    which = np.empty(len(numbers), np.int64)
    which[order] = np.repeat(np.arange(len(begins)), counts)
    return order.take(begins), counts, which


def side_by_side(numbers: Array) -> tuple[Array, Array, Array]:
    """Return (order, begins, counts): an order that puts equal numbers side by side, in order among themselves; where
    each of the distinct ones, ascending, begins in it; how often it occurs. There must be some."""
    order = np.argsort(numbers, kind="stable")  # correct even where AVX2 is emulated badly (docs/lab.md)
    ordered = numbers.take(order)
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, begins, np.diff(np.append(begins, len(numbers)))


_FEW, _SAMPLE = 16, 256


def _few_alike(numbers: Array) -> Optional[tuple[Array, Array, Array]]:
    """Return what ``alike`` does without a sort, by comparing with every distinct number; ``None`` where there are more
    than ``_FEW``."""
    values, others = np.zeros(0, numbers.dtype), np.arange(min(len(numbers), _SAMPLE))
    while len(others):
        values = np.union1d(values, numbers.take(others[:_SAMPLE]))
        if len(values) > _FEW:
            return None
        which = np.zeros(len(numbers), np.uint8)
        for value in values[1:]:
            which += numbers >= value
        others = np.flatnonzero(values.take(which) != numbers)
    first = np.array([(which == place).argmax() for place in range(len(values))])
    return first, np.bincount(which), which.astype(np.int64)


def upper_half(numbers: Array) -> Array:
    """Return numbers of up to 32 bits as the upper half of 64."""
    return numbers.astype(np.uint64) << np.uint64(32)


def mix(*values: Array) -> Array:
    """Hash columns together (with the finaliser of splitmix64 after each); shape (n,) of uint64."""
    with np.errstate(over="ignore"):
        mixed: Array = np.zeros(len(values[0]), np.uint64)
        for value in values:
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            mixed += value.astype(np.uint64, copy=False)
            mixed ^= mixed >> np.uint64(30)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(27)
    return mixed
