# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames and packet filters, by the hundred: whatever runs a filter is held to libpcap's verdicts on these."""

import itertools
import random
import struct

from bondtrace.errors import UsageError
from bondtrace.net import pcap

# --- frames --------------------------------------------------------------------------------------------

A, B = bytes.fromhex("020000000001"), bytes.fromhex("02000000000b")


def ipv4(protocol, payload, src="10.9.0.1", dst="10.9.0.2", options=b"", fragment=0):
    packed = [bytes(int(part) for part in address.split(".")) for address in (src, dst)]
    return (
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45 + len(options) // 4,
            0,
            20 + len(options) + len(payload),
            7,
            fragment,
            64,
            protocol,
            0,
            *packed,
        )
        + options
        + payload
    )


def ipv6(protocol, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload


def tcp(sport, dport, flags):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 2, 0x50, flags, 100, 0, 0)


def udp(sport, dport, payload=b""):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def ethernet(kind, payload, dst=B, src=A):
    return dst + src + struct.pack("!H", kind) + payload


def icmp(kind):
    return struct.pack("!BBHHH", kind, 0, 0, 128, 1) + bytes(range(56))


PLAIN = [
    ethernet(0x0800, ipv4(1, icmp(8))),
    ethernet(0x0800, ipv4(1, icmp(0), "10.9.0.2", "10.9.0.1")),
    ethernet(0x0800, ipv4(6, tcp(40000, 80, 2))),
    ethernet(0x0800, ipv4(6, tcp(80, 40000, 0x12), "192.168.7.9")),
    ethernet(0x0800, ipv4(6, tcp(1, 443, 0x10), options=bytes(range(40)))),
    ethernet(0x0800, ipv4(17, udp(68, 67, bytes(200)), "0.0.0.0", "255.255.255.255"), b"\xff" * 6),
    ethernet(0x0800, ipv4(17, udp(53, 5353), options=b"\1" * 4)),
    ethernet(0x0800, ipv4(17, b"middle of a datagram", fragment=0x2005)),
    ethernet(0x86DD, ipv6(6, tcp(22, 1024, 0x18))),
    ethernet(0x86DD, ipv6(17, udp(546, 547)), b"\x33\x33\0\0\0\1"),
    ethernet(0x86DD, ipv6(58, icmp(128))),
    ethernet(0x86DD, ipv6(0, b"\x3a\0" + bytes(6) + icmp(135))),
    ethernet(0x0806, struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, A, b"\x0a\x09\0\1", bytes(6), b"\x0a\x09\0\2")),
    ethernet(0x88CC, b"\2\7\4" + A + b"\0\0", bytes.fromhex("0180c200000e")),
    ethernet(0x8809, b"\1\1" + bytes(108), bytes.fromhex("0180c2000002")),
    ethernet(0x002A, b"\x42\x42\3" + bytes(39), bytes.fromhex("0180c2000000")),
    ethernet(0x0800, ipv4(47, bytes(30))),
    ethernet(0x0800, b"\x45"),
    ethernet(0x0800, b""),
    ethernet(0x9000, bytes(46)),
    ethernet(0x8100, struct.pack("!HH", 100, 0x0800) + ipv4(1, icmp(8))),
    ethernet(0x8100, struct.pack("!HH", 0x2064, 0x86DD) + ipv6(6, tcp(5, 80, 2))),
    ethernet(0x88A8, struct.pack("!HHHH", 7, 0x8100, 100, 0x0800) + ipv4(6, tcp(40000, 80, 2))),
    ethernet(0x8847, struct.pack("!I", 16 << 12 | 0x1FF) + ipv4(1, icmp(8))),
    ethernet(0x8864, b"\x11\0\0\1\0\x16\0\x21" + ipv4(1, icmp(8))),
    *(
        ethernet(0x0800, ipv4(6, tcp(80, port, 2)))[:size]
        for port, size in itertools.product((79, 80), (33, 36, 53, 54))
    ),
    bytes(random.Random(1).randbytes(200)),
    ethernet(0x0800, ipv4(17, udp(9, 9, bytes(1400)))),
]
TAGS = [(0x8100, 100), (0x8100, 0x6005), (0x88A8, 7)]
FRAMES = [(frame, None) for frame in PLAIN] + [(frame, tag) for frame in PLAIN for tag in TAGS]
"""(bytes of the skb, tag beside them): what a capture file has is in_file()."""


def in_file(frame, tag):
    return frame if tag is None else frame[:12] + struct.pack("!HH", *tag) + frame[12:]


# --- expressions ---------------------------------------------------------------------------------------

PRIMITIVES = """ip; ip6; arp; rarp; icmp; icmp6; tcp; udp; vlan; vlan 100; vlan 5; host 10.9.0.1; src host 10.9.0.2
dst host 10.9.0.1; net 10.9.0.0/16; src net 192.168.0.0/16; host ::1; dst host ::2; port 80; src port 80
dst port 443; tcp port 22; udp port 53; portrange 60-90; tcp portrange 1000-50000; ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:0b; ether broadcast; ether multicast; ether proto 0x88cc; ether proto 0x8809
ip proto 47; ip multicast; ip6 multicast; less 60; greater 100; len = 98; icmp[icmptype] = icmp-echo
icmp[icmptype] == icmp-echoreply; tcp[tcpflags] & tcp-syn != 0; tcp[13] = 2; tcp[tcpflags] == tcp-syn|tcp-ack
ip[0] & 0xf > 5; ip[2:2] > 100; ip[6:2] & 0x1fff != 0; ip[8] < 65; ether[0] & 1 = 1; ether[12:2] = 0x0800
ether[10:4] != 0; ip[2:2] - ((ip[0] & 0xf) << 2) > 30; udp[4:2] % 3 = 1; ip[1] / ip[1] = 1; tcp[0:2] * 2 = 160
ether[5] ^ ether[11] = 10; ip[12:4] = 0x0a090001; ether[100] = 0; ether[150:2] = 0; ether[1000:4] = 0
ip[ip[0]] > 3; len - 14 > ip[2:2]; (ether[3] | 1) << 3 = 8; (ip[3] >> 2) & 3 = 1; mpls; mpls 16; pppoes
pppoes 1; llc; stp; ip6[6] = 6; ip6 proto 17; sctp; igmp; isis"""
PRIMITIVES = [one.strip() for one in PRIMITIVES.replace("\n", "; ").split(";")]


def generated(count):
    """Expressions of one to five primitives, drawn anew from the same seed."""
    chosen = random.Random(20261124)
    found = []
    while len(found) < count:
        words = [chosen.choice(("", "", "not ")) + one for one in chosen.choices(PRIMITIVES, k=chosen.randint(2, 5))]
        text = words[0]
        for word in words[1:]:
            form = chosen.choice(("{} and {}", "{} or {}", "({}) and ({})", "({}) or {}", "not ({}) or {}"))
            text = form.format(text, word)
        try:
            pcap.compile_filter(text)
        except UsageError:  # "tcp and udp" is refused by libpcap itself: it can't match anything
            continue
        found.append(text)
    return found


EXPRESSIONS = [*PRIMITIVES, *generated(300)]
