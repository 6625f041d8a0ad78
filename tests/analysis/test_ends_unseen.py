# SPDX-License-Identifier: GPL-2.0-or-later
"""Of a packet that a protocol was given and of which nothing more was seen, it is not said that the kernel took it
where a socket, or a drop, may have gone unseen."""

import pytest

from bondtrace.analysis import look_at
from bondtrace.format.stages import DROPS
from build import beyond_ip, drop, echo, ether, given, ip4, journeys, local, protocol, refusal, rx, tcp, udp


def end_of(*steps, packet, **more):
    """The only end of a packet with these steps."""
    passes = rx("eth0", protocol("ip_rcv"), *steps, packet=packet)
    ((end,),) = [one.ends for one in journeys(passes, around=beyond_ip(taps={}, **more))]
    return end


@pytest.mark.parametrize(
    ("number", "missing", "expected"),
    [
        (1, (), ("protocol", "taken by the kernel's own ICMP")),
        (1, (DROPS,), ("unknown", "given to ICMP; what became of it there was not seen")),
        (17, (), ("unknown", "given to UDP; what became of it there was not seen")),
        (6, (), ("unknown", "given to TCP; what became of it there was not seen")),
    ],
)
def test_what_was_not_seen_is_not_known(number, missing, expected):
    end = end_of(local(number), packet=ether(ip4(echo(8) if number == 1 else udp(), number)), missing=missing)

    assert (end.kind, end.detail) == expected


def test_a_port_is_looked_at_only_where_there_is_one_and_as_the_tunnel_had_it():
    # given VXLAN for a port that nobody has, in which there is a packet for another port
    inner = ether(ip4(udp(destination=53), 17))
    vxlan = ether(ip4(udp(destination=4789, data=bytes([8]) + bytes(7) + inner), 17))
    closed = drop("NO_SOCKET", "__udp4_lib_rcv")

    assert "for port 4789;" in end_of(local(17), closed, packet=vxlan).look_at
    assert "for port 53;" in end_of(local(17), closed, packet=inner).look_at
    assert end_of(local(1), drop("NO_SOCKET", "icmp_rcv"), packet=ether(ip4(echo()))).look_at == ""


def test_the_port_of_what_is_inside_counts_where_the_tunnel_has_none():
    (journey,) = journeys(rx("eth0", packet=ether(ip4(ip4(udp(destination=53), 17), 4))))

    assert look_at.port_of(journey.packet) == ("UDP", 53)


@pytest.mark.parametrize(("reasons", "reason"), [(None, "NOT_SPECIFIED"), ({}, "NOT_SPECIFIED")])
def test_what_a_connection_that_is_over_was_given_is_released_and_not_refused(reasons, reason):
    # given that tcp_v4_rcv frees what it gave to time-wait, on a kernel with reasons and on one without
    around = {} if reasons is None else {"drop_reasons": reasons}
    over = given(0, "tcp_timewait_state_process", "TIME_WAIT"), refusal(0, reason, "tcp_v4_rcv")

    end = end_of(local(6), *over, packet=ether(ip4(tcp(), 6)), **around)

    assert (end.kind, end.detail) == ("socket", "a connection that is over (TIME_WAIT): taken by TCP (TIME_WAIT)")


def test_what_a_connection_that_is_over_refused_for_a_reason_is_refused():
    over = given(0, "tcp_timewait_state_process", "TIME_WAIT"), refusal(0, "SOCKET_FILTER", "tcp_v4_rcv")

    assert end_of(local(6), *over, packet=ether(ip4(tcp(), 6))).kind == "refused"
