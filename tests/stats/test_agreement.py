# SPDX-License-Identifier: GPL-2.0-or-later
"""What a capture and a recording do not agree on, and what excuses it."""

from dataclasses import replace
from pathlib import Path

import captures
import pytest

from bondtrace.capture.live.clock import WallClock
from bondtrace.format.capture_file import CaptureFile
from bondtrace.stats import held
from bondtrace.stats.agreement import Agreement, agreement, doubts, moved_clock
from bondtrace.stats.check import Check, Span, Tally
from bondtrace.stats.held import Capture, Held
from build import BEGIN_NS, ON_ANY, ON_ETH0, TAPS, WALL_NS, losses, reply, scene


def agreed(around, inode=ON_ETH0, why=(), **counts):
    path = Path("/nowhere")
    check = Check.__new__(Check)
    check.capture, check.tally = Capture(inode, (CaptureFile(path),)), Tally()
    for name, value in counts.items():
        setattr(check.tally, name, value)
    return agreement(check, around, why)


def test_losses_excuse_what_may_have_been_lost():
    lossy = scene(losses(lost=[1, 1]))

    assert agreed(lossy, untold=2) == Agreement(excused=2)
    assert agreed(lossy, untold=3) == Agreement(untold=3)
    assert agreed(lossy, ON_ANY, untold=8) == Agreement(excused=8)  # a lost record may be of several devices
    assert agreed(lossy, untold=1, missing=1) == Agreement(missing=1, excused=1)


@pytest.mark.parametrize(
    "start, missing, excused",
    [({"filter": "icmp"}, "", 5), ({"directions": ["rx"]}, "", 6), ({}, "part 2 is missing", 6)],
)
def test_what_was_not_recorded_is_excused(start, missing, excused):
    around = scene(**start)

    found = agreed(around, why=doubts(around, missing), untold=5, contradicted={"protocol": 1})

    assert (found.excused, found.untold, found.contradicted) == (excused, 0, 6 - excused)


def test_datagrams_that_a_fanout_group_put_together_are_excused():
    joining = replace(TAPS[ON_ETH0], fanout_id=7, fanout_type=0x8000)

    assert agreed(scene(taps={ON_ETH0: joining}), untold=2, missing=4) == Agreement(excused=2)
    assert not agreed(scene(), untold=2, missing=4).agrees


def test_a_time_of_day_that_was_set_is_known():
    note = {"kind": "note", "time_ns": BEGIN_NS, "text": WallClock(0).moved(10**9)}

    assert moved_clock(scene(note))
    assert not moved_clock(scene({**note, "text": "eth0 is gone"}))


def test_packets_of_one_time_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(held, "HELD_MAX", 10)
    file = CaptureFile(captures.pcap(tmp_path / "a.pcap", [(0, reply(nth)) for nth in range(25)]))
    reading = Held(Capture(ON_ETH0, (file,)))

    given_up = list(reading.read_until(WALL_NS, 0))

    assert ([len(one) for one in given_up], len(reading.side), reading.read) == ([15], 10, 25)


def test_a_check_begins_with_nothing(tmp_path):
    file = CaptureFile(captures.pcap(tmp_path / "a.pcap", []))
    check = Check(Capture(ON_ETH0, (file,)), Span(0, 1), scene())
    check.end()

    assert (check.packets, check.tally) == (0, Tally())
