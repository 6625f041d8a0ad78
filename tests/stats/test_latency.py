# SPDX-License-Identifier: GPL-2.0-or-later
"""How long after a pass began its steps came."""

from bisect import bisect_right
from collections import Counter

import numpy as np
import pytest
from mixture import digested, many, one_by_one

from bondtrace.format.wire import STEP_DROP
from bondtrace.stats.latency import EDGES_NS, Spread
from build import both, drop, rx


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

    names = {
        **{1: "tap", 2: "fanout", 3: "rx_handler", 4: "protocol", 6: "vlan", 7: "drop"},
        **{10: "local", 11: "socket", 12: "answered", 14: "forwarded"},
    }
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


def test_a_quantile_is_the_upper_edge_of_its_bin_but_no_more_than_the_most():
    spread = Spread(count=100, most_ns=1100)
    spread.bins[np.searchsorted(EDGES_NS, 100, side="right")] = 60
    spread.bins[np.searchsorted(EDGES_NS, 1050, side="right")] = 40

    assert (spread.quantile_ns(0.5), spread.quantile_ns(0.99)) == (108, 1100)


def test_drops_in_one_function_are_one_kind_whoever_decided_on_them():
    # given drops by nf_hook_slow of which two chains and a hook had the packets dropped
    deciding = ("nft_do_chain", "ipt_do_table", "nf_hook_slow")
    passes = [
        rx("eth0", drop("NETFILTER_DROP", "nf_hook_slow", by=by, decided_by=9), at=100 * place, skb=place + 7)
        for place, by in enumerate(deciding)
    ]
    latencies = digested(both(*passes), batches=1).latencies
    assert [(kind.step, spread.count) for kind, spread in latencies.spreads.items()] == [(STEP_DROP, 3)]
