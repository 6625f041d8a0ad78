# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes cut into rounds: on which device, from when until when, and what happened there."""

from bondtrace.exporters.rounds import rounds
from build import (
    ON_5354,
    ON_BOND0,
    ON_ETH0,
    SKB,
    THERE,
    drop,
    enters,
    given,
    handler,
    journeys,
    late,
    local,
    protocol,
    received,
    reply,
    rx,
    sent,
    tap,
    vlan,
)


def cut(*passes):
    """[[(round, device, begin and end in µs, kinds of its steps, tags taken), ...] of each pass] of one journey."""
    (journey,) = journeys(*passes)
    return [
        [
            (
                one.number,
                one.dev,
                one.begin_ns // 1000,
                one.end_ns // 1000,
                [step.kind for step in one.steps],
                one.untagged,
            )
            for one in rounds(each, journey.time_ns)
        ]
        for each in journey.passes
    ]


def test_a_round_ends_where_the_next_begins():
    assert cut(received(at=5)) == [
        [(1, "eth0", 0, 3, ["enter", "tap", "tap", "rx_handler"], 0), (2, "bond0", 3, 7, ["tap", "tap", "protocol"], 0)]
    ]


def test_a_later_pass_has_times_of_the_journey():
    assert cut(sent(at=5)) == [
        [(1, "bond0", 0, 3, ["enter", "tap", "tap"], 0)],
        [(1, "eth0", 10, 13, ["enter", "tap", "tap"], 0)],
    ]


def test_a_round_in_which_nothing_more_happened_is_one():
    assert cut(rx("eth0", handler("ANOTHER", "bond0"))) == [
        [(1, "eth0", 0, 1, ["enter", "rx_handler"], 0), (2, "bond0", 1, 2, [], 0)]
    ]


def test_the_tags_that_vlan_devices_took_are_counted_from_the_next_round_on():
    taken = rx("eth0", handler("ANOTHER", "bond0"), vlan("bond0.7"), tap(ON_BOND0), protocol("ip_rcv"))
    assert [(number, dev, untagged) for number, dev, *_, untagged in cut(taken)[0]] == [
        (1, "eth0", 0),
        (2, "bond0", 0),
        (3, "bond0.7", 1),
    ]
    # and a tag that no device is for stays
    kept = rx("eth0", vlan(), handler("ANOTHER", "bond0"))
    assert [(number, dev, untagged) for number, dev, *_, untagged in cut(kept)[0]] == [(1, "eth0", 0), (2, "bond0", 0)]


def test_a_device_of_the_same_number_in_another_namespace_is_another_round():
    moved = rx("eth2", handler("ANOTHER", "peer0", "macvlan_handle_frame"), enters(THERE), tap(77), drop("NO_SOCKET"))
    assert cut(moved) == [[(1, "eth2", 0, 1, ["enter", "rx_handler"], 0), (2, "peer0", 1, 5, ["tap", "drop"], 0)]]


def test_what_came_late_is_in_its_round():
    passes = rx("eth0", tap(ON_ETH0), in_list=True, frame=5), late("eth0", protocol("ip_list_rcv"), at=310, frame=5)
    [[one]] = cut(*passes)
    assert one[:3] == (1, "eth0", 0) and one[4] == ["enter", "tap", "protocol"]


def test_what_comes_beyond_ip_happened_in_the_round_in_which_ip_was_given_it():
    """It is no round of its own, also where it came late, and from a VRF's device."""
    beyond = local(17), given(ON_5354)
    assert cut(rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), *beyond)) == [
        [(1, "eth0", 0, 1, ["enter", "rx_handler"], 0), (2, "bond0", 1, 5, ["protocol", "local", "socket"], 0)]
    ]
    more = {"skb": SKB, "head": 7, "frame": 9}
    listed = rx("bond0.7", protocol("ip_list_rcv"), in_list=True, **more)
    assert cut(listed, late("bond0", *beyond, at=9, packet=reply(), **more)) == [
        [(1, "bond0.7", 0, 11, ["enter", "protocol", "local", "socket"], 0)]
    ]
