# SPDX-License-Identifier: GPL-2.0-or-later
"""Taps: parsed from packet_diag's and /proc's own words, found for real, and watched.

The captured messages are answers of kernel 6.18 (x86-64) to a packet_diag dump, for sockets made
for it: one with a TPACKET_V3 ring, the filter `ip` and promiscuous mode, and one for LLDP in
fanout group 7, with the accept-all filter of libpcap.
"""

import ctypes
import os
import socket
import struct
import sys
from dataclasses import replace

import pytest

from bondtrace.capture.host import namespaces, netlink, taps
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.host.taps import Refresh, TapWatcher
from bondtrace.model import Device, Process, Tap

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are little-endian")

RING = bytes.fromhex(
    "11030300b37d000005000000000000001c00000004000000020000000000000000000000000000000100000008000500"
    "000000003000010004000000010000000100000000000000000000000000000000000000000000000000000000000000"
    "0000000020000200004000000200000000080000100000003c0000000000000000000000280006000000000000400300"
    "0000000000400300000000000000000030010000000000000000000024000700280000000c0000001500000100080000"
    "06000000000004000600000000000000"
)
FANOUT = bytes.fromhex(
    "1102cc88ae81000006100000000000001c00000004000000000000000000000000000000000000000100000008000500"
    "000000000400010008000400070001002800060000000000004003000000000000400300000000000000000088000000"
    "00000000000000000c0007000600000000000400"
)
RING_TAP = Tap(
    inode=32179,
    netns=7,
    ifindex=4,
    protocol=3,
    kind="raw",
    uid=0,
    buffer="ring",
    ring_version=3,
    ring_bytes=32768,
    running=True,
    has_filter=True,
    promiscuous=True,
    origdev=False,
    rmem_bytes=0,
)
FANOUT_TAP = Tap(
    inode=33198,
    netns=7,
    ifindex=4,
    protocol=0x88CC,
    kind="cooked",
    uid=0,
    buffer="queue",
    running=True,
    fanout_id=7,
    fanout_type=1,
    has_filter=False,
    promiscuous=False,
    origdev=False,
    drops=0,
    rmem_bytes=0,
)
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 1, 5, 6, 10


@little_endian
def test_a_tap_with_a_ring_a_filter_and_promiscuous_mode():
    assert taps.parse_tap(7, RING) == RING_TAP


@little_endian
def test_a_tap_in_a_fanout_group_whose_filter_refuses_nothing():
    assert taps.parse_tap(7, FANOUT) == FANOUT_TAP


def diag(kind=3, info=(0, 0, 0, 0, 0, 0), family=17, **extra):
    """A packet_diag message as include/uapi/linux/packet_diag.h lays it out."""
    payload = struct.pack("=BBHIII", family, kind, 3, 99, 0, 0)
    payload += netlink.attribute(0, struct.pack("=iIIIII", *info))
    numbers = {"rings": 2, "memory": 6, "program": 7}
    return payload + b"".join(netlink.attribute(numbers[name], value) for name, value in extra.items())


MINIMAL = Tap(99, 7, 0, 3, "raw", buffer="queue", running=False, has_filter=False, origdev=False)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (diag(), MINIMAL),
        (diag(kind=10), replace(MINIMAL, kind="packet")),
        (diag(kind=5), replace(MINIMAL, kind="type-5")),
        (diag(info=(-1, 0, 0, 0, 0, 0)), replace(MINIMAL, ifindex=-1)),
        (diag(info=(0, 0, 0, 0, 0, 0x1F)), replace(MINIMAL, running=True, origdev=True)),
        (diag(info=(0, 2, 0, 0, 0, 0)), MINIMAL),
        (diag(memory=struct.pack("=9I", *range(10, 19))), replace(MINIMAL, rmem_bytes=10, drops=18)),
        (diag(memory=struct.pack("=8I", *range(10, 18))), replace(MINIMAL, rmem_bytes=10)),
        (diag(program=b""), replace(MINIMAL, has_filter=None)),
        (diag(program=struct.pack("=HBBI", 6, 0, 0, 0)), replace(MINIMAL, has_filter=True)),
        (diag(family=16), None),
        (diag()[:40], None),
        (b"\x11", None),
    ],
    ids=[
        "nothing but the binding",
        "SOCK_PACKET",
        "a kind of the future",
        "its device is gone",
        "flags",
        "a ring version without a ring",
        "memory counters",
        "memory counters of an old kernel",
        "a filter that one may not see",
        "a filter that refuses everything",
        "another family",
        "cut in the binding",
        "cut in the header",
    ],
)
def test_what_packet_diag_can_say(payload, expected):
    assert taps.parse_tap(7, payload) == expected


@pytest.mark.parametrize(("version", "ring_version"), [(0, 1), (1, 2), (2, 3)])
def test_a_rings_drops_are_not_in_the_socket_s_counters(version, ring_version):
    # given a ring whose socket's counter says 0
    rings = struct.pack("=7I", 4096, 8, 2048, 16, 0, 0, 0)
    payload = diag(info=(0, version, 0, 0, 0, 0), rings=rings, memory=b"\0" * 36)
    # when / then it is not taken for a number of drops
    assert taps.parse_tap(7, payload) == replace(
        MINIMAL, buffer="ring", ring_version=ring_version, ring_bytes=32768, rmem_bytes=0
    )


PROC = """\
sk               RefCnt Type Proto  Iface R Rmem   User   Inode
00000000acf9526c 3      2    88cc   4     1 0      101    28994
00000000566f97e6 3      10   0003   0     0 2304   0      28995
0000000000000000 3      3    0003   -1    0 0      0      28996
garbage
"""


def test_proc_net_packet():
    # when
    found = taps.parse_proc_packet(7, PROC)
    # then what it does not tell is None
    assert found == [
        Tap(28994, 7, 4, 0x88CC, "cooked", uid=101, running=True, rmem_bytes=0),
        Tap(28995, 7, 0, 3, "packet", uid=0, running=False, rmem_bytes=2304),
        Tap(28996, 7, -1, 3, "raw", uid=0, running=False, rmem_bytes=0),
    ]


def test_arguments_are_joined_and_empty_ones_vanish():
    assert taps.parse_cmdline("tcpdump\0-i\0eth0\0\0icmp or arp\0") == "tcpdump -i eth0 icmp or arp"


# --- for real ---


@pytest.fixture
def packet_socket():
    """Make packet sockets, closed afterwards."""
    opened = []

    def make(kind=socket.SOCK_RAW, protocol=0):
        try:
            opened.append(socket.socket(socket.AF_PACKET, kind, socket.htons(protocol)))
        except PermissionError:
            pytest.skip("needs CAP_NET_RAW")
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def packet_diag():
    problems = []
    taps.read_taps([namespaces.current_namespace()], (), problems)
    if problems:
        pytest.skip(problems[0])


def inode_of(one):
    return os.fstat(one.fileno()).st_ino


def own_process():
    return taps.read_process(os.getpid())


def find(one, **arguments):
    found = taps.read_taps([namespaces.current_namespace()], **arguments)
    return next(tap for tap in found if tap.inode == inode_of(one))


def test_a_ring_bound_to_the_loopback(packet_socket, packet_diag):
    # given a tap as libpcap opens one: no protocol, then a ring, then bound
    one = packet_socket()
    one.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("=i", 2))
    one.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=7I", 16384, 2, 2048, 16, 60, 0, 0))
    before = find(one)
    one.bind(("lo", 3))
    index = socket.if_nametoindex("lo")
    one.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("=iHH8s", index, 1, 0, b""))
    # when
    after = find(one)
    # then
    expected = Tap(
        inode_of(one),
        namespaces.current_netns(),
        0,
        0,
        "raw",
        uid=os.geteuid(),
        buffer="ring",
        ring_version=3,
        ring_bytes=32768,
        running=False,
        has_filter=False,
        promiscuous=False,
        origdev=False,
        rmem_bytes=0,
        processes=(own_process(),),
    )
    assert before == replace(expected, running=before.running)
    assert after == replace(expected, ifindex=index, dev="lo", protocol=3, running=True, promiscuous=True)


def test_a_cooked_tap_with_a_filter(packet_socket, packet_diag):
    # given the filter `ret #0`, that refuses everything
    one = packet_socket(socket.SOCK_DGRAM)
    program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0), 8)
    one.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", 1, ctypes.addressof(program)))
    # when
    found = find(one)
    # then
    assert (found.kind, found.protocol, found.buffer, found.has_filter) == ("cooked", 0, "queue", True)


def fill(port=9, packets=200):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(packets):
            sender.sendto(b"x" * 1000, ("127.0.0.1", port))


def test_drops_are_counted_of_a_queue_and_unknown_of_a_ring(packet_socket, packet_diag):
    # given two taps on the loopback, too small for what comes
    queue, ring = packet_socket(), packet_socket()
    queue.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ring.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=4I", 16384, 2, 2048, 16))
    queue.bind(("lo", 3))
    ring.bind(("lo", 3))
    # when
    fill()
    # then the ring did drop, as the socket itself says
    lost = [struct.unpack("=II", one.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1] for one in (queue, ring)]
    assert min(lost) > 0
    assert find(queue).drops >= lost[0]
    assert find(ring).drops is None


def test_a_kernel_without_packet_diag_is_told_and_proc_is_read(packet_socket, monkeypatch):
    # given
    real = netlink.Netlink

    def no_diag(protocol, *more):
        if protocol == netlink.NETLINK_SOCK_DIAG:
            raise FileNotFoundError(2, "No such file or directory")
        return real(protocol, *more)

    monkeypatch.setattr(netlink, "Netlink", no_diag)
    one = packet_socket(socket.SOCK_RAW, 0x88CC)
    one.bind(("lo", 0x88CC))
    problems = []
    # when
    found = find(one, problems=problems)
    # then
    assert found == Tap(
        inode_of(one),
        namespaces.current_netns(),
        socket.if_nametoindex("lo"),
        0x88CC,
        "raw",
        dev="lo",
        uid=os.geteuid(),
        running=True,
        rmem_bytes=0,
        processes=(own_process(),),
    )
    assert problems == [taps.NOT_AVAILABLE]


def test_a_device_that_is_not_known_has_its_index_for_a_name(packet_socket):
    one = packet_socket()
    one.bind(("lo", 3))
    assert find(one, devices=[]).dev == f"if{socket.if_nametoindex('lo')}"


def test_holders_of_no_inode_are_not_searched(monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("searched"))
    assert taps.find_holders(set()) == {}


# --- watching ---

HERE = Namespace(7, "", "/proc/self/ns/net")
OWN = Process(os.getpid(), "pytest", "pytest")


@pytest.fixture
def watch(monkeypatch):
    """A watcher on a host that the test makes up: ``host.taps``, ``host.holders``, ``host.searches``."""

    class Host:
        def __init__(self):
            self.taps = []
            self.holders = {}
            self.searches = []

        def find(self, inodes):
            self.searches.append(sorted(inodes))
            return {inode: self.holders[inode] for inode in inodes if inode in self.holders}

    host = Host()
    monkeypatch.setattr(taps, "run_in", lambda path, read: (list(host.taps), True))
    monkeypatch.setattr(taps, "find_holders", host.find)
    return host, TapWatcher([HERE], [Device(7, 4, "eth0", "ether")])


def test_a_tap_opens_changes_and_closes(watch):
    host, watcher = watch
    host.holders = {33198: (OWN,)}
    # when nothing, a new tap, the same with more drops, the same bound elsewhere, nothing
    empty = watcher.refresh({})
    host.taps = [FANOUT_TAP]
    opened = watcher.refresh(empty.current)
    host.taps = [replace(FANOUT_TAP, drops=5, rmem_bytes=768)]
    busy = watcher.refresh(opened.current)
    host.taps = [replace(FANOUT_TAP, ifindex=5)]
    moved = watcher.refresh(busy.current)
    host.taps = []
    closed = watcher.refresh(moved.current)
    # then
    whole = replace(FANOUT_TAP, dev="eth0", processes=(OWN,))
    more = replace(whole, drops=5, rmem_bytes=768)
    elsewhere = replace(whole, ifindex=5, dev="if5")
    assert empty == Refresh({}, (), (), ())
    assert opened == Refresh({33198: whole}, (whole,), (), ())
    assert busy == Refresh({33198: more}, (), (), ())
    assert moved == Refresh({33198: elsewhere}, (), (), (elsewhere,))
    assert closed == Refresh({}, (), (elsewhere,), ())
    # and /proc was searched once
    assert host.searches == [[33198]]


def test_a_holder_that_ended_is_searched_anew(watch):
    host, watcher = watch
    host.taps = [FANOUT_TAP]
    gone = Process(2**22 + 1, "gone", "gone")  # above the highest pid that the kernel gives
    previous = {33198: replace(FANOUT_TAP, dev="eth0", processes=(gone,))}
    host.holders = {33198: (OWN,)}
    # when
    found = watcher.refresh(previous)
    # then
    assert found.changed == (replace(FANOUT_TAP, dev="eth0", processes=(OWN,)),)


def test_a_tap_that_nobody_holds_is_searched_ever_more_rarely(watch):
    host, watcher = watch
    host.taps = [FANOUT_TAP]
    current = {}
    searched = []
    # when
    for count in range(1, 201):
        before = len(host.searches)
        current = watcher.refresh(current).current
        if len(host.searches) > before:
            searched.append(count)
    # then
    assert searched == [1, 2, 4, 8, 16, 32, 64, 128, 192]


def test_a_late_holder_is_found_and_shown_as_a_change(watch):
    host, watcher = watch
    host.taps = [FANOUT_TAP]
    first = watcher.refresh({})
    # when
    host.holders = {33198: (OWN,)}
    second = watcher.refresh(first.current)
    # then
    assert second.changed == (replace(FANOUT_TAP, dev="eth0", processes=(OWN,)),)


def test_watching_this_host(packet_socket):
    # given
    watcher = TapWatcher([namespaces.current_namespace()])
    before = watcher.refresh({})
    one = packet_socket(socket.SOCK_RAW, 3)
    # when
    after = watcher.refresh(before.current)
    one.close()
    end = watcher.refresh(after.current)
    # then
    opened = [tap for tap in after.opened if tap.processes == (own_process(),)]
    assert [(tap.protocol, tap.kind, tap.ifindex) for tap in opened] == [(3, "raw", 0)]
    assert opened[0].inode in {tap.inode for tap in end.closed}
