# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of namespaces that are not traced: when they are read, and what becomes of what was read."""

import sys
from dataclasses import replace

import pytest

from bondtrace.capture.host.devices import Change
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.live.devices import DeviceFollower
from bondtrace.capture.live.reach import EVERYWHERE_NS, SHARE, SLICE_NS, UNDERLAYS_NS, UNHEARD_NS, Reach
from bondtrace.model import Device

HERE, BLUE, RED = (Namespace(number, name, f"/{name}") for number, name in ((1, "here"), (2, "blue"), (3, "red")))
ALL = [HERE, BLUE, RED]


BOND0 = Device(1, 4, "bond0", "bond")
ETH9 = Device(1, 9, "eth9", "ether")
VLAN = Device(2, 6, "bond0.50", "vlan", link=4, link_netnsid=0)
READ = replace(VLAN, link_netns=1)  # as a reading has it
WG = Device(2, 7, "wg0", "wireguard")


class World:
    """A host: ``there`` are its devices, ``unders`` the underlays; each reading of a namespace takes ``takes_ns``."""

    def __init__(self):
        self.now_ns, self.takes_ns = 10**12, 1000
        self.there, self.unders, self.unreadable = {BOND0, ETH9}, {}, set()
        self.read = []  # the namespaces that were read, or "underlays"
        self.follower = DeviceFollower(("bond0",), (1,), [BOND0, ETH9])
        self.follower.traced()
        self.reach = Reach(self.follower, self)

    def now(self):
        return self.now_ns

    def devices(self, namespace, others):
        assert list(others) == ALL
        self.read.append(namespace.inode)
        self.now_ns += self.takes_ns
        there = [one for one in self.there if one.netns == namespace.inode]
        return None if namespace.inode in self.unreadable else there

    def underlays(self, tunnels, namespaces):
        self.read.append("underlays")
        self.now_ns += self.takes_ns
        return {(one.netns, one.ifindex): self.unders.get(one.name, ()) for one in tunnels}

    # what the loop does

    def take(self, what, one):
        events = self.reach.take(Change(what, one, 1), ALL, self.now_ns)
        self.follower.traced()
        return events

    def look(self, after_ns=0):
        """Read what is due so much later; (what was read, what events tell)."""
        self.now_ns += after_ns
        self.read = []
        events = self.reach.read(ALL) if self.reach.is_due(self.now_ns) else []
        self.follower.traced()
        told = [one["device"]["name"] if one["kind"] == "device" else (one["netns"], one["ifindex"]) for one in events]
        return self.read, told


@pytest.fixture
def world():
    return World()


# --- when ----------------------------------------------------------------------------------------------


def test_all_other_namespaces_are_read_now_and_then(world):
    assert world.look() == ([], [])
    world.there.add(READ)

    assert world.look(EVERYWHERE_NS - 1) == ([], [])
    assert world.look(1) == ([3, 2], ["bond0.50"])
    assert world.follower.traced().all == {(1, 4), (2, 6)}
    assert world.look(UNHEARD_NS - 2001) == ([], [])
    # then the namespace that has a traced device more often than the other
    assert world.look(2001)[0] == [2]
    assert world.look(EVERYWHERE_NS)[0] == [2, 3]


def test_a_stacked_device_that_was_moved_is_looked_for_at_once(world):
    here = replace(VLAN, netns=1, link_netnsid=None)
    world.take("add", here)
    assert world.look() == ([], [])

    world.there.add(READ)
    world.take("remove", here)
    world.take("elsewhere", here)

    assert world.look() == ([3, 2], ["bond0.50"])
    assert world.follower.traced().all == {(1, 4), (2, 6)}


@pytest.mark.parametrize("kind, expected", [("macvlan", [3, 2]), ("vxlan", [3, 2]), ("veth", []), ("dummy", [])])
def test_only_what_may_be_above_a_traced_device_is_a_reason_to_look_elsewhere(world, kind, expected):
    world.take("elsewhere", Device(1, 33, "x0", kind))

    assert [one for one in world.look()[0] if one != "underlays"] == expected


@pytest.mark.parametrize("one, expected", [(BOND0, [3, 2]), (ETH9, [])])
def test_a_notification_of_a_traced_device_that_tells_nothing_new_is_a_reason(world, one, expected):
    assert world.take("add", one) == []

    assert world.look()[0] == expected


def test_a_change_of_a_traced_device_is_none(world):
    assert len(world.take("add", replace(BOND0, mtu=9000))) == 1

    assert world.look()[0] == []


def test_readings_take_a_small_part_of_the_time_however_much_is_heard(world):
    world.takes_ns = 10**8
    took_ns = 0
    for _ in range(1000):
        world.take("elsewhere", Device(1, 33, "x0", "macvlan"))
        took_ns += len(world.look(10**8)[0]) * world.takes_ns
    assert 0 < took_ns <= (world.now_ns - 10**12) / SHARE * 1.1


def test_many_namespaces_are_read_a_few_at_a_time(world, monkeypatch):
    # given that two readings are as much as is done at once
    names = [Namespace(number, f"n{number}", "/n") for number in range(10, 15)]
    monkeypatch.setattr(sys.modules[__name__], "ALL", [HERE, *names])
    world.takes_ns = SLICE_NS // 2
    world.there.add(Device(10, 2, "mv0", "macvlan", link=4, link_netnsid=0, link_netns=1))

    rounds = [world.look(EVERYWHERE_NS), world.look(), world.look(), world.look()]

    assert rounds == [([14, 13], []), ([12, 11], []), ([10], ["mv0"]), ([], [])]
    # and what is heard meanwhile makes for another round after this one
    world.look(EVERYWHERE_NS)
    world.take("elsewhere", Device(1, 33, "x0", "macvlan"))
    assert [world.look()[0], world.look()[0], world.look()[0]] == [[13, 12], [11], []]
    assert world.look(SHARE * 3 * SLICE_NS)[0] == [10, 14]


def test_a_device_that_a_notification_tells_of_without_the_other_namespace_is_read_at_once(world):
    # given that both are traced
    world.follower.namespaces.add(2)
    world.there.add(READ)
    world.take("add", VLAN)
    assert world.follower.traced().all == {(1, 4)}

    assert world.look() == ([2], ["bond0.50"])
    assert world.follower.traced().all == {(1, 4), (2, 6)}
    # and not again, whether that told or not
    world.there = {VLAN}
    world.take("add", replace(VLAN, link=5))
    assert world.look()[0] == [2] and world.look() == ([], [])


# --- what --------------------------------------------------------------------------------------------------


def test_what_has_gone_elsewhere_is_gone_and_what_cannot_be_read_is_not(world):
    world.there.add(READ)
    world.look(EVERYWHERE_NS)
    world.unreadable = {2}
    assert world.look(EVERYWHERE_NS) == ([2, 3], [])

    world.unreadable, world.there = set(), {BOND0, ETH9}

    assert world.look(EVERYWHERE_NS) == ([2, 3], [(2, 6)])
    assert world.follower.traced().all == {(1, 4)}


def test_devices_of_a_namespace_that_has_gone_are_forgotten(world):
    world.there.add(READ)
    world.look(EVERYWHERE_NS)

    events = world.reach.forget([HERE, RED])

    assert [(one["kind"], one["netns"], one["ifindex"]) for one in events] == [("device-gone", 2, 6)]
    assert world.reach.forget([]) == []  # the traced ones are not let go here


def test_the_state_of_lacp_is_read_as_nothing_notifies_of_it(world):
    bond, slave = replace(BOND0, bond_mode="802.3ad"), Device(1, 2, "eth0", "ether", master=4, ad_partner_state=1)
    world.there = {bond, slave, ETH9}
    for one in world.there:
        world.take("add", one)
    assert world.look(UNHEARD_NS) == ([1], [])

    world.there = {bond, replace(slave, ad_partner_state=0x3D), ETH9}

    assert world.look(UNHEARD_NS) == ([1], ["eth0"])
    # and not in another mode
    world.take("add", BOND0)
    assert world.look(UNHEARD_NS)[0] == []


def test_lost_notifications_are_made_up_by_reading_that_namespace_and_the_others(world):
    world.there = {replace(BOND0, mtu=9000)}

    events = world.take("reread", None)

    assert world.read == [1] and [one["kind"] for one in events] == ["device-gone", "device"]
    assert world.look()[0] == [3, 2]


# --- tunnels ---------------------------------------------------------------------------------------------


def test_what_a_tunnel_runs_over_is_asked_for_again_and_again(world):
    world.there.add(WG)
    assert world.look(EVERYWHERE_NS) == ([3, 2, "underlays"], ["wg0"])
    assert (2, 7) not in world.follower.traced().all

    # when its peer is heard of, over the bond
    world.unders = {"wg0": ((1, 4),)}

    assert world.look(UNDERLAYS_NS) == (["underlays"], ["wg0"])
    assert (2, 7) in world.follower.traced().all
    # then its namespace is read more often; nothing has changed
    assert world.look(UNDERLAYS_NS) == ([2, "underlays"], [])


def test_a_new_tunnel_is_asked_for_at_once(world):
    world.unders = {"vx0": ((1, 4),)}
    world.take("add", Device(1, 11, "vx0", "vxlan"))

    assert world.look() == (["underlays"], ["vx0"])
    assert world.follower.traced().all == {(1, 4), (1, 11)}


def test_without_tunnels_nothing_is_asked(world):
    assert world.look(2 * UNDERLAYS_NS) == ([], [])
