# SPDX-License-Identifier: GPL-2.0-or-later
"""One packet's way in sentences, compared whole."""

import io

import pytest

from bondtrace.reporters import story
from build import (
    FEW,
    ON_ETH0,
    drop,
    fanout,
    handler,
    journeys,
    late,
    losses,
    protocol,
    received,
    refused,
    rx,
    scene,
    sent,
    tap,
    vlan,
)


def told(*passes, around=None):
    """The paragraphs of the one journey that these passes are."""
    around = around or scene(taps=FEW)
    (journey,) = journeys(*passes, around=around)
    return story.paragraphs(journey, around)


def test_a_reply_through_the_bond():
    assert told(received()) == [
        "Journey #1, 12:00:00.000000: ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes.",
        "At 0 ns CPU 0 received it on eth0 (__netif_receive_skb_core); orig_dev is eth0 from here on.",
        "At 1.0 µs tpacket_rcv gave it, with skb->dev = eth0, to tcpdump -i any [41004], which captured it.",
        "At 2.0 µs tpacket_rcv gave it, with skb->dev = eth0, to tcpdump -i eth0 [41001], which captured it.",
        "At 3.0 µs the rx_handler of eth0, bond_handle_frame, answered ANOTHER (active slave), and so skb->dev became "
        "bond0, and the taps were walked again in round 2.",
        "At 4.0 µs tpacket_rcv gave it, with skb->dev = bond0 and orig_dev = eth0, to tcpdump -i any [41004], which "
        "captured it.",
        "At 5.0 µs tpacket_rcv gave it, with skb->dev = bond0 and orig_dev = eth0, to tcpdump -i bond0 [41003], which "
        "captured it.",
        "At 6.0 µs it was delivered, with skb->dev = bond0 and orig_dev = eth0, to the protocol handler ip_rcv.",
        "The journey took 7.0 µs.",
        "Its end: beyond IP not watched: --sockets.",
        "Note: tcpdump -i any [41004] saw it twice: on eth0, then bond0.",
        "(losses: none.)",
    ]


def test_a_request_sent_on_the_bond_and_its_slave():
    assert told(sent())[1:7:3] == [
        "At 0 ns it was sent on bond0, and dev_queue_xmit_nit offered a copy to the taps there that listen for all "
        "protocols.",
        "At 10.0 µs it was sent on eth0, and dev_queue_xmit_nit offered a copy to the taps there that listen for all "
        "protocols.",
    ]


def test_who_did_not_see_it_and_why():
    assert told(refused())[-3:-1] == [
        "Not seen by tcpdump -i bond0 [41003]: bound to bond0, and bond_handle_frame kept the packet on eth1: inactive "
        "slave (EXACT) (inactive-slave).",
        "Not seen by tcpdump -i eth0 [41001]: bound to eth0; the packet passed eth1 (bound-elsewhere).",
    ]


@pytest.mark.parametrize(
    "step, sentence",
    [
        (fanout(), "packet_rcv_fanout offered it, with skb->dev = eth0, to a fanout group, which chooses one member."),
        (
            tap(ON_ETH0, "ignored"),
            "tpacket_rcv gave it, with skb->dev = eth0, to tcpdump -i eth0 [41001], which ignored it before its filter "
            "ran (a loopback copy, or another namespace).",
        ),
        (
            tap(ON_ETH0, "filtered"),
            "tpacket_rcv gave it, with skb->dev = eth0, to tcpdump -i eth0 [41001], whose own filter refused it.",
        ),
        (
            handler("CONSUMED"),
            "the rx_handler of eth0, bond_handle_frame, answered CONSUMED (consumed by the bond; why is not recorded), "
            "and so its way through this function ended here.",
        ),
        (
            handler("EXACT"),
            "the rx_handler of eth0, bond_handle_frame, answered EXACT (inactive slave), and so skb->dev stays eth0: "
            "only taps bound to eth0 for the packet's protocol may still have it, IP and ARP may not.",
        ),
        (
            handler("PASS", function="br_handle_frame"),
            "the rx_handler of eth0, br_handle_frame, answered PASS (left to the port: ebtables' broute, MRP or "
            "CFM), and so it went on as a packet of eth0.",
        ),
        (vlan(), "vlan_do_receive found no VLAN device for its tag on eth0, and it went on as it was."),
        (
            vlan("bond0.7"),
            "vlan_do_receive took its VLAN tag: skb->dev became bond0.7, and the taps were walked again in round 2.",
        ),
        (
            drop("NO_SOCKET"),
            "the kernel dropped it in sch_handle_ingress, with skb->dev = eth0, for the reason NO_SOCKET.",
        ),
    ],
)
def test_what_happened_in_a_step(step, sentence):
    assert told(rx("eth0", step))[2] == f"At 1.0 µs {sentence}"


@pytest.mark.parametrize(
    "function, what", [("tpacket_rcv", "ring"), ("packet_rcv", "receive buffer"), ("packet_rcv_spkt", "receive buffer")]
)
def test_what_was_full_is_told(function, what):
    assert told(rx("eth0", tap(ON_ETH0, "full", function)))[2] == (
        f"At 1.0 µs {function} gave it, with skb->dev = eth0, to tcpdump -i eth0 [41001], whose {what} had no room for "
        "it: it is lost to this tap."
    )


def test_what_came_late_is_said_to_be_inferred():
    assert told(late("eth2", protocol("ip_list_rcv")))[2] == (
        "At 1.0 µs it was delivered, with skb->dev = eth2, to the protocol handler ip_list_rcv. (Its round was "
        "inferred: it was delivered late.)"
    )


def test_nothing_took_it_and_something_was_lost():
    around = scene(losses(lost=[2]), taps={})

    assert told(rx("eth1", steps_lost=3), around=around)[2:] == [
        "There no tap, rx_handler or protocol handler took it.",
        "3 more steps did not fit the record.",
        "The journey took 1.0 µs.",
        "Its end: what became of it was not seen.",
        "The record of this journey is incomplete: what it does not show may still have happened.",
        "(losses: records lost 2 (so an absence may be a loss).)",
    ]


def test_it_is_written_in_lines_of_100_columns_with_what_is_to_follow():
    around, stream = scene(taps=FEW), io.StringIO()
    (journey,) = journeys(received(), around=around)

    story.write(journey, around, stream, ["More. " * 30])

    lines = stream.getvalue().splitlines()
    assert 90 < max(map(len, lines)) <= 100
    joined = stream.getvalue().replace("\n  ", " ").splitlines()
    assert joined == [*story.paragraphs(journey, around), ("More. " * 30).strip()]
