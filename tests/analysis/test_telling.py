# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reasons tell something."""

from dataclasses import replace

import pytest

from bondtrace.analysis.telling import groups, main_reason
from build import (
    DEVICES,
    FEW,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    handler,
    journeys,
    received,
    refused,
    rx,
    scene,
    tcpdump,
    vlan,
)

AWAY = {50_000 + n: tcpdump(50_000 + n, name) for n, name in enumerate(("eth2", "br0", "veth0"))}


def grouped(*passes, taps, **more):
    """[[(tap, reason)]] of the groups of the one journey of these passes."""
    around = scene(taps=taps, **more)
    [journey] = journeys(*passes, around=around)
    return [[(one.tap, one.reason) for one in group] for group in groups(journey)]


def test_taps_on_devices_that_the_packet_did_not_pass_are_one_group():
    assert grouped(refused(), taps={**FEW, **AWAY}) == [
        [(ON_BOND0, "inactive-slave")],
        [(ON_ETH0, "bound-elsewhere"), *((inode, "bound-elsewhere") for inode in AWAY)],
    ]


def test_a_tap_of_which_there_is_more_to_say_stands_alone_whatever_the_reason():
    # given a tap on a VLAN device of the bond, and packets with its id in another type of tag, and without a tag
    taps = {7: tcpdump(7, "bond0.7"), ON_ETH1: TAPS[ON_ETH1], **AWAY}
    trivial = [(ON_ETH1, "bound-elsewhere"), *((inode, "bound-elsewhere") for inode in AWAY)]

    tagged = rx("eth0", handler("ANOTHER", "bond0"), vlan(), vlan=7, tpid=0x88A8)
    devices = {**DEVICES, "bond0.7": replace(DEVICES["bond0.7"], vlan_protocol=0x8100)}
    assert grouped(tagged, taps=taps, devices=devices) == [[(7, "bound-elsewhere")], trivial]
    assert grouped(received(), taps=taps) == [[(7, "bound-elsewhere"), *trivial]]


def test_nobody_is_left_out():
    around = scene(taps={**TAPS, **AWAY})
    for journey in journeys(received(), refused(50), around=around):
        assert sorted(one.tap for group in groups(journey) for one in group) == sorted(
            one.tap for one in journey.unseen
        )


@pytest.mark.parametrize(
    "reasons, words",
    [
        ([], ""),
        ([("bound-elsewhere", 5)], "bound-elsewhere"),
        ([("inactive-slave", 5), ("bound-elsewhere", 4)], "inactive-slave"),
        ([("bound-elsewhere", 5), ("inactive-slave", 4), ("protocol", 4)], "inactive-slave (4 of 13)"),
        ([("netns", 5), ("bound-elsewhere", 4)], "netns"),
    ],
)
def test_a_trivial_reason_is_not_named_where_one_tells_something(reasons, words):
    assert main_reason(reasons) == words
