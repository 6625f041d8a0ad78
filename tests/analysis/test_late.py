# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps beyond IP of a list receive come in records of their own, of clones and copies: which packet's they are."""

import pytest

from bondtrace.format.wire import RECORD_LATE
from build import (
    BEGIN_NS,
    ON_5354,
    SKB,
    answered,
    arp,
    beyond_ip,
    drop,
    echo,
    ether,
    given,
    ip4,
    journeys,
    late,
    local,
    protocol,
    refusal,
    reply,
    rx,
    stitched,
    tcp,
    udp,
)

ONE, OTHER = reply(seq=1), reply(seq=2)
NEW = SKB + 0x9000  # an skb that no packet of the list came as


def member(nth, packet, **more):
    """The nth packet of a list receive: it begins at nth µs, with an skb and data of its own."""
    more = {"skb": SKB + 64 * nth, "head": 100 + nth, "seq": nth, **more}
    return rx("eth0", at=nth, frame=9, in_list=True, packet=packet, **more)


def beyond(*steps, at=50, **more):
    """A late record of the same list receive."""
    return late("eth0", *steps, at=at, frame=9, **more)


def told(*passes):
    """(µs of its begin, kinds of steps) of every pass that has steps, and "late" for late records that are left."""
    columns = stitched(*passes).passes
    found = []
    for record, begin, end in zip(columns.records, columns.offsets[:-1], columns.offsets[1:]):
        at = "late" if record["kind"] == RECORD_LATE else (int(record["time_ns"]) - BEGIN_NS) // 1000
        if end > begin or at == "late":
            found.append((at, columns.steps["kind"][begin:end].tolist()))
    return found


LOCAL, SOCKET, DROP = [10], [11], [7]


def nat(packet, source=b"\x0a\x09\0\x63"):
    """A packet as it is after its source address was translated, with another checksum and TTL."""
    return packet[:22] + b"\x3f" + packet[23:24] + b"\xab\xcd" + source + packet[30:]


# --- by its bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"skb": SKB + 128, "head": 102},  # the packet itself
        {"skb": NEW, "head": 102},  # a clone
        {"skb": SKB + 128, "head": 999},  # its data was copied
        {"skb": NEW, "head": 999},  # a copy
        {"skb": SKB + 64, "head": 102},  # a clone, at the address of the packet before it
        {"skb": SKB + 64, "head": 101},  # a copy, likewise, in the data of that
    ],
    ids=["itself", "clone", "own data", "copy", "clone at another's address", "copy at another's address"],
)
@pytest.mark.parametrize("change", [bytes, nat], ids=["same", "NAT"])
def test_a_step_is_of_the_packet_with_its_bytes_whatever_its_address_is(change, more):
    # given a list of two packets; the first is freed before the step of the second
    list_ = member(1, ONE), member(2, OTHER)

    assert told(*list_, beyond(local(1), packet=change(OTHER), **more)) == [(2, LOCAL)]
    assert told(*list_[::-1], beyond(given(ON_5354), packet=change(OTHER), **more)) == [(2, SOCKET)]


def test_steps_of_several_packets_are_each_at_its_own():
    packets = [ether(ip4(udp(source=4000 + n, data=bytes([n] * 40)), 17)) for n in range(1, 5)]
    steps = [beyond(local(17), at=50 + n, packet=packets[n - 1], skb=SKB + 64 * n, head=100 + n) for n in (3, 1, 4, 2)]

    assert told(*(member(n, packets[n - 1]) for n in range(1, 5)), *steps) == [(n, LOCAL) for n in range(1, 5)]


def test_packets_that_differ_only_in_what_nat_rewrites_are_told_apart_by_it():
    # given the same question of two hosts, and a clone of the second at the address of the first, which was freed
    packets = [ether(ip4(udp(source=port), 17, src=src)) for src, port in ((1, 4000), (3, 4001))]
    clone = beyond(given(ON_5354), packet=packets[1], skb=SKB + 64, head=102)

    assert told(member(1, packets[0]), member(2, packets[1]), clone) == [(2, SOCKET)]


@pytest.mark.parametrize(
    "packet",
    [reply(seq=3), ether(ip4(tcp(), 6)), ether(ip4(echo(seq=2), ident=78)), OTHER[:30]],
    ids=["another", "another protocol", "another identification", "cut off"],
)
def test_of_a_packet_that_is_not_in_the_list_nothing_is_told(packet):
    # given a step of it with the skb and the data of one that is
    strange = beyond(local(1), packet=packet, skb=SKB + 128, head=102)
    assert told(member(1, ONE), member(2, OTHER), strange) == []


@pytest.mark.parametrize("other", [{"frame": 8}, {"cpu": 1}], ids=str)
def test_a_step_of_another_list_receive_is_not_this_ones(other):
    packets = member(1, ONE), member(2, OTHER)
    assert told(*packets, late("eth0", local(1), packet=OTHER, **{"at": 50, "frame": 9, "skb": SKB, **other})) == []


def test_the_bytes_of_a_packet_that_was_received_within_the_list_say_nothing():
    """It is told within its own pass (a bridge's delivery, MACsec)."""
    inner = rx("bond0", at=3, frame=9, inside_list=True, packet=OTHER, skb=SKB + 128, head=102, seq=3, parent=1)
    assert told(member(1, ONE), inner, beyond(local(1), packet=OTHER, skb=SKB + 128, head=102)) == []


def test_an_answer_of_arp_has_no_bytes_and_is_told_by_the_address_of_its_request():
    question = beyond(answered(), skb=SKB + 128)
    assert told(member(1, arp()), member(2, arp(dst=3)), question) == [(2, [12])]


# --- identical packets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"skb": SKB + 128, "head": 102}, [(2, LOCAL)]),
        ({"skb": NEW, "head": 101}, [(1, LOCAL)]),  # a clone has the data
        ({"skb": SKB + 64, "head": 999}, [(1, LOCAL)]),  # what has its data copied keeps its skb
        ({"skb": SKB + 64, "head": 102}, []),  # a clone of the second, or the first with its data copied?
        ({"skb": SKB + 128, "head": 101}, []),
        ({"skb": NEW, "head": 999}, []),  # a copy of either
        ({"skb": NEW, "head": 0}, []),
    ],
    ids=["itself", "clone", "own data", "contradiction", "the other", "copy", "nothing known"],
)
@pytest.mark.parametrize("change", [bytes, nat], ids=["same", "NAT"])
def test_of_identical_packets_the_one_whose_skb_or_data_it_has_and_none_where_these_disagree(change, more, expected):
    list_ = member(1, ONE), member(2, ONE)
    assert told(*list_, beyond(local(1), packet=change(ONE), **more)) == expected


def test_identical_packets_without_numbers_of_their_data_are_not_mistaken_for_one_another():
    list_ = member(1, ONE, head=0), member(2, ONE, head=0)
    assert told(*list_, beyond(local(1), packet=ONE, skb=SKB + 64)) == [(1, LOCAL)]
    assert told(*list_, beyond(local(1), packet=ONE, skb=NEW)) == []


def test_the_skb_that_a_packet_has_now_counts_more_than_the_one_that_another_had():
    # given identical packets: the first one's skb was replaced, and freed the second one took its address
    list_ = member(1, ONE, last_skb=NEW), member(2, ONE, last_skb=SKB + 64)
    assert told(*list_, beyond(local(1), packet=ONE, skb=SKB + 64, head=999)) == [(2, LOCAL)]
    assert told(*list_, beyond(local(1), packet=ONE, skb=NEW, head=999)) == [(1, LOCAL)]


def test_a_third_packet_does_not_keep_others_from_being_told_apart():
    list_ = member(1, ONE), member(2, OTHER), member(3, ONE)
    steps = beyond(local(1), packet=OTHER, skb=NEW, head=999), beyond(local(1), at=60, packet=ONE, skb=NEW, head=103)
    assert told(*list_, *steps) == [(2, LOCAL), (3, LOCAL)]


# --- drops ---------------------------------------------------------------------------------------------


def outcomes(*passes):
    """(kind, socket, outcome, clone) of all steps beyond the beginning of each journey."""
    return [
        [(step.kind, step.socket, step.outcome, step.clone) for one in journey.passes for step in one.steps[1:]]
        for journey in journeys(*passes, around=beyond_ip())
    ]


FULL = refusal(ON_5354, "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb")


def test_a_refusal_is_of_the_packet_with_its_bytes_although_another_had_its_address():
    # given a packet that was freed, a clone of the second one at its address, and the socket's buffer that is full
    clone = {"packet": OTHER, "skb": SKB + 64, "head": 102}
    passes = (
        member(1, ONE),
        member(2, OTHER),
        beyond(drop("NO_SOCKET"), at=40, packet=ONE, skb=SKB + 64, head=101),
        beyond(given(ON_5354), at=50, **clone),
        beyond(FULL, at=51, **clone),
    )

    assert outcomes(*passes) == [
        [("drop", None, None, False)],
        [("socket", ON_5354, "full", False), ("drop", ON_5354, None, True)],
    ]


def test_what_the_packets_own_skb_is_refused_as_is_no_copy():
    own = {"packet": OTHER, "skb": SKB + 128, "head": 102}
    passes = member(1, ONE), member(2, OTHER), beyond(given(ON_5354), **own), beyond(FULL, at=51, **own)

    assert outcomes(*passes) == [[], [("socket", ON_5354, "full", False), ("drop", ON_5354, None, False)]]


def test_so_is_what_is_dropped_as_the_skb_that_replaced_the_first():
    own = {"packet": OTHER, "skb": NEW, "head": 102}
    passes = member(1, ONE), member(2, OTHER, last_skb=NEW), beyond(drop("NO_SOCKET"), **own)
    assert outcomes(*passes) == [[], [("drop", None, None, False)]]


@pytest.mark.parametrize("head", [102, 0])
def test_a_drop_of_which_it_is_not_known_which_of_identical_packets_it_was_is_not_told(head):
    list_ = member(1, ONE), member(2, ONE)
    unknown = {"packet": ONE, "skb": SKB + 64 if head else NEW, "head": head}
    assert told(*list_, beyond(drop("NO_SOCKET"), **unknown)) == []
    assert told(*list_, beyond(FULL, **unknown)) == []


def test_a_packet_that_is_dropped_with_other_bytes_than_it_came_with_is_known_by_its_skb():
    """One that was decrypted, or taken out of its tunnel, in the same receive."""
    inside = ether(ip4(tcp(), 6))
    assert told(member(1, ONE), member(2, OTHER), beyond(drop("NO_SOCKET"), packet=inside, skb=SKB + 128)) == [
        (2, DROP)
    ]


def test_an_older_recordings_drop_has_no_bytes_and_is_known_by_its_skb():
    assert told(member(1, ONE), member(2, OTHER), beyond(drop("NO_SOCKET"), skb=SKB + 128)) == [(2, DROP)]


# --- times ---------------------------------------------------------------------------------------------


def test_steps_that_come_late_are_in_the_order_in_which_they_happened():
    own = {"packet": OTHER, "skb": SKB + 128, "head": 102}
    passes = (
        member(1, ONE),
        member(2, OTHER),
        late("eth0", protocol("ip_list_rcv"), at=30, frame=9, skb=SKB + 128),
        beyond(FULL, at=60, **own),
        beyond(local(17), at=40, **own),
        beyond(given(ON_5354), at=50, **own),
    )
    [_, one] = journeys(*passes, around=beyond_ip())

    assert [(step.t_ns, step.kind) for step in one.passes[0].steps[1:]] == [
        (29000, "protocol"),
        (39000, "local"),
        (49000, "socket"),
        (59000, "drop"),
    ]
