# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reasons tell something."""

import pytest

from bondtrace.analysis.telling import groups, main_reason
from build import DEVICES, FEW, HERE, ON_BOND0, ON_ETH0, ON_ETH1, TAPS, journeys, received, refused, scene, tcpdump

AWAY = {50_000 + n: tcpdump(50_000 + n, name) for n, name in enumerate(("eth2", "br0", "veth0"))}


def grouped(*passes, taps):
    """[[(tap, reason)]] of the groups of the one journey of these passes."""
    around = scene(taps=taps)
    [journey] = journeys(*passes, around=around)
    return [[(one.tap, one.reason) for one in group] for group in groups(journey, around)]


def test_taps_on_devices_that_the_packet_did_not_come_near_are_one_group():
    assert grouped(refused(), taps={**FEW, **AWAY}) == [
        [(ON_BOND0, "inactive-slave")],
        [(ON_ETH0, "bound-elsewhere"), *((inode, "bound-elsewhere") for inode in AWAY)],
    ]


def test_a_tap_above_the_packets_way_stands_alone_whatever_the_reason():
    # given a tap on a VLAN device of the bond, which an untagged packet does not come to
    above = {7: tcpdump(7, "bond0.7")}

    assert grouped(received(), taps={ON_ETH1: TAPS[ON_ETH1], **above, **AWAY}) == [
        [(7, "bound-elsewhere")],
        [(ON_ETH1, "bound-elsewhere"), *((inode, "bound-elsewhere") for inode in AWAY)],
    ]


def test_nobody_is_left_out():
    around = scene(taps={**TAPS, **AWAY})
    for journey in journeys(received(), refused(50), around=around):
        assert sorted(one.tap for group in groups(journey, around) for one in group) == sorted(
            one.tap for one in journey.unseen
        )
    assert DEVICES["eth0"].netns == HERE


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
