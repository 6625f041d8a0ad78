# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP, ICMPv6 and IGMP, and the kind of message that each is."""

import struct

from frames import ECHO, SAID, Case, case4, case6, echo, for_each, icmp

HOP = struct.pack("!BB6s", 58, 0, b"\x05\x02\0\0\1\0")
TARGET = b"\xfe\x80" + bytes(13) + b"\x0c"
CASES = [
    Case("echo reply", ECHO, 42, SAID, message="echo reply"),
    case4("echo request", 1, echo(8), ("ICMP", "echo request id 128 seq 1", "echo request"), 42),
    case4("port unreachable", 1, icmp(3, 3, bytes(32)), ("ICMP", "port unreachable", "port unreachable"), 36),
    case4("fragmentation needed", 1, icmp(3, 4, b"\0\0\x05\x78" + bytes(28)),
          ("ICMP", "fragmentation needed mtu 1400", "fragmentation needed"), 42),
    case4("redirect", 1, icmp(5, 1, bytes([10, 9, 0, 254]) + bytes(28)),
          ("ICMP", "redirect host to 10.9.0.254", "redirect host"), 42),
    case4("time exceeded", 1, icmp(11, 0, bytes(32)),
          ("ICMP", "time exceeded in transit", "time exceeded in transit"), 36),
    case4("parameter problem", 1, icmp(12, 0, b"\x14" + bytes(31)),
          ("ICMP", "parameter problem at byte 20", "parameter problem"), 39),
    case4("unreachable for a service", 1, icmp(3, 11, bytes(32)),
          ("ICMP", "net unreachable for TOS", "net unreachable for TOS"), 36),
    case4("unknown unreachable", 1, icmp(3, 99, bytes(32)), ("ICMP", "unreachable code 99", "unreachable"), 36),
    case4("unknown redirect", 1, icmp(5, 9, bytes([10, 9, 0, 254]) + bytes(28)),
          ("ICMP", "redirect code 9 to 10.9.0.254", "redirect"), 42),
    case4("unknown time", 1, icmp(11, 9, bytes(32)), ("ICMP", "time exceeded code 9", "time exceeded"), 36),
    case4("unknown ICMP", 1, icmp(99, 7, bytes(4)), ("ICMP", "type 99 code 7"), 36),
    case4("IGMP query", 2, icmp(0x11, 100, bytes(4)), ("IGMP", "query general", "query general"), 42),
    case4("IGMP query of a group", 2, icmp(0x11, 100, bytes([239, 1, 2, 3])), ("IGMP", "query 239.1.2.3", "query"), 42),
    case4("IGMP leave", 2, icmp(0x17, 0, bytes([239, 1, 2, 3])), ("IGMP", "leave 239.1.2.3", "leave"), 42),
    case4("unknown IGMP", 2, icmp(0x99, 0, bytes([239, 1, 2, 3])), ("IGMP", "type 0x99 239.1.2.3"), 42),
    case4("IGMP report", 2, icmp(0x16, 0, bytes([239, 1, 2, 3])), ("IGMP", "v2 report 239.1.2.3", "v2 report"), 42),
    case4("IGMPv3", 2, icmp(0x22, 0, b"\0\0\0\2" + bytes(16)), ("IGMP", "v3 report records 2", "v3 report"), 42),
    case6("echo request v6", 58, echo(128), ("ICMPv6", "echo request id 128 seq 1", "echo request"), 62),
    case6("no route", 58, icmp(1, 0, bytes(60)), ("ICMPv6", "no route", "no route"), 56),
    case6("too big", 58, icmp(2, 0, b"\0\0\x05\0" + bytes(60)),
          ("ICMPv6", "packet too big mtu 1280", "packet too big"), 62),
    case6("RS", 58, icmp(133, 0, bytes(4)), ("ICMPv6", "router solicitation", "router solicitation"), 56),
    case6("RA", 58, icmp(134, 0, b"\x40\0\x07\x08" + bytes(8)),
          ("ICMPv6", "router advertisement hop limit 64 lifetime 1800", "router advertisement"), 62),
    case6("NS", 58, icmp(135, 0, bytes(4) + TARGET),
          ("ICMPv6", "neighbor solicitation target fe80::c", "neighbor solicitation"), 78),
    case6("NA", 58, icmp(136, 0, bytes(4) + TARGET),
          ("ICMPv6", "neighbor advertisement target fe80::c", "neighbor advertisement"), 78),
    case6("time exceeded v6", 58, icmp(3, 1, bytes(60)),
          ("ICMPv6", "time exceeded in reassembly", "time exceeded in reassembly"), 56),
    case6("unknown ICMPv6", 58, icmp(99, 7, bytes(60)), ("ICMPv6", "type 99 code 7"), 56),
    case6("MLD query", 0, HOP + icmp(130, 0, bytes(4) + TARGET),
          ("ICMPv6", "MLD query group fe80::c", "MLD query"), 86),
    case6("MLDv2", 0, HOP + icmp(143, 0, b"\0\0\0\3" + bytes(60)),
          ("ICMPv6", "MLDv2 report records 3", "MLDv2 report"), 70),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
