# SPDX-License-Identifier: GPL-2.0-or-later
"""Sorting, grouping and hashing of columns, where numpy's own way takes longer than all else.

What it keeps true: the same answers as np.argsort(kind="stable") and np.unique would give.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

Array = np.ndarray[Any, Any]


def stable_order(numbers: Array) -> Array:
    """The order in which equal numbers stand side by side, in ascending order but for bits that all numbers share,
    equal ones as they stood; shape (n,) of int64.

    numpy sorts 16 bits by radix, more by comparing, which takes five to ten times as long. Addresses and times
    that stand together differ in few bits, so that two rounds of 16 do.
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
    """For each number that is wanted the first place in ``numbers`` that has it, or -1; shape of ``wanted``.

    By a table with a place for each number modulo its size: numbers that count up hardly ever meet there. What lost its
    place to another is looked for in order.
    """
    if not len(numbers):
        return np.full(len(wanted), -1)
    bits = (2 * len(numbers)).bit_length()
    slots, table = _slots(numbers, bits), np.zeros(1 << bits, np.int64)
    table[slots[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # the first is the last to be put there
    found: Array = table.take(_slots(wanted, bits))
    missed = np.flatnonzero(numbers.take(found) != wanted)
    if len(missed):
        lost = np.flatnonzero(table.take(slots) != np.arange(len(numbers)))
        found[missed] = _first_in_order(numbers.take(lost), lost, wanted.take(missed))
    return found


def _slots(numbers: Array, bits: int) -> Array:
    """What stands in the upper half moves what counts up in the lower half."""
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
    """From the first to the last bit that is set."""
    return bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0


def alike(numbers: Array) -> tuple[Array, Array, Array]:
    """(first, counts, which) of the different numbers, in ascending order: the place of the first that is equal to it,
    how many are, and for every number the place of its like in these."""
    if not len(numbers):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    few = _few_alike(numbers)
    if few:
        return few
    order = np.argsort(numbers, kind="stable")  # right where AVX2 is emulated badly, too (docs/lab.md)
    ordered = numbers.take(order)
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(begins, len(numbers)))
    which = np.empty(len(numbers), np.int64)
    which[order] = np.repeat(np.arange(len(begins)), counts)
    return order.take(begins), counts, which


_FEW, _SAMPLE = 16, 256


def _few_alike(numbers: Array) -> Optional[tuple[Array, Array, Array]]:
    """The same without a sort, by comparing with every different number; ``None`` where there are more than a few."""
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


def mix(*values: Array) -> Array:
    """Hash columns together (the finaliser of splitmix64, after each); shape (n,) of uint64."""
    with np.errstate(over="ignore"):
        mixed: Array = np.zeros(len(values[0]), np.uint64)
        for value in values:
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            mixed += value.astype(np.uint64, copy=False)
            mixed ^= mixed >> np.uint64(30)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(27)
    return mixed
