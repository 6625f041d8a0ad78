# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways that packets took, and the picture that is drawn of them."""

from collections import Counter
from graphlib import TopologicalSorter

import pytest
from mixture import KINDS, digested, many, one_by_one

from bondtrace.format.events import device_event
from bondtrace.stats.paths import Node, path, picture
from build import (
    ALL_DEVICES,
    HERE,
    MORE_DEVICES,
    ON_5354,
    ON_8080,
    ON_ETH0,
    RAW,
    SKB,
    answered,
    beyond_ip,
    drop,
    given,
    handler,
    journeys,
    late,
    local,
    protocol,
    received,
    refusal,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tx,
)

ETH0, ETH1, BOND0 = (HERE, 2, "rx"), (HERE, 3, "rx"), (HERE, 4, "rx")
NOWHERE = (0, 0, "")


@pytest.mark.parametrize("seed", range(4))
def test_paths_are_those_of_going_through_the_journeys(seed):
    passes = many(seed)
    told, _ = one_by_one(passes)
    expected, first = Counter(), {}
    for journey in told:
        expected[path(journey)] += 1
        first.setdefault(path(journey), journey.id)

    flow = digested(passes).paths

    # what becomes of a packet beyond IP is in no path, so what is forwarded goes the way of what a socket was given
    assert flow.paths == expected and len(expected) >= len(KINDS) - 1
    assert {way: journey.id for way, journey in flow.examples.items()} == first


UDP_TO_SOCKET = local(17), given(ON_5354)


@pytest.mark.parametrize(
    "steps", [UDP_TO_SOCKET, (local(1),), (answered(),), (local(6), given(ON_8080, "tcp_v4_do_rcv", "LISTEN"))]
)
def test_what_comes_beyond_ip_is_no_stop_and_no_end_of_the_way(steps):
    before = tap(ON_ETH0), handler("ANOTHER", "bond0"), protocol("ip_rcv")
    [plain], [beyond] = (journeys(rx("eth0", *before, *more), around=beyond_ip()) for more in ((), steps))
    assert path(beyond) == path(plain) and path(plain)[-1].kind == "protocol"


def test_a_refusal_by_a_socket_ends_the_way_as_a_drop_and_that_of_a_copy_for_a_raw_socket_does_not():
    refused_, copied = refusal(ON_5354, "SOCKET_RCVBUFF"), refusal(RAW, "SOCKET_RCVBUFF", result=1)
    [one], [other] = (
        journeys(rx("eth2", protocol("ip_rcv"), *more), around=beyond_ip())
        for more in ((*UDP_TO_SOCKET, refused_), (given(RAW, "raw_rcv"), copied))
    )
    assert path(one)[-1] == Node("drop", (HERE, 0, ""), "udp_queue_rcv_one_skb", "SOCKET_RCVBUFF")
    assert path(other)[-1] == Node("protocol", (HERE, 0, ""), "ip_rcv")


def test_steps_that_came_late_from_a_vrfs_device_are_no_visit_of_it():
    # given a list's packet on a device of a VRF, which IP takes for one of the VRF's
    more = {"skb": SKB, "head": 7, "frame": 9}
    devices = [device_event(1, MORE_DEVICES[name]) for name in ("red", "eth3")]
    passes = (
        rx("eth3", protocol("ip_rcv"), in_list=True, **more),
        late("red", *UDP_TO_SOCKET, at=9, **more, packet=reply()),
    )
    [journey] = journeys(*passes, around=beyond_ip(*devices))

    assert [node.kind for node in path(journey)] == ["source", "device", "protocol"]
    assert {step.dev for step in journey.passes[0].steps} == {"eth3"} and len(journey.passes[0].steps) == 4


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


def test_a_vrfs_taps_come_before_what_showed_the_packet_to_them_and_nothing_is_sent():
    around = scene(devices=ALL_DEVICES)
    passes = (
        rx("eth3", protocol("ip_rcv"), drop("NO_SOCKET", dev="red"), seq=5, lasts=90),
        tx("red", tap(ON_ETH0), at=1, parent=5, seq=6, again=True, lasts=0),
    )
    [journey] = journeys(*passes, around=around)

    assert path(journey) == (
        Node("source", NOWHERE, "received"),
        Node("device", (HERE, 21, "rx")),
        Node("device", (HERE, 20, "tx")),
        Node("taps", (HERE, 20, "tx"), "", "captured"),
        Node("protocol", (HERE, 0, ""), "ip_rcv"),
        Node("device", (HERE, 20, "rx")),
        Node("drop", (HERE, 0, ""), "sch_handle_ingress", "NO_SOCKET"),
    )


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_into_a_stop_leaves_it_and_nothing_goes_in_circles(seed):
    flow = digested(many(seed)).paths
    ways = [way for way, _ in flow.most_common()]
    drawn = picture(ways)

    # then each path is there, stop by stop, and links lead from one to another without a circle
    assert [[drawn.stops[place].node for place in way] for way in drawn.ways] == [list(way) for way in ways]
    onward = {pair for way in drawn.ways for pair in zip(way, way[1:])}
    assert list(
        TopologicalSorter(
            {target: {source for source, to in onward if to == target} for _, target in onward}
        ).static_order()
    )
    assert {drawn.stops[way[0]].node.kind for way in drawn.ways} == {"source"}


def test_paths_in_opposite_order_do_not_make_a_circle():
    a, b = Node("device", ETH0), Node("device", ETH1)

    drawn = picture([(a, b), (b, a), (a, b, a)])

    assert [("ab"[stop.node == b], stop.turn) for stop in drawn.stops] == [("a", 0), ("b", 0), ("a", 1)]
    assert drawn.ways == [[0, 1], [1, 2], [0, 1, 2]]


def test_paths_behind_do_not_change_where_those_before_go():
    nodes = [Node("device", (HERE, n, "rx")) for n in range(6)]
    ways = [(nodes[0], node) for node in nodes[1:]]

    assert picture(ways).ways[:2] == picture(ways[:2]).ways == [[0, 1], [0, 2]]
