# SPDX-License-Identifier: GPL-2.0-or-later
"""Taps are followed: what a reading finds becomes events."""

from dataclasses import replace

import pytest

from bondtrace.capture.host.taps import compare
from bondtrace.capture.live.taps import TapFollower
from build import ON_BOND0, ON_ETH0, TAPS, both, hook

READING_NS = 10_000_000


class Watcher:
    """Reads the taps in ``there``; every reading takes 10 ms of ``now_ns``."""

    def __init__(self):
        self.there, self.now_ns, self.namespaces, self.read_ns = {}, 10**12, [], (0, 0)

    def know(self, devices):
        raise AssertionError("names are for the loop")

    def refresh(self, previous):
        begun_ns = self.now_ns
        self.now_ns += READING_NS
        self.read_ns = begun_ns, self.now_ns
        return compare(previous, dict(self.there))


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def taps(watcher):
    """Taps that are followed; none was there at the start."""
    one = TapFollower(watcher, lambda: watcher.now_ns, list)
    assert one.start() == []
    return one


def test_the_taps_of_the_start_are_there_before_the_trace(watcher):
    watcher.there = {ON_ETH0: TAPS[ON_ETH0]}
    taps = TapFollower(watcher, lambda: watcher.now_ns, list)

    [event] = taps.start()

    assert (event["tap"]["inode"], event["time_ns"] - event["read_ns"]) == (ON_ETH0, READING_NS)
    assert "not_before_ns" not in event and taps.known == watcher.there


def test_a_tap_that_opened_was_not_there_when_the_reading_before_began(taps, watcher):
    before_ns = watcher.read_ns[0]
    watcher.there = {ON_ETH0: TAPS[ON_ETH0]}

    [event] = taps.read(watcher.now_ns)

    assert (event["kind"], event["tap"]["inode"], event["not_before_ns"]) == ("tap", ON_ETH0, before_ns)
    assert (event["read_ns"], event["time_ns"]) == watcher.read_ns


def test_a_tap_that_closed_and_one_that_changed(taps, watcher):
    watcher.there = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: TAPS[ON_BOND0]}
    taps.read(watcher.now_ns)
    before_ns = watcher.read_ns[0]
    watcher.there = {ON_BOND0: replace(TAPS[ON_BOND0], protocol=0)}

    changed, closed = taps.read(watcher.now_ns)

    assert (changed["kind"], changed["tap"]["inode"], changed["tap"]["protocol"]) == ("tap", ON_BOND0, 0)
    assert "not_before_ns" not in changed
    assert (closed["kind"], closed["inode"], closed["not_before_ns"]) == ("tap-gone", ON_ETH0, before_ns)


def test_a_tap_that_was_hooked_out_and_in_is_told_again_though_it_is_as_it_was(taps, watcher):
    watcher.there = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: TAPS[ON_BOND0]}
    taps.read(watcher.now_ns)
    taps.notice(both(hook(ON_ETH0, False, at=0), hook(ON_ETH0, True, at=5)))

    [event] = taps.read(watcher.now_ns)

    assert (event["tap"]["inode"], event["read_ns"]) == (ON_ETH0, watcher.read_ns[0])
    assert "not_before_ns" not in event


def test_options_are_asked_of_what_is_told(watcher):
    asked = []

    def with_options(taps):
        asked.append([tap.inode for tap in taps])
        return [replace(tap, ignore_outgoing=True) for tap in taps]

    watcher.there = {ON_ETH0: TAPS[ON_ETH0]}
    [event] = TapFollower(watcher, lambda: watcher.now_ns, with_options).start()

    assert asked == [[ON_ETH0]] and event["tap"]["ignore_outgoing"] is True
