# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of where packets ended: by socket, by port, by kind of end."""

from bondtrace.stats import ended
from bondtrace.stats.ended import OTHERS, Example
from build import (
    ON_5354,
    ON_8080,
    SKB,
    beyond_ip,
    counted,
    drop,
    echo,
    ether,
    given,
    handler,
    ip4,
    local,
    protocol,
    refusal,
    rx,
    tcp,
    udp,
)

UP = handler("ANOTHER", "bond0"), protocol("ip_rcv")


def arrived(*steps, dev="eth0", at=0, packet=None):
    """A datagram for this host, by the bond or by another device."""
    way = UP if dev == "eth0" else UP[1:]
    return rx(dev, *way, *steps, at=at, skb=SKB + 64 * at, packet=packet or ether(ip4(udp(), 17)))


def test_a_socket_is_counted_by_device_outcome_and_reason():
    full = given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF")
    passes = [
        arrived(given(ON_5354)),
        arrived(*full, at=20),
        arrived(*full, at=40),
        arrived(given(ON_5354), dev="eth2", at=60),
    ]
    summary, _ = counted(*passes, around=beyond_ip())
    [((holder, told),)] = [summary.ended.in_order()]

    assert (holder, told.total) == ((ON_5354, ""), 4)
    assert {ifindex: count for (_, ifindex), count in told.devices.items()} == {4: 3, 6: 1}
    assert told.outcomes == {"queued": 2, "full": 2}
    assert told.refusals() == [(("full", "SOCKET_RCVBUFF"), 2)]
    assert told.examples["full", "SOCKET_RCVBUFF"].journey == 2


def test_a_port_is_counted_only_where_the_packet_came_to_a_protocol_and_has_one():
    closed = drop("NO_SOCKET", "__udp4_lib_rcv")
    summary, _ = counted(
        arrived(local(17), closed),
        arrived(local(17), closed, at=20),
        arrived(local(1), drop("NO_SOCKET", "icmp_rcv"), at=40, packet=ether(ip4(echo()))),
        arrived(closed, at=60),
        arrived(local(6), drop("NO_SOCKET", "tcp_v4_rcv"), at=80, packet=ether(ip4(tcp(), 6))),
        around=beyond_ip(),
    )

    assert summary.ended.ports == {("UDP", 5000): 2, ("TCP", 22): 1}
    assert summary.ended.examples["UDP", 5000] == Example(
        1, "no socket takes it: `ss -anp` for port 5000; is a program bound to this address, port and device?"
    )
    assert summary.dropped == summary.ended.dropped and sum(summary.dropped.values()) == 5
    assert summary.ended.ends == {"dropped": 5}


def test_of_too_many_sockets_the_further_ones_are_counted_together(monkeypatch):
    monkeypatch.setattr(ended, "KEPT", 2)
    inodes = ON_5354, ON_8080, 7, 8, ON_8080
    summary, _ = counted(*(arrived(given(inode), at=20 * n) for n, inode in enumerate(inodes)), around=beyond_ip())

    assert {holder: one.total for holder, one in summary.ended.sockets.items()} == {
        (ON_5354, ""): 1,
        (ON_8080, ""): 2,
        OTHERS: 2,
    }
