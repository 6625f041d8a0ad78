# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys by kind, time and duration."""

from collections import Counter

import numpy as np
import pytest
from mixture import digested, many, one_by_one

from bondtrace.stats.kinds import Kinds
from bondtrace.stats.timeline import Timeline


@pytest.mark.parametrize("seed", range(4))
def test_the_timeline_is_that_of_going_through_the_journeys(seed):
    passes = many(seed)
    told, around = one_by_one(passes)

    data = digested(passes)

    timeline, kinds = data.timeline, Kinds()
    begin_ns, edges, expected = min(journey.time_ns for journey in told), timeline.edges_ns(), Counter()
    for journey in told:
        number = kinds.number(journey, around)
        long = max(place for place, edge in enumerate(edges) if edge <= journey.duration_ns)
        expected[number, (journey.time_ns - begin_ns) // timeline.width_ns, long] += 1
    assert list(kinds.numbers) == list(data.kinds.numbers) and len(kinds.numbers) > 10
    assert cells(timeline) == dict(expected)
    assert timeline.begin_ns == begin_ns and timeline.used == max(when for _, when, _ in expected) + 1 > 128
    assert timeline.by_kind(len(kinds.numbers)).sum() == len(told)


def cells(timeline):
    """{(kind, bin of time, bin of durations): journeys}."""
    return {(kind, when, long): count for kind, when, long, count in zip(*(one.tolist() for one in timeline.columns()))}


def add(timeline, *journeys):
    timeline.add(*(np.array(column, np.int64) for column in zip(*journeys)))


def test_a_long_trace_gets_wider_bins_and_loses_none():
    # given a bin for 0.1 ms at first, and packets over a minute
    timeline = Timeline()
    for at_us in (0, 90, 150, 20_000, 60_000_000):
        add(timeline, (3, at_us * 1000, 10))

    assert timeline.width_ns == 100_000 * 2**12
    assert [(when, count) for (_, when, _), count in cells(timeline).items()] == [
        (0, 4),
        (60_000_000_000 // timeline.width_ns, 1),
    ]


def test_too_many_cells_are_joined_first_in_time_then_by_duration():
    # given 4 kinds, each with all durations at all times, and room for 40 cells
    rng = np.random.default_rng(1)
    told = np.stack(
        [rng.integers(0, 4, 3000), np.sort(rng.integers(0, 25_000_000, 3000)), rng.integers(0, 1 << 30, 3000)]
    )
    timeline = Timeline(cells_max=40)

    for part in np.array_split(told, 7, axis=1):
        timeline.add(*part)

    assert len(timeline.cells) <= 40 and timeline.counts.sum() == 3000
    assert timeline.by_kind(4).tolist() == np.bincount(told[0], minlength=4).tolist()
    edges = timeline.edges_ns()
    assert timeline.joined > 1 and edges == sorted(edges) and edges[0] == 0
    for (kind, when, long), count in cells(timeline).items():
        upper = edges[long + 1] if long + 1 < len(edges) else 1 << 62
        inside = (told[0] == kind) & ((told[1] - told[1].min()) // timeline.width_ns == when)
        assert count == (inside & (told[2] >= edges[long]) & (told[2] < upper)).sum()


def test_nothing_is_added_of_nothing():
    timeline = Timeline()
    timeline.add(*(np.zeros(0, np.int64),) * 3)

    assert (timeline.used, timeline.begin_ns, len(timeline.cells)) == (0, None, 0)
