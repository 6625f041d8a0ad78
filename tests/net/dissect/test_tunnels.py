# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets in packets."""

import struct

import pytest
from frames import ECHO, V4, V6, A, B, Case, case2, case4, ether, for_each, ip4, ip6, tcp, udp

from bondtrace.net.dissect import describe, one_line

LINE = "ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, {} bytes"
VXLAN = b"\x08\0\0\0\0\0\x2a\0"
GENEVE = b"\x02\0\x65\x58\0\0\x2a\0" + bytes(8)  # with eight bytes of options
ESP = struct.pack("!II", 0x1234, 7)
DATA = struct.pack("<IIQ", 4, 0x11223344, 5) + bytes(32)
IN_VXLAN = ("UDP", f"40000 > 4789 len {8 + len(ECHO)} (VXLAN) vni 42")

CASES = [
    case4("VXLAN", 17, udp(40000, 4789, data=VXLAN + ECHO), IN_VXLAN, 50,
          carried=("VXLAN vni 42", LINE.format(98), 92)),
    case4("VXLAN by the port of old", 17, udp(40000, 8472, data=b"\x88\0\0\5\0\0\x2a\0" + ECHO),
          ("UDP", "40000 > 8472 len 106 (VXLAN) vni 42"), 50, carried=("VXLAN vni 42", LINE.format(98), 92)),
    case4("no header of VXLAN", 17, udp(40000, 4789), ("UDP", "40000 > 4789 len 40 (VXLAN)"), 43,
          complete="40000 > 4789"),
    case4("too short for VXLAN", 17, udp(40000, 4789, data=VXLAN[:7]), ("UDP", "40000 > 4789 len 7 (VXLAN)"), 40),
    case4("Geneve", 17, udp(40000, 6081, data=GENEVE + ECHO), ("UDP", "40000 > 6081 len 114 (Geneve) vni 42"), 50,
          carried=("Geneve vni 42", LINE.format(98), 100)),
    case4("Geneve with IP", 17, udp(40000, 6081, data=b"\0\0\x08\0\0\0\x2a\0" + ECHO[14:]),
          ("UDP", "40000 > 6081 len 92 (Geneve) vni 42"), 50, carried=("Geneve vni 42", LINE.format(84), 78)),
    case4("GRE", 47, b"\x20\0\x08\0\0\0\0\x05" + ECHO[14:], ("GRE", "v0 IPv4 key 0x5"), 42,
          carried=("GRE key 0x5", LINE.format(84), 70)),
    case4("GRE checksum and sequence", 47, b"\xb0\0\x65\x58\0\0\0\0\0\0\0\x05\0\0\0\1" + ECHO,
          ("GRE", "v0 Ethernet key 0x5"), 46, carried=("GRE key 0x5", LINE.format(98), 92)),
    case4("GRE of something else", 47, b"\0\0\x88\x47" + bytes(40), ("GRE", "v0 MPLS"), 38, carried=("GRE", None, 0)),
    case4("ERSPAN", 47, b"\x10\0\x88\xbe\0\0\0\1" + bytes(8) + ECHO, ("GRE", "v0 ERSPAN"), 38,
          carried=("ERSPAN", LINE.format(98), 92)),
    case4("IPIP", 4, ip4(6, tcp(0x02)), ("IPIP", ""), 34,
          carried=("IPIP", "TCP 10.9.0.1 > 10.9.0.2 33412 > 22 [S] seq 1 win 64240 len 0, 40 bytes", 70)),
    case4("IPv6 in IPv4", 41, ip6(17, udp(5, 6, 0)), ("IPv6-in-IP", ""), 34,
          carried=("IPv6-in-IP", "UDP fe80::a > fe80::b 5 > 6 len 0, 48 bytes", 82)),
    Case("IPv4 in IPv6", ether(0x86DD, ip6(4, ECHO[14:])), 54, (0x86DD, "IPIP", *V6, ""),
         carried=("IPIP", LINE.format(84), 82)),
    case4("ESP", 50, ESP + bytes(40), ("ESP", "spi 0x00001234 seq 7"), 42, carried=("ESP spi 0x00001234", None, 0)),
    case4("ESP in UDP", 17, udp(4500, 4500, data=ESP + bytes(40)),
          ("UDP", "4500 > 4500 len 48 (IPsec NAT-T) spi 0x00001234 seq 7"), 50,
          carried=("ESP spi 0x00001234", None, 0)),
    case4("IKE by that port", 17, udp(4500, 4500, data=bytes(4) + b"\xab" * 24),
          ("UDP", "4500 > 4500 len 28 (IPsec NAT-T)"), 46, complete="4500 > 4500"),
    case4("keepalive", 17, udp(4500, 4500, data=b"\xff"), ("UDP", "4500 > 4500 len 1 (IPsec NAT-T)"), 40),
    case4("AH", 51, struct.pack("!BBHII", 6, 4, 0, 0x1234, 7) + bytes(40), ("AH", "TCP spi 0x00001234 seq 7"), 46,
          carried=("AH spi 0x00001234", None, 0)),
    case4("AH in tunnel mode", 51, struct.pack("!BBHII", 4, 4, 0, 0x1234, 7) + bytes(12) + ECHO[14:],
          ("AH", "IPIP spi 0x00001234 seq 7"), 46, carried=("AH spi 0x00001234", LINE.format(84), 86)),
    case4("WireGuard", 17, udp(51820, 51820, data=DATA),
          ("UDP", "51820 > 51820 len 48 (WireGuard) data receiver 0x11223344 counter 5"), 58,
          carried=("WireGuard", None, 0)),
    case4("WireGuard's handshake", 17, udp(4000, 51820, data=b"\1\0\0\0" + bytes(144)),
          ("UDP", "4000 > 51820 len 148 (WireGuard) handshake initiation"), 46, complete="4000 > 51820"),
    case4("no WireGuard", 17, udp(4000, 51820, data=b"\1\0\0\0" + bytes(44)),
          ("UDP", "4000 > 51820 len 48 (WireGuard)"), 46, complete="4000 > 51820"),
    Case("MACsec", ether(0x88E5, b"\x2d\0\0\0\0\5" + bytes(40)), 20, (0x88E5, "MACsec", A, B, "an 1 pn 5"),
         carried=("MACsec", None, 0)),
    case2("unknown type", 0x88B6, bytes(46), "0x88b6", "", 14),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)


def test_80_bytes_of_vxlan_tell_the_inner_protocol_and_source():
    frame = ether(0x0800, ip4(17, udp(40000, 4789, data=VXLAN + ECHO)))

    packet = describe(frame[:80], wire_len=len(frame))
    assert not packet.truncated
    assert packet.inner.truncated
    assert one_line(packet) == (
        "UDP 10.9.0.1 > 10.9.0.2 40000 > 4789 len 106 (VXLAN) vni 42 carrying ICMP 10.9.0.1 > ? [truncated], 148 bytes"
    )


def test_packets_in_packets_end_somewhere():
    payload = ECHO[14:]
    for _ in range(6):
        payload = ip4(4, payload)
    packet, depth = describe(ether(0x0800, payload), wire_len=14 + len(payload)), 0
    while packet:
        packet, depth = packet.inner, depth + 1
    assert depth == 3


@pytest.mark.parametrize("offset", [0, 8, 0x2000])
def test_a_fragment_carries_nothing_that_is_described(offset):
    fragment = ether(0x0800, ip4(4, ECHO[14:], fragment=offset or 0x2000))

    assert describe(fragment, wire_len=len(fragment)).inner is None


def test_addresses_of_the_outer_packet_stay_the_packets():
    frame = ether(0x0800, ip4(47, b"\0\0\x86\xdd" + ip6(17, udp(5, 6, 0))))

    packet = describe(frame, wire_len=len(frame))
    assert (packet.src, packet.dst, packet.ports) == (*V4, None)
    assert (packet.inner.src, packet.inner.dst, packet.inner.ports) == (*V6, (5, 6))
