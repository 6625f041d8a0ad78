# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reasons tell something."""

from dataclasses import replace

import pytest

from bondtrace.analysis.telling import absences, alike, counted, main_reason
from build import (
    DEVICES,
    FEW,
    LLDP,
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
    sent,
    tcpdump,
    tx,
    vlan,
)

AWAY = {50_000 + n: tcpdump(50_000 + n, name) for n, name in enumerate(("eth2", "br0", "veth0"))}


def groups(journey):
    """All absences of a journey, those with the same answer together."""
    found = absences(journey)
    return [*found.told, *alike(found.trivial)]


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


def test_taps_with_the_same_answer_are_one_group():
    taps = {ON_BOND0: TAPS[ON_BOND0], 7: tcpdump(7, "bond0")}
    assert grouped(refused(), taps=taps) == [[(ON_BOND0, "inactive-slave"), (7, "inactive-slave")]]


def trivial(*passes, tap, **more):
    """(reason, whether it is trivial) of the absence of one tap from the one journey of these passes."""
    around = scene(taps={tap.inode: tap}, **more)
    [journey] = journeys(*passes, around=around)
    [one] = journey.unseen
    return one.reason, one.trivial


LLDPD = TAPS[LLDP]
LLDP_FRAME = bytes(12) + b"\x88\xcc" + bytes(40)


@pytest.mark.parametrize(
    "passes, tap, expected",
    [
        # where it was, or was on its way to
        ([refused()], tcpdump(7, "bond0"), ("inactive-slave", False)),
        ([rx("eth0", vlan(), handler("ANOTHER", "bond0"), vlan=7)], tcpdump(7, "bond0.7"), ("bound-elsewhere", False)),
        ([received()], tcpdump(7, "bond0.7"), ("bound-elsewhere", True)),
        ([received()], tcpdump(7, "eth1"), ("bound-elsewhere", True)),
        # below the device on which it was sent, where it was not seen to be sent by another
        ([tx("bond0")], tcpdump(7, "eth1"), ("bound-elsewhere", False)),
        ([sent()], tcpdump(7, "eth1"), ("bound-elsewhere", True)),
        # as the tap asked for
        ([refused()], LLDPD, ("protocol", True)),
        ([tx("eth1")], LLDPD, ("outgoing-not-offered", True)),
        ([tx("eth1", packet=LLDP_FRAME)], LLDPD, ("outgoing-not-offered", False)),
        ([tx("eth1")], replace(tcpdump(7, "eth1"), ignore_outgoing=True), ("outgoing-ignored", True)),
        ([tx("eth1", sender=7)], tcpdump(7, "eth1"), ("own-packet", True)),
        # not hooked in
        ([refused()], replace(tcpdump(7, "eth1"), protocol=0), ("not-running", True)),
        ([refused()], replace(tcpdump(7, "eth1"), running=False), ("not-running", False)),
        ([refused()], replace(tcpdump(7, "bond0"), running=False), ("not-running", False)),
        ([refused()], replace(tcpdump(7, "eth0"), running=False), ("not-running", True)),
        ([refused()], replace(tcpdump(7, "eth0"), ifindex=-1), ("not-running", False)),
    ],
)
def test_an_absence_tells_something_where_the_packet_was_or_was_on_its_way_to(passes, tap, expected):
    assert trivial(*passes, tap=tap) == expected


def test_trivial_absences_are_counted_by_their_kind():
    around = scene(taps={LLDP: LLDPD, **AWAY})
    [journey] = journeys(refused(), around=around)

    assert counted(absences(journey).trivial) == "4 other taps: 3 not on its way, 1 for other protocols"
    assert counted(absences(journey).trivial[:1]) in ("1 other tap: not on its way", "1 other tap: for other protocols")


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
        ([("inactive-slave", 4), ("bound-elsewhere", 5), ("protocol", 4)], "inactive-slave (4 of 13)"),
        ([("netns", 5), ("bound-elsewhere", 4)], "netns"),
    ],
)
def test_the_most_telling_reason_is_named_with_its_share(reasons, words):
    assert main_reason(reasons) == words
