# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filter of tc had a packet dropped, as a journey and its end tell it."""

import io

import pytest

from bondtrace.format.events import chain_event, stage_event, tc_filter_event
from bondtrace.net.tc import filter_phrase
from bondtrace.reporters import json_lines, story, text
from build import BEGIN_NS, drop, journeys, rx, scene

FILTER = tc_filter_event(BEGIN_NS, 9, "u32", 0x0800, 11, 0, ["gact"], 0)
NAMED = "filter protocol ip pref 11 u32 chain 0, action gact"


def dropped(number):
    return rx("eth0", drop("TC_INGRESS", by="tcf_classify", decided_by=number))


@pytest.mark.parametrize(("number", "expected"), [(9, NAMED), (10, "a filter that was not recorded")])
def test_a_drop_by_tc_is_told_with_its_filter(number, expected):
    # given a chain of netfilter's with the same number
    around = scene(FILTER, chain_event(BEGIN_NS, 9, "ip", "filter", "c", "input"))
    [one] = journeys(dropped(number), around=around)

    step = one.passes[0].steps[-1]
    assert (step.kind, step.reason, step.tc, step.netfilter) == ("drop", "TC_INGRESS", expected, None)
    # and its orig_dev is the one of the pass, whatever number is in its place
    assert (step.orig_dev, step.orig_ifindex) == ("eth0", one.passes[0].steps[0].ifindex)


def test_every_view_of_the_drop_names_the_filter():
    around = scene(FILTER)
    [one] = journeys(dropped(9), around=around)

    assert f"TC_INGRESS; tc: {NAMED}" in "\n".join(text.lines(one, around))
    assert json_lines.journey_object(one, around)["passes"][0]["steps"][-1]["tc"] == NAMED
    told = io.StringIO()
    story.write(one, around, told)
    assert f"tc's {NAMED}" in told.getvalue()
    assert "`tc -s filter show dev eth0 ingress`" in told.getvalue()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("u32", 0x0800, 11, 0, ["gact"]), NAMED),
        (("flower", 0x86DD, 1, 7, ["a", "b"]), "filter protocol ipv6 pref 1 flower chain 7, actions a, b"),
        (("bpf", 3, 49152, 0, []), "filter protocol all pref 49152 bpf chain 0"),
        (("fw", 0x8847, 2, 0, ["a", "b"], 1), "filter protocol [34887] pref 2 fw chain 0, actions a, b, 1 more"),
    ],
)
def test_a_filter_is_told_as_tc_prints_it(told, expected):
    assert filter_phrase(*told) == expected


def test_a_filter_that_is_not_told_casts_no_doubt_on_absences():
    around = scene(stage_event(BEGIN_NS, {"name": "fl_classify", "tells": "t", "without": "w", "missing": "m"}))
    assert around.missing_stages() == []
