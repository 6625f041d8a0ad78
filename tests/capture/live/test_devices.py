# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices are traced, as they come, go and are renamed."""

from dataclasses import replace

import pytest

from bondtrace.capture.host.devices import Change
from bondtrace.capture.live.devices import DeviceFollower
from bondtrace.model import Device

GONE, BACK = "bond0 is gone; a device of that name will be traced once there is one", "bond0 is back"


def bond(ifindex, name="bond0", netns=1):
    return Device(netns, ifindex, name, kind="bond")


@pytest.fixture
def devices():
    """Those of two namespaces, of which bond0 (ifindex 5) is traced."""
    one = DeviceFollower(("bond0",), (1, 2), [bond(5)])
    assert one.traced().all == {(1, 5)}
    return one


def change(devices, what, device):
    """Take a change; (the kinds of its events, the sentences)."""
    events = devices.take(Change(what, device), 7)
    devices.traced()
    return [event["kind"] for event in events], devices.absences()


def test_a_bond_that_is_made_again_is_traced_and_both_is_said(devices):
    assert change(devices, "remove", bond(5)) == (["device-gone"], [GONE])
    assert devices.traced().all == set()
    assert change(devices, "add", bond(9)) == (["device"], [BACK])
    assert devices.traced().all == {(1, 9)}


def test_a_rename_is_followed_and_nothing_is_gone(devices):
    assert change(devices, "add", bond(5, "other")) == (["device"], [])
    assert devices.traced().all == {(1, 5)}


def test_a_second_device_of_that_name_is_traced_as_well(devices):
    assert change(devices, "add", bond(8, netns=2)) == (["device"], [])
    assert devices.traced().all == {(1, 5), (2, 8)}
    assert change(devices, "remove", bond(8, netns=2)) == (["device-gone"], [])


def test_a_device_of_a_namespace_that_is_not_traced_is_known_only(devices):
    change(devices, "add", bond(8, netns=3))

    assert devices.traced().all == {(1, 5)} and (3, 8) in devices.known


def test_without_names_all_of_the_traced_namespaces_are_traced():
    devices = DeviceFollower((), (1,), [bond(5), bond(6, "bond1"), bond(7, netns=3)])

    assert devices.traced().all == {(1, 5), (1, 6)}


def test_what_is_as_it_was_makes_no_event(devices):
    assert devices.take(Change("add", bond(5)), 7) == []


def test_a_namespace_that_only_a_reading_knows_is_kept_over_notifications():
    # given a macvlan on a device of another namespace, which a notification does not name
    macvlan = Device(1, 6, "mv0", "macvlan", link=4, link_netnsid=0, link_netns=3)
    devices = DeviceFollower((), (1,), [macvlan])

    [event] = devices.take(Change("add", Device(1, 6, "mv1", "macvlan", link=4, link_netnsid=0)), 7)

    assert (event["device"]["name"], event["device"]["link_netns"]) == ("mv1", 3)


def test_without_names_what_is_above_the_traced_namespaces_elsewhere_is_traced_too():
    vlan = Device(3, 7, "bond0.7", "vlan", link=5, link_netnsid=0, link_netns=1)
    wireguard = Device(3, 8, "wg0", "wireguard", underlay=((1, 5),))
    beside = Device(3, 9, "eth0", "ether")
    devices = DeviceFollower((), (1,), [bond(5), vlan, wireguard, beside])

    traced = devices.traced()

    assert traced.above == traced.all == {(1, 5), (3, 7), (3, 8)} and traced.below == {(1, 5)}
    assert devices.unheard() == {3} and devices.carries((3, 7)) and not devices.carries((3, 9))


def test_what_is_below_in_another_namespace_is_traced_only_for_a_name():
    macvlan = Device(1, 6, "mv0", "macvlan", link=5, link_netnsid=0, link_netns=3)
    there = [bond(5, netns=3), Device(3, 2, "eth0", "ether", master=5)]

    assert DeviceFollower((), (1,), [macvlan, *there]).traced().all == {(1, 6)}
    assert DeviceFollower(("mv0",), (1,), [macvlan, *there]).traced().all == {(1, 6), (3, 5), (3, 2)}


def test_a_reading_has_what_a_notification_lacks_and_the_underlay_is_kept_by_both():
    # given a tunnel that a notification told of
    tunnel = Device(1, 6, "gre1", "gre", link_netnsid=0)
    devices = DeviceFollower((), (1,), [tunnel])

    read = devices.take_all(1, [replace(tunnel, link_netns=3)], 7)
    under = devices.take_underlays({(1, 6): ((3, 4),), (1, 99): ((3, 4),)}, 8)
    again = devices.take_underlays({(1, 6): ((3, 4),)}, 9)
    told = devices.take(Change("add", replace(tunnel, up=True)), 10)

    assert [one["device"]["link_netns"] for one in read] == [3] and again == []
    assert [(one["device"]["link_netns"], one["device"]["underlay"]) for one in under + told] == [(3, ((3, 4),))] * 2
    assert devices.tunnels() == [replace(tunnel, up=True, link_netns=3, underlay=((3, 4),))]
    devices.take(Change("add", tunnel), 11)
    assert devices.tunnels() == []


def test_another_device_with_the_same_number_inherits_nothing():
    devices = DeviceFollower((), (1,), [Device(1, 6, "gre1", "gre", underlay=((3, 4),))])

    [event] = devices.take(Change("add", Device(1, 6, "wg0", "wireguard")), 7)

    assert event["device"]["underlay"] == ()


def test_after_a_loss_what_is_there_is_compared_with_what_was_known(devices):
    change(devices, "add", bond(6, "bond1"))

    events = devices.take_all(1, [bond(5), bond(7, "bond2")], 8)

    told = [(one["kind"], one.get("ifindex") or one["device"]["ifindex"], one["time_ns"]) for one in events]
    assert told == [("device-gone", 6, 8), ("device", 7, 8)]


def test_a_namespace_is_let_go_with_its_devices(devices):
    change(devices, "add", bond(8, netns=2))

    [event] = devices.let_go(2, 9)

    assert (event["kind"], event["netns"], event["ifindex"]) == ("device-gone", 2, 8)
    change(devices, "add", bond(8, netns=2))
    assert devices.traced().all == {(1, 5)}


@pytest.mark.parametrize(
    ("master", "expected"), [(None, set()), (4, {"bond_handle_frame"}), (6, {"br_handle_frame"}), (99, set())]
)
def test_the_rx_handlers_in_use_are_those_of_the_masters(master, expected):
    eth0 = Device(1, 2, "eth0", "ether", master=master)
    devices = DeviceFollower((), (1,), [eth0, Device(1, 4, "bond0", "bond"), Device(1, 6, "br0", "bridge")])

    assert devices.handlers({(1, 2), (1, 77)}) == expected
