# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a live trace is told, and what it traces follows; without a kernel that traces."""

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from bondtrace.capture.host.devices import Change
from bondtrace.capture.host.namespaces import Namespace
from bondtrace.capture.host.taps import compare
from bondtrace.capture.kernel.plan import Stage
from bondtrace.format.wire import EMPTY
from bondtrace.model import Device
from build import ON_BOND0, ON_ETH0, TAPS, both, hook, received, sent

live = import_module("bondtrace.capture.live.source")

HERE, THERE = Namespace(1, "", "/proc/self/ns/net"), Namespace(2, "blue", "/no/such/path")


def bond(ifindex, name="bond0", netns=1):
    return Device(netns, ifindex, name, kind="bond")


@pytest.fixture
def source(monkeypatch):
    """A trace of bond0 (ifindex 5) in two namespaces; ``said`` is what it told, ``traced`` the devices it traces."""
    monkeypatch.setattr(live.capabilities, "require_rights", lambda: None)
    monkeypatch.setattr(live, "resolve", {"here": HERE, "blue": THERE}.get)
    said = []
    one = live.LiveSource(("bond0",), ("here", "blue"), tell=said.append)
    one.said, one.attached, one.traced = said, [], set()

    def attach_handler(function):
        one.attached.append(function)
        return Stage(function, "its verdicts", "", ())

    one._tracer = SimpleNamespace(
        attach_handler=attach_handler, set_devices=lambda keys: one.__dict__.update(traced=keys.all)
    )
    one._watcher = SimpleNamespace(know=lambda devices: None)
    one._monitors = {2: SimpleNamespace(close=lambda: one.__dict__.update(closed=True))}
    one._tried = {"bond_handle_frame"}
    one._modules, one._module_names = {"bond_handle_frame": 10}, {"bond_handle_frame": "bonding"}
    monkeypatch.setattr(live, "_loading_of", lambda module: one.__dict__.get("loading", 10))
    change(one, "add", bond(5))
    return one


def change(source, what, device):
    source._take(Change(what, device), 7)
    source._retrace(7)


def notes(source):
    return [event["text"] for event in source._events if event["kind"] == "note"]


def test_a_bond_that_is_made_again_is_traced_and_both_is_told(source):
    assert (source.traced, source.said) == ({(1, 5)}, [])
    change(source, "remove", bond(5))
    assert source.traced == set()
    change(source, "add", bond(9))
    assert source.traced == {(1, 9)}
    assert (
        source.said
        == notes(source)
        == ["bond0 is gone; one of that name will be traced once it is there", "bond0 is there again"]
    )
    assert source.attached == []


def test_a_bond_that_was_made_again_between_two_looks_is_told_all_the_same(source):
    source._monitors = {1: SimpleNamespace(read=lambda: [Change("remove", bond(5)), Change("add", bond(9))])}
    source._follow_devices()
    assert source.traced == {(1, 9)}
    assert source.said == ["bond0 is gone; one of that name will be traced once it is there", "bond0 is there again"]


def test_what_ended_before_an_event_is_of_the_same_batch_however_long_it_took_to_learn_of_it(source):
    # given that the second pass of a packet ends while taps are being looked at
    whole = sent()
    waiting = [whole.take(np.array([place])) for place in (0, 1, 0)]
    source._drain = lambda whole: waiting.pop(0)
    source._monitors, source._tracer.counters = {}, lambda: {}
    source._follow_functions = source._follow_clock = lambda *_: None
    source._follow_taps = lambda time_ns, at_once: (
        not source._events and not source._events.append({"kind": "tap-gone", "time_ns": 10**9})
    )
    source._events = []
    assert source._batch(7).passes.records["ifindex"].tolist() == whole.records["ifindex"].tolist()
    # and that nothing happened: then the ring is read once
    source._follow_taps = lambda *_, at_once: False
    assert len(source._batch(8).passes) == 1 and waiting == []


@pytest.fixture
def looking(source, monkeypatch):
    """The same, that reads taps: ``there`` are those of the host, and a reading takes ``takes_s`` and tells its time in
    ``looks``; ``came`` are the passes that wait in the ring, read by read."""
    clock = SimpleNamespace(now_ns=1_000 * 10**9)
    source.clock, source.looks, source.there, source.takes_s, source.came = clock, [], {}, 0.01, []
    monkeypatch.setattr(live, "now_ns", lambda: clock.now_ns)
    monkeypatch.setattr(live, "with_all_options", list)

    def refresh(previous):
        source.looks.append(clock.now_ns)
        clock.now_ns += int(source.takes_s * 1e9)
        source._watcher.read_ns = source.looks[-1], clock.now_ns
        return compare(previous, dict(source.there))

    source._watcher.refresh = refresh
    source._drain = lambda whole: source.came.pop(0) if source.came else EMPTY
    source._monitors, source._tracer.counters = {}, lambda: {}
    source._follow_functions = source._follow_clock = source._follow_namespaces = lambda *_: None
    source._next_losses_ns = 2**63
    source._events = []
    source._batch(clock.now_ns)
    return source


def batch(source, after_s, final=False):
    """The events of taps of the next batch, so long after the last."""
    source.clock.now_ns += int(after_s * 1e9)
    source._ending = final
    return [event for event in source._batch(source.clock.now_ns).events if event["kind"].startswith("tap")]


def test_a_tap_that_was_hooked_in_while_the_taps_were_read_is_read_again_at_once(looking):
    # given a reading, because a tap was hooked in, during which another one is, that it tells as it was before
    looking.there = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: replace(TAPS[ON_BOND0], protocol=0, running=False)}

    def ring(whole):
        looking.there[ON_BOND0] = TAPS[ON_BOND0] if len(looking.looks) == 2 else looking.there[ON_BOND0]
        return {1: hook(ON_ETH0, True), 2: hook(ON_BOND0, True)}.get(len(looking.looks), EMPTY)

    looking._drain = ring
    told = batch(looking, 0.02)

    # then the same batch tells it as it is, and when the readings began and ended
    assert [(event["tap"]["inode"], event["tap"]["protocol"]) for event in told] == [
        (ON_ETH0, 3),
        (ON_BOND0, 0),
        (ON_BOND0, 3),
    ]
    assert [event["read_ns"] for event in told] == [looking.looks[place] for place in (1, 1, 2)]
    assert [event["time_ns"] - event["read_ns"] for event in told] == [10_000_000] * 3
    assert batch(looking, 0.02) == [] and len(looking.looks) == 3


def test_a_tap_that_was_hooked_out_and_in_is_told_again_though_it_is_as_it_was(looking):
    looking.there = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: TAPS[ON_BOND0]}
    batch(looking, 1)
    looking.came = [both(hook(ON_ETH0, False, at=0), hook(ON_ETH0, True, at=5))]

    (event,) = batch(looking, 0.02)
    assert (event["kind"], event["tap"]["inode"], event["read_ns"]) == ("tap", ON_ETH0, looking.looks[-1])
    assert "not_before_ns" not in event


def test_taps_that_take_long_to_read_take_half_of_the_time_when_they_come_without_end(looking):
    # given readings that take a second each, and something hooked in all the time
    looking.takes_s = 1
    started_ns = looking.clock.now_ns
    while looking.clock.now_ns < started_ns + 100 * 10**9:
        looking.came = [hook(ON_ETH0, True)]
        batch(looking, 0.02)

    # then half of the time they are read, and a few times at once to begin with
    assert 50 <= len(looking.looks) <= 54
    gaps = np.diff(looking.looks[1:]) / 1e9 - 1
    assert (gaps[:2] < 0.05).all() and (gaps[5:] > 0.9).all()


def test_what_is_hooked_in_at_the_very_end_is_read_though_it_was_put_off(looking):
    looking.takes_s, looking.there = 10, {ON_ETH0: TAPS[ON_ETH0]}
    looking.came = [hook(ON_ETH0, True)]
    assert [event["tap"]["inode"] for event in batch(looking, 0.02)] == [ON_ETH0]
    looking.came = [hook(ON_ETH0, True)]
    assert batch(looking, 0.02) == []
    assert [event["tap"]["inode"] for event in batch(looking, 0.02, final=True)] == [ON_ETH0]


def test_a_tap_that_no_list_shows_is_looked_for_once(looking):
    # given a packet that a tap was given of which no list tells, again and again
    counts = []
    for _ in range(3):
        looking.came = [received()]
        batch(looking, 0.02)
        counts.append(len(looking.looks))
    assert counts == [2, 2, 2]


def test_a_tap_that_is_wanted_is_looked_for_also_where_that_was_put_off(looking):
    looking.takes_s = 10
    looking.came = [hook(ON_ETH0, True)]
    batch(looking, 0.02)
    looking.came = [received()]  # then nothing more passes
    assert [len(looking.looks) for _ in range(3) if batch(looking, 3) == []] == [2, 2, 3]


def test_somebody_who_opens_and_closes_taps_all_the_time_holds_nothing_up(looking):
    # given hooks in all that is read from the ring, which takes as long as to read the taps
    def ring(whole):
        looking.clock.now_ns += 10_000_000
        return hook(ON_ETH0, True)

    looking._drain, looking.there = ring, {ON_ETH0: TAPS[ON_ETH0]}
    before = len(looking.looks)
    batch(looking, 0.02)
    assert len(looking.looks) - before == live.READINGS_A_BATCH

    # also at the end, and where it was told to end taps are not read at all before that
    looking.stop()
    assert batch(looking, 0.02) == [] and len(looking.looks) - before == live.READINGS_A_BATCH
    batch(looking, 0.02, final=True)
    assert len(looking.looks) - before == 2 * live.READINGS_A_BATCH


def test_at_the_end_taps_are_read_once_whatever_was_put_off(looking):
    looking.takes_s = 10
    looking._drain = lambda whole: hook(ON_ETH0, True)
    batch(looking, 0.02)
    before = len(looking.looks)
    batch(looking, 0.02, final=True)
    assert len(looking.looks) == before + 1


def test_the_ring_is_read_after_all_that_happened_and_devices_are_followed_after_that(looking):
    # given a tap that is hooked in, and a device that goes while that is read
    order, looking.there = [], {ON_ETH0: TAPS[ON_ETH0]}
    looking._drain = lambda whole: order.append("drain") or (hook(ON_ETH0, True) if len(order) == 1 else EMPTY)

    def follow_devices():
        order.append("devices")
        if order.count("devices") == 2:
            looking._events.append({"kind": "device-gone", "time_ns": looking.clock.now_ns})

    looking._follow_devices = follow_devices
    batch(looking, 0.02)
    assert order == ["drain", "devices"] * 3


def test_a_tracer_that_stood_still_while_it_read_the_taps_reads_them_again_soon(looking):
    # given a reading in which this process is stopped for ten minutes
    looking.takes_s, looking.came = 600, [hook(ON_ETH0, True)]
    batch(looking, 0.02)
    looking.takes_s = 0.01
    looking.came = [hook(ON_ETH0, True)]
    batch(looking, 8)
    assert len(looking.looks) == 3


def test_once_it_ends_nothing_is_traced_any_more_whatever_happens(source):
    source._ending, source.traced = True, set()
    change(source, "add", bond(9))
    assert source.traced == set()


def test_a_rename_is_followed_and_nothing_is_gone(source):
    change(source, "add", bond(5, "other"))
    assert (source.traced, source.said) == ({(1, 5)}, [])


def test_a_module_that_was_loaded_anew_is_attached_to_again(source):
    change(source, "remove", bond(5))
    source.loading = 11
    change(source, "add", bond(6))
    assert source.attached == ["bond_handle_frame"]
    assert source.said[-1] == "module bonding was loaded anew: bond_handle_frame is attached again"


def test_a_namespace_that_nothing_keeps_is_let_go(source, monkeypatch):
    change(source, "add", bond(5, netns=2))
    monkeypatch.setattr(live, "list_namespaces", lambda: {1: HERE})
    source._watcher.namespaces = [HERE, THERE]
    source._follow_namespaces(8)
    assert (source.traced, source.closed, source._stopping) == ({(1, 5)}, True, False)
    assert source.said == [
        "network namespace blue has neither a name nor a process any more: let go; the others are traced on"
    ]
    # when the last one goes
    source._namespaces = [HERE._replace(path="/no/such/path")]
    source._monitors = {1: SimpleNamespace(close=lambda: None)}
    monkeypatch.setattr(live, "list_namespaces", dict)
    source._follow_namespaces(9)
    assert source._stopping and source.said[-1].endswith("let go; nothing is left to trace")


def test_the_time_of_day_is_told_when_it_moves(source, monkeypatch):
    source._wall_offset_ns = live.time.time_ns() - live.now_ns()
    source._follow_clock(7)
    assert source.said == []
    source._wall_offset_ns -= 3600 * 10**9
    source._follow_clock(7)
    source._follow_clock(8)
    assert [one[:33] for one in source.said] == ["the time of day moved by +3600.00"]


def test_the_time_of_day_is_read_where_nothing_came_between(monkeypatch):
    # given that this process is stopped for a second amid the first pairs of readings, and that the others take 2 µs
    steps = iter([0, 0, 10**9, 10**9, 0, 0, *[1000] * 9])
    clock = SimpleNamespace(now_ns=50)

    def reading(offset_ns):
        clock.now_ns += next(steps)
        return clock.now_ns + offset_ns

    monkeypatch.setattr(live, "now_ns", lambda: reading(0))
    monkeypatch.setattr(live.time, "time_ns", lambda: reading(7 * 10**18))
    assert live.wall_offset_ns() == 7 * 10**18


def test_many_devices_are_not_all_named(source):
    source.interfaces = ()
    for number in range(50, 65):
        change(source, "add", Device(1, number, f"dummy{number}", kind="dummy"))
    source._tracer.plan = SimpleNamespace(probes=())
    assert source.describe().endswith("dummy57, dummy58 and 6 more), 0 taps on this host")
