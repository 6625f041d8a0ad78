# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns sorted, grouped and hashed: the answers are those of numpy's own, slower ways."""

import numpy as np
import pytest

from bondtrace.util.arrays import alike, first_like, mix, previous_like, stable_order

RNG = np.random.default_rng(7)
COLUMNS = {
    "nothing": np.zeros(0, np.uint64),
    "one": np.array([5], np.uint64),
    "all the same": np.full(9, 1 << 63, np.uint64),
    "few addresses": RNG.integers(0, 40, 3000).astype(np.uint64) * np.uint64(256) + np.uint64(0xFFFF888000000000),
    "all bits": RNG.integers(0, 1 << 64, 3000, dtype=np.uint64),
    "only the highest and the lowest bit": RNG.choice(np.array([0, 1, 1 << 63, 1 << 63 | 1], np.uint64), 500),
    "16 bits and one more": RNG.integers(0, 1 << 17, 70000).astype(np.uint64),
    "times": np.cumsum(RNG.integers(-3, 9, 3000)).astype(np.int64) + (1 << 40),
    "few, and some of them rare": np.r_[np.full(900, 7), np.arange(12), np.full(900, 9), 3].astype(np.uint64),
    "few at first, then many": np.r_[np.full(900, 7), RNG.integers(0, 1 << 40, 900)].astype(np.uint64),
    "32 bits": RNG.integers(0, 50, 3000).astype(np.uint32),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_order_is_that_of_a_stable_sort(name):
    assert stable_order(COLUMNS[name]).tolist() == np.argsort(COLUMNS[name], kind="stable").tolist()


@pytest.mark.parametrize("name", COLUMNS)
def test_what_is_alike_is_what_unique_says(name):
    _, first, which, counts = np.unique(COLUMNS[name], return_index=True, return_inverse=True, return_counts=True)

    assert [one.tolist() for one in alike(COLUMNS[name])] == [first.tolist(), counts.tolist(), which.tolist()]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_first_that_is_like_another(name):
    # given numbers, some of them several times, and others that are not among them
    numbers = COLUMNS[name].astype(np.uint64)
    wanted = np.concatenate([RNG.permutation(numbers), numbers[:100] + np.uint64(1 << 40), [np.uint64(3)]])

    # when each is looked for, then its place is that of a search from the begin
    places = {number: place for place, number in reversed(list(enumerate(numbers.tolist())))}
    assert first_like(numbers, wanted).tolist() == [places.get(number, -1) for number in wanted.tolist()]


@pytest.mark.parametrize("among", [None, 0.5, 0.0])
@pytest.mark.parametrize("name", COLUMNS)
def test_the_last_one_before_that_is_alike(name, among):
    # given numbers, of which all may be found, or some, or none
    numbers = COLUMNS[name]
    may = None if among is None else RNG.random(len(numbers)) < among

    # when each one's predecessor is looked for, then it is that of a search from the begin
    last, wanted = {}, []
    for place, number in enumerate(numbers.tolist()):
        wanted.append(last.get(number, -1))
        if may is None or may[place]:
            last[number] = place
    assert previous_like(numbers, may).tolist() == wanted


def test_the_first_that_is_like_another_among_numbers_that_count_up_on_several_cpus():
    # given the numbers of 3,000 passes on each of 40 CPUs, of which every tenth was lost
    seq = np.arange(5000, 8000, dtype=np.uint64)
    numbers = np.concatenate([cpu << np.uint64(32) | seq for cpu in np.arange(40, dtype=np.uint64)])
    numbers = RNG.permutation(numbers)
    there = np.arange(len(numbers)) % 10 > 0

    found = first_like(numbers[there], numbers)

    assert (found[~there] == -1).all()
    assert (numbers[there][found[there]] == numbers[there]).all()


def test_a_hash_depends_on_every_column_and_on_their_order():
    a, b = np.arange(1, 1001, dtype=np.uint64), np.arange(1001, 2001, dtype=np.uint64)

    hashes = np.concatenate([mix(a), mix(b), mix(a, b), mix(b, a), mix(a, a), mix(a, b, a)])

    assert len(set(hashes.tolist())) == 6000
    assert mix(a, b).tolist() == mix(a, b).tolist()
