# SPDX-License-Identifier: GPL-2.0-or-later
"""What IP carries."""

import struct

from frames import case4, for_each, tcp, udp

CASES = [
    case4("SYN", 6, tcp(0x02), ("TCP", "33412 > 22 [S] seq 1 win 64240 len 0"), 50),
    case4("data", 6, tcp(0x18, 5, 9, b"hello"), ("TCP", "33412 > 22 [P.] seq 5 ack 9 win 64240 len 5"), 50),
    case4("TCP options", 6, tcp(0x02, header=10, payload=bytes(20)),
          ("TCP", "33412 > 22 [S] seq 1 win 64240 len 0"), 50),
    case4("no flags", 6, tcp(0), ("TCP", "33412 > 22 [none] seq 1 win 64240 len 0"), 50),
    case4("TCP header too small", 6, tcp(2, header=4), ("TCP", "33412 > 22 [malformed]"), 50),
    case4("mDNS", 17, udp(5353, 5353), ("UDP", "5353 > 5353 len 40 (mDNS)"), 40),
    case4("DHCP", 17, udp(68, 67, 300), ("UDP", "68 > 67 len 300 (DHCP)"), 40),
    case4("DNS answer", 17, udp(53, 40000), ("UDP", "53 > 40000 len 40 (DNS)"), 40),
    case4("plain UDP", 17, udp(40000, 9), ("UDP", "40000 > 9 len 40"), 40),
    case4("UDP too small", 17, struct.pack("!HHHH", 1, 2, 3, 0), ("UDP", "1 > 2 [malformed]"), 40),
    case4("SCTP", 132, struct.pack("!HHIIB3x", 2905, 2906, 1, 2, 1), ("SCTP", "2905 > 2906 [INIT]"), 47,
          complete="2905 > 2906"),
    case4("VRRP", 112, b"\x21\x0a\x64\x01" + bytes(16),
          ("VRRP", "v2 advertisement router 10 priority 100"), 37),
    case4("OSPF", 89, b"\x02\x01\0\x2c\x01\x01\x01\x01" + bytes(36), ("OSPF", "v2 hello router 1.1.1.1"), 42),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
