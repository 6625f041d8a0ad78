# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments and lengths of time, as people write them. The trace begins at 2026-11-22T12:00:00Z."""

import time

import pytest

from bondtrace.analysis.moments import moment, span_ns
from build import BEGIN_NS, scene

S = 1_000_000_000


@pytest.fixture
def zone(monkeypatch):
    """zone(name): the local time zone from now on."""

    def set_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "words, zone_name, since_begin_ns",
    [
        ("+0", "UTC", 0),
        ("+1.5", "UTC", 1_500_000_000),
        ("+10m", "UTC", 600 * S),
        ("+250us", "UTC", 250_000),
        ("12:00", "UTC", 0),
        ("12:00:01", "UTC", S),
        ("9:30", "UTC", -9000 * S),
        ("12:00:00.000000001", "UTC", 1),
        ("13:00:01", "CET-1", S),  # local time, an hour before UTC
        ("00:00", "JST-9", -21 * 3600 * S),  # midnight of the day on which it began there
        ("2026-11-22T12:00:02", "UTC", 2 * S),
        ("2026-11-22 12:00", "UTC", 0),
        ("2026-11-22T12:00:00.25Z", "JST-9", S // 4),
        ("2026-11-22T13:00:00+01:00", "JST-9", 0),
        ("2026-11-22T21:00:01", "JST-9", S),
        ("2026-11-23", "UTC", 12 * 3600 * S),
    ],
)
def test_when_it_is(zone, words, zone_name, since_begin_ns):
    zone(zone_name)
    assert moment(words).monotonic_ns(scene()) - BEGIN_NS == since_begin_ns


@pytest.mark.parametrize(
    "words", ["", "noon", "25:00", "12:60", "12", "+", "+-1", "+1w", "2026-13-01", "0001-01-01", "9999-12-31", "+1e9"]
)
def test_what_is_no_moment(words):
    with pytest.raises(ValueError, match=r"is no (time|length of time)"):
        moment(words)


@pytest.mark.parametrize(
    "words, ns",
    [("1ms", 1_000_000), ("1.5ms", 1_500_000), ("50us", 50_000), ("50µs", 50_000), ("3ns", 3), ("2", 2 * S)],
)
def test_lengths_of_time(words, ns):
    assert span_ns(words) == ns


@pytest.mark.parametrize("words", ["", "ms", "-1ms", "1 ms", "1msec", "nan", "inf", "1" * 20])
def test_what_is_no_length_of_time(words):
    with pytest.raises(ValueError, match=r"is no length of time: give one as "):
        span_ns(words)
