# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets made by hand, each compared whole with what is said of it; then the promises that hold for all
of them: nothing raises, cutting takes words from the end only, and tcpdump reads the same."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bondtrace.model import Packet
from bondtrace.net.dissect import describe, one_line

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
V4 = ("10.9.0.1", "10.9.0.2")
V6 = ("fe80::a", "fe80::b")
STP_GROUP = "01:80:c2:00:00:00"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ether(kind, payload, src=A, dst=B):
    return mac(dst) + mac(src) + struct.pack("!H", kind) + payload


def ip4(protocol, payload, fragment=0, options=b"", total=None):
    size = 20 + len(options) + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | (20 + len(options)) // 4, 0, size, 77, fragment, 64, protocol, 0)
    return head + bytes([10, 9, 0, 1, 10, 9, 0, 2]) + options + payload


def ip6(following, payload, size=None):
    head = struct.pack("!IHBB", 6 << 28, len(payload) if size is None else size, following, 255)
    return head + b"\xfe\x80" + bytes(13) + b"\x0a" + b"\xfe\x80" + bytes(13) + b"\x0b" + payload


def tcp(flags, seq=1, ack=0, payload=b"", header=5):
    return struct.pack("!HHIIBBHHH", 33412, 22, seq, ack, header << 4, flags, 64240, 0, 0) + payload


def udp(source, destination, size=40):
    return struct.pack("!HHHH", source, destination, 8 + size, 0) + bytes(size)


def echo(kind):
    return struct.pack("!BBHHH", kind, 0, 0, 128, 1) + bytes(56)


def icmp(kind, code, rest):
    return struct.pack("!BBH", kind, code, 0) + rest


def arp(operation, sender, target, target_mac="00:00:00:00:00:00"):
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + mac(A) + bytes(sender) + mac(target_mac) + bytes(target) + bytes(18)


def lacp_info(kind, system, key, port, state):
    return struct.pack("!BBH6sHHHB3x", kind, 20, 65535, mac(system), key, 255, port, state)


def tlv(kind, value):
    return struct.pack("!H", kind << 9 | len(value)) + value


def llc(body, dst=STP_GROUP):
    return ether(len(body), body + bytes(46 - len(body)), dst=dst)


BPDU = struct.pack("!HBBBH6sIH6sH", 0, 2, 2, 0x3C, 0x8000, mac(A), 20000, 0x9001, mac(B), 0x8002) + bytes(8)
LACPDU = b"\x01\x01" + lacp_info(1, A, 15, 1, 0x3D) + lacp_info(2, B, 9, 2, 0x47) + bytes(68)
MARKER = b"\x02\x01\x01\x10" + struct.pack("!H6sI", 3, mac(A), 99) + bytes(94)
LLDP = tlv(1, b"\x04" + mac(A)) + tlv(2, b"\x05Ethernet1/1") + tlv(3, b"\0\x78") + tlv(5, b"leaf") + bytes(2)
LLDP_ESCAPES = tlv(1, b"\x07\x1b[31mred\\") + tlv(2, b"\x07" + b"p" * 60) + tlv(3, b"\0\0") + bytes(2)
LLDP_ADDRESSES = tlv(1, b"\x05\x01\x0a\x09\0\x01") + tlv(2, b"\x03" + mac(B)) + tlv(3, b"\0\x01") + bytes(2)
HOP = struct.pack("!BB6s", 58, 0, b"\x05\x02\0\0\1\0")
TARGET = b"\xfe\x80" + bytes(13) + b"\x0c"


@dataclass
class Case:
    """``said`` is (ethertype, protocol, src, dst, info, vlan); ``needed`` how many bytes it takes."""

    name: str
    frame: bytes
    needed: int
    said: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def expected(self):
        return Packet(len(self.frame), *self.said)


def case4(name, protocol, payload, said, needed, **how):
    name_of, info = said
    return Case(name, ether(0x0800, ip4(protocol, payload, **how)), needed, (0x0800, name_of, *V4, info))


def case6(name, following, payload, said, needed, **how):
    name_of, info = said
    return Case(name, ether(0x86DD, ip6(following, payload, **how)), needed, (0x86DD, name_of, *V6, info))


def case2(name, kind, payload, protocol, info, needed, src=A, dst=B):
    return Case(name, ether(kind, payload, src, dst), needed, (kind, protocol, src, dst, info))


ECHO = ether(0x0800, ip4(1, echo(0)))
SAID = (0x0800, "ICMP", *V4, "echo reply id 128 seq 1")
CASES = [
    Case("echo reply", ECHO, 42, SAID),
    case4("echo request", 1, echo(8), ("ICMP", "echo request id 128 seq 1"), 42),
    case4("port unreachable", 1, icmp(3, 3, bytes(32)), ("ICMP", "port unreachable"), 36),
    case4("fragmentation needed", 1, icmp(3, 4, b"\0\0\x05\x78" + bytes(28)),
          ("ICMP", "fragmentation needed mtu 1400"), 42),
    case4("redirect", 1, icmp(5, 1, bytes([10, 9, 0, 254]) + bytes(28)),
          ("ICMP", "redirect host to 10.9.0.254"), 42),
    case4("time exceeded", 1, icmp(11, 0, bytes(32)), ("ICMP", "time exceeded in transit"), 36),
    case4("parameter problem", 1, icmp(12, 0, b"\x14" + bytes(31)),
          ("ICMP", "parameter problem at byte 20"), 39),
    case4("unknown ICMP", 1, icmp(99, 7, bytes(4)), ("ICMP", "type 99 code 7"), 36),
    case4("SYN", 6, tcp(0x02), ("TCP", "33412 > 22 [S] seq 1 win 64240 len 0"), 50),
    case4("data", 6, tcp(0x18, 5, 9, b"hello"), ("TCP", "33412 > 22 [P.] seq 5 ack 9 win 64240 len 5"), 50),
    case4("TCP options", 6, tcp(0x02, header=10, payload=bytes(20)),
          ("TCP", "33412 > 22 [S] seq 1 win 64240 len 0"), 50),
    case4("no flags", 6, tcp(0), ("TCP", "33412 > 22 [none] seq 1 win 64240 len 0"), 50),
    case4("TCP header too small", 6, tcp(2, header=4), ("TCP", "33412 > 22 [malformed]"), 50),
    case4("IP options", 6, tcp(0x11, 1, 2), ("TCP", "33412 > 22 [F.] seq 1 ack 2 win 64240 len 0"), 54,
          options=b"\x94\4\0\0"),
    case4("BIG TCP", 6, tcp(0x10, 1, 2, bytes(2000)),
          ("TCP", "33412 > 22 [.] seq 1 ack 2 win 64240 len 2000"), 50, total=0),
    case4("mDNS", 17, udp(5353, 5353), ("UDP", "5353 > 5353 len 40 (mDNS)"), 40),
    case4("DHCP", 17, udp(68, 67, 300), ("UDP", "68 > 67 len 300 (DHCP)"), 40),
    case4("VXLAN", 17, udp(40000, 4789), ("UDP", "40000 > 4789 len 40 (VXLAN)"), 40),
    case4("DNS answer", 17, udp(53, 40000), ("UDP", "53 > 40000 len 40 (DNS)"), 40),
    case4("plain UDP", 17, udp(40000, 9), ("UDP", "40000 > 9 len 40"), 40),
    case4("UDP too small", 17, struct.pack("!HHHH", 1, 2, 3, 0), ("UDP", "1 > 2 [malformed]"), 40),
    case4("first fragment", 17, udp(1, 2, 1472), ("UDP", "fragment offset 0 id 77, 1 > 2 len 1472"), 40,
          fragment=0x2000),
    case4("later fragment", 17, bytes(520), ("UDP", "fragment offset 1480 id 77"), 34, fragment=185),
    case4("first fragment of ?", 253, bytes(520), ("IP-253", "fragment offset 0 id 77"), 34, fragment=0x2000),
    case4("unknown protocol", 253, bytes(9), ("IP-253", ""), 34),
    case4("SCTP", 132, struct.pack("!HHIIB3x", 2905, 2906, 1, 2, 1), ("SCTP", "2905 > 2906 [INIT]"), 47),
    case4("IGMP query", 2, icmp(0x11, 100, bytes(4)), ("IGMP", "query general"), 42),
    case4("IGMP report", 2, icmp(0x16, 0, bytes([239, 1, 2, 3])), ("IGMP", "v2 report 239.1.2.3"), 42),
    case4("IGMPv3", 2, icmp(0x22, 0, b"\0\0\0\2" + bytes(16)), ("IGMP", "v3 report records 2"), 42),
    case4("GRE", 47, b"\x20\0\x08\0\0\0\0\x05" + bytes(40), ("GRE", "v0 IPv4 key 0x5"), 42),
    case4("GRE checksum", 47, b"\xa0\0\x65\x58\0\0\0\0\0\0\0\x05" + bytes(40),
          ("GRE", "v0 Ethernet key 0x5"), 46),
    case4("ESP", 50, struct.pack("!II", 0x1234, 7) + bytes(40), ("ESP", "spi 0x00001234 seq 7"), 42),
    case4("AH", 51, struct.pack("!BBHII", 6, 4, 0, 0x1234, 7) + bytes(40),
          ("AH", "TCP spi 0x00001234 seq 7"), 46),
    case4("VRRP", 112, b"\x21\x0a\x64\x01" + bytes(16),
          ("VRRP", "v2 advertisement router 10 priority 100"), 37),
    case4("OSPF", 89, b"\x02\x01\0\x2c\x01\x01\x01\x01" + bytes(36), ("OSPF", "v2 hello router 1.1.1.1"), 42),
    Case("padding is not read", ether(0x0800, ip4(6, b"\x82\x84\0\x16") + bytes(22)), 38,
         (0x0800, "TCP", *V4, "33412 > 22 [malformed]")),
    Case("not IPv4", ether(0x0800, b"\x65" + bytes(45)), 26, (0x0800, "IPv4", "", "", "[malformed]")),
    case6("echo request v6", 58, echo(128), ("ICMPv6", "echo request id 128 seq 1"), 62),
    case6("no route", 58, icmp(1, 0, bytes(60)), ("ICMPv6", "no route"), 56),
    case6("too big", 58, icmp(2, 0, b"\0\0\x05\0" + bytes(60)), ("ICMPv6", "packet too big mtu 1280"), 62),
    case6("RS", 58, icmp(133, 0, bytes(4)), ("ICMPv6", "router solicitation"), 56),
    case6("RA", 58, icmp(134, 0, b"\x40\0\x07\x08" + bytes(8)),
          ("ICMPv6", "router advertisement hop limit 64 lifetime 1800"), 62),
    case6("NS", 58, icmp(135, 0, bytes(4) + TARGET), ("ICMPv6", "neighbor solicitation target fe80::c"), 78),
    case6("NA", 58, icmp(136, 0, bytes(4) + TARGET), ("ICMPv6", "neighbor advertisement target fe80::c"), 78),
    case6("MLD query", 0, HOP + icmp(130, 0, bytes(4) + TARGET), ("ICMPv6", "MLD query group fe80::c"), 86),
    case6("MLDv2", 0, HOP + icmp(143, 0, b"\0\0\0\3" + bytes(60)), ("ICMPv6", "MLDv2 report records 3"), 70),
    case6("TCP over v6", 6, tcp(0x12, 1, 2), ("TCP", "33412 > 22 [S.] seq 1 ack 2 win 64240 len 0"), 70),
    case6("jumbogram", 0, b"\x06\0\xc2\x04\0\1\x11\x70" + tcp(0x10, 1, 2, bytes(70000)),
          ("TCP", "33412 > 22 [.] seq 1 ack 2 win 64240 len 70000"), 78, size=0),
    case6("routing, destination", 43, b"\x3c\0" + bytes(6) + b"\x11\1" + bytes(14) + udp(5, 6),
          ("UDP", "5 > 6 len 40"), 84),
    case6("first fragment v6", 44, b"\x11\0\0\x01\0\0\0\x09" + udp(5, 6),
          ("UDP", "fragment offset 0 id 9, 5 > 6 len 40"), 68),
    case6("later fragment v6", 44, b"\x11\0\x05\xa8\0\0\0\x09" + bytes(20),
          ("UDP", "fragment offset 1448 id 9"), 62),
    case6("atomic fragment", 44, b"\x11\0\0\0\0\0\0\x09" + udp(5, 6), ("UDP", "5 > 6 len 40"), 68),
    case6("no next header", 59, b"", ("IPv6-no-next-header", ""), 54),
    Case("ARP request", ether(0x0806, arp(1, [10, 9, 0, 1], [10, 9, 0, 2])), 42,
         (0x0806, "ARP", *V4, "who-has 10.9.0.2 tell 10.9.0.1")),
    Case("ARP reply", ether(0x0806, arp(2, [10, 9, 0, 1], [10, 9, 0, 2], B)), 42,
         (0x0806, "ARP", *V4, f"10.9.0.1 is-at {A}")),
    Case("ARP probe", ether(0x0806, arp(1, [0] * 4, [10, 9, 0, 2])), 42,
         (0x0806, "ARP", "0.0.0.0", "10.9.0.2", "who-has 10.9.0.2 (probe)")),
    Case("gratuitous request", ether(0x0806, arp(1, [10, 9, 0, 1], [10, 9, 0, 1])), 42,
         (0x0806, "ARP", V4[0], V4[0], "who-has 10.9.0.1 tell 10.9.0.1 (gratuitous)")),
    Case("gratuitous reply", ether(0x0806, arp(2, [10, 9, 0, 1], [10, 9, 0, 1], A)), 42,
         (0x0806, "ARP", V4[0], V4[0], f"10.9.0.1 is-at {A} (gratuitous)")),
    Case("RARP", ether(0x8035, arp(3, [0] * 4, [0] * 4, A)), 42,
         (0x8035, "RARP", "0.0.0.0", "0.0.0.0", f"reverse request who-is {A} tell {A}")),
    case2("ARP for something else", 0x0806, b"\0\1\x80\x9b\6\3\0\1" + bytes(18), "ARP",
          "request hardware 1 protocol 0x809b", 22),
    case2("LACP", 0x8809, LACPDU, "LACP",
          f"v1 actor 65535 {A} key 15 port 1 state AGSCD, partner 65535 {B} key 9 port 2 state ATGF", 53),
    case2("marker", 0x8809, MARKER, "Marker", f"request port 3 system {A} transaction 99", 30),
    case2("OAM", 0x8809, b"\3" + bytes(45), "OAM", "", 16),
    case2("LLDP", 0x88CC, LLDP, "LLDP", f"chassis {A} port Ethernet1/1 ttl 120", 41),
    case2("LLDP escapes", 0x88CC, LLDP_ESCAPES, "LLDP",
          r"chassis \x1b[31mred\x5c port " + "p" * 37 + "... ttl 0", 93),
    case2("LLDP addresses", 0x88CC, LLDP_ADDRESSES, "LLDP", f"chassis 10.9.0.1 port {B} ttl 1", 35),
    case2("LLDP out of order", 0x88CC, tlv(3, b"\0\1") + bytes(42), "LLDP", "[malformed]", 16),
    case2("bonding learning packet", 0x9000, bytes(46), "Loopback",
          "to its own address function 0 (as bonding's learning packets)", 18, src=A, dst=A),
    case2("a switch's keepalive", 0x9000, b"\0\0\1\0" + bytes(42), "Loopback",
          "to its own address reply", 18, src=A, dst=A),
    case2("loopback test", 0x9000, b"\0\0\2\0" + bytes(42), "Loopback", "forward", 18),
    case2("EAPOL", 0x888E, b"\2\0\0\5\1\7\0\5\1" + bytes(37), "EAPOL", "v2 EAP request id 7", 20),
    case2("EAPOL start", 0x888E, b"\1\1\0\0" + bytes(42), "EAPOL", "v1 start", 16),
    case2("PTP", 0x88F7, b"\0\x02\0\x2c\5" + bytes(25) + b"\0\x09" + bytes(12), "PTP",
          "v2 Sync domain 5 seq 9", 46),
    case2("MPLS", 0x8847, struct.pack("!II", 100 << 12 | 64, 200 << 12 | 0x340) + ip4(1, echo(0)), "MPLS",
          "label 100 tc 0 ttl 64, label 200 tc 1 ttl 64", 22),
    case2("PADI", 0x8863, b"\x11\x09\0\0\0\4" + bytes(40), "PPPoE", "PADI session 0x0000", 18),
    case2("PPPoE", 0x8864, b"\x11\0\0\x2a\0\x56\0\x21" + ip4(1, echo(0)), "PPPoE", "session 0x002a IPv4", 22),
    case2("unknown type", 0x88B5, bytes(46), "0x88b5", "", 14),
    Case("RSTP", llc(b"\x42\x42\3" + BPDU), 44, (4, "STP", A, STP_GROUP,
         f"RSTP root 8000.{A} cost 20000 bridge 9001.{B} port 0x8002")),
    Case("topology change", llc(b"\x42\x42\3\0\0\0\x80"), 21, (4, "STP", A, STP_GROUP,
         "STP topology change notification")),
    Case("PVST+", llc(b"\xaa\xaa\3\0\0\x0c\x01\x0b" + BPDU), 49, (4, "PVST+", A, STP_GROUP,
         f"RSTP root 8000.{A} cost 20000 bridge 9001.{B} port 0x8002")),
    Case("CDP", llc(b"\xaa\xaa\3\0\0\x0c\x20\0" + bytes(20)), 22, (4, "CDP", A, STP_GROUP, "")),
    Case("SNAP with a type", llc(b"\xaa\xaa\3\0\0\0\x08\0" + ip4(17, udp(5, 6, 0))), 48,
         (0x0800, "UDP", *V4, "5 > 6 len 0")),
    Case("IS-IS", llc(b"\xfe\xfe\3\x83" + bytes(30)), 18, (4, "OSI", A, STP_GROUP, "IS-IS")),
    Case("IPX", llc(b"\xff\xff" + bytes(30)), 16, (1, "IPX", A, STP_GROUP, "")),
    Case("other LLC", llc(b"\xf0\xf1\3" + bytes(30)), 16, (4, "LLC", A, STP_GROUP, "dsap 0xf0 ssap 0xf1")),
    Case("VLAN", ether(0x8100, b"\x60\x64\x08\0" + ip4(1, echo(0))), 46, (*SAID, (100,))),
    Case("QinQ", ether(0x88A8, b"\0\x0a\x81\0\0\x14\x08\0" + ip4(1, echo(0))), 50, (*SAID, (10, 20))),
    Case("STP in a VLAN", ether(0x8100, b"\0\5\0\x26\x42\x42\3" + BPDU, dst=STP_GROUP), 48,
          (4, "STP", A, STP_GROUP,
         f"RSTP root 8000.{A} cost 20000 bridge 9001.{B} port 0x8002", (5,))),
    Case("tag taken by the device", ECHO, 42, (*SAID, (100,)), {"vlan_tci": 0xF064}),
    Case("outer tag taken", ether(0x8100, b"\0\x14\x08\0" + ip4(1, echo(0))), 46, (*SAID, (10, 20)),
          {"vlan_tci": 10}),
    Case("priority tag", ECHO, 42, (*SAID, (0,)), {"vlan_tci": 0xE000}),
    Case("loopback device", ECHO, 42, SAID, {"arphrd": 772, "ethertype": 0x0800}),
    Case("tun", ip4(1, echo(0)), 28, SAID, {"arphrd": 65534, "ethertype": 0x0800}),
    Case("tun with IPv6", ip6(6, tcp(2)), 56, (0x86DD, "TCP", *V6, "33412 > 22 [S] seq 1 win 64240 len 0"),
         {"arphrd": 65534, "ethertype": 0x86DD}),
    Case("tun, nothing known", ip4(1, echo(0)), 0, (0, "unknown", "", "", ""), {"arphrd": 65534}),
    Case("a link type not known", ECHO, 0, (0x0800, "IPv4", "", "", "link type 32, not decoded"),
         {"arphrd": 32, "ethertype": 0x0800}),
]  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
def test_a_packet_is_described(case):
    assert describe(case.frame, wire_len=len(case.frame), **case.options) == case.expected()


@every_case
def test_cutting_takes_words_from_the_end_and_is_said(case):
    whole = case.expected()
    for size in range(min(len(case.frame), 200) + 1):
        packet = describe(case.frame[:size], wire_len=len(case.frame), **case.options)
        if size >= case.needed:
            assert packet == whole, size
        else:
            assert_is_a_cut(packet, whole)


def assert_is_a_cut(packet, whole):
    assert packet.truncated
    assert packet.length == whole.length
    assert packet.vlan == whole.vlan[: len(packet.vlan)]
    text = re.fullmatch(r"(|.* )\[truncated\]", packet.info).group(1).rstrip(" ")
    assert whole.info.startswith(text)
    if packet.ethertype == whole.ethertype:
        assert packet.src in ("", whole.src)
        assert packet.dst in ("", whole.dst)


@every_case
def test_a_packet_that_ends_early_on_the_wire_is_malformed_not_truncated(case):
    for size in range(min(case.needed, len(case.frame))):
        packet = describe(case.frame[:size], wire_len=size, **case.options)
        assert not packet.truncated
        assert packet.info.endswith("[malformed]") or packet.info.startswith(whole_start(case)), packet


def whole_start(case):
    """Headers without a part that may be missing: an SCTP packet without chunks is one."""
    return "2905 > 2906" if case.name == "SCTP" else "\0"


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
        (38, {}, Packet(98, 0x0800, "ICMP", *V4, "echo reply [truncated]", (), True)),
    ],
)
def test_what_is_left_of_a_cut_packet(size, options, expected):
    assert describe(ECHO[:size], wire_len=98, **options) == expected


def test_80_bytes_hold_a_whole_lacpdu_behind_two_tags():
    frame = ether(0x88A8, b"\0\x0a\x81\0\0\x14\x88\x09" + LACPDU)
    whole = describe(frame, wire_len=len(frame))
    assert (whole.protocol, whole.vlan, whole.truncated) == ("LACP", (10, 20), False)
    assert describe(frame[:80], wire_len=len(frame)) == whole


def random_bytes(count):
    """Bytes at random, half of them behind the beginning of a real frame, so that decoders are reached."""
    rng = random.Random(20261122)
    for _ in range(count):
        data = rng.randbytes(rng.randrange(81))
        if rng.random() < 0.5:
            frame = rng.choice(CASES).frame
            data = (frame[: rng.randrange(min(len(frame), 64) + 1)] + data)[:80]
        yield rng, data


def test_random_bytes_never_raise_and_give_printable_ascii():
    for rng, data in random_bytes(100_000):
        packet = describe(
            data,
            wire_len=rng.choice((len(data), 1514, 0)),
            ethertype=rng.choice((0, 0x0800, 0x86DD, 0x0806, 0x8100, rng.randrange(65536))),
            vlan_tci=rng.choice((None, rng.randrange(65536))),
            arphrd=rng.choice((1, 1, 1, 772, 65534, 32)),
        )
        line = one_line(packet)
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 300 or packet.protocol == "MPLS"
        assert packet.truncated == packet.info.endswith("[truncated]")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes"),
        ({"vlan": (100,)}, "vlan 100 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes"),
        ({"vlan": (10, 20), "info": ""}, "vlan 10.20 ICMP 10.9.0.1 > 10.9.0.2, 98 bytes"),
        ({"dst": "", "info": "[truncated]"}, "ICMP 10.9.0.1 > ? [truncated], 98 bytes"),
        ({"src": "", "dst": "", "info": ""}, "ICMP, 98 bytes"),
    ],
)
def test_one_line(changes, line):
    assert one_line(replace(Packet(98, *SAID), **changes)) == line


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
