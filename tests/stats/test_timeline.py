# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys by time, device and fate."""

from collections import Counter

import pytest
from mixture import digested, many, one_by_one

from bondtrace.stats.timeline import DROPPED, FATES, Timeline
from build import rx, stitched


def fate(journey):
    """The word for what the taps made of it, and whether it was dropped."""
    steps = [step for one in journey.passes for step in one.steps]
    outcomes = {step.outcome for step in steps if step.kind == "tap"}
    word = (
        "full" if "full" in outcomes else "captured" if "captured" in outcomes else "offered" if outcomes else "unseen"
    )
    return word, any(step.kind == "drop" for step in steps)


@pytest.mark.parametrize("seed", range(4))
def test_the_timeline_is_that_of_going_through_the_journeys(seed):
    passes = many(seed)
    told, _ = one_by_one(passes)

    timeline = digested(passes).timeline

    begin_ns, expected = min(journey.time_ns for journey in told), Counter()
    for journey in told:
        word, dropped = fate(journey)
        first = passes.records[passes.records["time_ns"] == journey.passes[0].time_ns][0]
        place = int(first["netns"]), int(first["ifindex"]), journey.direction
        for name in [word, *([DROPPED] if dropped else [])]:
            expected[place, name, (journey.time_ns - begin_ns) // timeline.width_ns] += 1
    found = {
        (*key, place): count
        for key, row in timeline.counts.items()
        for place, count in enumerate(row.tolist())
        if count
    }
    assert found == dict(expected)
    assert {name for _, name, _ in found} == {*FATES, DROPPED}
    assert timeline.begin_ns == begin_ns and timeline.used == max(place for *_, place in found) + 1 > 128


def test_a_long_trace_gets_wider_bins_and_loses_none():
    # given a bin for 0.1 ms at first, and packets over a minute
    timeline = Timeline()
    for at in (0, 90, 150, 20_000, 60_000_000):
        timeline.add(stitched(rx("eth0", at=at)))

    [row] = timeline.counts.values()
    assert timeline.width_ns == 100_000 * 2**12
    assert row.tolist()[0] == 4 and row.tolist()[60_000_000_000 // timeline.width_ns] == 1 and row.sum() == 5
