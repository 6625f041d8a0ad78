# SPDX-License-Identifier: GPL-2.0-or-later
"""The follower of sockets: which events it makes, and when it looks for processes."""

import socket
from dataclasses import asdict

import numpy as np
import pytest

from bondtrace.capture.live import sockets as module
from bondtrace.capture.live.sockets import SEARCHES, SHARE, SocketFollower, parse_socket
from bondtrace.format.events import read_socket
from bondtrace.model import Process, Socket
from build import BEGIN_NS, HERE, THERE, socket_record

DNSD = Process(900, "dnsd", "dnsd -p 5354")
V6 = socket.inet_pton(socket.AF_INET6, "fe80::1")


class World:
    """Processes that hold sockets, and a clock; each search takes ``takes_ns`` and is noted in ``searched``."""

    def __init__(self):
        self.now_ns, self.takes_ns, self.held, self.searched = 10**12, 1000, {}, []
        self.follower = SocketFollower(True, self.find, lambda: self.now_ns)

    def find(self, inodes):
        self.searched.append(sorted(inodes))
        self.now_ns += self.takes_ns
        return {inode: self.held[inode] for inode in inodes if inode in self.held}

    def take(self, *records):
        """The sockets of the events that these records make."""
        return told(self.follower.take(np.concatenate(records)))

    def found(self, after_ns=10**9):
        """The same of the next search, so long after the last."""
        self.now_ns += after_ns
        return told(self.follower.find_processes())


def told(events):
    """The sockets of events, as a recording has them."""
    assert {one["kind"] for one in events} <= {"socket"}
    return [read_socket(one["socket"]) for one in events]


@pytest.fixture
def world():
    return World()


# --- records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (socket_record(7), Socket(7, HERE, 2, 2, 17, port=5354, uid=0)),
        (
            socket_record(
                7,
                netns=THERE,
                bound=4,
                type=1,
                protocol=6,
                port=22,
                address=bytes([10, 9, 0, 2]),
                remote=bytes([10, 9, 0, 1]),
                remote_port=40001,
                uid=1000,
            ),
            Socket(7, THERE, 2, 1, 6, "10.9.0.2", 22, "10.9.0.1", 40001, ifindex=4, uid=1000),
        ),
        (socket_record(7, family=10, address=V6), Socket(7, HERE, 10, 2, 17, "fe80::1", 5354, uid=0)),
        (
            socket_record(7, family=10, address=bytes(10) + b"\xff\xff" + bytes([10, 9, 0, 2])),
            Socket(7, HERE, 10, 2, 17, "::ffff:10.9.0.2", 5354, uid=0),
        ),
        (socket_record(7, family=10, type=3, protocol=58, port=58), Socket(7, HERE, 10, 3, 58, port=58, uid=0)),
        # an address of a family that nobody here knows is not guessed
        (socket_record(7, family=38, address=V6), Socket(7, HERE, 38, 2, 17, port=5354, uid=0)),
        # of IPv4 only the first four bytes are an address
        (socket_record(7, address=bytes(4) + V6[:12]), Socket(7, HERE, 2, 2, 17, port=5354, uid=0)),
        (
            socket_record((1 << 32) - 1, port=65535, uid=(1 << 32) - 1),
            Socket((1 << 32) - 1, HERE, 2, 2, 17, port=65535, uid=(1 << 32) - 1),
        ),
    ],
)
def test_a_record_says_what_the_socket_is(record, expected):
    assert parse_socket(record[0]) == expected


def test_a_socket_is_told_of_once_and_again_where_it_changed(world):
    # given a socket of UDP that is told of several times (the kernel side forgets), and connects meanwhile
    connected = socket_record(7, at=5, remote=bytes([10, 9, 0, 1]), remote_port=53)

    assert [one.inode for one in world.take(socket_record(7), socket_record(8), socket_record(7))] == [7, 8]
    assert world.take(socket_record(7)) == []
    assert [(one.inode, one.remote) for one in world.take(connected, connected)] == [(7, "10.9.0.1")]
    assert [one.remote for one in world.take(socket_record(7, at=9))] == [""]


def test_an_event_has_the_time_of_its_record_and_all_that_a_socket_is(world):
    [event] = world.follower.take(socket_record(7, at=5, bound=4, uid=1000))

    assert event == {
        "kind": "socket",
        "time_ns": BEGIN_NS + 5000,
        "socket": {**asdict(Socket(7, HERE, 2, 2, 17, port=5354, ifindex=4, uid=1000)), "processes": ()},
    }


# --- processes -----------------------------------------------------------------------------------------


def test_processes_are_told_of_once_found_at_the_time_of_the_search(world):
    world.held = {7: (DNSD,)}
    world.take(socket_record(7))
    world.now_ns += 5000

    [event] = world.follower.find_processes()

    assert event["time_ns"] == world.now_ns and read_socket(event["socket"]).processes == (DNSD,)
    # and they are not looked for again, although the kernel side tells of the socket once more
    assert world.take(socket_record(7)) == world.found() == []
    assert world.searched == [[7]]


def test_a_socket_that_nobody_holds_is_looked_for_a_few_times(world):
    world.held = {7: (DNSD,)}
    world.take(socket_record(7), socket_record(8))

    for _ in range(SEARCHES + 3):
        world.found()

    assert world.searched == [[7, 8], *[[8]] * (SEARCHES - 1)]


def test_a_process_that_comes_to_hold_it_meanwhile_is_found(world):
    world.take(socket_record(8))
    assert world.found() == []
    world.held = {8: (DNSD,)}
    assert [one.processes for one in world.found()] == [(DNSD,)]
    assert world.found() == [] and len(world.searched) == 2


def test_a_socket_that_changed_is_looked_for_again(world):
    world.held = {7: (DNSD,)}
    world.take(socket_record(7))
    world.found()
    world.take(socket_record(7, remote_port=53))

    [again] = world.found()

    assert (again.remote_port, again.processes) == (53, (DNSD,))
    assert world.searched == [[7], [7]]


def test_searches_take_only_their_share_of_the_time(world):
    # given a host on which a search takes long
    world.takes_ns = 10**9
    world.take(socket_record(7))

    assert world.found(0) == [] and world.found(SHARE * 10**9 - 1) == []
    assert len(world.searched) == 1
    # then a new socket waits, too
    world.take(socket_record(8))
    world.found(0)
    assert len(world.searched) == 1
    world.found(1)
    assert world.searched == [[7], [7, 8]]


def test_nothing_is_searched_without_a_socket(world):
    assert world.found() == [] and world.searched == []


def test_of_many_sockets_the_first_are_forgotten(world, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    assert len(world.take(*(socket_record(n) for n in range(1, 6)))) == 5

    # then those are told of again, where the kernel side does, and the others are not
    assert [one.inode for one in world.take(socket_record(5), socket_record(4), socket_record(1))] == [1]
    # and a process that is found for a forgotten one is no event: what it is is not known
    world.held = dict.fromkeys(range(1, 6), (DNSD,))
    assert sorted(one.inode for one in world.found()) == [1, 4, 5]
