# SPDX-License-Identifier: GPL-2.0-or-later
"""The clocks of a live trace."""

import time

from bondtrace.capture.live import clock
from bondtrace.capture.live.clock import Every, WallClock


def test_the_time_of_day_is_reported_when_it_moves():
    wall = WallClock(7 * 10**18)

    # when it stays, drifts a little, and is set by an hour
    assert wall.moved(7 * 10**18) is None
    assert wall.moved(7 * 10**18 + clock.STEP_NS) is None
    note = wall.moved(7 * 10**18 + 3600 * 10**9)

    # then that is said once
    assert note is not None and note.startswith("the time of day moved by +3600.000 s (")
    assert wall.moved(7 * 10**18 + 3600 * 10**9) is None
    assert wall.offset_ns == 7 * 10**18 + 3600 * 10**9


def test_the_time_of_day_may_go_back():
    assert "moved by -0.100 s" in (WallClock(10**18).moved(10**18 - 100_000_000) or "")


def test_the_time_of_day_is_read_where_nothing_came_between(monkeypatch):
    # given that this process is stopped for a second amid the first pairs of readings, and that the others take 2 µs
    steps = iter([0, 0, 10**9, 10**9, 0, 0, *[1000] * 9])
    now = [50]

    def reading(offset_ns):
        now[0] += next(steps)
        return now[0] + offset_ns

    monkeypatch.setattr(clock, "now_ns", lambda: reading(0))
    monkeypatch.setattr(time, "time_ns", lambda: reading(7 * 10**18))
    assert clock.wall_offset_ns() == 7 * 10**18


def test_a_timer_is_due_at_first_and_a_period_after_each_time():
    timer = Every(10)
    assert timer.is_due(0)

    timer.restart(5)

    assert [timer.is_due(time_ns) for time_ns in (5, 14, 15, 99)] == [False, False, True, True]
