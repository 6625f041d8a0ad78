# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: made, written as JSON, and read again by somebody who trusts nothing of them."""

import json
from dataclasses import replace

import pytest

from bondtrace.format.events import (
    checked,
    device_event,
    event_time_ns,
    read_device,
    read_stage,
    read_tap,
    tap_event,
    wall_offset_ns,
)
from bondtrace.model import Device, Process, Tap
from build import DEVICES, ON_ETH0, TAPS, THERE


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


def test_times_of_a_tap_are_there_where_they_are_known():
    tap = TAPS[ON_ETH0]

    assert set(tap_event(5, tap)) == {"kind", "time_ns", "tap"}
    assert tap_event(5, tap, not_before_ns=3, read_ns=4).items() >= {"not_before_ns": 3, "read_ns": 4}.items()


DEVICE = {"netns": 1, "ifindex": 2, "name": "eth0", "kind": "ether"}
TAP = {"inode": 7, "netns": 1, "ifindex": 2, "protocol": 3, "kind": "raw"}
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
