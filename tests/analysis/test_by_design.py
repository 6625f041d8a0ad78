# SPDX-License-Identifier: GPL-2.0-or-later
"""Drops by which nobody loses anything, and those of which the facts do not prove that."""

from dataclasses import replace

import pytest

from build import (
    DEVICES,
    ON_5354,
    A,
    answered,
    arp,
    beyond_ip,
    drop,
    echo,
    ether,
    given,
    handler,
    ip4,
    ip6,
    journeys,
    local,
    protocol,
    refusal,
    rx,
    scene,
    udp,
)

CORE = "__netif_receive_skb_core.constprop.0"
REPLY = ether(ip4(echo(0)))
COPY = "an inactive slave's copy: bond0 takes what is for a group from eth0"
NO_PING = "raw sockets (ping's) got copies before, and no ping socket waits for it"


def told(*steps, dev="eth1", devices=None, around=None, **more):
    """Why nobody loses anything by the one drop of a journey, and how its way ended."""
    around = around or scene(devices={**DEVICES, **(devices or {})})
    [journey] = journeys(rx(dev, *steps, **more), around=around)
    [step] = [step for one in journey.passes for step in one.steps if step.kind == "drop"]
    return step.harmless, [(end.kind, end.harmless) for end in journey.ends]


def bond(**changed):
    return {"bond0": replace(DEVICES["bond0"], **changed)}


def test_what_is_for_a_group_is_lost_to_nobody_on_a_slave_that_only_gets_a_copy():
    steps = handler("EXACT"), drop("UNHANDLED_PROTO", CORE)
    assert told(*steps, packet=arp()) == (COPY, [("dropped", COPY)])

    balanced = bond(bond_mode="balance-alb")
    assert told(*steps, packet=arp(), devices=balanced)[0] == COPY


@pytest.mark.parametrize(
    "steps, packet, devices",
    [
        # for this host alone: the switch may send it to the wrong slave
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], ether(arp()[14:], 0x0806), {}),
        # no slave takes it, or is known to
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], arp(), bond(active_slave=None)),
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], arp(), bond(active_slave=3)),
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], arp(), {"eth0": replace(DEVICES["eth0"], up=False)}),
        (
            [handler("EXACT"), drop("UNHANDLED_PROTO", CORE)],
            arp(),
            {"eth0": replace(DEVICES["eth0"], mii_status="going down")},
        ),
        # not every slave gets it
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], arp(), bond(bond_mode="802.3ad")),
        ([handler("EXACT"), drop("UNHANDLED_PROTO", CORE)], arp(), bond(bond_mode=None)),
        # dropped for another reason, or elsewhere
        ([handler("EXACT"), drop("TC_INGRESS", CORE)], arp(), {}),
        ([handler("EXACT"), drop("UNHANDLED_PROTO")], arp(), {}),
        ([drop("UNHANDLED_PROTO", CORE)], arp(), {}),
        ([handler("EXACT", function="br_handle_frame"), drop("UNHANDLED_PROTO", CORE)], arp(), {}),
    ],
)
def test_on_a_slave_it_is_a_loss_where_the_facts_do_not_prove_the_opposite(steps, packet, devices):
    assert told(*steps, packet=packet, devices=devices) == (None, [("dropped", None)])


def test_what_is_for_another_mac_address_is_lost_to_nobody():
    why = "the frame is for another MAC address"
    steps = protocol("ip_rcv"), drop("OTHERHOST", "ip_rcv_core")
    assert told(*steps, dev="eth2") == (why, [("dropped", why)])

    # given a tag that no VLAN device took: the kernel says the same of it, although it may be for this host
    assert told(*steps, dev="eth2", vlan=7) == (None, [("dropped", None)])


def test_an_echo_reply_is_lost_to_nobody_where_raw_sockets_had_it_and_no_ping_socket_waits():
    assert told(protocol("ip_rcv"), drop("NO_SOCKET", "icmp_rcv"), dev="eth2", packet=REPLY)[0] == NO_PING
    assert told(protocol("ip_rcv"), drop("NO_SOCKET", "icmp_rcv"), dev="eth2", packet=ether(ip4(echo(8))))[0] is None
    assert told(protocol("ip_rcv"), drop("SOCKET_FILTER", "icmp_rcv"), dev="eth2", packet=REPLY)[0] is None
    datagram = ether(ip4(udp(), 17))
    assert told(protocol("ip_rcv"), drop("NO_SOCKET", "__udp4_lib_rcv"), dev="eth2", packet=datagram)[0] is None


def test_without_a_reason_of_the_kernel_a_raw_socket_must_have_been_seen_to_take_the_reply():
    steps = protocol("ip_rcv"), local(1), given(ON_5354, "raw_rcv"), drop("NOT_SPECIFIED", "icmp_rcv")
    seen = {"dev": "eth2", "packet": REPLY, "around": beyond_ip()}

    assert told(*steps, **seen)[0] == "a raw socket took a copy before"
    assert told(*steps[:2], steps[-1], **seen)[0] is None


def test_what_a_socket_refuses_is_lost_to_it():
    steps = protocol("ip_rcv"), local(1), given(ON_5354, "raw_rcv"), refusal(ON_5354, "SOCKET_RCVBUFF")
    assert told(*steps, dev="eth2", packet=REPLY, around=beyond_ip())[0] is None


def test_a_request_that_was_answered_is_lost_to_nobody():
    solicits = ether(ip6(bytes([135, 0]) + bytes(22), 58), 0x86DD)
    steps = protocol("ipv6_rcv"), local(58, "ip6_protocol_deliver_rcu"), answered("ndisc_send_na")
    released = drop("NOT_SPECIFIED", "icmpv6_rcv")
    seen = {"dev": "eth2", "packet": solicits, "around": beyond_ip()}

    assert told(*steps, released, **seen) == ("it was answered before", [("answered", None)])
    assert told(*steps[:2], released, **seen)[0] is None


def test_the_packet_of_a_multicast_is_for_a_group_too():
    multicast = bytes([1, 0, 0x5E, 0, 0, 1]) + A + arp()[12:]
    assert told(handler("EXACT"), drop("UNHANDLED_PROTO", CORE), packet=multicast)[0] == COPY
