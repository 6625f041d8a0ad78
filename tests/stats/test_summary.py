# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting by shape: for a large trace the counts are those of counting journey by journey."""

import numpy as np
import pytest

from bondtrace.analysis import assemble
from bondtrace.analysis.alike import groups
from bondtrace.analysis.stitch import Stitcher
from bondtrace.format.events import tap_event
from bondtrace.model import Tap
from bondtrace.stats.ended import Ended
from bondtrace.stats.summary import Summary
from build import (
    BEGIN_NS,
    LLDP,
    ON_5354,
    ON_ANY,
    ON_ETH0,
    SKB,
    TAPS,
    THERE,
    altered,
    answered,
    arp,
    beyond_ip,
    both,
    counted,
    drop,
    echo,
    ether,
    fanout,
    given,
    handler,
    hook,
    ip4,
    ip6,
    local,
    losses,
    protocol,
    received,
    refusal,
    refused,
    reply,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tcp,
    tcpdump,
    tx,
    udp,
)


def shapes(columns, around):
    """(the place of the first journey of a group, how many it has), in order of first occurrence."""
    first, counts, _ = groups(columns, around)
    return zip(first.tolist(), counts.tolist())


def test_journeys_that_differ_in_time_and_contents_alone_have_one_shape():
    # given ten replies with other numbers, times and addresses of their skb, and two ARP requests among them
    passes = [received(10 + 10 * n, packet=reply(seq=n), skb=SKB + 64 * n, cpu=n % 2) for n in range(10)]
    around = scene()
    columns = stitched(refused(5), *passes, refused(105), around=around)

    assert list(shapes(columns, around)) == [(0, 2), (1, 10)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(rx("eth1", tap(ON_ANY), at=50), id="device"),
        pytest.param(tx("eth0", tap(ON_ANY), at=50), id="direction"),
        pytest.param(rx("eth0", tap(ON_ETH0), at=50), id="tap"),
        pytest.param(rx("eth0", tap(ON_ANY, "full"), at=50), id="outcome"),
        pytest.param(rx("eth0", tap(ON_ANY, function="packet_rcv"), at=50), id="function"),
        pytest.param(rx("eth0", tap(ON_ANY), handler("EXACT"), at=50), id="a step more"),
        pytest.param(rx("eth0", at=50), id="a step less"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, steps_lost=1), id="steps lost"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, packet=arp()), id="protocol"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, packet=reply(tag=7)), id="VLAN tag in the bytes"),
        pytest.param(rx("peer0", tap(ON_ANY), at=50), id="namespace"),
    ],
)
def test_journeys_that_differ_in_anything_else_have_two_shapes(other):
    around = scene()
    first = rx("eth0", tap(ON_ANY), at=10, skb=SKB + 64)

    assert list(shapes(stitched(first, other, around=around), around)) == [(0, 1), (1, 1)]


def test_who_sent_it_is_part_of_the_shape():
    around = scene()
    columns = stitched(tx("eth0", at=10), tx("eth0", at=50, sender=ON_ETH0), around=around)

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def test_the_protocol_behind_a_vlan_tag_is_part_of_the_shape():
    # given a reply and an ARP request, both with a tag in their bytes
    around = scene()
    columns = stitched(
        rx("eth0", packet=reply(tag=7), at=10),
        rx("eth0", packet=arp()[:12] + b"\x81\x00\x00\x07" + arp()[12:], at=50),
        around=around,
    )

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


TAGGED = reply()[:12] + b"\x81\x00\x00\x07\x81\x00\x00\x08" + reply()[12:]
FRAGMENT = ether(ip4(bytes(8), offset=0x2000))


@pytest.mark.parametrize(
    ("first", "other"),
    [
        pytest.param({"packet": reply(tag=7)}, {"packet": reply(tag=8)}, id="id in the bytes"),
        pytest.param({"vlan": 7}, {"vlan": 8}, id="id beside them"),
        pytest.param({"vlan": 0}, {}, id="a tag beside them"),
        pytest.param({"vlan": 7}, {"vlan": 7, "tpid": 0x88A8}, id="its type"),
        pytest.param({"packet": TAGGED}, {"packet": TAGGED.replace(b"\0\x08\x08", b"\0\x09\x08")}, id="second id"),
        pytest.param({"packet": TAGGED}, {"packet": TAGGED.replace(b"\x08\0E", b"\x08\1E")}, id="behind the second"),
        pytest.param({"packet": FRAGMENT}, {"packet": ether(ip4(bytes(8)))}, id="fragment"),
    ],
)
def test_what_a_reason_depends_on_in_the_bytes_is_part_of_the_shape(first, other):
    around = scene()
    columns = stitched(*(rx("eth0", fanout(), at=at, **one) for at, one in ((10, first), (50, other))), around=around)

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def test_how_a_fragment_ends_is_part_of_the_shape():
    around = scene()
    columns = stitched(
        rx("eth0", at=10, packet=FRAGMENT), rx("eth0", at=50, packet=ether(ip4(bytes(8)))), around=around
    )

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def test_changes_that_are_told_late_divide_shapes_too():
    # given a device that changed at 60 ms, and then the word that a tap was hooked out at 10 ms already
    around = scene(altered("lo", 60_000, up=True))
    around.take_hooks(hook(ON_ETH0, False, at=10_000))

    # when packets came at 5, 8, 30, 40 and 90 ms
    columns = stitched(
        *(rx("eth2", at=at, skb=SKB + at) for at in (5_000, 8_000, 30_000, 40_000, 90_000)), around=around
    )

    # then they are of three states
    assert list(shapes(columns, around)) == [(0, 2), (2, 2), (4, 1)]


def test_the_order_of_steps_is_part_of_the_shape():
    around = scene()
    columns = stitched(rx("eth0", tap(1), tap(2), at=10), rx("eth0", tap(2), tap(1), at=50), around=around)

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def one_by_one(columns, around):
    """The counts by the long way."""
    summary = Summary()
    for journey in assemble.journeys(columns, around):
        summary.count(journey)
    return summary


def plain(summary):
    """The counts that are not zero, and the examples."""
    return {
        name: {key: count for key, count in value.items() if count}
        if hasattr(value, "items")
        else plain(value)
        if isinstance(value, Ended)
        else value
        for name, value in vars(summary).items()
    }


def beyond_ip_kinds(rng):
    """Kinds of packets of which answers beyond IP depend on the bytes: what is asked, and the port."""

    def to_port(protocol_, tag=None, **more):
        ports = {"source": int(rng.integers(4000, 4100)), "destination": [9, 53, 256, 4789, 65535][rng.integers(5)]}
        return ether(ip4(udp(**ports) if protocol_ == 17 else tcp(**ports), protocol_, **more), tag=tag)

    def fragment6(more):
        return ether(ip6(bytes([17, 0, 0, more, 0, 0, 0, 1]) + udp(), 44), 0x86DD)

    def closed(packet, number=17, function="__udp4_lib_rcv"):
        steps = local(number), drop("NO_SOCKET", function)
        return lambda at, **m: rx("eth2", protocol("ip_rcv"), *steps, at=at, **{**m, "packet": packet()})

    def asks(packet, *steps):
        return lambda at, **m: rx("eth0", handler("ANOTHER", "bond0"), *steps, at=at, **{**m, "packet": packet()})

    whichever = local(0, "ip6_protocol_deliver_rcu")  # as IPv6 itself looks for the protocol
    in_ipv6, solicits = local(58, "ip6_protocol_deliver_rcu"), bytes([135, 0]) + bytes(22)
    return [
        closed(lambda: to_port(17)),
        closed(lambda: to_port(6), 6, "tcp_v4_rcv"),
        closed(lambda: ether(ip4(echo(seq=int(rng.integers(9))))), 1, "icmp_rcv"),
        closed(lambda: ether(ip4(echo([0, 8][rng.integers(2)]))), 1, "icmp_rcv"),
        closed(lambda: ether(ip6(echo([129, 128][rng.integers(2)]), 58), 0x86DD), 58, "icmpv6_rcv"),
        asks(
            lambda: arp() if rng.integers(2) else ether(arp()[14:], 0x0806),
            drop("UNHANDLED_PROTO", "__netif_receive_skb_core.constprop.0"),
        ),
        lambda at, **m: rx(
            "eth1",
            handler("EXACT"),
            drop("UNHANDLED_PROTO", "__netif_receive_skb_core.constprop.0"),
            at=at,
            **{**m, "packet": [arp(), ether(arp()[14:], 0x0806)][rng.integers(2)]},
        ),
        closed(lambda: to_port(17, offset=[0x2000, 0x2005][rng.integers(2)])),
        closed(lambda: ether(ip6(udp(destination=int(rng.integers(7, 10)))), 0x86DD)),
        closed(lambda: ether(ip6(bytes([17, 0]) + bytes(6) + udp(destination=int(rng.integers(7, 10))), 0), 0x86DD)),
        closed(lambda: ether(ip4(ip4(udp(destination=int(rng.integers(7, 10))), 17), 4)), 4),
        closed(lambda: to_port(17)[: 37 + int(rng.integers(2))]),
        asks(
            lambda: arp() if rng.integers(2) else ether(arp()[14:20] + b"\0\2" + arp()[22:], 0x0806),
            protocol("arp_rcv"),
        ),
        asks(lambda: arp()[:12] + b"\x81\0\0\7" + arp()[12:], protocol("arp_rcv")),
        asks(arp, protocol("arp_rcv"), answered()),
        asks(lambda: ether(ip6(solicits if rng.integers(2) else echo(128), 58), 0x86DD), protocol("ipv6_rcv"), in_ipv6),
        asks(lambda: ether(ip6(bytes([58, 0]) + bytes(6) + solicits, 60), 0x86DD), protocol("ipv6_rcv"), in_ipv6),
        asks(
            lambda: ether(ip6(solicits if rng.integers(2) else echo(128), 58), 0x86DD), protocol("ipv6_rcv"), whichever
        ),
        asks(lambda: ether(ip6(*[(udp(), 17), (tcp(), 6), (echo(), 47)][rng.integers(3)]), 0x86DD), whichever),
        asks(lambda: ether(ip6(bytes([[17, 47][rng.integers(2)], 0]) + bytes(6) + udp(), 60), 0x86DD), whichever),
        lambda at, **m: rx("eth2", given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF"), at=at, **m),
        asks(lambda: to_port(17, offset=[0, 0x2000, 0x2005][rng.integers(3)]), protocol("ip_rcv")),
        asks(lambda: to_port(17, offset=[0, 3][rng.integers(2)])[:30], protocol("ip_rcv")),
        asks(lambda: to_port(17, offset=[0, 3][rng.integers(2)], tag=7), protocol("ip_rcv")),
        asks(lambda: fragment6(int(rng.integers(2))), protocol("ipv6_rcv")),
        lambda at, **m: rx("eth2", given(ON_5354), at=at, **m),
        lambda at, **m: rx(
            "eth2", given(0, "tcp_v4_do_rcv", ["ESTABLISHED", "TIME_WAIT"][rng.integers(2)]), at=at, **m
        ),
    ]


def large_trace(seed):
    """(passes, scene): 800 packets of many kinds, during which devices and taps change, told by events and by hooks
    that come in no order."""
    rng = np.random.default_rng(seed)
    fresh = {600 + n: tcpdump(600 + n, ["eth0", "eth1", "bond0", None][n % 4], pid=n) for n in range(6)}
    happened = [losses(0, lost=[0])]
    for n, one in enumerate(fresh.values()):
        at = int(rng.integers(40_000))
        happened.append(tap_event(BEGIN_NS + (at + 500) * 1000, one, BEGIN_NS + at * 1000))
        if n % 2:
            happened.append(
                {
                    "kind": "tap-gone",
                    "time_ns": BEGIN_NS + 1000 * int(rng.integers(at + 600, 60_000)),
                    "inode": one.inode,
                }
            )
    swap = int(rng.integers(40_000))
    happened += [
        altered("eth0", swap, slave_state="backup"),
        altered("eth1", swap, slave_state="active"),
        altered("bond0", swap, active_slave=3),
    ]
    happened.sort(key=lambda event: event["time_ns"])
    around = beyond_ip(taps=TAPS)
    hooks = [
        hook(inode, bool(added), at=int(at))
        for inode, added, at in zip(
            rng.integers(600, 603, 6), rng.integers(0, 2, 6), np.sort(rng.integers(0, 60_000, 6))
        )
    ]
    around.take_hooks(both(*hooks))  # before the events: those come up to half a second later
    for event in happened:
        around.apply(event)
    kinds = [
        lambda at, **m: received(at, **m),
        lambda at, **m: refused(at, skb=m["skb"]),
        lambda at, **m: sent(at, skb=m["skb"]),
        lambda at, **m: rx("eth1", tap(601), handler("ANOTHER", "bond0"), protocol("ip_rcv"), at=at, **m),
        lambda at, **m: rx("eth2", at=at, **m),
        *beyond_ip_kinds(rng),
    ]
    parts = [kinds[int(rng.integers(len(kinds)))](150 * n, skb=SKB + 64 * (n % 7)) for n in range(800)]
    return both(*parts), around


@pytest.mark.parametrize("seed", range(12))
def test_counting_by_shape_is_counting_one_by_one(seed):
    # given a large trace in which devices and taps come, change and go
    passes, around = large_trace(seed)
    columns = stitched(passes, around=around)

    # when it is counted in batches by shape
    summary, stitcher = Summary(), Stitcher(around.devices.related)
    for places in np.array_split(np.arange(len(passes)), 9):
        part = passes.take(places)
        summary.add(stitcher.add(part, int(part.records["time_ns"].max())), around)
    summary.add(stitcher.flush(), around)

    # then every count, and the first example of each reason, is that of counting journey by journey
    expected = plain(one_by_one(columns, around))
    assert plain(summary) == expected
    assert expected["journeys"] == 800 and len(expected["absences"]) > 12
    assert len(expected["ended"]["ports"]) > 9
    assert {"unanswered", "answered", "protocol", "handed-on"} <= set(expected["ended"]["ends"])


@pytest.mark.parametrize("seed", range(6))
def test_whether_a_copy_left_before_or_after_a_step_is_part_of_the_shape(seed):
    # given packets of the same steps of which a copy was sent, which began before, between or after these
    rng, packet = np.random.default_rng(seed), ether(ip4(udp(), 17))
    parts = []
    for n in range(200):
        same = {"head": 7 + n, "packet": packet, "cpu": n % 2}
        parts.append(tx("eth2", at=400 * n + int(rng.integers(1, 8)), seq=2 * n + 2, parent=2 * n + 1, lasts=1, **same))
        parts.append(
            rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), at=400 * n, seq=2 * n + 1, lasts=20, **same)
        )
    around = beyond_ip(taps={})
    columns = stitched(*parts, around=around)

    # when they are counted by shape
    summary = Summary()
    summary.add(columns, around)

    # then that is counting one by one, and some of them ended twice
    expected = plain(one_by_one(columns, around))
    assert plain(summary) == expected
    assert expected["journeys"] == expected["ended"]["ends"]["sent"] == 200
    assert 0 < expected["ended"]["ends"]["unknown"] < 200
    assert len(list(shapes(columns, around))) < 20


def test_the_taps_of_a_summary_are_the_known_and_those_that_were_offered_something():
    summary, around = counted(rx("eth0", tap(9)), around=scene(taps={LLDP: TAPS[LLDP]}))

    assert summary.inodes(around) == [LLDP, 9]
    assert summary.reasons(LLDP) == [("bound-elsewhere", 1)]
    assert summary.reasons(9) == []


def test_reasons_come_with_the_most_frequent_first():
    # given a tap on eth1 for LLDP, and two packets on eth0, one on eth1
    summary, _ = counted(rx("eth0"), rx("eth1", at=20), rx("eth0", at=40), around=scene(taps={LLDP: TAPS[LLDP]}))

    assert summary.reasons(LLDP) == [("bound-elsewhere", 2), ("protocol", 1)]
    absence = summary.absences[LLDP, "bound-elsewhere"]
    assert (absence.journey.id, absence.packets, absence.trivial) == (1, 2, 2)
    assert absence.unseen.detail == "bound to eth1; the packet passed eth0"


def test_a_tap_that_lives_in_another_namespace_is_told_so():
    lone = Tap(5, THERE, 0, 3, "cooked")

    assert counted(received(), around=scene(taps={5: lone}))[0].reasons(5) == [("netns", 1)]
