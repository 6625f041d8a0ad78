# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes, addresses and forwarding entries: parsed from the kernel's own bytes, and asked of a namespace.

The captured messages are answers of Debian's kernel 6.1 (amd64) on a host whose bond0 (ifindex 4) has 10.9.0.2/24 and
2001:db8:9::2/64.
"""

import os
import socket
import struct
import subprocess
import sys

import pytest

from bondtrace.capture.host import namespaces, netlink, routes
from bondtrace.capture.host.routes import LOOPBACK, Routes

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are little-endian")

GATEWAY, OWN = socket.inet_aton("10.9.0.1"), socket.inet_aton("10.9.0.2")


def attributes(**values):
    return b"".join(netlink.attribute(int(kind[1:]), bytes.fromhex(value)) for kind, value in values.items())


TO_GATEWAY = bytes.fromhex("02200000fe00000100020000") + attributes(
    _15="fe000000", _1="0a090001", _4="04000000", _7="0a090002", _25="00000000"
)
TO_SELF = bytes.fromhex("02200000fe00000200020080") + attributes(
    _15="fe000000", _1="0a090002", _4="01000000", _7="0a090002"
)
ADDRESS4 = bytes.fromhex("0218800004000000") + attributes(_1="0a090002", _2="0a090002", _3="626f6e643000")
ADDRESS6 = bytes.fromhex("0a40820004000000") + attributes(_1="20010db8000900000000000000000002")


@little_endian
@pytest.mark.parametrize(("payload", "expected"), [(TO_GATEWAY, {4}), (TO_SELF, {LOOPBACK}), (TO_GATEWAY[:12], set())])
def test_the_device_of_a_route(payload, expected):
    assert routes.devices_of_route(payload) == expected


def test_all_next_hops_of_a_route_count():
    # given RTA_MULTIPATH: struct rtnexthop, with and without a gateway
    via = netlink.attribute(5, GATEWAY)
    hops = struct.pack("=HBBi", 8 + len(via), 0, 0, 4) + via + struct.pack("=HBBi", 8, 0, 0, 7)

    assert routes.devices_of_route(b"\0" * 12 + netlink.attribute(9, hops)) == {4, 7}
    assert routes.devices_of_route(b"\0" * 12 + netlink.attribute(9, struct.pack("=HBBi", 0, 0, 0, 7))) == {7}


@little_endian
def test_the_devices_that_have_an_address():
    # given a point-to-point address too: IFA_LOCAL is the device's own, IFA_ADDRESS the other end's
    pair = bytes.fromhex("0220800009000000") + attributes(_1="0a090001", _2="0a090002")

    assert routes.owners_of([ADDRESS4, ADDRESS6, pair]) == {
        OWN: {4, 9},
        socket.inet_pton(socket.AF_INET6, "2001:db8:9::2"): {4},
    }


# --- for real ---


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def netns():
    """A namespace with the devices v0 (10.9.0.2/24, 2001:db8:9::2/64), v1 (10.8.0.2/24) and w0, all up."""
    name = f"bt-rt-{os.getpid()}"
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    for device, peer in (("v0", "p0"), ("v1", "p1"), ("w0", "w1")):
        ip("-n", name, "link", "add", device, "type", "veth", "peer", "name", peer)
        for one in (device, peer):
            ip("-n", name, "link", "set", one, "up")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "addr", "add", "10.9.0.2/24", "dev", "v0")
    ip("-n", name, "addr", "add", "10.8.0.2/24", "dev", "v1")
    yield namespaces.resolve(name)
    ip("netns", "del", name)


def number(netns, device):
    return namespaces.run_in(netns.path, lambda: socket.if_nametoindex(device))


def test_where_packets_leave(netns):
    ip("-n", netns.name, "route", "add", "10.7.0.0/24", "nexthop", "via", "10.9.0.1", "nexthop", "via", "10.8.0.1")
    v0, v1 = number(netns, "v0"), number(netns, "v1")

    with Routes(netns.path) as there:
        assert there.devices_to(GATEWAY) == {v0} == there.devices_to(GATEWAY, OWN)
        assert there.devices_to(socket.inet_aton("10.7.0.9")) == {v0, v1}
        assert there.devices_to(socket.inet_aton("10.6.0.9")) == set()
        assert there.devices_to(OWN) == {LOOPBACK}
        # an address that is not this host's is not asked for
        assert there.devices_to(GATEWAY, socket.inet_aton("10.1.1.1")) == {v0}


def test_rules_may_ask_for_the_mark_and_the_source(netns):
    w0 = number(netns, "w0")
    ip("-n", netns.name, "route", "add", "default", "dev", "w0", "table", "77")
    ip("-n", netns.name, "rule", "add", "fwmark", "51820", "table", "77", "priority", "10")
    ip("-n", netns.name, "rule", "add", "from", "10.8.0.2", "table", "77", "priority", "11")

    with Routes(netns.path) as there:
        assert there.devices_to(GATEWAY, mark=51820) == {w0}
        assert there.devices_to(GATEWAY, source=socket.inet_aton("10.8.0.2")) == {w0}
        assert there.devices_to(GATEWAY) == {number(netns, "v0")}


def test_whose_an_address_is(netns):
    with Routes(netns.path) as there:
        assert there.devices_with(OWN) == {number(netns, "v0")}
        assert there.devices_with(socket.inet_aton("127.0.0.1")) == {LOOPBACK}
        assert there.devices_with(GATEWAY) == set()


def test_the_other_ends_in_a_forwarding_table(netns):
    added = ["ip", "-n", netns.name, "link", "add", "vx0", "type", "vxlan", "id", "5", "dstport", "4789"]
    if subprocess.run(added, capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no VXLAN")
    bridge = ["bridge", "-n", netns.name, "fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "dst"]
    for address in ("10.9.0.1", "10.9.0.7"):
        subprocess.run([*bridge, address], check=True)
    ends = [GATEWAY, socket.inet_aton("10.9.0.7")]

    with Routes(netns.path) as there:
        assert sorted(there.forwarded_to(number(netns, "vx0"))) == ends
        assert there.forwarded_to(number(netns, "v0")) == []
