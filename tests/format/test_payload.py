# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets' bytes in memory: those of the events, bounded, whatever the events say."""

import pytest

from bondtrace.format.payload import PACKETS_AN_EVENT, Payloads, bytes_events


def test_what_goes_into_events_comes_out():
    packets = [
        (number % 3, number, bytes([number % 256]) * (number % 90)) for number in range(PACKETS_AN_EVENT * 2 + 1)
    ]
    events = bytes_events(7, packets)
    assert [len(event["packets"]) for event in events] == [PACKETS_AN_EVENT, PACKETS_AN_EVENT, 1]
    contents = Payloads()
    contents.take([{"kind": "note", "packets": [[9, 9, "AA=="]]}, *events])
    assert dict(contents) == {(cpu, seq): data for cpu, seq, data in packets}


def test_of_too_many_the_oldest_are_forgotten():
    contents = Payloads(bytes_max=1000)
    for seq in range(50):
        contents.take(bytes_events(0, [(0, seq, bytes(100))]))
        contents.take(bytes_events(0, [(0, seq, bytes(100))]))  # told again: counted once
    assert list(contents) == [(0, seq) for seq in range(40, 50)]


@pytest.mark.parametrize(
    "packets",
    [
        None,
        7,
        "text",
        {"a": 1},
        [7],
        [[1, 2]],
        [["x", 2, "AA=="]],
        [[1, 2, 3]],
        [[1, 2, "A"]],
        [[1, float("inf"), "AA=="]],
        [[1, 2, "\u20ac"]],
        [None],
        [[[], {}, "AA=="]],
    ],
)
def test_what_does_not_hold_together_is_passed_over(packets):
    contents = Payloads()
    contents.take([{"kind": "bytes", "time_ns": 0, "packets": packets}, *bytes_events(0, [(1, 2, b"ok")])])
    assert dict(contents) == {(1, 2): b"ok"}
