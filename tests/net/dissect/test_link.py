# SPDX-License-Identifier: GPL-2.0-or-later
"""The link layer, in a VLAN or not, with an Ethernet header or without."""

from frames import (
    BPDU,
    BPDU_SAID,
    ECHO,
    SAID,
    STP_GROUP,
    V4,
    V6,
    A,
    Case,
    case2,
    echo,
    ether,
    for_each,
    ip4,
    ip6,
    llc,
    tcp,
    udp,
)

from bondtrace.model import Tag

CASES = [
    case2("unknown type", 0x88B5, bytes(46), "0x88b5", "", 14),
    Case("PVST+", llc(b"\xaa\xaa\3\0\0\x0c\x01\x0b" + BPDU), 49, (4, "PVST+", A, STP_GROUP, BPDU_SAID)),
    Case("CDP", llc(b"\xaa\xaa\3\0\0\x0c\x20\0" + bytes(20)), 22, (4, "CDP", A, STP_GROUP, "")),
    Case("SNAP with a type", llc(b"\xaa\xaa\3\0\0\0\x08\0" + ip4(17, udp(5, 6, 0))), 48,
         (0x0800, "UDP", *V4, "5 > 6 len 0")),
    Case("IS-IS", llc(b"\xfe\xfe\3\x83" + bytes(30)), 18, (4, "OSI", A, STP_GROUP, "IS-IS")),
    Case("IPX", llc(b"\xff\xff" + bytes(30)), 16, (1, "IPX", A, STP_GROUP, "")),
    Case("other LLC", llc(b"\xf0\xf1\3" + bytes(30)), 16, (4, "LLC", A, STP_GROUP, "dsap 0xf0 ssap 0xf1")),
    Case("VLAN", ether(0x8100, b"\x60\x64\x08\0" + ip4(1, echo(0))), 46, (*SAID, (Tag(100, 0x8100, True, 3),)),
         message="echo reply"),
    Case("QinQ", ether(0x88A8, b"\0\x0a\x81\0\0\x14\x08\0" + ip4(1, echo(0))), 50,
         (*SAID, (Tag(10, 0x88A8, True), Tag(20, 0x8100, True))), message="echo reply"),
    Case("STP in a VLAN", ether(0x8100, b"\0\5\0\x26\x42\x42\3" + BPDU, dst=STP_GROUP), 48,
          (4, "STP", A, STP_GROUP, BPDU_SAID, (Tag(5, 0x8100, True),))),
    Case("tag taken by the device", ECHO, 42, (*SAID, (Tag(100, None, False, 7, True),)), {"vlan_tci": 0xF064},
         "echo reply"),
    Case("802.1ad tag taken by the device", ECHO, 42, (*SAID, (Tag(100, 0x88A8),)),
         {"vlan_tci": 100, "vlan_tpid": 0x88A8}, "echo reply"),
    Case("outer tag taken", ether(0x8100, b"\0\x14\x08\0" + ip4(1, echo(0))), 46,
         (*SAID, (Tag(10, None), Tag(20, 0x8100, True))),
          {"vlan_tci": 10}, "echo reply"),
    Case("priority tag", ECHO, 42, (*SAID, (Tag(0, None, False, 7),)), {"vlan_tci": 0xE000}, "echo reply"),
    Case("loopback device", ECHO, 42, SAID, {"arphrd": 772, "ethertype": 0x0800}, "echo reply"),
    Case("tun", ip4(1, echo(0)), 28, SAID, {"arphrd": 65534, "ethertype": 0x0800}, "echo reply"),
    Case("tun with IPv6", ip6(6, tcp(2)), 56, (0x86DD, "TCP", *V6, "33412 > 22 [S] seq 1 win 64240 len 0"),
         {"arphrd": 65534, "ethertype": 0x86DD}),
    Case("tun, nothing known", ip4(1, echo(0)), 0, (0, "unknown", "", "", ""), {"arphrd": 65534}),
    Case("a link type not known", ECHO, 0, (0x0800, "IPv4", "", "", "link type 32, not decoded"),
         {"arphrd": 32, "ethertype": 0x0800}, "not decoded"),
]  # fmt: skip


@for_each(CASES)
def test_what_is_promised(promise, case):
    promise(case)
