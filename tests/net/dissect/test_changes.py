# SPDX-License-Identifier: GPL-2.0-or-later
"""What was made of a packet on its way, in words."""

import struct
from dataclasses import replace

import pytest
from frames import ECHO, ether, ip4, ip6, tcp, udp

from bondtrace.model import Packet, Tag
from bondtrace.net.dissect import changes, describe


def packet(frame, **more):
    return describe(frame, wire_len=len(frame), **more)


def datagram(src=1, dst=2, ports=(4000, 8080), family=ip4):
    """A datagram from 10.9.0.``src`` to 10.9.0.``dst``."""
    data = bytearray(family(17, udp(*ports, 4)))
    at = (15, 19) if family is ip4 else (23, 39)
    data[at[0]], data[at[1]] = src, dst
    return ether(0x0800 if family is ip4 else 0x86DD, bytes(data))


IN_VXLAN = ether(0x0800, ip4(17, udp(40000, 4789, data=b"\x08\0\0\0\0\0\x2a\0" + ECHO)))
IN_GENEVE = ether(0x0800, ip4(17, udp(40000, 6081, data=b"\0\0\x65\x58\0\0\x2a\0" + ECHO)))
IN_ESP = ether(0x0800, ip4(50, struct.pack("!II", 0x1234, 7) + bytes(90)))
PLAIN, TAGGED = packet(ECHO), packet(ECHO, vlan_tci=100, vlan_tpid=0x8100)
IN_FRAME = packet(ether(0x8100, b"\0\x64\x08\0" + ECHO[14:]))


@pytest.mark.parametrize(
    "before, after, phrases",
    [
        (PLAIN, PLAIN, []),
        (packet(datagram()), packet(datagram(dst=9)), ["destination 10.9.0.2:8080 now 10.9.0.9:8080"]),
        (packet(datagram()), packet(datagram(ports=(4000, 80))), ["destination 10.9.0.2:8080 now 10.9.0.2:80"]),
        (
            packet(datagram()),
            packet(datagram(7, 8, (9, 10))),
            ["source 10.9.0.1:4000 now 10.9.0.7:9", "destination 10.9.0.2:8080 now 10.9.0.8:10"],
        ),
        (
            packet(datagram(family=ip6)),
            packet(datagram(family=ip6, src=3)),
            ["source [fe80::1]:4000 now [fe80::3]:4000"],
        ),
        (PLAIN, packet(ECHO[:26] + bytes([10, 8, 0, 1]) + ECHO[30:]), ["source 10.9.0.1 now 10.8.0.1"]),
        (
            PLAIN,
            packet(IN_VXLAN),
            ["encapsulated as UDP 10.9.0.1 > 10.9.0.2 40000 > 4789 len 106 (VXLAN) vni 42", "148 bytes, were 98"],
        ),
        (
            packet(IN_VXLAN[:80] + bytes(len(IN_VXLAN) - 80)),
            PLAIN,
            ["taken out of VXLAN vni 42, it is ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1", "98 bytes, were 148"],
        ),
        (
            packet(IN_VXLAN),
            packet(IN_GENEVE),
            ["now UDP 10.9.0.1 > 10.9.0.2 40000 > 6081 len 106 (Geneve) vni 42"],
        ),
        (PLAIN, packet(IN_ESP), ["encapsulated as ESP 10.9.0.1 > 10.9.0.2 spi 0x00001234 seq 7", "132 bytes, were 98"]),
        (packet(IN_ESP), PLAIN,
         ["taken out of ESP spi 0x00001234, it is ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1",
          "98 bytes, were 132"]),
        (TAGGED, IN_FRAME, ["vlan 100 now in the frame"]),
        (IN_FRAME, TAGGED, ["vlan 100 now beside the frame"]),
        (TAGGED, PLAIN, ["vlan 100 taken off"]),
        (IN_FRAME, PLAIN, ["vlan 100 taken off"]),
        (PLAIN, TAGGED, ["tagged vlan 100"]),
        (PLAIN, IN_FRAME, ["tagged vlan 100 (in frame)"]),
        (TAGGED, packet(ECHO, vlan_tci=200, vlan_tpid=0x8100), ["tagged vlan 200, was vlan 100"]),
        (TAGGED, packet(ECHO, vlan_tci=100, vlan_tpid=0x88A8), ["tagged 802.1ad 100, was vlan 100"]),
        (TAGGED, packet(ECHO, vlan_tci=100), []),  # its type was not recorded
        (packet(ECHO, vlan_tci=0x6064), TAGGED, ["tagged vlan 100, was vlan 100 p 3"]),
        (PLAIN, replace(PLAIN, length=60), ["60 bytes, were 98"]),
        (PLAIN, replace(PLAIN, dst="", info="[truncated]"), []),
        (Packet(0, 0, "unknown", "", "", "its begin was not recorded"), PLAIN, []),
        (PLAIN, Packet(0, 0, "unknown", "", "", "its begin was not recorded"), []),
        (packet(ether(0x0800, ip4(6, tcp(2)))), PLAIN,
         ["now ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1", "98 bytes, were 54"]),
    ],
)  # fmt: skip
def test_what_differs_is_told_and_nothing_else(before, after, phrases):
    assert changes(before, after) == phrases


def test_a_tag_more_is_told():
    inner = IN_FRAME.tags
    both = replace(PLAIN, tags=(Tag(7, 0x88A8), *inner))

    assert changes(replace(PLAIN, tags=inner, length=102), replace(both, length=102)) == [
        "tagged 802.1ad 7, vlan 100, was vlan 100 (in frame)"
    ]
