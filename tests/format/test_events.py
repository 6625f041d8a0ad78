# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: made, written as JSON, and read again by somebody who trusts nothing of them."""

import json
from dataclasses import replace

import pytest

from bondtrace.format.events import (
    checked,
    device_event,
    event_time_ns,
    ip_settings_event,
    read_device,
    read_ip_settings,
    read_socket,
    read_stage,
    read_tap,
    socket_event,
    tap_event,
    wall_offset_ns,
)
from bondtrace.model import Device, IpSettings, Process, Socket, Tap
from build import DEVICES, ON_5354, ON_ETH0, SOCKETS, TAPS, THERE


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_a_device_survives_its_event_as_json(device):
    device = replace(device, underlay=((THERE, 4), (THERE, 1 << 31)))
    event = json.loads(json.dumps(device_event(5, device)))

    assert (event["kind"], event["time_ns"], read_device(event["device"])) == ("device", 5, device)


@pytest.mark.parametrize(
    "one",
    [
        *TAPS.values(),
        replace(TAPS[ON_ETH0], processes=(Process(1, "init", "/sbin/init"), Process(9, "\udcff", "a b"))),
        Tap(5, THERE, -1, 0, "packet"),
    ],
)
def test_a_tap_survives_its_event_as_json(one):
    event = json.loads(json.dumps(tap_event(5, one)))

    assert (event["kind"], event["time_ns"], read_tap(event["tap"])) == ("tap", 5, one)


@pytest.mark.parametrize(
    "one",
    [
        *SOCKETS.values(),
        replace(SOCKETS[ON_5354], processes=(Process(1, "init", "/sbin/init"), Process(9, "\udcff", "a b"))),
        Socket((1 << 32) - 1, THERE, 10, 1, 6, "fe80::1", 65535, "::ffff:10.9.0.1", 1, 4, (1 << 32) - 1),
    ],
)
def test_a_socket_survives_its_event_as_json(one):
    event = json.loads(json.dumps(socket_event(5, one)))

    assert (event["kind"], event["time_ns"], read_socket(event["socket"])) == ("socket", 5, one)


def test_settings_of_ip_survive_their_event_as_json():
    one = IpSettings(THERE, 4, ("10.9.0.2", "fe80::1"), (("rp_filter", 0, 1), ("arp_ignore", 2, 0)))
    event = json.loads(json.dumps(ip_settings_event(5, one)))

    assert (event["kind"], event["time_ns"], read_ip_settings(event["ip_settings"])) == ("ip-settings", 5, one)


def test_times_of_a_tap_are_there_where_they_are_known():
    tap = TAPS[ON_ETH0]

    assert set(tap_event(5, tap)) == {"kind", "time_ns", "tap"}
    assert tap_event(5, tap, not_before_ns=3, read_ns=4).items() >= {"not_before_ns": 3, "read_ns": 4}.items()


DEVICE = {"netns": 1, "ifindex": 2, "name": "eth0", "kind": "ether"}
TAP = {"inode": 7, "netns": 1, "ifindex": 2, "protocol": 3, "kind": "raw"}
SOCKET = {"inode": 7, "netns": 1, "family": 2, "type": 2, "protocol": 17}
PROCESS = {"pid": 1, "comm": "x", "cmdline": "x -y"}


@pytest.mark.parametrize(
    "take, value, why",
    [
        (event_time_ns, {"time_ns": -1}, "-1 instead of a whole number from 0 up"),
        (wall_offset_ns, {"wall_offset_ns": 1 << 63}, "a number of more than 64 bits instead of a difference of times"),
        (checked, {"a": 1.5}, "1.5 instead of a whole number of 64 bits"),
        (checked, {"a": [[[[[[[[]]]]]]]]}, "it is nested too deep"),
        (read_device, {**DEVICE, "name": 7}, "7 as 'name' of a device"),
        (read_device, {"netns": 1, "ifindex": 2, "kind": "x"}, "a device without 'name'"),
        (read_tap, {**TAP, "processes": [{"pid": 1}]}, "a process without 'comm'"),
        (read_tap, {**TAP, "processes": 5}, "5 instead of a list"),
        (read_tap, {**TAP, "running": 1}, "1 as 'running' of a tap"),
        *(
            (read_socket, {key: value for key, value in SOCKET.items() if key != name}, f"a socket without {name!r}")
            for name in SOCKET
        ),
        (read_socket, {**SOCKET, "inode": "7"}, "'7' as 'inode' of a socket"),
        (read_socket, {**SOCKET, "port": True}, "True as 'port' of a socket"),
        (read_socket, {**SOCKET, "uid": "root"}, "'root' as 'uid' of a socket"),
        (read_socket, {**SOCKET, "address": None}, "None as 'address' of a socket"),
        (read_socket, {**SOCKET, "processes": {}}, "an object instead of a list"),
        (read_socket, {**SOCKET, "processes": [{"pid": "1", "comm": "", "cmdline": ""}]}, "'1' as 'pid' of a process"),
        (read_socket, [], "a list instead of an object"),
        (read_ip_settings, {"netns": 1}, "None instead of a whole number from 0 up"),
        (read_ip_settings, {"netns": 1, "ifindex": 2, "addresses": [4]}, "4 instead of a text"),
        (read_ip_settings, {"netns": 1, "ifindex": 2, "settings": [["rp_filter", 1]]}, "a list as a setting"),
        (read_ip_settings, {"netns": 1, "ifindex": 2, "settings": [[1, 1, 1]]}, "1 instead of a text"),
        (read_stage, {"missing": "x"}, "None instead of a text"),
        (read_device, None, "None instead of an object"),
        (read_device, {**DEVICE, "ifindex": True}, "True as 'ifindex' of a device"),
        (read_device, {**DEVICE, "underlay": 5}, "5 instead of a list"),
        (read_device, {**DEVICE, "underlay": [5]}, "5 instead of a list"),
        (read_device, {**DEVICE, "underlay": [[1, 2], [3]]}, "a list as a device"),
        (read_device, {**DEVICE, "underlay": [[1, "x"]]}, "'x' instead of a whole number from 0 up"),
    ],
)
def test_what_is_of_another_type_is_refused(take, value, why):
    with pytest.raises(ValueError) as caught:
        take(value)
    assert str(caught.value) == why


def test_what_an_event_does_not_say_is_nothing():
    assert (event_time_ns({}), wall_offset_ns({})) == (0, 0)
    assert read_stage({"name": "rx"}) == {"name": "rx", "missing": "", "tells": "", "without": ""}


def test_every_text_of_an_event_is_printable_and_its_numbers_are_kept():
    given = {"k\n": ["\x1b", ("a", {"b\r": -(1 << 63)})], "yes": True, "none": None}
    assert checked(given) == {"k\\x0a": ["\\x1b", ["a", {"b\\x0d": -(1 << 63)}]], "yes": True, "none": None}


def test_devices_and_taps_are_those_of_the_model_whatever_a_newer_writer_adds():
    assert read_device({**DEVICE, "newer": 1}) == Device(1, 2, "eth0", "ether")
    assert read_tap({**TAP, "newer": 1, "processes": [{**PROCESS, "newer": 1}], "drops": None}) == Tap(
        7, 1, 2, 3, "raw", processes=(Process(1, "x", "x -y"),)
    )
    assert read_socket({**SOCKET, "newer": 1, "uid": None, "processes": [{**PROCESS, "newer": 1}]}) == Socket(
        7, 1, 2, 2, 17, processes=(Process(1, "x", "x -y"),)
    )
