# SPDX-License-Identifier: GPL-2.0-or-later
"""What is printed of journeys for people, compared whole, and the line on how far it can be trusted."""

import io
import re
from dataclasses import replace

import pytest

from bondtrace.format.batch import Batch
from bondtrace.format.events import tap_event
from bondtrace.model import Process
from bondtrace.pipeline import Pipeline
from bondtrace.reporters.text import Detail, duration, trust_line, write
from build import (
    BEGIN_NS,
    ESCAPED,
    FEW,
    HERE,
    HOSTILE,
    HOSTILE_PASSES,
    ON_5354,
    ON_ETH0,
    SKB,
    SOCKETS,
    arp,
    beyond_ip,
    both,
    drop,
    ether,
    fanout,
    given,
    handler,
    hostile_scene,
    ip4,
    journeys,
    late,
    local,
    losses,
    protocol,
    received,
    refusal,
    refused,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
    udp,
)


def text(*passes, around=None, colour=False, detail=Detail.USUAL):
    """What the text reporter writes of these passes, in a scene of three taps."""
    around, stream = around or scene(taps=FEW), io.StringIO()
    for journey in journeys(*passes, around=around):
        write(journey, around, stream, colour, detail=detail)
    return stream.getvalue()


# --- text ----------------------------------------------------------------------------------------------


def test_text_of_a_reply_through_the_bond():
    assert (
        text(received())
        == """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (7.0 µs)
       1.0 µs  eth0                 rx tap tcpdump -i any [41004]: captured
       2.0 µs  eth0                 rx tap tcpdump -i eth0 [41001]: captured
       3.0 µs  eth0                 bond_handle_frame → ANOTHER, next bond0 (active slave)
       4.0 µs  bond0 (orig eth0)    rx tap tcpdump -i any [41004]: captured
       5.0 µs  bond0 (orig eth0)    rx tap tcpdump -i bond0 [41003]: captured
       6.0 µs  bond0 (orig eth0)    → ip_rcv (beyond IP not watched: --sockets)
    tcpdump -i any [41004] saw it twice: on eth0, then bond0
"""
    )


def test_text_of_an_arp_request_on_the_backup_slave():
    assert (
        text(refused(30))
        == """\
12:00:00.000030 rx eth1 #1 ARP 10.9.0.1 > 10.9.0.2 who-has 10.9.0.2 tell 10.9.0.1, 42 bytes (4.0 µs)
       1.0 µs  eth1                 rx tap tcpdump -i any [41004]: captured
       2.0 µs  eth1                 rx tap [41002] (known only by its inode): captured
       3.0 µs  eth1                 bond_handle_frame → EXACT (inactive slave)
    not seen by tcpdump -i bond0 [41003]: bound to bond0, and bond_handle_frame kept the packet on eth1: inactive \
slave (EXACT) (inactive-slave)
    1 other tap: not on its way (-v lists it)
"""
    )


def test_in_a_line_stands_who_saw_a_packet_and_who_did_not():
    assert text(received(), refused(30), sent(60), rx("veth0", at=90), detail=Detail.QUIET) == (
        """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (7.0 µs): \
seen by tcpdump -i any [41004], tcpdump -i eth0 [41001], tcpdump -i bond0 [41003]
12:00:00.000030 rx eth1 #2 ARP 10.9.0.1 > 10.9.0.2 who-has 10.9.0.2 tell 10.9.0.1, 42 bytes (4.0 µs): \
seen by tcpdump -i any [41004], [41002] (known only by its inode); not seen by tcpdump -i bond0 [41003] (inactive-slave)
12:00:00.000060 tx bond0 #3 ICMP 10.9.0.2 > 10.9.0.1 echo request id 128 seq 1, 98 bytes (13.0 µs): \
seen by tcpdump -i any [41004]; filtered: tcpdump -i bond0 [41003]; full: tcpdump -i eth0 [41001]
12:00:00.000090 rx veth0 #4 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (1.0 µs): \
seen by no tap; not seen by tcpdump -i any [41004] (dropped-before)
"""
    )


def test_text_of_a_request_sent_on_the_bond_and_its_slave():
    assert (
        text(sent(1_500_000))
        == """\
12:00:01.500000 tx bond0 #1 ICMP 10.9.0.2 > 10.9.0.1 echo request id 128 seq 1, 98 bytes (13.0 µs)
       1.0 µs  bond0                tx tap tcpdump -i any [41004]: captured
       2.0 µs  bond0                tx tap tcpdump -i bond0 [41003]: filtered
    then sent on eth0
      11.0 µs  eth0                 tx tap tcpdump -i any [41004]: captured
      12.0 µs  eth0                 tx tap tcpdump -i eth0 [41001]: full (ring)
    tcpdump -i any [41004] saw it twice: on bond0, then eth0
"""
    )


def test_text_tells_another_cpu_a_veth_and_a_fanout_group():
    # given a packet sent into a veth, received by its peer in another namespace on another CPU
    around = scene(taps={})

    assert (
        text(tx("veth0"), rx("peer0", fanout(), tap(99, "ignored"), at=5, cpu=3), around=around)
        == """\
12:00:00.000000 tx veth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (8.0 µs)
         0 ns  veth0                no tap, rx_handler or protocol handler took it
    then received on peer0 (blue), CPU 3
       6.0 µs  peer0                rx tap: offered to a fanout group
       7.0 µs  peer0                rx tap [99] (known only by its inode): ignored
"""
    )


def test_the_own_namespace_is_this_one():
    unnamed = {"kind": "namespace", "time_ns": BEGIN_NS, "netns": HERE, "name": "netns of pid 7 (python3)"}
    passes = tx("peer0"), rx("veth0", tap(99), at=5)
    assert "\n    then received on veth0 (this one)\n" in text(*passes, around=scene(unnamed, taps={}))


def test_text_marks_what_is_incomplete_and_what_is_inferred():
    # given a pass that lost steps, one with a late step, and a late record alone
    around = scene(taps={})
    passes = [
        rx("eth0", handler("CONSUMED"), at=0, steps_lost=2),
        rx("eth1", at=10, frame=9, in_list=True, skb=SKB + 64),
        late("eth1", protocol("ip_list_rcv"), at=12, frame=9, skb=SKB + 64),
        late("eth2", tap(5, "unknown"), at=20, frame=8),
    ]

    assert (
        text(*passes, around=around)
        == """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (2.0 µs) (incomplete)
       1.0 µs  eth0                 bond_handle_frame → CONSUMED (consumed by the bond; why is not recorded)
    2 more steps did not fit the record
12:00:00.000010 rx eth1 #2 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (3.0 µs)
       3.0 µs  eth1                 → ip_list_rcv (beyond IP not watched: --sockets) (inferred)
12:00:00.000020 rx eth2 #3 unknown its begin was not recorded, 0 bytes (2.0 µs) (incomplete)
       1.0 µs  eth2                 rx tap [5] (known only by its inode): unknown (inferred)
"""
    )


@pytest.mark.parametrize("after", [tap(ON_ETH0), drop("NO_SOCKET", "udp_queue_rcv_one_skb", result=1)])
def test_that_nothing_is_watched_beyond_ip_is_said_once_and_where_ip_was_given_it(after):
    # given a packet of which something is told after IP was given it: a tap's turn, or a copy that was dropped
    told = text(rx("eth2", protocol("ip_rcv"), after))
    assert told.count("beyond IP not watched") == told.count("→ ip_rcv (beyond IP not watched: --sockets)\n") == 1


def test_text_of_what_becomes_of_a_packet_beyond_ip():
    # given a datagram for two sockets of which one has no room, and a request of ARP that nobody answers
    packet = ether(ip4(udp(4000, 5354), 17))
    passes = (
        rx(
            "eth2",
            protocol("ip_rcv"),
            local(17),
            given(77),
            given(ON_5354),
            refusal(ON_5354, "SOCKET_RCVBUFF"),
            packet=packet,
        ),
        rx("eth2", protocol("arp_rcv"), packet=arp(), at=60, skb=SKB + 0x300),
    )

    assert (
        text(*passes, around=beyond_ip(taps={}))
        == """\
12:00:00.000000 rx eth2 #1 UDP 10.9.0.1 > 10.9.0.2 4000 > 5354 len 40, 82 bytes (6.0 µs)
       1.0 µs  eth2                 → ip_rcv
       3.0 µs  eth2                 given to socket [77] (known only by its inode): queued
       4.0 µs  eth2                 given to dnsd's UDP socket *:5354 [12385]: no room in its receive buffer
       5.0 µs  eth2                 dropped by the kernel in udp_queue_rcv_one_skb: SOCKET_RCVBUFF
12:00:00.000060 rx eth2 #2 ARP 10.9.0.1 > 10.9.0.2 who-has 10.9.0.2 tell 10.9.0.1, 42 bytes (2.0 µs)
       1.0 µs  eth2                 → arp_rcv
    not answered by this host
"""
    )


def test_a_protocol_is_told_where_no_socket_is():
    told = text(rx("eth2", protocol("ip_rcv"), local(1)), around=beyond_ip(taps={}))
    assert told.splitlines()[1:] == [
        "       1.0 µs  eth2                 → ip_rcv",
        "       2.0 µs  eth2                 → ICMP",
    ]


def test_names_of_sockets_cannot_do_anything_to_a_terminal():
    evil = replace(SOCKETS[ON_5354], address=HOSTILE, processes=(Process(7, HOSTILE, HOSTILE),))
    told = text(rx("eth2", protocol("ip_rcv"), given(ON_5354)), around=beyond_ip(sockets={ON_5354: evil}))

    assert (
        all(line.isprintable() for line in told.splitlines()) and f"given to {ESCAPED}'s UDP socket {ESCAPED}" in told
    )


def test_text_in_colour_is_the_same_text_with_the_outcomes_and_verdicts_painted():
    # given the same journeys, plain and in colour
    passes = received(), refused(30), sent(60)
    plain, coloured = text(*passes), text(*passes, colour=True)

    # then without the colours they are the same
    assert "\033" not in plain
    assert re.sub("\033\\[[0-9]+m", "", coloured) == plain

    # and what is painted is: headings, outcomes, verdicts, what was not seen
    painted = re.findall("\033\\[([0-9]+)m([^\033]*)\033\\[0m", coloured)
    assert [(code, word) for code, word in painted if code not in ("1", "2")] == [
        *[("32", "captured")] * 2,
        ("36", "ANOTHER"),
        *[("32", "captured")] * 4,
        ("33", "EXACT"),
        ("32", "captured"),
        ("33", "filtered"),
        ("32", "captured"),
        ("31", "full"),
    ]
    assert [word for code, word in painted if code == "1"] == [
        line for line in plain.splitlines() if not line.startswith(" ")
    ]
    assert [word.partition("#")[0] for code, word in painted if code == "1"] == [
        "12:00:00.000000 rx eth0 ",
        "12:00:00.000030 rx eth1 ",
        "12:00:00.000060 tx bond0 ",
    ]
    assert coloured.count("\033") == 2 * len(painted)


def test_names_cannot_do_anything_to_a_terminal():
    # given devices and processes with escape sequences, line ends, bidi marks and no UTF-8 in their names
    result = text(*HOSTILE_PASSES, around=hostile_scene(), detail=Detail.VERBOSE)

    # then every line is printable, and the names are told
    assert all(line.isprintable() for line in result.split("\n"))
    assert result.count(f"rx tap {ESCAPED} [7]: captured") == 2
    assert f"e{ESCAPED}" in result and f"next b{ESCAPED}" in result
    assert f"not seen by {ESCAPED} [7], tcpdump{ESCAPED} [8]: bound to devices" in result
    assert (
        f"not seen by tcpdump{ESCAPED} [8]: bound to b{ESCAPED}, and the packet went no further than e{ESCAPED}"
        in text(rx("eth0", tap(7)), around=hostile_scene())
    )


@pytest.mark.parametrize(
    "value_ns, words_of_it",
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.0 µs"),
        (21_340, "21.3 µs"),
        (4_200_000, "4.2 ms"),
        (1_500_000_000, "1.50 s"),
        (90_000_000_000, "90.00 s"),
    ],
)
def test_durations(value_ns, words_of_it):
    assert duration(value_ns) == words_of_it


# --- how far it can be trusted -------------------------------------------------------------------------


def test_nothing_lost():
    around = scene(losses(0, sent=[5, 6], lost=[0, 0], steps_lost=[0, 0], too_deep=[0, 0], unbalanced=[0, 0]))

    assert trust_line(around) == "losses: none"


def test_every_loss_is_told_with_its_sum_and_every_stage_that_is_missing():
    # given losses on two CPUs (the newest count) and a stage that is not attached
    stages = [
        {"name": "receive", "without": "nothing is received", "missing": ""},
        {"name": "handlers", "without": "verdicts are not told", "missing": "no bond_handle_frame"},
    ]
    around = scene(
        losses(0, lost=[9, 9]),
        losses(1, lost=[1, 2], steps_lost=[0, 4], too_deep=[5, 0], unbalanced=[6, 0], probe_misses=[0, 7]),
        stages=stages,
    )

    assert trust_line(around) == (
        "losses: records lost 3; steps that did not fit 4; passes nested too deep 5; begins or ends missed 6; "
        "probe firings missed 7; handlers: verdicts are not told (no bond_handle_frame) (so an absence may be a loss)"
    )


def met(*passes, around):
    """The scene after the pipeline took these passes."""
    Pipeline(scene=around).run([Batch(both(*passes), [], BEGIN_NS)])
    return around


def test_taps_known_only_by_inode_are_told_and_are_no_loss():
    # given a known tap, two that are in no list, one of them without even an inode, and a fanout group
    around = met(rx("eth0", tap(ON_ETH0), tap(9), tap(0), tap(9, "filtered"), fanout()), around=scene(taps=FEW))

    assert trust_line(around) == "losses: none; taps known only by inode: 2"

    # when one of them is told of after all, then it is unknown no more
    around.apply(tap_event(BEGIN_NS + 1000, tcpdump(9, "eth0")))
    assert trust_line(around) == "losses: none; taps known only by inode: 1"


def test_taps_known_only_by_inode_are_told_after_the_losses():
    around = met(rx("eth0", tap(9)), around=scene(losses(0, lost=[3])))

    assert trust_line(around) == "losses: records lost 3 (so an absence may be a loss); taps known only by inode: 1"


@pytest.mark.parametrize(
    "function, what", [("tpacket_rcv", "ring"), ("packet_rcv", "receive buffer"), ("packet_rcv_spkt", "receive buffer")]
)
def test_what_was_full_is_told(function, what):
    passes = rx("eth0", tap(ON_ETH0, "full", function))
    assert f"[{ON_ETH0}]: full ({what})\n" in text(passes)
