# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile recordings: what fuzzing has found, and some hundred alterations of a seed. `make fuzz` looks for more."""

import random
from dataclasses import replace
from pathlib import Path

import fuzzing
import numpy as np
import pytest

from bondtrace.errors import BondtraceError
from bondtrace.format.events import device_event, socket_event
from bondtrace.format.recording import Recording
from bondtrace.format.trace_set import gather
from bondtrace.format.wire import Passes
from bondtrace.model import Device
from bondtrace.pipeline import Pipeline
from build import (
    BEGIN_NS,
    HERE,
    ON_5354,
    ON_ANY,
    ON_ETH0,
    SOCKETS,
    TAPS,
    both,
    events,
    given,
    hook,
    late,
    received,
    record,
    rx,
    start,
    tap,
)

CORPUS = sorted((Path(__file__).parent / "data" / "hostile").iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.arrows"


def test_the_sound_recording_is_read_by_everything(path):
    """Else the alterations of it would show nothing."""
    for choice in (4, fuzzing.BEYOND_IP):
        path.write_bytes(fuzzing.recording_of(bytes([choice])))
        for reads in (fuzzing._told, fuzzing._counted, fuzzing._as_library, fuzzing._gathered):
            reads(path)


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: one.name)
def test_what_was_found_is_answered(path, one):
    path.write_bytes(fuzzing.recording_of(one.read_bytes()))
    fuzzing.read_all(path)


@pytest.mark.parametrize("seed", range(10))
def test_altered_recordings_are_answered(path, seed):
    chance = random.Random(seed)
    for _ in range(20):
        program = bytes([chance.randrange(1, 8)]) + chance.randbytes(chance.randrange(4, 60))
        path.write_bytes(fuzzing.recording_of(program))
        fuzzing.read_all(path)


def refusal(path):
    """Why it is refused."""
    with pytest.raises(BondtraceError) as caught:
        Pipeline().run(Recording(path).batches())
    why = str(caught.value).removeprefix(f"{path} is not a bondtrace recording: ").partition("; `bondtrace record")[0]
    return why.removeprefix("the recording is damaged: ")


@pytest.mark.parametrize(
    "event, why",
    [
        (
            {"kind": "note", "time_ns": 1 << 63, "text": ""},
            "an event's time is a number of more than 64 bits instead of a whole number from 0 up",
        ),
        ({"kind": "note", "time_ns": -1, "text": ""}, "an event's time is -1 instead of a whole number from 0 up"),
        ({"kind": "note", "time_ns": 1, "text": ["x"]}, "an event 'note' is malformed (a list instead of a text)"),
        (
            start(wall_offset_ns=1 << 70),
            "an event 'start' is malformed (a number of more than 64 bits instead of a whole number of 64 bits)",
        ),
        (start(stages=[{"missing": "x"}]), "an event 'start' is malformed (None instead of a text)"),
        (start(handlers="bond_handle_frame"), "an event 'start' is malformed ('bond_handle_frame' instead of a list)"),
        (
            {"kind": "device", "time_ns": 1, "device": {"netns": 1, "ifindex": 1, "name": 7, "kind": "x"}},
            "an event 'device' is malformed (7 as 'name' of a device)",
        ),
        (
            {"kind": "device", "time_ns": 1, "device": {"netns": 1, "ifindex": True, "name": "x", "kind": "x"}},
            "an event 'device' is malformed (True as 'ifindex' of a device)",
        ),
        (
            {"kind": "device", "time_ns": 1, "device": {"netns": 1}},
            "an event 'device' is malformed (a device without 'ifindex')",
        ),
        (
            {"kind": "tap", "time_ns": 1, "tap": {"processes": [None]}},
            "an event 'tap' is malformed (None instead of an object)",
        ),
        (
            {"kind": "socket", "time_ns": 1, "socket": {"inode": 7, "netns": 1}},
            "an event 'socket' is malformed (a socket without 'family')",
        ),
        (
            {"kind": "socket", "time_ns": 1, "socket": {"processes": [None]}},
            "an event 'socket' is malformed (None instead of an object)",
        ),
        (
            socket_event(1, replace(SOCKETS[ON_5354], inode=1 << 64)),
            "an event 'socket' is malformed (a number of more than 64 bits instead of a whole number of 64 bits)",
        ),
        ({"kind": "socket", "time_ns": 1}, "an event 'socket' is malformed (None instead of an object)"),
        (
            {"kind": "route", "time_ns": 1, "netns": 1, "address": 5, "devices": []},
            "an event 'route' is malformed (5 instead of a text)",
        ),
        (
            {"kind": "route", "time_ns": 1, "netns": 1, "address": "x", "devices": [-1]},
            "an event 'route' is malformed (-1 instead of a whole number from 0 up)",
        ),
        (
            {"kind": "ip-settings", "time_ns": 1, "ip_settings": {"netns": 1, "ifindex": 1, "settings": [[]]}},
            "an event 'ip-settings' is malformed (a list as a setting)",
        ),
        (
            {"kind": "losses", "time_ns": 1, "counters": {"lost": [1.5]}},
            "an event 'losses' is malformed (1.5 instead of a whole number of 64 bits)",
        ),
        (
            {"kind": "tap-gone", "time_ns": 1, "inode": {}},
            "an event 'tap-gone' is malformed (an object instead of a whole number from 0 up)",
        ),
        (
            {"kind": "note", "time_ns": 1, "text": "x", "more": [[[[[[[[[1]]]]]]]]]},
            "an event 'note' is malformed (it is nested too deep)",
        ),
    ],
)
def test_events_of_other_types_are_refused(path, event, why):
    record(path, (received(), [start(), event]))
    assert refusal(path) == why


def test_a_pass_at_an_impossible_time_is_refused(path):
    """It once asked for 671 TiB (the report's bins)."""
    late = received()
    late.records["time_ns"] = (1 << 64) - 1
    record(path, (late, events()))
    assert refusal(path) == "a batch is malformed (a pass at an impossible time)"


@pytest.mark.parametrize("without", [late("bond0"), hook(ON_ETH0, True)])
def test_a_step_alone_may_be_missing(path, without):
    """Perfetto's tracks, the reasons and the hooks looked at the first step of each."""
    record(path, (both(received(), Passes(without.records, without.steps[:0], np.zeros(2, np.int64))), events()))
    fuzzing.read_all(path)
    pipeline = Pipeline()
    pipeline.run(Recording(path).batches())
    assert [one.hooks for one in pipeline.scene.taps.values()] == [[]] * len(TAPS)
    assert pipeline.summary.journeys >= 1


def test_parts_with_numbers_far_apart_take_no_memory(tmp_path):
    """It once listed every number between them."""
    paths = [
        record(tmp_path / f"{number}.arrows", (received(), [start(trace="x", part=number)]))
        for number in (1, (1 << 63) - 1)
    ]

    [trace] = gather(tuple(paths))

    assert trace.missing == [(2, (1 << 63) - 2)]
    assert trace.missing_words == f"{(1 << 63) - 3} parts between these are missing, the first of them part 2"


def test_devices_that_are_one_anothers_masters(path):
    circle = [
        device_event(BEGIN_NS, Device(HERE, 100 + n, f"v{n}", "vlan", link=100 + (n + 1) % 50, master=100 + n))
        for n in range(50)
    ]
    taps = [replace(TAPS[ON_ETH0], inode=7000 + n, ifindex=100 + n) for n in range(50)]
    record(path, (rx("eth0", tap(ON_ANY)), [*events(taps={one.inode: one for one in taps}), *circle]))
    fuzzing.read_all(path)


def test_the_work_on_many_hooks_grows_with_their_number_and_not_with_its_square(path):
    """Counted, not timed: the hooks that are looked at for each packet."""

    def looked_at(count):
        many = hook(ON_ETH0, True).take(np.zeros(count, int))
        many.records["time_ns"] = BEGIN_NS + np.arange(count, dtype=np.uint64)[::-1] * 3000
        pipeline = Pipeline()
        record(path, (both(many), events()), force=path.exists())
        pipeline.run(Recording(path).batches())
        history = pipeline.scene.taps[ON_ETH0]
        looks = history.hooks = Looks(history.hooks)
        list(pipeline.scene.taps_at(BEGIN_NS + count * 1500))
        return looks.count

    assert looked_at(4000) <= looked_at(250) + 8


class Looks(list):
    """A list that counts how often it is asked."""

    count = 0

    def __getitem__(self, place):
        self.count += 1 if not isinstance(place, slice) else len(range(*place.indices(len(self))))
        return super().__getitem__(place)

    def __iter__(self):
        self.count += len(self)
        return super().__iter__()


def test_a_socket_that_is_told_of_many_times_takes_neither_memory_nor_time_without_end(path):
    told = [socket_event(BEGIN_NS + n, replace(SOCKETS[ON_5354], port=n)) for n in range(5000)]
    pipeline = Pipeline()
    record(path, (rx("eth0", given(ON_5354)), [*events(), *told, socket_event(1, SOCKETS[ON_5354])]))
    pipeline.run(Recording(path).batches())

    times_ns, states = pipeline.scene.sockets._states[ON_5354]
    assert len(times_ns) == len(states) < 100 and pipeline.scene.sockets.at(ON_5354, 1 << 62).port == 4999


def test_what_unpacks_to_more_than_a_batch_may_hold_is_refused(path):
    """Zeros pack to nothing: the size is known before memory is taken."""
    many = rx("eth0", tap(ON_ANY)).take(np.zeros(1_000_000, int))
    path.write_bytes(fuzzing.schema_message(fuzzing.SCHEMA) + fuzzing.encode(many, []))

    assert refusal(path).startswith("a batch is malformed (a buffer of ")
    assert path.stat().st_size < 8_000_000
