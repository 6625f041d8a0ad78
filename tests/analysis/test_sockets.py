# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets as of a time, with the processes that were found later; and what people call them."""

from dataclasses import replace

import pytest

from bondtrace.analysis import sockets as module
from bondtrace.analysis.socket_names import label, name, of_step, protocol_name
from bondtrace.analysis.sockets import Sockets
from bondtrace.format.events import socket_event
from bondtrace.model import Process, Socket, Step
from build import BEGIN_NS, ESCAPED, HERE, HOSTILE, THERE, altered, scene

DNSD = (Process(900, "dnsd", "dnsd -p 5354"),)
WILD = Socket(7, HERE, 2, 2, 17, port=5354)
CONNECTED = replace(WILD, address="10.9.0.2", remote="10.9.0.1", remote_port=53)


def kept(*told):
    """The sockets after (time, socket) were told."""
    sockets = Sockets()
    for time_ns, socket in told:
        sockets.put(time_ns, socket)
    return sockets


# --- as of a time --------------------------------------------------------------------------------------


def test_a_socket_is_as_it_was_then():
    sockets = kept((10, WILD), (20, CONNECTED), (30, WILD))

    assert [sockets.at(7, at) for at in (10, 19, 20, 29, 30, 1 << 60)] == [WILD, WILD, CONNECTED, CONNECTED, WILD, WILD]


def test_before_it_was_told_of_it_was_as_it_first_was():
    assert kept((10, WILD), (20, CONNECTED)).at(7, 0) == WILD


def test_nothing_is_known_of_another():
    assert kept((10, WILD)).at(8, 10) is None and Sockets().at(7, 10) is None
    assert list(kept((10, WILD), (11, replace(WILD, inode=3)))) == [7, 3]


def test_what_was_told_in_another_order_is_in_order():
    sockets = kept((30, WILD), (10, WILD), (20, CONNECTED))
    assert [sockets.at(7, at) for at in (10, 20, 30)] == [WILD, CONNECTED, WILD]


@pytest.mark.parametrize("at", [0, 10, 15, 20, 25])
def test_processes_that_were_found_later_held_it_before(at):
    assert kept((10, WILD), (20, replace(WILD, processes=DNSD))).at(7, at).processes == DNSD


def test_processes_of_another_state_say_nothing_of_this_one():
    found = replace(CONNECTED, processes=DNSD)
    assert kept((10, WILD), (20, CONNECTED), (30, found)).at(7, 15) == WILD
    assert kept((10, WILD), (20, CONNECTED), (30, found)).at(7, 25) == found
    # nor those who held it later those who hold it now
    other = replace(WILD, processes=(Process(1, "init", "init"),))
    assert kept((10, replace(WILD, processes=DNSD)), (20, other)).at(7, 15).processes == DNSD


def test_of_many_sockets_those_are_forgotten_that_were_told_of_longest_ago(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    sockets = kept(*((10 + n, replace(WILD, inode=n)) for n in (1, 2, 3)), (20, replace(WILD, inode=1)))

    sockets.put(30, replace(WILD, inode=4))

    assert list(sockets) == [3, 1, 4] and sockets.at(2, 30) is None


def test_of_one_that_changes_all_the_time_the_oldest_states_are_forgotten():
    states = [replace(WILD, remote_port=port) for port in range(10 * module.STATES_KEPT)]
    sockets = kept(*enumerate(states))

    assert sockets.at(7, len(states)) == states[-1]
    assert sockets.at(7, 0) == states[-module.STATES_KEPT]


# --- names ---------------------------------------------------------------------------------------------


def told(socket, **more):
    return label(replace(socket, **more), scene(), BEGIN_NS)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "UDP socket *:5354"),
        ({"processes": DNSD}, "dnsd's UDP socket *:5354"),
        ({"address": "10.9.0.2"}, "UDP socket 10.9.0.2:5354"),
        ({"address": "10.9.0.2", "ifindex": 4}, "UDP socket 10.9.0.2%bond0:5354"),
        ({"ifindex": 4}, "UDP socket *%bond0:5354"),
        ({"ifindex": 4, "netns": THERE}, "UDP socket *%other1:5354"),
        ({"ifindex": 99}, "UDP socket *%if99:5354"),
        ({"family": 10, "address": "fe80::1", "ifindex": 2}, "UDP socket [fe80::1]%eth0:5354"),
        ({"family": 10}, "UDP socket *:5354"),
        ({"protocol": 6, "type": 1, "port": 22}, "TCP socket *:22"),
        ({"port": 0}, "UDP socket *:*"),
        ({"type": 3, "protocol": 112, "port": 112, "processes": DNSD}, "dnsd's raw VRRP socket *"),
        ({"type": 3, "protocol": 58, "port": 58, "address": "fe80::1"}, "raw ICMPv6 socket [fe80::1]"),
        ({"type": 3, "protocol": 200, "ifindex": 4}, "raw protocol 200 socket *%bond0"),
        ({"protocol": 1, "port": 12}, "ICMP socket *:12"),
    ],
)
def test_a_socket_is_called_by_who_holds_it_its_protocol_and_where_it_is_bound(more, expected):
    assert told(WILD, **more) == expected


def test_of_several_processes_the_first_that_is_not_systemd_names_it():
    """systemd keeps the sockets of what it starts by them."""
    held = (Process(1, "systemd", "/sbin/init"), Process(950, "sshd", "sshd -D"), Process(940, "sshd", "sshd -i"))
    assert told(WILD, protocol=6, type=1, port=22, processes=held) == "sshd's TCP socket *:22"
    assert told(WILD, processes=held[:1]) == "systemd's UDP socket *:5354"


def test_a_name_has_the_inode_and_is_that_of_the_time():
    around = scene(
        socket_event(BEGIN_NS, replace(WILD, ifindex=4)),
        socket_event(BEGIN_NS + 10, replace(WILD, ifindex=4, processes=DNSD)),
        altered("bond0", 50, name="bond9"),
    )
    assert name(7, None, around, BEGIN_NS) == "dnsd's UDP socket *%bond0:5354 [7]"
    assert name(7, None, around, BEGIN_NS + 60_000) == "dnsd's UDP socket *%bond9:5354 [7]"
    assert name(8, None, around, BEGIN_NS) == "socket [8] (known only by its inode)"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("TIME_WAIT", "a connection that is over (TIME_WAIT)"),
        ("ESTABLISHED", "a connection that was not yet accepted, or is closed"),
        ("SYN_RECV", "a connection that is being made"),
        ("FIN_WAIT1", "a socket that no process holds (FIN_WAIT1)"),
        (None, "a socket that no process holds"),
    ],
)
def test_what_has_no_inode_is_called_by_its_state(state, expected):
    assert name(0, state, scene(), BEGIN_NS) == expected


def test_names_are_printable():
    evil = replace(WILD, address=HOSTILE, processes=(Process(7, HOSTILE, HOSTILE),))
    around = scene(socket_event(BEGIN_NS, evil))
    assert name(7, None, around, BEGIN_NS) == f"{ESCAPED}'s UDP socket {ESCAPED}:5354 [7]"


@pytest.mark.parametrize(("number", "expected"), [(6, "TCP"), (17, "UDP"), (112, "VRRP"), (0, "protocol 0")])
def test_protocols_over_ip_have_names(number, expected):
    assert protocol_name(number) == expected


def test_a_step_names_its_socket_as_it_was_then_also_where_it_changed_since_the_packet_came():
    around = scene(socket_event(BEGIN_NS - 10, WILD), socket_event(BEGIN_NS + 500, CONNECTED))
    before, after = (Step(t_ns, "socket", 1, "bond0", "eth0", 4, 2, socket=7) for t_ns in (499, 500))
    assert of_step(before, around, BEGIN_NS) == "UDP socket *:5354 [7]"
    assert of_step(after, around, BEGIN_NS) == "UDP socket 10.9.0.2:5354 [7]"
