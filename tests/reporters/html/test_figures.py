# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page's script draws: how nodes are called and coloured, and what is left out of long lists."""

import pytest
from mixture import digested, many

from bondtrace.reporters.html import figures
from bondtrace.stats.paths import Node
from build import HERE, THERE, both, protocol, queued, rx, scene

ETH0, PEER = (HERE, 2, "rx"), (THERE, 2, "rx")


@pytest.mark.parametrize(
    "node, places, expected",
    [
        (Node("source", (0, 0, ""), "sent"), [ETH0], ("sent by this host", "")),
        (Node("source", (0, 0, ""), "unknown"), [ETH0], ("begin not recorded", "")),
        (Node("end", (0, 0, ""), "driver"), [ETH0], ("on to the driver", "")),
        (Node("device", ETH0), [ETH0], ("eth0 rx", "")),
        (Node("device", ETH0), [ETH0, PEER], ("eth0 rx (host)", "")),
        (Node("taps", ETH0, "", "captured"), [ETH0], ("taps", "captured")),
        (Node("rx_handler", ETH0, "bond_handle_frame", "ANOTHER"), [ETH0], ("bond_handle_frame", "ANOTHER")),
        (Node("protocol", (HERE, 0, ""), "ip_rcv"), [ETH0], ("ip_rcv", "")),
        (Node("protocol", (THERE, 0, ""), "ip_rcv"), [ETH0, PEER], ("ip_rcv (blue)", "")),
        (Node("drop", (HERE, 0, ""), "icmp_rcv", "NO_SOCKET"), [ETH0], ("dropped in icmp_rcv", "NO_SOCKET")),
        (Node("by-design", (HERE, 0, ""), "icmp_rcv", ""), [ETH0], ("dropped by design in icmp_rcv", "")),
        (Node("drop", (HERE, 0, ""), "e\x1b", "r\n"), [ETH0], ("dropped in e\\x1b", "r\\x0a")),
    ],
)
def test_what_a_node_is_called(node, places, expected):
    assert figures.label(node, places, scene()) == expected


@pytest.mark.parametrize(
    "node, style",
    [
        (Node("taps", ETH0, "", "full"), "full"),
        (Node("rx_handler", ETH0, "bond_handle_frame", "EXACT"), "EXACT"),
        (Node("protocol", (HERE, 0, ""), "ip_rcv"), "protocol"),
        (Node("drop", (HERE, 0, ""), "icmp_rcv"), "drop"),
        (Node("by-design", (HERE, 0, ""), "icmp_rcv"), "by-design"),
        (Node("device", ETH0), "plain"),
        (Node("end", (0, 0, ""), "nothing"), "plain"),
    ],
)
def test_the_colour_of_a_node(node, style):
    assert figures.style(node) == style


def test_the_page_has_the_most_frequent_paths_and_steps_and_those_of_kinds(monkeypatch):
    digest = digested(many(1))
    whole = figures.report_object(digest, "trace.arrows", [])
    monkeypatch.setattr(figures, "PATHS_MAX", 3)
    monkeypatch.setattr(figures, "STEPS_MAX", 4)

    short = figures.report_object(digest, "trace.arrows", [])
    digest.kinds.numbers = dict(list(digest.kinds.numbers.items())[:1])
    shortest = figures.report_object(digest, "trace.arrows", [])

    counts = [path["packets"] for path in whole["flow"]["paths"]]
    assert counts == sorted(counts, reverse=True) and sum(counts) == whole["journeys"]["total"]
    assert short["flow"] == {**whole["flow"], "listed": 3}  # kinds need them
    assert shortest["flow"]["paths"][:3] == whole["flow"]["paths"][:3] and len(shortest["flow"]["paths"]) in (3, 4)
    assert shortest["flow"]["paths_total"] == len(counts) > 4
    steps = whole["latencies"]["steps"]
    most = sorted((one["count"] for one in steps), reverse=True)[:4]
    assert sorted((one["count"] for one in short["latencies"]["steps"]), reverse=True) == most
    assert (short["latencies"]["left_out"], whole["latencies"]["left_out"]) == (len(steps) - 4, 0) and len(steps) > 4


def test_every_kind_of_step_has_its_name_among_the_steps():
    told = figures.report_object(digested(many(1)), "trace.arrows", [])["latencies"]["steps"]
    kinds = {one["kind"] for one in told}

    assert kinds == {
        "tap",
        "fanout",
        "rx_handler",
        "vlan",
        "protocol",
        "drop",
        "local",
        "socket",
        "answered",
        "forwarded",
    }
    assert {one["function"] for one in told if one["kind"] == "socket"} == {"udp_queue_rcv_one_skb"}


def test_what_was_handed_on_has_its_name_among_the_steps():
    passes = both(rx("eth2", protocol("ip_rcv"), queued("bond0.7")), rx("eth2", at=90, skb=9))
    told = figures.report_object(digested(passes, batches=1), "trace.arrows", [])["latencies"]["steps"]
    assert [one["kind"] for one in told if one["function"] == "gro_cells_receive"] == ["queued"]
