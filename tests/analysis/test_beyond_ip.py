# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of a packet that was given to sockets, as the steps of its pass tell it."""

from dataclasses import replace

import pytest

from bondtrace.analysis.beyond_ip import OF_COPIES, TCP_STATES
from bondtrace.format.stages import DROPS
from bondtrace.format.wire import FUNCTIONS, GIVEN_STATE_SHIFT, GIVEN_TO_FULL
from bondtrace.model import SOCKET_OUTCOMES
from build import (
    DROP_REASONS,
    ON_5354,
    ON_8080,
    RAW,
    answered,
    beyond_ip,
    drop,
    forwarded,
    given,
    handler,
    journeys,
    local,
    protocol,
    refusal,
    rx,
    scene,
    stage,
)

# What refuses a packet, by the kernel's names; the numbers are of these tests.
REASONS = {
    name: 100 + place
    for place, name in enumerate(
        (
            *("SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM", "SOCKET_FILTER", "XFRM_POLICY"),
            *("UDP_CSUM", "TCP_CSUM", "ICMP_CSUM", "SKB_CSUM", "TCP_OLD_DATA", "NO_SOCKET"),
        )
    )
}
AROUND = {"drop_reasons": {**DROP_REASONS, **{str(number): name for name, number in REASONS.items()}}}
TCP = "tcp_v4_do_rcv"
COPYING = sorted(OF_COPIES)


def for_reason(name, inode=ON_5354, **more):
    """The drop of what had been given to a socket, for a reason of these."""
    return replace(refusal(inode, "NOT_SPECIFIED", **more), arg=REASONS[name])


def steps(*said, around=None):
    """The steps of a packet to this host that come beyond IP."""
    around = around or beyond_ip(**AROUND)
    [journey] = journeys(rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), *said), around=around)
    return journey.passes[0].steps[3:]


def told(*said, **more):
    """(kind, socket, outcome, reason) of them."""
    return [(step.kind, step.socket, step.outcome, step.reason) for step in steps(*said, **more)]


# --- what a step is ------------------------------------------------------------------------------------


def test_the_steps_beyond_ip_are_where_the_packet_is():
    to_udp, to_socket = steps(local(17), given(ON_5354))

    for step in (to_udp, to_socket):
        assert (step.dev, step.orig_dev, step.round, step.ifindex, step.orig_ifindex) == ("bond0", "eth0", 2, 4, 2)
        assert not step.inferred and step.verdict is step.tap is step.next_dev is None
    assert (to_udp.kind, to_udp.function, to_udp.ip_protocol) == ("local", "ip_protocol_deliver_rcu", 17)
    assert to_udp.socket is to_udp.outcome is to_udp.state is None
    assert (to_socket.kind, to_socket.function, to_socket.socket) == ("socket", "udp_queue_rcv_one_skb", ON_5354)
    assert to_socket.ip_protocol is to_socket.state is None


def test_an_answer_is_a_step_without_a_socket():
    [step] = steps(answered())
    assert (step.kind, step.function, step.socket, step.outcome) == ("answered", "arp_xmit", None, None)


def test_a_packet_that_is_forwarded_is_still_on_its_device_and_the_next_one_is_known():
    [step] = steps(forwarded(2))
    assert (step.kind, step.function, step.dev, step.ifindex) == ("forwarded", "ip_forward", "bond0", 4)
    assert (step.next_dev, step.next_ifindex) == ("eth0", None)


@pytest.mark.parametrize("number", TCP_STATES)
def test_the_state_is_that_of_a_socket_of_tcp(number):
    assert [step.state for step in steps(given(ON_8080, TCP, TCP_STATES[number]))] == [TCP_STATES[number]]
    assert [step.state for step in steps(given(ON_5354, state=TCP_STATES[number]))] == [None]


def test_a_state_that_nobody_here_knows_is_none():
    assert [step.state for step in steps(replace(given(ON_8080, TCP), result=15 << GIVEN_STATE_SHIFT))] == [None]


def test_a_socket_without_an_inode_is_0():
    assert told(given(0, "tcp_timewait_state_process", "TIME_WAIT")) == [("socket", 0, "taken", None)]


# --- outcomes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (given(ON_5354), "queued"),
        (given(ON_5354, "udpv6_queue_rcv_one_skb"), "queued"),
        *((given(RAW, name), "queued") for name in COPYING),
        (given(ON_5354, tunnel=True), "tunnel"),
        (given(ON_8080, "tcp_add_backlog"), "backlog"),
        *(
            (given(ON_8080, name), "taken")
            for name in (TCP, "tcp_v6_do_rcv", "tcp_timewait_state_process", "tcp_check_req")
        ),
        (replace(given(ON_8080, TCP, "LISTEN"), result=10 << GIVEN_STATE_SHIFT | GIVEN_TO_FULL), "full"),
    ],
)
def test_what_became_of_a_packet_that_no_drop_tells_of(step, outcome):
    assert told(step) == [("socket", step.arg, outcome, None)] and outcome in SOCKET_OUTCOMES


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("SOCKET_RCVBUFF", "full"),
        ("SOCKET_BACKLOG", "full"),
        ("PROTO_MEM", "full"),
        ("SOCKET_FILTER", "filtered"),
        ("UDP_CSUM", "checksum"),
        ("TCP_CSUM", "checksum"),
        ("ICMP_CSUM", "checksum"),
        ("SKB_CSUM", "checksum"),
        ("XFRM_POLICY", "policy"),
        ("TCP_OLD_DATA", "refused"),
        ("NO_SOCKET", "refused"),
    ],
)
def test_what_is_dropped_after_it_was_given_to_a_socket_was_refused_by_that(reason, outcome):
    assert told(local(17), given(ON_5354), for_reason(reason)) == [
        ("local", None, None, None),
        ("socket", ON_5354, outcome, reason),
        ("drop", ON_5354, None, reason),
    ]
    assert outcome in SOCKET_OUTCOMES


def test_a_kernel_without_reasons_only_says_that_it_was_refused():
    assert told(given(ON_5354), for_reason("SOCKET_RCVBUFF"), around=beyond_ip(drop_reasons={})) == [
        ("socket", ON_5354, "refused", None),
        ("drop", ON_5354, None, None),
    ]


def test_where_drops_are_not_watched_it_is_not_known_whether_it_was_queued():
    missing = beyond_ip(missing=(DROPS,))
    assert told(given(ON_5354), given(RAW, "raw_rcv"), around=missing) == [
        ("socket", ON_5354, "unknown", None),
        ("socket", RAW, "unknown", None),
    ]
    # but what TCP does is seen
    assert told(given(ON_8080, TCP), given(ON_8080, "tcp_add_backlog"), around=missing) == [
        ("socket", ON_8080, "taken", None),
        ("socket", ON_8080, "backlog", None),
    ]
    assert told(given(ON_5354), around=scene()) == [("socket", ON_5354, "unknown", None)]
    # and a stage that is there is not missing because another one is
    around = scene(stages=[stage("fanout groups", "not there"), stage(DROPS)])
    assert told(given(ON_5354), around=around) == [("socket", ON_5354, "queued", None)]


def test_a_packet_that_its_connection_takes_after_the_listening_socket_was_asked():
    """As the last ACK of a handshake: each step is its own socket's."""
    asked = given(0, "tcp_check_req", "NEW_SYN_RECV"), given(ON_8080, TCP, "SYN_RECV")
    assert told(*asked) == [("socket", 0, "taken", None), ("socket", ON_8080, "taken", None)]


# --- refusals and their sockets ------------------------------------------------------------------------


def test_a_backlog_that_is_full_refuses():
    """tcp_add_backlog is what the packet was given to; the drop says that it had no room."""
    assert told(given(ON_8080, "tcp_add_backlog"), for_reason("SOCKET_BACKLOG", ON_8080)) == [
        ("socket", ON_8080, "full", "SOCKET_BACKLOG"),
        ("drop", ON_8080, None, "SOCKET_BACKLOG"),
    ]


def test_of_several_sockets_of_a_multicast_one_is_full():
    # given a datagram for three sockets: all but the last get clones
    said = (given(1), given(2), for_reason("SOCKET_RCVBUFF", 2, result=1), given(3))

    assert told(*said) == [
        ("socket", 1, "queued", None),
        ("socket", 2, "full", "SOCKET_RCVBUFF"),
        ("drop", 2, None, "SOCKET_RCVBUFF"),
        ("socket", 3, "queued", None),
    ]
    assert [step.clone for step in steps(*said)] == [False, False, True, False]


@pytest.mark.parametrize("function", COPYING)
def test_the_drop_of_a_copy_for_a_raw_or_ping_socket_is_no_drop_of_the_packet(function):
    refused = for_reason("SOCKET_RCVBUFF", RAW, result=1)
    assert told(local(1), given(RAW, function), refused, given(ON_5354)) == [
        ("local", None, None, None),
        ("socket", RAW, "full", "SOCKET_RCVBUFF"),
        ("socket", ON_5354, "queued", None),
    ]


def test_the_packet_itself_is_dropped_although_a_raw_socket_had_it():
    """A raw socket may be the last to get it, without a copy; and nobody else may want it."""
    assert told(given(RAW, "raw_rcv"), for_reason("SOCKET_FILTER", RAW))[1][0] == "drop"
    assert told(given(RAW, "raw_rcv"), drop("NO_SOCKET")) == [
        ("socket", RAW, "queued", None),
        ("drop", None, None, "NO_SOCKET"),
    ]


def test_a_socket_that_was_given_a_packet_twice_refused_it_the_last_time():
    """As one that is connected, and then of its group."""
    assert told(given(1), given(1), for_reason("SOCKET_FILTER", 1)) == [
        ("socket", 1, "queued", None),
        ("socket", 1, "filtered", "SOCKET_FILTER"),
        ("drop", 1, None, "SOCKET_FILTER"),
    ]


def test_a_drop_for_a_socket_that_no_step_gave_it_to_stays_a_drop():
    """Its step was lost, or the record of it: nothing else was refused."""
    assert told(for_reason("SOCKET_RCVBUFF", 9), given(1)) == [
        ("drop", 9, None, "SOCKET_RCVBUFF"),
        ("socket", 1, "queued", None),
    ]
    assert told(for_reason("SOCKET_RCVBUFF", 9)) == [("drop", 9, None, "SOCKET_RCVBUFF")]


def test_a_refusal_by_a_connection_that_nobody_holds():
    assert told(given(0, "tcp_timewait_state_process", "TIME_WAIT"), for_reason("TCP_OLD_DATA", 0)) == [
        ("socket", 0, "refused", "TCP_OLD_DATA"),
        ("drop", 0, None, "TCP_OLD_DATA"),
    ]


def test_the_number_of_a_refusing_socket_is_no_device():
    """It stands where other steps have orig_dev; here it is the ifindex of a device that there is."""
    *_, step = steps(given(3), for_reason("SOCKET_RCVBUFF", 3))
    assert (step.socket, step.orig_ifindex, step.orig_dev) == (3, 2, "eth0")
    *_, step = steps(drop("NO_SOCKET"))
    assert (step.socket, step.orig_dev) == (None, "eth0")


def test_every_function_that_gives_packets_to_sockets_has_an_outcome():
    giving = [name for number, name in FUNCTIONS.items() if 50 <= number < 60]
    assert len(giving) == 10
    for name in giving:
        [step] = steps(given(ON_5354, name))
        assert step.outcome in ("queued", "taken", "backlog") and step.function == name
