# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a tap was not offered a packet: each reason of the closed list, as the kernel's rules make it."""

from dataclasses import replace

import pytest

from bondtrace.analysis.why_unseen import REASONS
from bondtrace.format.events import tap_event
from bondtrace.model import Device, Tap
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    LLDP,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    THERE,
    drop,
    ether,
    handler,
    hook,
    ip4,
    journeys,
    protocol,
    received,
    refused,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
    udp,
)

ASKED = 7
ARP_ON_BOND0 = Tap(ASKED, HERE, 4, 0x0806, "raw", "bond0", buffer="queue", running=True)
IP_ON_BOND0 = replace(ARP_ON_BOND0, protocol=0x0800)
CONSUMED = ("eth2", tap(ON_ANY), handler("CONSUMED", function="br_handle_frame"))


def why(asked, *passes, further=(), **more):
    """(reason, detail) for a tap beside those of ``TAPS``."""
    around = scene(*further, taps={**TAPS, asked.inode: asked}, **more)
    [journey] = journeys(*passes, around=around)
    [found] = [one for one in journey.unseen if one.tap == asked.inode]
    return found.reason, found.detail


@pytest.mark.parametrize(
    ("asked", "passes", "reason", "words"),
    [
        (tcpdump(ASKED, "eth1"), received(), "bound-elsewhere", "bound to eth1; the packet passed eth0 and bond0"),
        (ARP_ON_BOND0, received(), "protocol", "it takes only protocol 0x0806; this packet is 0x0800"),
        (replace(tcpdump(ASKED, "bond0"), netns=THERE), received(), "netns", "another network namespace"),
        (tcpdump(ASKED, "bond0"), refused(), "inactive-slave", "kept the packet on eth1: inactive slave (EXACT)"),
        (tcpdump(ASKED, "br0"), rx(*CONSUMED), "consumed-before", "br_handle_frame consumed the packet on eth2"),
        (tcpdump(ASKED, "bond0"), rx("eth0", drop("TC_INGRESS")), "dropped-before", "went no further than eth0"),
        (
            replace(tcpdump(ASKED, "bond0"), ignore_outgoing=True),
            tx("bond0", tap(ON_ANY), tap(ON_BOND0)),
            "outgoing-ignored",
            "PACKET_IGNORE_OUTGOING",
        ),
        (tcpdump(ASKED, "bond0"), tx("bond0", tap(ON_ANY), sender=ASKED), "own-packet", "it sent the packet itself"),
        (IP_ON_BOND0, tx("bond0", tap(ON_ANY)), "outgoing-not-offered", "only to taps for all protocols"),
        (replace(tcpdump(ASKED, "eth0"), ifindex=-1), received(), "not-running", "the device that it was bound to"),
        (replace(tcpdump(ASKED, "eth0"), protocol=0), received(), "not-running", "not been bound to a protocol"),
        (replace(tcpdump(ASKED, "eth0"), running=False), received(), "not-running", "it was not hooked in"),
        (tcpdump(ASKED, "eth0"), received(), "unknown", "no rule explains it"),
    ],
)
def test_a_reason(asked, passes, reason, words):
    found, detail = why(asked, passes)

    assert (found, words in detail) == (reason, True), detail
    assert reason in REASONS


def test_the_other_member_of_a_fanout_group_has_it():
    member = replace(tcpdump(ASKED, "eth0"), fanout_id=5)
    other = tap_event(BEGIN_NS, replace(TAPS[ON_ETH0], fanout_id=5))

    assert why(member, received(), further=[other]) == (
        "fanout-other-member",
        "fanout group 5 gave it to another member",
    )


def test_a_tap_that_opened_later():
    later = tap_event(BEGIN_NS + 2_000_000, tcpdump(ASKED, "eth0"), not_before_ns=BEGIN_NS + 1_000_000)
    around = scene(later)
    [journey] = journeys(received(), around=around)

    assert [(one.reason, one.detail) for one in journey.unseen if one.tap == ASKED] == [
        ("not-yet-open", "it was opened only afterwards")
    ]


def test_at_about_the_time_of_a_hook_the_answer_is_unknown():
    around = scene(taps={ASKED: tcpdump(ASKED, "eth0")})
    around.take_hooks(hook(ASKED, True, at=-100))
    [journey] = journeys(received(), around=around)

    assert [one.reason for one in journey.unseen] == ["unknown"]
    assert "at about that time" in journey.unseen[0].detail


def test_what_is_not_attached_is_not_told_as_absent():
    stages = [{"name": "ring taps", "tells": "", "without": "taps with a ring are not seen", "missing": "refused"}]

    reason, detail = why(tcpdump(ASKED, "eth0"), received(), stages=stages)

    assert reason == "not-watched" and detail.startswith("taps with a ring are not seen")


def test_a_tap_for_one_protocol_in_the_middle_of_the_way_is_not_served():
    on_vlan = {**DEVICES, "bond0.8": Device(HERE, 9, "bond0.8", "vlan", link=4)}
    packet = ether(ip4(udp(), protocol=17))
    passes = rx("eth0", handler("ANOTHER", "bond0"), handler("ANOTHER", "br0"), protocol("ip_rcv"), packet=packet)

    reason, detail = why(IP_ON_BOND0, passes, devices=on_vlan)

    assert reason == "bound-elsewhere" and "only on the first and the last device" in detail


# --- what is above what --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vxlan", "geneve", "gretap", "ipip", "xfrm"])
def test_a_tunnel_over_a_backup_slave_is_elsewhere_and_not_behind_the_slave(kind):
    """It was told ``inactive-slave``: its link is only where its outer packets leave."""
    tunnel = Device(HERE, 40, "tunnel0", kind, link=3, up=True)
    asked = replace(tcpdump(ASKED, "eth0"), ifindex=40, dev="tunnel0")

    assert why(asked, refused(), devices={**DEVICES, "tunnel0": tunnel}) == (
        "bound-elsewhere",
        "bound to tunnel0; the packet passed eth1",
    )


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan", "macsec"])
def test_what_is_stacked_on_the_bond_is_behind_its_slave(kind):
    upper = Device(HERE, 40, "upper0", kind, link=4, up=True)
    asked = replace(tcpdump(ASKED, "eth0"), ifindex=40, dev="upper0")

    assert why(asked, refused(), devices={**DEVICES, "upper0": upper})[0] == "inactive-slave"


def test_taps_that_were_offered_it_have_no_reason():
    [one, *_] = journeys(sent())

    offered = {step.tap for passed in one.passes for step in passed.steps if step.tap}
    assert offered == {ON_ANY, ON_BOND0, ON_ETH0}
    assert {unseen.tap for unseen in one.unseen} == {ON_ETH1, LLDP}
