# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of what to change, given a packet that a tap did not get."""

from dataclasses import replace

import pytest

from bondtrace.analysis import remedies
from bondtrace.analysis.why_unseen import REASONS
from bondtrace.model import Process
from build import ON_BOND0, ON_ETH0, TAPS, THERE, drop, enters, handler, journeys, protocol, received, rx, scene, tap

SCENE = scene()
ASKING = TAPS[ON_ETH0]


def remedy(reason, *passes, asking=ASKING):
    [one] = journeys(*passes or (received(),), around=SCENE)
    return remedies.of_unseen(reason, asking, one, SCENE)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_remedy_but_what_is_unknown(reason):
    assert bool(remedy(reason)) is (reason not in ("unknown", "netns")), reason


def test_where_the_packet_passed_other_devices_these_are_named():
    told = remedy("bound-elsewhere", rx("eth1", handler("ANOTHER", "bond0"), tap(ON_BOND0)))
    assert "`tcpdump -i eth1` or `tcpdump -i bond0`" in told


def test_in_another_namespace_the_command_enters_it():
    told = remedy(
        "netns", rx("eth0", handler("ANOTHER", "peer0", "macvlan_handle_frame"), enters(THERE), protocol("ip_rcv"))
    )
    assert told.startswith("capture in the network namespace of peer0: `") and "tcpdump -i peer0`" in told


def test_before_a_drop_the_device_before_it_is_named_and_what_decides_on_it():
    told = remedy("dropped-before", rx("eth0", drop("TC_INGRESS")))
    assert "capture before that: `tcpdump -i eth0`" in told and "`tc filter show dev eth0 ingress`" in told


def test_what_is_sent_and_not_offered_is_a_matter_of_the_protocol_or_of_the_device():
    assert "ETH_P_ALL" in remedy("outgoing-not-offered", asking=replace(ASKING, protocol=0x0800))
    assert "tcpdump -i" in remedy("outgoing-not-offered")
    assert "0x0800" in remedy("protocol", asking=replace(ASKING, protocol=0x0800))


def test_what_a_tap_refused_has_its_own():
    assert "tcpdump -B" in remedies.of_outcome("full", ASKING)
    assert "tcpdump -d" in remedies.of_outcome("filtered", None)
    assert remedies.of_outcome("captured", ASKING) == remedies.of_outcome(None, ASKING) == ""


@pytest.mark.parametrize(("buffer", "full"), [("ring", "PACKET_RX_RING"), ("queue", "SO_RCVBUF"), (None, "SO_RCVBUF")])
def test_of_another_programs_tap_no_option_of_tcpdump_is_told(buffer, full):
    lldpd = replace(ASKING, buffer=buffer, processes=(Process(7, "lldpd", "lldpd"),))
    assert full in remedies.of_outcome("full", lldpd) and "ss -0bp" in remedies.of_outcome("filtered", lldpd)


@pytest.mark.parametrize(("verdict", "has_option"), [("EXACT", True), ("PASS", False)])
def test_the_option_of_a_bond_is_only_told_where_it_would_help(verdict, has_option):
    told = remedy("inactive-slave", rx("eth1", handler(verdict)))
    assert "`tcpdump -i eth1`" in told and ("all_slaves_active" in told) is has_option
