# SPDX-License-Identifier: GPL-2.0-or-later
"""Which packets are of one class: no word of a class differs from packet to packet, nor from version to version."""

import pytest
from frames import arp, echo, ether, icmp, ip4, ip6, udp

from bondtrace.net.dissect import describe
from bondtrace.stats.kernel_comparison import packet_class


def icmp4(kind, code=0, fragment=0):
    return ether(0x0800, ip4(1, icmp(kind, code, bytes(32)), fragment=fragment))


def icmp6(kind):
    return ether(0x86DD, ip6(58, icmp(kind, 0, bytes(32))))


def igmp(kind, group=b"\xef\1\2\3"):
    return ether(0x0800, ip4(2, icmp(kind, 0, group)))


def address_resolution(operation, kind=0x0806):
    return ether(kind, arp(operation, [10, 9, 0, 1], [10, 9, 0, 2]))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (icmp4(8), "ICMP echo request"),
        (icmp4(3, 3), "ICMP port unreachable"),
        (icmp4(3, 4), "ICMP fragmentation needed"),
        (icmp4(3, 12), "ICMP host unreachable"),
        (icmp4(3, 99), "ICMP unreachable"),
        (icmp4(5, 1), "ICMP redirect host"),
        (icmp4(5, 2), "ICMP redirect net"),
        (icmp4(5, 9), "ICMP redirect"),
        (icmp4(11, 0), "ICMP time exceeded in transit"),
        (icmp4(42, 1), "ICMP"),
        (icmp4(8, fragment=0x2000), "ICMP fragment offset"),
        (icmp4(8, fragment=185), "ICMP fragment offset"),
        (icmp6(135), "ICMPv6 neighbor solicitation"),
        (icmp6(143), "ICMPv6"),
        (igmp(0x11, bytes(4)), "IGMP query general"),
        (igmp(0x11), "IGMP query"),
        (igmp(0x16), "IGMP"),
        (igmp(0x17), "IGMP leave"),
        (address_resolution(1), "ARP who-has"),
        (address_resolution(2), "ARP is-at"),
        (address_resolution(9), "ARP inverse reply"),
        (address_resolution(17), "ARP operation"),
        (address_resolution(3, 0x8035), "RARP reverse request"),
        (address_resolution(2)[:20], "ARP"),
        (ether(0x0800, ip4(17, udp(4000, 7))), "UDP"),
        (ether(0x0800, ip4(17, udp(4000, 7), fragment=0x2000)), "UDP"),
        (ether(0x88B5, bytes(46)), "0x88b5"),
        (ether(0x8100, b"\0\7\x08\0" + ip4(1, echo(0))), "ICMP echo reply in VLAN 7"),
        (ether(0x88A8, b"\0\7\x81\0\0\x08\x88\xb5" + bytes(40)), "0x88b5 in 802.1ad 7, VLAN 8"),
    ],
)
def test_a_class_is_the_protocol_the_kind_of_message_and_the_vlan(frame, expected):
    assert packet_class(describe(frame, wire_len=len(frame))) == expected


def test_a_link_type_that_is_not_decoded_has_its_class():
    assert packet_class(describe(bytes(60), wire_len=60, ethertype=0x0806, arphrd=32)) == "ARP link"
