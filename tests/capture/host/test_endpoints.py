# SPDX-License-Identifier: GPL-2.0-or-later
"""The ends of tunnels, parsed from the kernel's own bytes.

The captured messages and attributes are answers of Debian's kernel 6.1 (amd64) on a host whose bond0 is ifindex 4.
"""

import socket
import struct
import sys

import pytest

from bondtrace.capture.host import endpoints, netlink
from bondtrace.capture.host.endpoints import Endpoints
from bondtrace.net.topology import TUNNEL_KINDS

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are little-endian")

OWN, PEER = socket.inet_aton("10.9.0.2"), socket.inet_aton("10.9.0.1")
OWN6, PEER6 = (socket.inet_pton(socket.AF_INET6, one) for one in ("2001:db8:9::2", "2001:db8:9::1"))
ANY6 = "00" * 16

# A WireGuard device with port 51820 and two peers, by IPv4 and IPv6; the private key in it is 07 07 07 ...
WIREGUARD = bytes.fromhex(
    "00010000060006006cca0000080007000000000008000100260000000800020077673000240003000007070707070707"
    "0707070707070707070707070707070707070707070707472400040013be4feaeaf204c7fd3358fc9c00721881d17427"
    "8128227ec674f37f7fe97b6d480108809c00008024000100010101010101010101010101010101010101010101010101"
    "010101010101010124000200000000000000000000000000000000000000000000000000000000000000000014000600"
    "0000000000000000000000000000000006000500000000000c00080000000000000000000c0007000000000000000000"
    "08000a0001000000140004000200ca6c0a0900010000000000000000a800008024000100020202020202020202020202"
    "020202020202020202020202020202020202020224000200000000000000000000000000000000000000000000000000"
    "0000000000000000140006000000000000000000000000000000000006000500000000000c0008000000000000000000"
    "0c000700000000000000000008000a0001000000200004000a00ca6d0000000020010db8000900000000000000000001"
    "00000000"
)
# The two directions of an ESP tunnel with if_id 0x2b: struct xfrm_usersa_info, without its attributes.
ASSOCIATIONS = [
    bytes.fromhex(
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000200000000000000"
        "00000000000000000a09000200000000000000000000000000000101320000000a090001000000000000000000000000"
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000b0a5096b000000000000000000000000"
        "0000000000000000000000000000000000000000020001000000000000000000"
    ),
    bytes.fromhex(
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000200000000000000"
        "00000000000000000a09000100000000000000000000000000000100320000000a090002000000000000000000000000"
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000a7a5096b000000000000000000000000"
        "0000000000000000000000000000000000000000020001000000000000000000"
    ),
]


@little_endian
@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("vxlan", {2: "0a090001", 3: "04000000", 4: "0a090002"}, Endpoints(4, (OWN,), (PEER,))),
        ("vxlan", {4: "0a090002", 25: "00"}, Endpoints(None, (OWN,))),
        ("vxlan", {16: PEER6.hex(), 17: OWN6.hex()}, Endpoints(None, (OWN6,), (PEER6,))),
        ("vxlan", {1: "00000000", 25: "01", 15: "12b6"}, Endpoints()),
        ("geneve", {1: "05000000", 2: "0a090001", 8: "00"}, Endpoints(None, (), (PEER,))),
        ("geneve", {7: PEER6.hex()}, Endpoints(None, (), (PEER6,))),
        ("geneve", {1: "00000000", 6: ""}, Endpoints()),
        *(
            (kind, {1: "04000000", 6: "0a090002", 7: "0a090001", 20: "05000000"}, Endpoints(4, (OWN,), (PEER,), 5))
            for kind in ("gre", "gretap", "erspan")
        ),
        ("gre", {1: "00000000", 6: "0a090002", 7: "00000000", 20: "00000000"}, Endpoints(None, (OWN,))),
        *(
            (kind, {1: "00000000", 6: OWN6.hex(), 7: PEER6.hex()}, Endpoints(None, (OWN6,), (PEER6,)))
            for kind in ("ip6gre", "ip6gretap", "ip6erspan")
        ),
        *(
            (kind, {1: "00000000", 2: "0a090002", 3: "0a090001", 20: "07000000"}, Endpoints(None, (OWN,), (PEER,), 7))
            for kind in ("ipip", "sit")
        ),
        ("ip6tnl", {1: "00000000", 2: ANY6, 3: ANY6}, Endpoints()),
        (
            "vti",
            {1: "00000000", 2: "00000003", 4: "0a090002", 5: "0a090001", 6: "09000000"},
            Endpoints(None, (OWN,), (PEER,), 9),
        ),
        ("vti6", {1: "04000000", 4: OWN6.hex(), 5: PEER6.hex()}, Endpoints(4, (OWN6,), (PEER6,))),
        ("xfrm", {1: "04000000", 2: "2a000000"}, Endpoints(4)),
        ("xfrm", {1: "00000000", 2: "2c000000"}, Endpoints()),
        ("wireguard", {}, Endpoints()),
        ("gtp", {3: "00040000", 4: "01000000", 6: "00"}, Endpoints()),
    ],
)
def test_what_a_tunnels_own_message_says(kind, data, expected):
    assert endpoints.of_link(kind, {number: bytes.fromhex(value) for number, value in data.items()}) == expected


@pytest.mark.parametrize("kind", sorted(TUNNEL_KINDS))
def test_an_unknown_or_hostile_message_says_nothing(kind):
    assert endpoints.of_link(kind, {}) == Endpoints()
    assert endpoints.of_link(kind, dict.fromkeys(range(30), b"abc")) == Endpoints()


@little_endian
def test_the_peers_of_a_wireguard_device():
    assert endpoints.parse_wireguard([WIREGUARD]) == (Endpoints(None, (), (PEER, PEER6)), 51820)


def test_many_peers_come_in_several_messages_and_some_have_not_been_heard_of():
    def peers(*attributes):
        return netlink.attribute(8, b"".join(netlink.attribute(0, one) for one in attributes))

    def endpoint(family, rest):
        return netlink.attribute(4, struct.pack("=H", family) + rest)

    first = b"\0\1\0\0" + netlink.attribute(6, struct.pack("=H", 7)) + netlink.attribute(7, struct.pack("=I", 9))
    first += peers(endpoint(socket.AF_INET, b"\1\1" + PEER + b"\0" * 8), endpoint(socket.AF_INET, b"\0" * 14), b"")
    second = b"\0\1\0\0" + peers(
        endpoint(socket.AF_INET, b"\2\2" + PEER + b"\0" * 8),
        endpoint(socket.AF_INET6, b"\1\1\0\0\0\0" + PEER6 + b"\0" * 4),
        endpoint(77, b"\1" * 20),
    )

    assert endpoints.parse_wireguard([first, second]) == (Endpoints(None, (), (PEER, PEER6), 9), 7)


@little_endian
def test_both_ends_of_the_security_associations_by_if_id():
    def some(if_id):
        return [one + netlink.attribute(31, struct.pack("=I", if_id)) for one in ASSOCIATIONS]

    assert endpoints.parse_associations(some(0x2B)) == {0x2B: {OWN, PEER}}
    assert endpoints.parse_associations([some(3)[0], some(4)[1]]) == {3: {OWN, PEER}, 4: {OWN, PEER}}
    assert endpoints.parse_associations([*some(0), *ASSOCIATIONS, b"\0" * 20]) == {}
    assert endpoints.if_id_of({2: bytes.fromhex("2b000000")}) == 0x2B and endpoints.if_id_of({}) == 0


def test_local_ports_in_proc():
    table = (
        "   sl  local_address rem_address   st tx_queue rx_queue\n"
        "  246: 00000000:CA6C 00000000:0000 07 00000000:00000000\n"
        "  452: 00000000000000000000000000000000:0D3A 00000000000000000000000000000000:0000 07\n\n"
    )
    assert endpoints.parse_ports(table) == {51820, 3386} and endpoints.parse_ports("") == set()
