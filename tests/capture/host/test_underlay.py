# SPDX-License-Identifier: GPL-2.0-or-later
"""What tunnels run over: asked of real namespaces where this kernel has the kind (VXLAN), else of played ones."""

import os
import socket
import subprocess
from contextlib import nullcontext
from dataclasses import replace

import pytest

from bondtrace.capture.host import devices, endpoints, namespaces, underlay
from bondtrace.capture.host.endpoints import Endpoints, WireGuard
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.model import Device

OWN, PEER = socket.inet_aton("10.9.0.2"), socket.inet_aton("10.9.0.1")


# --- for real ---


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def host():
    """Two namespaces, of which the first has v0 (10.9.0.2/24), up, and can have VXLAN devices."""
    names = [f"bt-ul{number}-{os.getpid()}" for number in (1, 2)]
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    ip("netns", "add", names[1])
    try:
        ip("-n", names[0], "link", "add", "v0", "type", "veth", "peer", "name", "p0")
        ip("-n", names[0], "link", "set", "v0", "up")
        ip("-n", names[0], "link", "set", "p0", "up")
        ip("-n", names[0], "addr", "add", "10.9.0.2/24", "dev", "v0")
        yield [namespaces.resolve(name) for name in names]
    finally:
        for name in names:
            ip("netns", "del", name)


def add_vxlan(namespace, name, options):
    added = ["ip", "-n", namespace.name, "link", "add", name, "type", "vxlan", *options.split()]
    if subprocess.run(added, capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no VXLAN")


def underlays(host):
    """The underlays of all tunnels, by name, as names."""
    found = underlay.with_underlays(devices.read_devices(host), host)
    names = {(one.netns, one.ifindex): one.name for one in found}
    return {one.name: [names[key] for key in one.underlay] for one in found if one.kind == "vxlan"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("id 1 dstport 4789 remote 10.9.0.1 dev v0", ["v0"]),
        ("id 1 dstport 4789 remote 10.9.0.1", ["v0"]),
        ("id 1 dstport 4789 local 10.9.0.2", ["v0"]),
        ("id 1 dstport 4789 remote 10.6.0.1", []),
        ("id 1 dstport 4789", []),
        ("dstport 4789 external", []),
        ("id 1 dstport 4789 remote 10.9.0.1 dev p0", ["p0"]),
    ],
)
def test_a_vxlan_runs_over_its_link_or_where_its_addresses_lead(host, options, expected):
    add_vxlan(host[0], "vx0", options)

    assert underlays(host) == {"vx0": expected}


def test_the_other_ends_of_a_vxlan_are_in_its_forwarding_table_too(host):
    add_vxlan(host[0], "vx0", "id 1 dstport 4789 nolearning")
    assert underlays(host) == {"vx0": []}

    bridge = ["bridge", "-n", host[0].name, "fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "dst", "10.9.0.1"]
    subprocess.run(bridge, check=True)

    assert underlays(host) == {"vx0": ["v0"]}


@pytest.mark.parametrize("link", ["", " dev v0"])
def test_the_outer_packets_of_a_tunnel_that_was_moved_stay_where_they_were(host, link):
    # given that the other namespace has a device of the same number, and a route, too
    add_vxlan(host[0], "vx0", f"id 1 dstport 4789 remote 10.9.0.1{link}")
    ip("-n", host[1].name, "link", "add", "x0", "type", "veth", "peer", "name", "x1")
    ip("-n", host[1].name, "link", "set", "x0", "up")
    ip("-n", host[1].name, "addr", "add", "10.9.0.9/24", "dev", "x0")
    ip("-n", host[0].name, "link", "set", "vx0", "netns", host[1].name)

    found = {one.name: one for one in devices.read_devices(host)}

    assert (found["vx0"].netns, found["vx0"].link_netns) == (host[1].inode, host[0].inode)
    assert underlays(host) == {"vx0": ["v0"]}


def test_a_tunnel_that_has_gone_or_cannot_be_asked_is_left_as_it_was(host):
    add_vxlan(host[0], "vx0", "id 1 dstport 4789 remote 10.9.0.1 dev v0")
    [tunnel] = [one for one in devices.read_devices(host) if one.name == "vx0"]
    known = replace(tunnel, underlay=((7, 7),))
    ip("-n", host[0].name, "link", "del", "vx0")

    assert underlay.with_underlays([known], host) == [known]
    assert underlay.underlays([known], []) == {} and underlay.underlays([], host) == {}


# --- played ---

HERE, BLUE, RED = (Namespace(number, name, f"/{name}") for number, name in ((1, "here"), (2, "blue"), (3, "red")))


class Played:
    """Three namespaces; in each, by its path: routes, addresses, UDP ports, and what devices say."""

    def __init__(self, monkeypatch):
        self.routes, self.owners, self.ports = {}, {}, {}
        self.said, self.associations, self.forwarded, self.data = {}, {}, [], {}
        self.asked = []
        monkeypatch.setattr(underlay, "Routes", lambda path: Played.At(self, path))
        monkeypatch.setattr(underlay, "open_netlink", lambda path, protocol: nullcontext(path))
        monkeypatch.setattr(underlay, "run_in", lambda path, work: self.ports.get(path, set()))
        monkeypatch.setattr(endpoints, "read_wireguard", lambda path, name: self.said[path, name])
        monkeypatch.setattr(endpoints, "read_associations", lambda path: self.associations.get(path, {}))
        monkeypatch.setattr(underlay._Host, "_data", lambda host, tunnel: self.data)

    class At:
        def __init__(self, played, path):
            self._played, self._path = played, path

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def devices_to(self, remote, source=None, mark=0):
            self._played.asked.append((self._path, remote, source, mark))
            return self._played.routes.get((self._path, remote), set())

        def devices_with(self, address):
            return self._played.owners.get((self._path, address), set())

        def forwarded_to(self, ifindex):
            return self._played.forwarded


@pytest.fixture
def played(monkeypatch):
    return Played(monkeypatch)


def found(*tunnels):
    return underlay.underlays(tunnels, [HERE, BLUE, RED])


WG = Device(2, 9, "wg0", "wireguard", up=True)


def test_wireguards_peers_are_asked_for_where_its_socket_is(played):
    # given a device that was made here and moved to blue, where the default route is by itself
    played.said["/blue", "wg0"] = WireGuard(Endpoints(None, (), (PEER,), 51), 51820)
    played.ports = {"/here": {68, 51820}, "/blue": {53}}
    played.routes = {("/here", PEER): {4}, ("/blue", PEER): {9}}

    assert found(WG) == {(2, 9): ((1, 4),)}
    assert played.asked == [("/here", PEER, None, 51)]


def test_wireguards_own_namespace_comes_first(played):
    played.said["/blue", "wg0"] = WireGuard(Endpoints(None, (), (PEER,)), 51820)
    played.ports = {"/here": {51820}, "/blue": {51820}}
    played.routes = {("/here", PEER): {4}, ("/blue", PEER): {5, 9}}

    assert found(WG) == {(2, 9): ((2, 5),)}  # not over itself


def test_of_a_wireguard_device_without_a_socket_that_is_found_nothing_is_known(played):
    played.said["/blue", "wg0"] = WireGuard(Endpoints(None, (), (PEER,)), 51820)
    played.routes = {("/here", PEER): {4}, ("/blue", PEER): {5}}

    assert found(WG) == {(2, 9): ()}
    assert found(replace(WG, up=False)) == {(2, 9): ((2, 5),)}  # it has none while it is down


def test_a_wireguard_device_that_may_not_be_asked_is_left_as_it_was(played, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(endpoints, "read_wireguard", refuse)

    assert found(WG) == {}


@pytest.mark.parametrize("link", [0, 1])
def test_an_xfrm_interface_without_a_device_or_on_lo_runs_where_its_associations_do(played, link):
    played.data = {1: bytes([link, 0, 0, 0]), 2: b"\x2b\0\0\0"}
    played.associations = {"/here": {0x2B: {OWN, PEER}, 5: {socket.inet_aton("10.1.1.1")}}}
    played.owners = {("/here", OWN): {4}}
    played.routes = {("/here", PEER): {6}}

    assert found(Device(1, 9, "xf0", "xfrm")) == {(1, 9): ((1, 4), (1, 6))}
    assert found(Device(3, 9, "xf0", "xfrm")) == {(3, 9): ()}
    assert found(Device(3, 9, "xf0", "xfrm", link_netnsid=0, link_netns=1)) == {(3, 9): ((1, 4), (1, 6))}
    assert found(Device(3, 9, "xf0", "xfrm", link_netnsid=0)) == {(3, 9): ()}


def test_routes_are_asked_for_with_the_tunnels_own_address_and_mark(played):
    played.data = {1: b"\0" * 4, 2: OWN, 3: PEER, 20: b"\7\0\0\0"}
    played.routes = {("/here", PEER): {4}}
    played.owners = {("/here", OWN): {1, 5}}

    assert found(Device(1, 9, "t0", "ipip")) == {(1, 9): ((1, 4), (1, 5))}  # an address on lo leads nowhere
    assert played.asked == [("/here", PEER, OWN, 7)]


def test_only_so_many_routes_are_asked_for(played):
    played.forwarded = [socket.inet_aton(f"10.8.{n // 250}.{n % 250}") for n in range(200)] * 2

    assert found(Device(1, 9, "vx0", "vxlan")) == {(1, 9): ()}
    assert len(played.asked) == underlay.MOST_REMOTES == len(set(played.asked))


def test_other_kinds_are_not_asked(played):
    assert found(Device(1, 4, "bond0", "bond"), Device(1, 5, "bond0.5", "vlan", link=4)) == {}
