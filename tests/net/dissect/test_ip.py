# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv4, IPv6, extension headers and fragments."""

from frames import V4, Case, case4, case6, echo, ether, for_each, ip4, tcp, udp

CASES = [
    case4("IP options", 6, tcp(0x11, 1, 2), ("TCP", "33412 > 22 [F.] seq 1 ack 2 win 64240 len 0"), 54,
          options=b"\x94\4\0\0"),
    case4("BIG TCP", 6, tcp(0x10, 1, 2, bytes(2000)),
          ("TCP", "33412 > 22 [.] seq 1 ack 2 win 64240 len 2000"), 50, total=0),
    case4("first fragment", 17, udp(1, 2, 1472), ("UDP", "fragment offset 0 id 77, 1 > 2 len 1472", "fragment"), 40,
          fragment=0x2000),
    case4("later fragment", 17, bytes(520), ("UDP", "fragment offset 1480 id 77", "fragment"), 34, fragment=185),
    case4("first fragment of ?", 253, bytes(520), ("IP-253", "fragment offset 0 id 77", "fragment"), 34,
          fragment=0x2000),
    case4("first fragment of an echo", 1, echo(8),
          ("ICMP", "fragment offset 0 id 77, echo request id 128 seq 1", "fragment"), 42, fragment=0x2000),
    case4("unknown protocol", 253, bytes(9), ("IP-253", ""), 34),
    Case("padding is not read", ether(0x0800, ip4(6, b"\x82\x84\0\x16") + bytes(22)), 38,
         (0x0800, "TCP", *V4, "33412 > 22 [malformed]")),
    Case("not IPv4", ether(0x0800, b"\x65" + bytes(45)), 26, (0x0800, "IPv4", "", "", "[malformed]")),
    case6("TCP over v6", 6, tcp(0x12, 1, 2), ("TCP", "33412 > 22 [S.] seq 1 ack 2 win 64240 len 0"), 70),
    case6("jumbogram", 0, b"\x06\0\xc2\x04\0\1\x11\x70" + tcp(0x10, 1, 2, bytes(70000)),
          ("TCP", "33412 > 22 [.] seq 1 ack 2 win 64240 len 70000"), 78, size=0),
    case6("routing, destination", 43, b"\x3c\0" + bytes(6) + b"\x11\1" + bytes(14) + udp(5, 6),
          ("UDP", "5 > 6 len 40"), 84),
    case6("first fragment v6", 44, b"\x11\0\0\x01\0\0\0\x09" + udp(5, 6),
          ("UDP", "fragment offset 0 id 9, 5 > 6 len 40", "fragment"), 68),
    case6("later fragment v6", 44, b"\x11\0\x05\xa8\0\0\0\x09" + bytes(20),
          ("UDP", "fragment offset 1448 id 9", "fragment"), 62),
    case6("atomic fragment", 44, b"\x11\0\0\0\0\0\0\x09" + udp(5, 6), ("UDP", "5 > 6 len 40"), 68),
    case6("no next header", 59, b"", ("IPv6-no-next-header", ""), 54),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
