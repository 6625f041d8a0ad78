# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocols between neighbours on a link; MPLS and PPPoE."""

import struct

from frames import BPDU, BPDU_SAID, LACPDU, STP_GROUP, A, B, Case, case2, echo, for_each, ip4, llc, mac


def tlv(kind, value):
    return struct.pack("!H", kind << 9 | len(value)) + value


MARKER = b"\x02\x01\x01\x10" + struct.pack("!H6sI", 3, mac(A), 99) + bytes(94)
LLDP = tlv(1, b"\x04" + mac(A)) + tlv(2, b"\x05Ethernet1/1") + tlv(3, b"\0\x78") + tlv(5, b"leaf") + bytes(2)
LLDP_ESCAPES = tlv(1, b"\x07\x1b[31mred\\") + tlv(2, b"\x07" + b"p" * 60) + tlv(3, b"\0\0") + bytes(2)
LLDP_ADDRESSES = tlv(1, b"\x05\x01\x0a\x09\0\x01") + tlv(2, b"\x03" + mac(B)) + tlv(3, b"\0\x01") + bytes(2)
CASES = [
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
    Case("RSTP", llc(b"\x42\x42\3" + BPDU), 44, (4, "STP", A, STP_GROUP, BPDU_SAID)),
    Case("topology change", llc(b"\x42\x42\3\0\0\0\x80"), 21, (4, "STP", A, STP_GROUP,
         "STP topology change notification")),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
