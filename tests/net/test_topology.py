# SPDX-License-Identifier: GPL-2.0-or-later
"""What is stacked on what: masters, stacked kinds, pairs, and tunnels, of which nothing follows."""

from dataclasses import replace

import pytest

from bondtrace.model import Device
from bondtrace.net import topology

HOST = [
    Device(1, 1, "lo", "loopback"),
    Device(1, 2, "eth0", "veth", master=4, link=2, link_netnsid=0),
    Device(1, 3, "eth1", "veth", master=4, link=3, link_netnsid=0),
    Device(1, 4, "bond0", "bond", master=6),
    Device(1, 5, "bond0.100", "vlan", link=4),
    Device(1, 6, "br0", "bridge"),
    Device(1, 7, "tap0", "tun", master=6),
    Device(1, 8, "qinq", "vlan", link=5),
    Device(1, 9, "va", "veth", link=10),
    Device(1, 10, "vb", "veth", link=9),
    Device(1, 11, "gre1", "gretap", link=4),
    Device(2, 2, "eth0", "veth", link=2, link_netnsid=0),
    Device(2, 3, "mv0", "macvlan", link=4, link_netnsid=0, link_netns=1),
    Device(2, 4, "mv1", "macvlan", link=4, link_netnsid=5),
]


def keys_of(names, netns):
    """The keys of the devices of this name in a namespace."""
    return [(d.netns, d.ifindex) for d in HOST if d.netns == netns and d.name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["eth0"], "eth0 bond0 bond0.100 qinq br0 mv0"),
        (["bond0"], "eth0 eth1 bond0 bond0.100 qinq br0 mv0"),
        (["bond0.100"], "eth0 eth1 bond0 bond0.100 qinq"),
        (["br0"], "eth0 eth1 bond0 br0 tap0"),
        (["tap0"], "tap0 br0"),
        (["va"], "va"),
        (["gre1"], "gre1"),
        (["lo", "va"], "lo va"),
        ([], ""),
    ],
)
def test_the_family_is_all_below_and_all_on_top_but_no_siblings(names, expected):
    # when looked for in namespace 1
    found = topology.family(HOST, keys_of(names, 1))
    # then
    key = {(d.netns, d.ifindex): d.name for d in HOST}
    assert sorted(key[k] for k in found.all) == sorted(expected.split())


def test_what_is_below_and_what_is_on_top_are_told_apart():
    found = topology.family(HOST, keys_of(["bond0"], 1))
    key = {(d.netns, d.ifindex): d.name for d in HOST}
    assert {key[k] for k in found.below} == {"bond0", "eth0", "eth1"}
    assert {key[k] for k in found.above} == {"bond0", "bond0.100", "qinq", "br0", "mv0"}


def test_a_macvlan_in_a_container_reaches_down_into_the_host():
    assert topology.family(HOST, keys_of(["mv0"], 2)).all == {(2, 3), (1, 4), (1, 2), (1, 3)}


def test_devices_that_name_each_other_do_not_loop():
    ring = [Device(1, 1, "a", "vlan", link=2), Device(1, 2, "b", "vlan", link=1)]
    assert topology.family(ring, [(1, 1)]).all == {(1, 1), (1, 2)}


# --- one rule for all ----------------------------------------------------------------------------------

ETH0 = Device(1, 2, "eth0", "ether", master=4)
BOND0 = Device(1, 4, "bond0", "bond")


@pytest.mark.parametrize("kind", sorted(topology.STACKED_KINDS))
def test_what_is_stacked_sits_on_its_link(kind):
    upper = Device(1, 9, "upper", kind, link=4)

    assert topology.lower_of(upper) == (1, 4)
    assert topology.sits_on(upper, BOND0) and not topology.sits_on(BOND0, upper)
    assert topology.family([BOND0, upper], [(1, 4)]).above == {(1, 4), (1, 9)}


def test_kinds_of_devices_are_of_one_relation_only():
    assert not topology.TUNNEL_KINDS & (topology.STACKED_KINDS | topology.PAIRED_KINDS)
    assert not topology.STACKED_KINDS & topology.PAIRED_KINDS


def test_tunnels_and_ifbs_are_told_by_their_kind():
    kinds = ("vxlan", "wireguard", "vti6", "macsec", "vlan", "tun", "ifb", "bond", "ether")
    devices = [Device(1, 9, "x", kind, link=4) for kind in kinds]
    assert [device.kind for device in devices if topology.is_tunnel(device)] == ["vxlan", "wireguard", "vti6"]
    assert [device.kind for device in devices if topology.is_ifb(device)] == ["ifb"]


@pytest.mark.parametrize("kind", [*sorted(topology.TUNNEL_KINDS), "ifb"])
def test_a_tunnel_does_not_sit_on_the_device_that_its_outer_packets_leave_by(kind):
    tunnel = Device(1, 9, "tunnel0", kind, link=4)

    assert topology.lower_of(tunnel) is None
    assert not topology.sits_on(tunnel, BOND0)
    assert topology.family([BOND0, tunnel], [(1, 4)]).all == {(1, 4)}


@pytest.mark.parametrize("kind", sorted(topology.TUNNEL_KINDS))
def test_a_tunnel_is_traced_with_its_underlay_and_does_not_sit_on_it(kind):
    tunnel = Device(2, 9, "tunnel0", kind, underlay=((1, 4), (1, 7)))
    bridge = Device(2, 10, "br1", "bridge")
    hosts = [ETH0, BOND0, replace(tunnel, master=10), bridge]

    assert topology.runs_over(tunnel) == [((1, 4), (2, 9)), ((1, 7), (2, 9))]
    assert topology.family(hosts, [(1, 2)]).above == {(1, 2), (1, 4), (2, 9), (2, 10)}
    assert topology.family(hosts, [(2, 10)]).below == {(2, 10), (2, 9), (1, 4), (1, 7), (1, 2)}
    assert not topology.sits_on(tunnel, BOND0) and topology.lower_of(tunnel) is None
    assert topology.edges(tunnel) == []


def test_tunnels_that_run_over_each_other_end():
    ring = [Device(1, 1, "wg0", "wireguard", underlay=((1, 2),)), Device(1, 2, "wg1", "wireguard", underlay=((1, 1),))]

    assert topology.family(ring, [(1, 1)]).all == {(1, 1), (1, 2)}


def test_only_tunnels_run_over_something_and_none_over_itself():
    assert topology.runs_over(Device(1, 9, "tunnel0", "wireguard", underlay=((1, 9), (1, 4)))) == [((1, 4), (1, 9))]
    assert topology.runs_over(Device(1, 9, "vlan0", "vlan", underlay=((1, 4),))) == []


@pytest.mark.parametrize("kind", sorted(topology.PAIRED_KINDS))
def test_the_ends_of_a_pair_are_peers_and_neither_sits_on_the_other(kind):
    a, b = Device(1, 7, "a", kind, link=8), Device(2, 8, "b", kind, link=7)

    assert topology.are_peers(a, b) and topology.are_peers(b, a)
    assert not topology.sits_on(a, b) and not topology.sits_on(b, a)
    assert not topology.are_peers(a, replace(b, link=6)) and not topology.are_peers(a, replace(b, kind="ether"))
    assert not topology.are_peers(a, a)


def test_a_master_sits_on_its_slaves():
    assert topology.sits_on(BOND0, ETH0) and not topology.sits_on(ETH0, BOND0)
    assert not topology.sits_on(replace(BOND0, netns=2), ETH0)


def test_a_link_in_another_namespace_leads_nowhere_until_that_is_known():
    abroad = Device(2, 3, "mv0", "macvlan", link=4, link_netnsid=0)

    assert topology.lower_of(abroad) is None
    assert topology.lower_of(replace(abroad, link_netns=1)) == (1, 4)


def test_macvlans_of_one_device_share_it():
    one, other = Device(1, 8, "mv0", "macvlan", link=4), Device(1, 9, "mv1", "macvlan", link=4)

    assert topology.share_lower(one, other)
    assert not topology.share_lower(one, replace(other, link=2))
    assert not topology.share_lower(one, replace(other, kind="ipvlan"))
    assert not topology.share_lower(replace(one, kind="vxlan"), replace(other, kind="vxlan"))
