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
from bondtrace.model import Process, Tap
from build import DEVICES, ON_ETH0, TAPS, THERE


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_a_device_survives_its_event_as_json(device):
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


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {"netns": 1, "ifindex": 2, "name": "eth0"},
        {"netns": 1, "ifindex": 2, "name": "eth0", "kind": 7},
        {"netns": "1", "ifindex": 2, "name": "eth0", "kind": "ether"},
        {"netns": 1, "ifindex": True, "name": "eth0", "kind": "ether"},
    ],
)
def test_a_device_that_holds_what_it_should_not_is_refused(values):
    with pytest.raises(ValueError, match=r"belongs|without|as '"):
        read_device(values)


def test_a_process_without_a_name_is_refused():
    values = {"inode": 7, "netns": 1, "ifindex": 2, "protocol": 3, "kind": "raw", "processes": [{"pid": 1}]}

    with pytest.raises(ValueError, match="a process without 'comm'"):
        read_tap(values)


def test_a_stage_has_texts_for_all_that_outputs_show():
    assert read_stage({"name": "drops", "missing": None}) == {
        "name": "drops",
        "missing": "",
        "tells": "",
        "without": "",
    }
    with pytest.raises(ValueError, match="where a text belongs"):
        read_stage({"name": 7})


@pytest.mark.parametrize("time_ns", [-1, 1 << 63, "5", 1.5, True, None])
def test_a_time_that_is_none_is_refused(time_ns):
    with pytest.raises(ValueError, match="belongs"):
        event_time_ns({"time_ns": time_ns})


def test_an_event_without_a_time_is_of_the_begin():
    assert (event_time_ns({}), wall_offset_ns({}), wall_offset_ns({"wall_offset_ns": -5})) == (0, 0, -5)


def test_texts_of_an_event_become_printable_however_deep():
    assert checked({"kind": "note\n", "x": [{"\x1b": "\x9b"}]}) == {"kind": "note\\x0a", "x": [{"\\x1b": "\\xc2\\x9b"}]}


def test_an_event_that_is_nested_too_deep_is_refused():
    event = {"kind": "note"}
    for _ in range(9):
        event = {"kind": "note", "in": event}

    with pytest.raises(ValueError, match="nested too deep"):
        checked(event)
