# SPDX-License-Identifier: GPL-2.0-or-later
"""What is true of every packet: what is left of a cut one, bytes at random, the line, and tcpdump reads the same.

Each protocol's packets are in the test module of its layer.
"""

import random
import re
import shutil
import struct
import subprocess
from dataclasses import replace

import pytest
from frames import ECHO, LACPDU, SAID, V4, A, B, arp, assert_any_bytes, ether, ip4, ip6

from bondtrace.model import Packet, Tag
from bondtrace.net.dissect import describe, one_line, tag_words


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        (0, {}, Packet(98, 0, "unknown", "", "", "[truncated]", (), True)),
        (0, {"ethertype": 0x0800}, Packet(98, 0x0800, "IPv4", "", "", "[truncated]", (), True)),
        (13, {}, Packet(98, 0, "unknown", A, B, "[truncated]", (), True)),
        (13, {"ethertype": 0x0800}, Packet(98, 0x0800, "IPv4", "", "", "[truncated]", (), True)),
        (8, {"ethertype": 0x8809}, Packet(98, 0x8809, "Slow", "", B, "[truncated]", (), True)),
        (14, {}, Packet(98, 0x0800, "IPv4", "", "", "[truncated]", (), True)),
        (30, {}, Packet(98, 0x0800, "ICMP", V4[0], "", "[truncated]", (), True)),
        (38, {}, Packet(98, 0x0800, "ICMP", *V4, "echo reply [truncated]", (), True, "echo reply")),
    ],
)
def test_what_is_left_of_a_cut_packet(size, options, expected):
    assert describe(ECHO[:size], wire_len=98, **options) == expected


def test_80_bytes_hold_a_whole_lacpdu_behind_two_tags():
    frame = ether(0x88A8, b"\0\x0a\x81\0\0\x14\x88\x09" + LACPDU)
    whole = describe(frame, wire_len=len(frame))
    assert (whole.protocol, whole.vlan, whole.truncated) == ("LACP", (10, 20), False)
    assert describe(frame[:80], wire_len=len(frame)) == whole


def test_random_bytes_never_raise_and_give_printable_ascii():
    rng = random.Random(20261122)
    for _ in range(60_000):
        assert_any_bytes(
            rng.randbytes(rng.randrange(81)),
            rng,
            ethertype=rng.choice((0, 0x0800, 0x86DD, 0x0806, 0x8100, rng.randrange(65536))),
            vlan_tci=rng.choice((None, rng.randrange(65536))),
            arphrd=rng.choice((1, 1, 1, 772, 65534, 32)),
        )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes"),
        ({"tags": (Tag(100),)}, "vlan 100 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes"),
        ({"tags": (Tag(10), Tag(20)), "info": ""}, "vlan 10.20 ICMP 10.9.0.1 > 10.9.0.2, 98 bytes"),
        ({"dst": "", "info": "[truncated]"}, "ICMP 10.9.0.1 > ? [truncated], 98 bytes"),
        ({"src": "", "dst": "", "info": ""}, "ICMP, 98 bytes"),
    ],
)
def test_one_line(changes, line):
    assert one_line(replace(Packet(98, *SAID), **changes)) == line


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        ((Tag(100, 0x8100), Tag(7, 0x8100, True)), "vlan 100.7"),
        ((Tag(100, 0x88A8), Tag(7, 0x8100, True)), "802.1ad 100, vlan 7"),
        ((Tag(100, 0x88A8, True), Tag(7, 0x88A8, True)), "802.1ad 100, 802.1ad 7 (in frame)"),
        ((Tag(100, None), Tag(7, 0x8100, True)), "vlan 100.7"),
        ((Tag(5, 0x9100, True), Tag(6, 0x8100, True), Tag(7, 0x8100, True)), "0x9100 5, vlan 6.7 (in frame)"),
        ((Tag(5, 0x8100, True, 7, True), Tag(6, 0x8100, True)), "vlan 5 p 7 DEI, vlan 6 (in frame)"),
        ((Tag(0, 0x8100, False, 3),), "vlan 0 p 3"),
    ],
)
def test_tags_in_words(tags, line):
    assert tag_words(tags) == line
    assert one_line(replace(Packet(98, *SAID), tags=tags)).startswith(f"{line} ICMP 10.9.0.1 > ")
    assert replace(Packet(98, *SAID), tags=tags).vlan == tuple(tag.id for tag in tags)


def test_a_tag_tells_its_type_and_where_it_lay():
    frame = ether(0x8100, b"\x30\x07\x08\x00" + ip4(1, b"\x00" * 8))

    assert describe(frame, wire_len=60, vlan_tci=0xE064, vlan_tpid=0x88A8).tags == (
        Tag(100, 0x88A8, False, 7, False),
        Tag(7, 0x8100, True, 1, True),
    )
    assert describe(frame, wire_len=60, vlan_tci=0x0064).tags[0] == Tag(100, None)


# --- the same packets as tcpdump reads them ------------------------------------------------------------


def traffic(count):
    """Random but sound packets of the kinds whose text by tcpdump is compared."""
    rng = random.Random(7)
    for number in range(count):
        tail = rng.randbytes(rng.randrange(60))
        port, to = rng.randrange(20000, 30000), rng.randrange(20000, 30000)
        segment = struct.pack("!HHIIBBHHH", port, to, rng.getrandbits(32), rng.getrandbits(32), 0x50,
                              rng.randrange(64), rng.randrange(65536), 0, 0)  # fmt: skip
        datagram = struct.pack("!HHHH", port, to, 8 + len(tail), 0)
        query = struct.pack("!HHH", 0, rng.randrange(65536), rng.randrange(65536))
        kind = number % 7
        if kind == 6:
            yield ether(0x0806, arp(rng.choice((1, 2)), rng.randbytes(4), rng.randbytes(4), B))
        elif kind % 2:
            question = rng.choice((b"\x80\0", b"\x81\0")) + query
            protocol, head = ((6, segment), (17, datagram), (58, question))[kind // 2]
            packet = bytearray(ip6(protocol, head + tail))
            zeros = bytes(rng.randrange(14))
            packet[8:40] = (rng.randbytes(2) + zeros + rng.randbytes(16))[:16] + rng.randbytes(16)
            yield ether(0x86DD, bytes(packet))
        else:
            question = rng.choice((b"\0\0", b"\x08\0")) + query
            protocol, head = ((6, segment), (17, datagram), (1, question))[kind // 2]
            packet = bytearray(ip4(protocol, head + tail))
            packet[12:20] = rng.randbytes(8)
            yield ether(0x0800, bytes(packet))


def pcap(frames):
    records = [struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames]
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records)


def as_tcpdump(packet):
    """The words of ``packet``, in the order and form of ``tcpdump -ntS``, up to where it says more."""
    if packet.protocol == "ARP":
        if "is-at" in packet.info:
            return "ARP, Reply " + packet.info.replace(" (gratuitous)", "")
        return f"ARP, Request who-has {packet.dst}"
    family = "IP6" if packet.ethertype == 0x86DD else "IP"
    if packet.protocol in ("ICMP", "ICMPv6"):
        words = re.sub(r" id (\d+) seq (\d+)", r", id \1, seq \2", packet.info)
        name = "ICMP6," if packet.protocol == "ICMPv6" else "ICMP"
        return f"{family} {packet.src} > {packet.dst}: {name} {words}"
    port, to = re.match(r"(\d+) > (\d+)", packet.info).groups()
    between = f"{family} {packet.src}.{port} > {packet.dst}.{to}: "
    if packet.protocol == "UDP":
        return f"{between}UDP, length {re.search(r'len (.+)', packet.info).group(1)}"
    flags = re.search(r"\[.+\]", packet.info).group()
    return f"{between}Flags {flags}"


TCPDUMP = shutil.which("tcpdump", path="/usr/bin:/usr/sbin:/bin:/sbin")


@pytest.mark.skipif(TCPDUMP is None, reason="tcpdump is not installed")
def test_tcpdump_reads_the_same():
    frames = list(traffic(1400))
    command = [TCPDUMP, "-ntSr", "-"]
    run = subprocess.run(command, input=pcap(frames), capture_output=True, check=True)
    lines = run.stdout.decode().splitlines()
    assert len(lines) == len(frames)
    for frame, line in zip(frames, lines):
        packet = describe(frame, wire_len=len(frame))
        assert line.startswith(as_tcpdump(packet)), (line, packet)
        if packet.protocol == "TCP":
            assert_same_tcp(line, packet.info)


def assert_same_tcp(line, info):
    """seq (tcpdump writes first:next where there is data), ack, win, len."""
    theirs = {word: int(number) for word, number in re.findall(r"(seq|ack|win|length) (\d+)", line)}
    ours = {word: int(number) for word, number in re.findall(r"(seq|ack|win|len) (\d+)", info)}
    ours["length"] = ours.pop("len")
    assert theirs.items() <= ours.items(), (line, info)
    assert "seq" in theirs or ours["length"] == 0
