# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report is made of: the summary, and the journeys that are listed. Its paths, times and latencies have tests
of their own."""

import numpy as np
import pytest
from mixture import digested, many, one_by_one

from bondtrace.format.batch import Batch
from bondtrace.pipeline import Pipeline
from build import BEGIN_NS, events


def test_the_summary_of_a_report_is_the_summary():
    passes = many(1)
    plain = Pipeline()
    plain.run([Batch(passes.take(np.arange(0)), events(), BEGIN_NS), Batch(passes, [], BEGIN_NS)])

    found = digested(passes).summary

    ignored = ("also",)
    assert {key: value for key, value in vars(found).items() if key not in ignored} == {
        key: value for key, value in vars(plain.summary).items() if key not in ignored
    }


# --- the list ------------------------------------------------------------------------------------------


def test_few_journeys_are_all_listed():
    data = digested(many(1, 100), limit=200)
    told, _ = one_by_one(many(1, 100))

    assert [one.journey.id for one in data.journeys()] == [one.id for one in told]


@pytest.mark.parametrize("limit", [1, 10, 60])
def test_of_many_a_sample_is_listed_with_examples(limit):
    data = digested(many(2), limit=limit)
    told, _ = one_by_one(many(2))

    listed = [one.journey for one in data.journeys()]

    assert limit // 2 < len(listed) <= limit
    assert [one.id for one in listed] == sorted({one.id for one in listed})
    assert [one for one in told if one.id in {each.id for each in listed}] == listed
    most = [data.paths.examples[way].id for way, _ in data.paths.most_common()][: limit // 2]
    assert set(most) <= {one.id for one in listed}


def test_the_sample_is_spread_over_all():
    data = digested(many(2), limit=60)

    assert (data.sample.seen, data.sample.every) == (500, 16)  # 63 with every 8th
    assert sorted(data.sample.kept) == list(range(0, data.sample.seen, data.sample.every))


def test_none_are_listed_where_none_are_wanted():
    data = digested(many(2), limit=0)

    assert data.journeys() == [] and data.sample.seen == data.summary.journeys > 400


def test_one_direction_alone():
    data = digested(many(3), limit=1000, directions=("tx",))

    assert {one.journey.direction for one in data.journeys()} == {"tx"}
    assert sum(data.paths.paths.values()) == len(data.journeys()) == data.summary.journeys


@pytest.mark.parametrize("limit", [20, 1000])
def test_the_listed_journeys_have_the_number_of_their_kind(limit):
    data = digested(many(2), limit=limit)
    _, around = one_by_one(many(2))

    assert all(one.kind == data.kinds.number(one.journey, around) for one in data.journeys())
