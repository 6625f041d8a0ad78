# SPDX-License-Identifier: GPL-2.0-or-later
"""When the taps are read: by a clock that the tests turn."""

import numpy as np
import pytest

from bondtrace.capture.live.tap_readings import EVERY_NS, Schedule
from build import ON_ANY, ON_BOND0, ON_ETH0, both, hook, received

SECOND = 10**9
KNOWN = {ON_ETH0, ON_BOND0, ON_ANY}


@pytest.fixture
def schedule():
    """A schedule whose first reading took 10 ms, and ended at 1 s."""
    one = Schedule()
    one.begin(SECOND - 10_000_000)
    one.end(SECOND, KNOWN)
    return one


def read(schedule, begun_ns, took_ns, known=KNOWN):
    """A reading: when it ended, and when the one before it had begun."""
    before_ns = schedule.begin(begun_ns)
    schedule.end(begun_ns + took_ns, known)
    return begun_ns + took_ns, before_ns


def test_the_first_reading_is_due_at_once():
    assert Schedule().is_due(0)


def test_taps_are_read_twice_a_second(schedule):
    assert not schedule.is_due(SECOND + EVERY_NS - 1)
    assert schedule.is_due(SECOND + EVERY_NS)


def test_a_reading_knows_when_the_one_before_began(schedule):
    assert read(schedule, 2 * SECOND, 10)[1] == SECOND - 10_000_000


@pytest.mark.parametrize("passes", [hook(ON_ETH0, True), hook(ON_ETH0, False), received()], ids=["in", "out", "given"])
def test_a_hook_and_a_tap_that_is_not_known_are_a_reason_to_read_at_once(schedule, passes):
    schedule.notice(passes, known=())

    assert schedule.is_due(SECOND)


def test_packets_of_known_taps_are_no_reason(schedule):
    schedule.notice(received(), KNOWN)

    assert not schedule.is_due(SECOND)


def test_a_socket_that_is_being_closed_has_no_number_to_look_for(schedule):
    passes = received()
    passes.steps["arg"] = 0

    schedule.notice(passes, KNOWN)

    assert not schedule.is_due(SECOND)


def test_a_tap_that_no_list_shows_is_looked_for_once(schedule):
    schedule.notice(received(), KNOWN - {ON_ETH0})
    assert schedule.unknown == {ON_ETH0}
    ended_ns, _ = read(schedule, SECOND, 10, KNOWN - {ON_ETH0})

    schedule.notice(received(), KNOWN - {ON_ETH0})

    assert schedule.unknown == set() and not schedule.is_due(ended_ns)


def test_a_long_reading_takes_a_tenth_of_the_time_where_nothing_is_wanted(schedule):
    ended_ns, _ = read(schedule, 2 * SECOND, SECOND)

    assert not schedule.is_due(ended_ns + 10 * SECOND - 1) and schedule.is_due(ended_ns + 10 * SECOND)


def test_what_is_wanted_without_end_takes_half_of_the_time_beyond_a_credit(schedule):
    # given readings that take a second each, and something hooked in all the time
    now_ns, begun = SECOND, []
    while now_ns < 101 * SECOND:
        schedule.notice(hook(ON_ETH0, True), KNOWN)
        if schedule.is_due(now_ns):
            begun.append(now_ns)
            now_ns, _ = read(schedule, now_ns, SECOND)
        now_ns += 20_000_000

    # then a few are made at once to begin with, and later half of the time is spent
    assert 50 <= len(begun) <= 54
    pauses_s = np.diff(begun) / SECOND - 1
    assert (pauses_s[:2] < 0.05).all() and (pauses_s[5:] > 0.9).all()


def test_what_was_put_off_may_be_had_at_once(schedule):
    schedule.notice(hook(ON_ETH0, True), KNOWN)
    ended_ns, _ = read(schedule, SECOND, 10 * SECOND)
    schedule.notice(hook(ON_ETH0, True), KNOWN)

    assert not schedule.is_due(ended_ns) and schedule.is_due(ended_ns, at_once=True)


def test_nothing_is_read_at_once_that_is_not_wanted(schedule):
    assert not schedule.is_due(SECOND, at_once=True)


def test_what_was_put_off_is_looked_for_later_though_nothing_more_passes(schedule):
    schedule.notice(hook(ON_ETH0, True), KNOWN)
    ended_ns, _ = read(schedule, SECOND, 10 * SECOND)
    schedule.notice(received(), ())

    due = [schedule.is_due(ended_ns + seconds * SECOND) for seconds in (3, 6, 9)]
    assert due == [False, False, True]


def test_a_process_that_stood_still_during_a_reading_reads_again_soon(schedule):
    # given a reading in which this process was stopped for ten minutes
    schedule.notice(hook(ON_ETH0, True), KNOWN)
    ended_ns, _ = read(schedule, SECOND, 600 * SECOND)

    schedule.notice(both(hook(ON_ETH0, True), received()), KNOWN)

    assert schedule.is_due(ended_ns + 8 * SECOND)
