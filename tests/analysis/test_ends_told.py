# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends that take more than one fact: a listening socket without room, a fragment that waits for the others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import build
from bondtrace.analysis import beyond_ip, ends, look_at
from bondtrace.format.wire import FUNCTIONS, GIVEN_STATE_SHIFT, GIVEN_TO_FULL, STEP, STEP_LOCAL, STEP_SOCKET
from bondtrace.model import Step

WATCHED = build.beyond_ip()
STATES = {name: number for number, name in beyond_ip.TCP_STATES.items()}
NUMBERS = {name: number for number, name in FUNCTIONS.items()}


def given(function, state, flags=0):
    step = np.zeros(1, STEP)[0]
    step["kind"], step["func"] = STEP_SOCKET, NUMBERS[function]
    step["result"] = flags | STATES[state] << GIVEN_STATE_SHIFT
    return step


@pytest.mark.parametrize(
    ("flags", "outcome", "words"),
    [
        (0, "taken", "taken by TCP (LISTEN)"),
        (GIVEN_TO_FULL, "full", "no room among its connections that wait for accept()"),
    ],
)
def test_a_listening_socket_without_room_for_a_connection_does_not_take_it(flags, outcome, words):
    raw = given("tcp_v4_do_rcv", "LISTEN", flags)
    assert (beyond_ip.state_of(raw), beyond_ip.outcome_of(raw, WATCHED)) == ("LISTEN", outcome)
    step = SimpleNamespace(outcome=outcome, state="LISTEN", reason=None, netfilter=None, tc=None)
    assert ends.outcome_words(step) == words
    assert ("accept()" in look_at.after_drop(step, None)) is bool(flags)


def ends_of(packet, *steps):
    [journey] = build.journeys(build.rx("eth0", *(steps or [build.protocol("ip_rcv")]), packet=packet))
    return [(end.kind, end.detail) for end in ends.of_journey(journey.passes, WATCHED, 0)]


@pytest.mark.parametrize("offset", [0x2000, 0x2003, 3], ids=["first", "middle", "last"])
def test_a_fragment_waits_for_the_others(offset):
    packet = build.ether(build.ip4(bytes(24), protocol=17, offset=offset))
    assert ends_of(packet) == [("handed-on", "a fragment: held until the others of its packet are there")]


def test_a_whole_packet_of_which_nothing_was_seen_is_unknown():
    packet = build.ether(build.ip4(build.udp(), protocol=17))
    assert ends_of(packet) == [("unknown", "what became of it was not seen")]
    # nor do taps that captured it before IP make it theirs
    assert ends_of(packet, build.tap(build.ON_ETH0), build.protocol("ip_rcv")) == ends_of(packet)
    # and where to look for it is told
    [journey] = build.journeys(build.rx("eth0", build.protocol("ip_rcv"), packet=packet))
    [end] = ends.of_journey(journey.passes, WATCHED, 0)
    assert end.look_at.startswith("IP neither gave it to this host nor forwarded or dropped it: `ip route get ")


def test_of_what_only_taps_were_seen_to_take_the_end_is_not_known_and_they_are_named():
    lldp = build.ether(bytes(20), kind=0x88CC)
    assert ends_of(lldp, build.tap(build.ON_ETH0)) == [
        ("unknown", "packet sockets took it; whether anything else did was not seen")
    ]
    refused = build.tap(build.ON_ETH0, outcome="filtered")
    assert ends_of(lldp, refused) == [("unknown", "what became of it was not seen")]


@pytest.mark.parametrize(("following", "protocol"), [(58, 58), (17, 17), (253, 253)])
def test_ipv6_is_given_the_protocol_that_it_finds(following, protocol):
    # given a step of ip6_protocol_deliver_rcu, which is called with 0
    packet = build.ether(build.ip6(bytes(16), following=following), kind=0x86DD)
    step = replace(build.protocol("ip6_protocol_deliver_rcu"), kind=STEP_LOCAL)
    [journey] = build.journeys(build.rx("eth0", build.protocol("ipv6_rcv"), step, packet=packet))
    # then it has the packet's protocol
    [local] = [step for step in journey.passes[0].steps if step.kind == "local"]
    assert local.ip_protocol == protocol


@pytest.mark.parametrize(
    ("function", "state", "reason", "outcome"),
    [
        # given what TCP worked on in TIME_WAIT, which it then always releases so
        ("tcp_timewait_state_process", "TIME_WAIT", "NOT_SPECIFIED", "taken"),
        ("tcp_timewait_state_process", "TIME_WAIT", None, "taken"),  # a kernel that gives no reasons
        # and what it refused
        ("tcp_timewait_state_process", "TIME_WAIT", "TCP_OLD_SEQUENCE", "refused"),
        ("tcp_v4_do_rcv", "LISTEN", "NOT_SPECIFIED", "refused"),
    ],
)
def test_what_is_released_in_time_wait_was_worked_on(function, state, reason, outcome):
    common = {"t_ns": 1, "round": 1, "dev": "eth0", "orig_dev": "eth0", "ifindex": 2, "orig_ifindex": 2, "socket": 0}
    given_to = Step(kind="socket", function=function, state=state, outcome="taken", **common)
    drop = Step(kind="drop", function="tcp_v4_rcv", reason=reason, **common)
    told, *rest = beyond_ip.with_outcomes([given_to, drop])
    assert (told.outcome, rest) == (outcome, [drop] if outcome == "refused" else [])
