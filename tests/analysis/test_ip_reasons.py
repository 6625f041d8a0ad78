# SPDX-License-Identifier: GPL-2.0-or-later
"""Which setting, address or route explains that IP refused a packet, or that nobody answered; and when none does."""

from dataclasses import replace

import pytest

from bondtrace.analysis import ip_facts
from bondtrace.format.events import ip_settings_event, route_event
from bondtrace.model import IpSettings
from build import (
    BEGIN_NS,
    DROP_REASONS,
    HERE,
    THERE,
    answered,
    arp,
    beyond_ip,
    drop,
    ether,
    handler,
    ip4,
    journeys,
    protocol,
    rx,
    udp,
)

AROUND = {"drop_reasons": {**DROP_REASONS, "99": "IP_RPFILTER"}}
PACKET = ether(ip4(udp(), 17))  # from 10.9.0.1
ETH0, ETH2, BOND0 = 2, 6, 4


def settings(ifindex=BOND0, addresses=("10.9.0.2",), at=0, netns=HERE, **values):
    """The event of a device's settings of IP: a name's values for the device and for all."""
    told = tuple((name, *pair) for name, pair in values.items())
    return ip_settings_event(BEGIN_NS + at, IpSettings(netns, ifindex, addresses, told))


def way(*devices, address="10.9.0.1", at=0, netns=HERE):
    return route_event(BEGIN_NS + at, netns, address, list(devices))


def end(*steps, packet=PACKET, told=()):
    [one] = journeys(rx("eth0", handler("ANOTHER", "bond0"), *steps, packet=packet), around=beyond_ip(*told, **AROUND))
    [found] = one.ends
    return found


# --- rp_filter -----------------------------------------------------------------------------------------


def refused(*told):
    """What to look at where the check of a packet's source refused it on bond0."""
    found = end(protocol("ip_rcv"), replace(drop("NO_SOCKET", "ip_rcv_core"), arg=99), told=told)
    assert (found.kind, found.detail) == ("dropped", "dropped in ip_rcv_core: IP_RPFILTER")
    return found.look_at


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            (settings(rp_filter=(1, 0)), way(ETH2)),
            "the way back to 10.9.0.1 leads by eth2 (`ip route get 10.9.0.1`); rp_filter of bond0 is 1, of all 0",
        ),
        (
            (settings(rp_filter=(0, 1)), way(ETH2, ETH0)),
            "the way back to 10.9.0.1 leads by eth2 and eth0 (`ip route get 10.9.0.1`); rp_filter of bond0 is 0, of "
            "all 1",
        ),
        (
            (settings(rp_filter=(1, 2)), way()),
            "there is no way back to 10.9.0.1 (`ip route get 10.9.0.1`); rp_filter of bond0 is 1, of all 2",
        ),
    ],
)
def test_rp_filter_is_told_with_the_way_that_decided(told, expected):
    assert refused(*told) == expected


@pytest.mark.parametrize(
    "told",
    [
        (),
        (settings(rp_filter=(1, 0)),),
        (way(ETH2),),
        (settings(rp_filter=(1, 0)), way(BOND0)),  # the way leads by the device itself
        (settings(rp_filter=(1, 0)), way(ETH2, BOND0)),
        (settings(rp_filter=(2, 0)), way(ETH2)),  # the loose mode is content with that
        (settings(rp_filter=(1, 2)), way(ETH2)),
        (settings(rp_filter=(0, 0)), way(ETH2)),  # it was off when it was read
        (settings(rp_filter=(1, 0)), way(ETH2, address="10.9.0.9")),
        (settings(rp_filter=(1, 0), netns=THERE), way(ETH2)),
        (settings(rp_filter=(1, 0)), way(ETH2, netns=THERE)),
        (settings(rp_filter=(1, 0), ifindex=ETH0), way(ETH2)),
        (settings(arp_ignore=(1, 0)), way(ETH2)),
    ],
)
def test_where_what_was_read_does_not_explain_it_only_what_decides_is_named(told):
    assert refused(*told).startswith("sysctl net.ipv4.conf.bond0.rp_filter, and all.rp_filter: ")


def test_another_drop_has_nothing_to_do_with_it():
    told = settings(rp_filter=(1, 0)), way(ETH2)
    assert "the way back" not in end(protocol("ip_rcv"), drop("NO_SOCKET", "ip_rcv_core"), told=told).look_at


def test_settings_and_ways_are_those_of_the_packets_time():
    """Readings come before and after it; the first holds for all times before."""
    before = settings(rp_filter=(1, 0)), way(ETH2)
    after = settings(rp_filter=(0, 0), at=10**9), way(BOND0, at=10**9)
    assert "leads by eth2" in refused(*before, *after) and "leads by" not in refused(*after)


# --- requests of ARP -----------------------------------------------------------------------------------


def unanswered(*told, packet=None):
    """(what is said of a request for 10.9.0.2 that came by bond0, what to look at)."""
    found = end(protocol("arp_rcv"), packet=packet or arp(), told=told)
    assert found.kind == "unanswered" and found.detail.startswith("not answered by this host")
    return found.detail.removeprefix("not answered by this host").removeprefix(": "), found.look_at


ELSEWHERE = settings(ETH2), settings(addresses=(), arp_ignore=(1, 0))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((settings(addresses=("10.9.0.3",)),), "no device here has 10.9.0.2"),
        ((settings(arp_ignore=(8, 0)),), "arp_ignore of bond0 is 8, of all 0: bond0 answers nothing"),
        ((settings(arp_ignore=(0, 8)),), "arp_ignore of bond0 is 0, of all 8: bond0 answers nothing"),
        (ELSEWHERE, "arp_ignore of bond0 is 1, of all 0: bond0 answers for its own addresses, and 10.9.0.2 is eth2's"),
        (
            (settings(ETH2), settings(ETH0), settings(addresses=(), arp_ignore=(0, 2))),
            "arp_ignore of bond0 is 0, of all 2: bond0 answers for its own addresses, and 10.9.0.2 is eth2 and eth0's",
        ),
        (
            (settings(arp_filter=(0, 1)),),
            "arp_filter of bond0 is 0, of all 1: bond0 answers only those to whom the way back leads by it",
        ),
    ],
)
def test_a_request_that_nobody_answers_is_explained(told, expected):
    assert unanswered(*told) == (expected, "")


@pytest.mark.parametrize(
    "told",
    [
        (),
        (settings(),),
        (settings(arp_ignore=(0, 0), arp_filter=(0, 0)),),
        (settings(arp_ignore=(1, 0)),),  # it is the device's own address
        (settings(ETH2), settings(addresses=(), arp_ignore=(3, 0))),  # by its scope: not read
        (settings(netns=THERE, addresses=("10.9.0.3",)),),
    ],
)
def test_where_nothing_that_was_read_explains_it_what_decides_is_named(told):
    said, look_at = unanswered(*told)
    assert said == "" and look_at.startswith("is 10.9.0.2 an address of bond0")


def test_of_an_answer_nothing_is_explained():
    found = end(protocol("arp_rcv"), answered(), packet=arp(), told=(settings(arp_ignore=(8, 0)),))
    assert (found.kind, found.detail, found.look_at) == ("answered", "answered by this host", "")


# --- memory --------------------------------------------------------------------------------------------


def test_ways_to_addresses_that_others_choose_take_no_memory_without_end():
    facts = ip_facts.IpFacts()
    for number in range(ip_facts.WAYS_KEPT + 10):
        facts.put_way(number, HERE, f"address {number}", (2,))
    facts.put_way(0, HERE, "address 10", (2,))

    assert len(facts._ways) == ip_facts.WAYS_KEPT
    assert facts.way(HERE, "address 0", 0) is None and facts.way(HERE, "address 10", 0) == (2,)


def test_a_way_that_stays_takes_no_memory_and_one_that_changes_is_known_by_time():
    facts = ip_facts.IpFacts()
    for time_ns, devices in ((1, (2,)), (2, (2,)), (3, (4,)), (4, (2,))):
        facts.put_way(time_ns, HERE, "a", devices)

    assert [facts.way(HERE, "a", time_ns) for time_ns in range(5)] == [(2,), (2,), (2,), (4,), (2,)]
    assert len(facts._ways[HERE, "a"]._times) == 3
