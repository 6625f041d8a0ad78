# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts by name, as Prometheus gets them: names cannot break a scrape, their number is bounded, and no count falls."""

from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bondtrace.format.events import device_event, tap_event
from bondtrace.model import Process
from bondtrace.reporters.prometheus import Metrics
from bondtrace.stats.metrics import Tally
from build import DEVICES, HERE, ON_ETH0, TAPS, drop, journeys, received, rx, scene, start, tap

FORMATS = [(generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)]


def tally_of(around, told, **more):
    made = Tally(around, **more)
    for one in told:
        made.count(one)
    return made


def scraped(tally, generate=generate_latest, parse=parse_text):
    """{name: {labels: value}}, each series once."""
    metrics, registry = Metrics(), CollectorRegistry(auto_describe=False)
    metrics.update(tally, tally.scene)
    registry.register(metrics)
    found = {}
    for family in parse(generate(registry).decode()):
        for one in family.samples:
            series = found.setdefault(one.name, {})
            labels = tuple(sorted(one.labels.items()))
            assert labels not in series, (one.name, labels)
            series[labels] = one.value
    return found


def by(series, *labels):
    """The sums by these labels."""
    sums = Counter()
    for names, value in series.items():
        sums[tuple(dict(names)[label] for label in labels)] += value
    return dict(sums)


def taps_called(*names):
    return {
        41000 + place: replace(TAPS[ON_ETH0], inode=41000 + place, processes=(Process(7 + place, name, ""),))
        for place, name in enumerate(names)
    }


def offered_to(taps, around, **more):
    return journeys(rx("eth0", *(tap(inode) for inode in taps), **more), around=around)


@pytest.mark.parametrize("generate, parse", FORMATS, ids=["text", "OpenMetrics"])
def test_names_cannot_break_a_scrape(generate, parse):
    # given taps of processes with such names, and a device called so
    taps = taps_called('a"} 1\nbondtrace_journeys_total 9', "back\\slash", "\udcff\udcfe", "\033[2J", "ü", "")
    around = scene(taps=taps)
    around.apply(device_event(start()["time_ns"], replace(DEVICES["eth0"], name='e"\n\\\udcff')))

    found = scraped(tally_of(around, offered_to(taps, around)), generate, parse)

    # then every name has its series, written so that nothing is taken for syntax
    assert by(found["bondtrace_tap_captured_total"], "tap", "device") == {
        (name, r'e"\x0a\\xff'): 1
        for name in ('a"} 1\\x0abondtrace_journeys_total 9', "back\\slash", "\\xff\\xfe", "\\x1b[2J", "ü", "")
    }
    assert found["bondtrace_journeys_total"] == {(): 1}


def test_names_that_are_written_alike_are_added_up_for_no_series_may_be_there_twice():
    taps = taps_called("\n", "\\x0a")
    around = scene(taps=taps)

    found = scraped(tally_of(around, offered_to(taps, around)))

    assert by(found["bondtrace_tap_captured_total"], "tap") == {("\\x0a",): 2}


def test_the_number_of_names_is_bounded_and_nothing_goes_uncounted():
    # given more taps, and more devices, than are admitted
    taps = taps_called(*(f"p{n}" for n in range(9)))
    around = scene(taps=taps)
    told = [
        one
        for n, dev in enumerate(("eth0", "eth1", "eth2"))
        for one in journeys(rx(dev, *(tap(inode) for inode in taps), at=100 * n, skb=n + 1), around=around)
    ]

    found = scraped(tally_of(around, told, limit=2))

    assert by(found["bondtrace_tap_captured_total"], "tap", "kind") == {
        ("p0", "raw"): 3,
        ("p1", "raw"): 3,
        ("other", "other"): 21,
    }
    assert by(found["bondtrace_device_packets_total"], "device", "namespace") == {
        ("eth0", "host"): 1,
        ("eth1", "host"): 1,
        ("other", "other"): 1,
    }


def test_taps_of_the_same_program_come_and_go_in_one_series():
    taps = taps_called(*["tcpdump"] * 5)
    around = scene(taps=taps)
    assert list(scraped(tally_of(around, offered_to(taps, around)))["bondtrace_tap_captured_total"].values()) == [5]


def test_a_count_stays_where_it_was_when_a_device_is_renamed_and_a_tap_bound_anew():
    # given a packet before and one after eth0 got another name and its tap another device
    around = scene()
    told = list(journeys(received(), around=around))
    tally = tally_of(around, told)
    before = scraped(tally)
    around.apply(device_event(told[0].time_ns + 1000, replace(DEVICES["eth0"], name="lan0")))
    around.apply(tap_event(told[0].time_ns + 1000, replace(TAPS[ON_ETH0], ifindex=0)))
    tally.count(next(iter(journeys(received(5000), around=around))))

    # then no series has fallen or is gone
    after = scraped(tally)
    fallen = [
        name
        for name, series in before.items()
        if name.endswith("_total")
        for labels, value in series.items()
        if after[name].get(labels, 0) < value
    ]
    assert fallen == []
    assert by(after["bondtrace_device_packets_total"], "device") == {("eth0",): 1, ("lan0",): 1, ("bond0",): 2}
    bound = by(after["bondtrace_tap_captured_total"], "bound_to")
    assert bound["eth0",] == 1 and bound["any",] > by(before["bondtrace_tap_captured_total"], "bound_to")["any",]


def test_a_drop_without_a_reason_is_told():
    around = scene()
    around.start["drop_reasons"] = {}
    found = scraped(tally_of(around, journeys(rx("eth0", drop("NO_SOCKET")), around=around)))
    assert by(found["bondtrace_drops_total"], "reason", "device") == {("", "eth0"): 1}


@pytest.mark.parametrize(
    "given, label", [("blue", "blue"), ("netns of pid 4711", str(HERE)), (f"net:[{HERE}]", str(HERE)), ("", str(HERE))]
)
def test_a_namespace_without_a_name_is_its_inode_for_pids_change(given, label):
    around = scene()
    around.namespaces[HERE] = given
    found = scraped(tally_of(around, journeys(received(), around=around)))
    assert {dict(names)["namespace"] for names in found["bondtrace_device_packets_total"]} == {label}
