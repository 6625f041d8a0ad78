# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the socket itself says: asked of sockets of this process, and of nobody's."""

import os
import socket
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from bondtrace.capture.host.options import (
    PACKET_FANOUT,
    PACKET_IGNORE_OUTGOING,
    PACKET_ORIGDEV,
    SOL_PACKET,
    with_all_options,
)
from bondtrace.model import Process, Tap

HERE = Process(os.getpid(), "pytest", "pytest")


@pytest.fixture
def packet_socket():
    """packet_socket(ignore_outgoing, origdev): the tap that such a socket of this process is."""
    opened = []

    def make(ignore_outgoing, origdev):
        try:
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            pytest.skip("needs CAP_NET_RAW")
        opened.append(one)
        one.setsockopt(SOL_PACKET, PACKET_ORIGDEV, origdev)
        one.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, ignore_outgoing)
        return Tap(os.fstat(one.fileno()).st_ino, 1, 0, 0, "raw", processes=(HERE,))

    make.opened = opened
    yield make
    for one in opened:
        one.close()


def options(taps):
    return [(one.inode, one.ignore_outgoing, one.origdev) for one in with_all_options(taps)]


def test_each_socket_is_asked(packet_socket):
    taps = [packet_socket(*asked) for asked in ((0, 0), (1, 0), (0, 1), (1, 1))]
    descriptors = len(os.listdir("/proc/self/fd"))

    assert options(taps) == [
        (tap.inode, *expected)
        for tap, expected in zip(taps, [(False, False), (True, False), (False, True), (True, True)])
    ]
    # and nothing of it stays open
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("flags", [0, 0x8000, 0xC000])
def test_the_flags_of_a_fanout_group_are_only_told_by_the_socket(packet_socket, flags):
    # given a member as packet_diag tells it, of a group in turn (PACKET_FANOUT_LB)
    tap = packet_socket(0, 0)
    packet_socket.opened[0].bind(("lo", 0x88B5))
    packet_socket.opened[0].setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("I", 4711 | (1 | flags) << 16))
    member = replace(tap, fanout_id=4711, fanout_type=1)

    assert [one.fanout_type for one in with_all_options([member])] == [1 | flags]
    # and where it had joined another group, or none, when it was listed, nothing is mixed
    others = [replace(tap, fanout_id=12, fanout_type=3), tap]
    assert [(one.fanout_id, one.fanout_type) for one in with_all_options(others)] == [(12, 3), (None, None)]


def test_what_nobody_holds_stays_as_it_was_told():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = Process(ended.pid, "gone", "gone")
    taps = [
        Tap(7, 1, 0, 3, "raw", origdev=True),
        Tap(8, 1, 0, 3, "raw", origdev=True, processes=(HERE,)),  # not of this process
        Tap(9, 1, 0, 3, "raw", ignore_outgoing=False, processes=(gone,)),
    ]
    assert with_all_options(taps) == taps
