# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report counts in columns and by shape is what one finds by going through the journeys one by one."""

from bisect import bisect_right
from collections import Counter

import numpy as np
import pytest

from bondtrace.analysis import assemble
from bondtrace.format.batch import Batch
from bondtrace.pipeline import Pipeline
from bondtrace.stats.latency import EDGES_NS, Spread
from bondtrace.stats.paths import Link, Node, Paths, path
from bondtrace.stats.report_data import ReportData, Sample
from bondtrace.stats.timeline import DROPPED, FATES, Timeline
from build import (
    BEGIN_NS,
    HERE,
    LLDP,
    ON_ANY,
    ON_ETH0,
    ON_ETH1,
    SKB,
    THERE,
    both,
    drop,
    enters,
    events,
    fanout,
    handler,
    journeys,
    late,
    protocol,
    received,
    refused,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tx,
    vlan,
)

KINDS = (
    received,
    refused,
    sent,
    lambda at, **m: rx(
        "eth0",
        tap(ON_ETH0, "full"),
        tap(ON_ANY),
        handler("ANOTHER", "bond0"),
        vlan("bond0.7"),
        protocol("arp_rcv"),
        at=at,
        **m,
    ),
    lambda at, **m: rx("eth1", tap(ON_ETH1, "filtered"), handler("CONSUMED"), at=at, **m),
    lambda at, **m: rx("eth1", handler("EXACT"), tap(LLDP, "ignored"), drop("NO_SOCKET"), at=at, **m),
    lambda at, **m: rx(
        "eth2",
        handler("ANOTHER", "peer0", "macvlan_handle_frame"),
        enters(THERE),
        tap(77),
        protocol("ip_rcv"),
        at=at,
        **m,
    ),
    lambda at, **m: rx("peer0", fanout(), drop("NO_SOCKET", "macvlan_handle_frame"), at=at, **m),
    lambda at, **m: tx("bond0", at=at, **m),
    lambda at, **m: late("eth0", tap(ON_ETH0), at=at, **m),
)


def many(seed, count=500):
    """Packets of all kinds, one every 150 µs or so, with times of their own for their steps."""
    rng = np.random.default_rng(seed)
    parts = [
        KINDS[int(rng.integers(len(KINDS)))](150 * n + int(rng.integers(50)), skb=SKB + 64 * n, frame=n)
        for n in range(count)
    ]
    passes = both(*parts)
    passes.steps["t_ns"] = np.sort(2.0 ** rng.uniform(0, 31, len(passes.steps))) + np.arange(len(passes.steps))
    return passes


def digested(passes, limit=100, batches=7, **more):
    """The data of a report that took the passes in batches."""
    data = ReportData(Sample(limit), **more)
    pipeline = Pipeline(columns=data.add, directions=data.directions, scene=data.scene, summary=data.summary)
    parts = [passes.take(places) for places in np.array_split(np.arange(len(passes)), batches)]
    given = [Batch(part, [], int(part.records["time_ns"].max())) for part in parts]
    pipeline.run([given[0]._replace(passes=passes.take(np.arange(0)), events=events()), *given])
    return data


def one_by_one(passes):
    around = scene()
    columns = stitched(passes, around=around)
    return list(assemble.journeys(columns, around)), around


def fate(journey):
    """The word for what the taps made of it, and whether it was dropped."""
    steps = [step for one in journey.passes for step in one.steps]
    outcomes = {step.outcome for step in steps if step.kind == "tap"}
    word = (
        "full" if "full" in outcomes else "captured" if "captured" in outcomes else "offered" if outcomes else "unseen"
    )
    return word, any(step.kind == "drop" for step in steps)


# --- against counting one by one -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_paths_are_those_of_going_through_the_journeys(seed):
    passes = many(seed)
    told, _ = one_by_one(passes)
    expected, first = Counter(), {}
    for journey in told:
        expected[path(journey)] += 1
        first.setdefault(path(journey), journey.id)

    flow = digested(passes).paths

    assert flow.paths == expected and len(expected) >= len(KINDS)
    assert {way: journey.id for way, journey in flow.examples.items()} == first


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


@pytest.mark.parametrize("seed", range(4))
def test_latencies_are_those_of_going_through_the_journeys(seed):
    passes = many(seed)
    told, around = one_by_one(passes)
    expected = {}
    for journey in told:
        for one in journey.passes:
            begin_ns = next((step.t_ns for step in one.steps if step.kind == "enter"), None)
            for step in one.steps:
                if step.kind != "enter" and begin_ns is not None:
                    key = step.netns, step.ifindex, one.direction, step.kind, step.function
                    expected.setdefault(key, []).append(step.t_ns - begin_ns)

    spreads = digested(passes).latencies.spreads

    names = {1: "tap", 2: "fanout", 3: "rx_handler", 4: "protocol", 6: "vlan", 7: "drop"}
    found = {
        (kind.netns, kind.ifindex, "tx" if kind.sent else "rx", names[kind.step], kind.function(around)): spread
        for kind, spread in spreads.items()
    }
    assert found.keys() == expected.keys() and len(found) == len(spreads) > 15
    for key, times_ns in expected.items():
        spread, bins = found[key], Counter(bisect_right(EDGES_NS.tolist(), one) for one in times_ns)
        assert (spread.count, spread.total_ns, spread.least_ns, spread.most_ns) == (
            len(times_ns),
            sum(times_ns),
            min(times_ns),
            max(times_ns),
        )
        assert {place: count for place, count in enumerate(spread.bins.tolist()) if count} == dict(bins)


def test_the_summary_of_a_digest_is_the_summary():
    passes = many(1)
    plain = Pipeline()
    plain.run([Batch(passes.take(np.arange(0)), events(), BEGIN_NS), Batch(passes, [], BEGIN_NS)])

    found = digested(passes).summary

    ignored = ("also",)
    assert {key: value for key, value in vars(found).items() if key not in ignored} == {
        key: value for key, value in vars(plain.summary).items() if key not in ignored
    }


# --- paths ---------------------------------------------------------------------------------------------

ETH0, ETH1, BOND0 = (HERE, 2, "rx"), (HERE, 3, "rx"), (HERE, 4, "rx")
NOWHERE = (0, 0, "")


def test_the_path_of_a_packet_through_a_bond():
    [journey] = journeys(received())

    assert path(journey) == (
        Node("source", NOWHERE, "received"),
        Node("device", ETH0),
        Node("taps", ETH0, "", "captured"),
        Node("rx_handler", ETH0, "bond_handle_frame", "ANOTHER"),
        Node("device", BOND0),
        Node("taps", BOND0, "", "captured"),
        Node("protocol", (HERE, 0, ""), "ip_rcv"),
    )


def test_the_path_of_a_packet_that_is_kept_on_the_backup_slave():
    [journey] = journeys(refused())

    assert path(journey) == (
        Node("source", NOWHERE, "received"),
        Node("device", ETH1),
        Node("taps", ETH1, "", "captured"),
        Node("rx_handler", ETH1, "bond_handle_frame", "EXACT"),
        Node("end", NOWHERE, "nothing"),
    )


def test_the_path_of_a_sent_packet_with_the_most_telling_outcome_of_each_device():
    [journey] = journeys(sent())

    bond0, eth0 = (HERE, 4, "tx"), (HERE, 2, "tx")
    assert path(journey) == (
        Node("source", NOWHERE, "sent"),
        Node("device", bond0),
        Node("taps", bond0, "", "captured"),
        Node("device", eth0),
        Node("taps", eth0, "", "full"),
        Node("end", NOWHERE, "driver"),
    )


@pytest.mark.parametrize(
    "steps, end",
    [
        pytest.param((handler("CONSUMED"),), Node("rx_handler", ETH0, "bond_handle_frame", "CONSUMED"), id="consumed"),
        pytest.param(
            (drop("NO_SOCKET"),), Node("drop", (HERE, 0, ""), "sch_handle_ingress", "NO_SOCKET"), id="dropped"
        ),
        pytest.param((handler("ANOTHER", "bond0"),), Node("end", NOWHERE, "nothing"), id="nothing more"),
    ],
)
def test_the_ends_of_paths(steps, end):
    [journey] = journeys(rx("eth0", *steps))

    assert path(journey)[-1] == end


def test_a_path_whose_begin_was_not_recorded():
    [journey] = journeys(late("eth0", tap(ON_ETH0)))

    assert path(journey)[0] == Node("source", NOWHERE, "unknown")


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_into_a_stop_leaves_it_and_nothing_goes_in_circles(seed):
    flow = digested(many(seed)).paths
    graph = flow.graph()
    into, out = Counter(), Counter()
    for link in graph.links:
        into[link.target] += link.packets
        out[link.source] += link.packets

    begun, ended = Counter(), Counter()
    for place, stop in enumerate(graph.stops):
        begun[stop.node] += max(0, out[place] - into[place])
        ended[stop.node] += max(0, into[place] - out[place])
    expected = Counter()
    for way, count in flow.paths.items():
        expected[way[-1]] += count
    assert +ended == expected
    assert {node.kind for node in +begun} == {"source"} and sum(begun.values()) == sum(flow.paths.values())
    columns = graph.columns()
    assert all(columns[link.source] < columns[link.target] for link in graph.links)


def test_paths_in_opposite_order_do_not_make_a_circle():
    a, b = Node("device", ETH0), Node("device", ETH1)
    flow = Paths(Counter({(a, b): 5, (b, a): 3, (a, b, a): 1}))

    graph = flow.graph()

    names = [("ab"[stop.node == b], stop.turn) for stop in graph.stops]
    assert [(names[link.source], names[link.target], link.packets) for link in graph.links] == [
        (("a", 0), ("b", 0), 6),
        (("b", 0), ("a", 1), 4),
    ]


def test_less_frequent_paths_are_left_out_of_the_picture_and_counted():
    nodes = [Node("device", (HERE, n, "rx")) for n in range(6)]
    flow = Paths(Counter({(nodes[0], node): 10 - place for place, node in enumerate(nodes[1:])}))

    graph = flow.graph(paths_max=2)

    assert graph.links == [Link(0, 1, 10), Link(0, 2, 9)]
    assert (graph.paths_left_out, graph.packets_left_out) == (3, 8 + 7 + 6)


# --- times ---------------------------------------------------------------------------------------------


def test_a_long_trace_gets_wider_bins_and_loses_none():
    # given a bin for 0.1 ms at first, and packets over a minute
    timeline = Timeline()
    for at in (0, 90, 150, 20_000, 60_000_000):
        timeline.add(stitched(rx("eth0", at=at)))

    [row] = timeline.counts.values()
    assert timeline.width_ns == 100_000 * 2**12
    assert row.tolist()[0] == 4 and row.tolist()[60_000_000_000 // timeline.width_ns] == 1 and row.sum() == 5


def test_a_quantile_is_the_upper_edge_of_its_bin_but_no_more_than_the_most():
    spread = Spread(count=100, most_ns=1100)
    spread.bins[np.searchsorted(EDGES_NS, 100, side="right")] = 60
    spread.bins[np.searchsorted(EDGES_NS, 1050, side="right")] = 40

    assert (spread.quantile_ns(0.5), spread.quantile_ns(0.99)) == (108, 1100)


# --- the list ------------------------------------------------------------------------------------------


def test_few_journeys_are_all_listed():
    data = digested(many(1, 100), limit=200)
    told, _ = one_by_one(many(1, 100))

    assert [one.id for one in data.journeys()] == [one.id for one in told]


@pytest.mark.parametrize("limit", [1, 10, 60])
def test_of_many_a_sample_is_listed_with_examples(limit):
    data = digested(many(2), limit=limit)
    told, _ = one_by_one(many(2))

    listed = data.journeys()

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

    assert {one.direction for one in data.journeys()} == {"tx"}
    assert sum(data.paths.paths.values()) == len(data.journeys()) == data.summary.journeys
