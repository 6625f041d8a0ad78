# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace show`: which journeys it prints, and where."""

import json

import pytest
from shell import REPLY, bondtrace

from build import LLDP, TAPS, received, record, start, tap_event


def test_show_prints_the_journeys_of_a_recording(recording):
    done = bondtrace("show", recording)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(REPLY + "12:00:00.000030 rx eth1 #2 ARP ")
    assert [line for line in done.stdout.splitlines() if "#" in line][2].startswith("12:00:00.000060 tx bond0 #3 ICMP")


@pytest.mark.parametrize(
    "options, ids",
    [
        ((), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--rx",), [(1, "rx"), (2, "rx")]),
        (("--tx",), [(3, "tx")]),
        (("--rx", "--tx"), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--count", "2"), [(1, "rx"), (2, "rx")]),
        (("--count", "9"), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--tx", "--count", "1"), [(3, "tx")]),
    ],
)
def test_what_is_shown_can_be_chosen(recording, options, ids):
    done = bondtrace("show", recording, "--json", *options)

    assert (done.returncode, done.stderr) == (0, "")
    assert [(one["id"], one["direction"]) for one in map(json.loads, done.stdout.splitlines())] == ids


def test_taps_that_are_known_are_named_in_what_is_shown(tmp_path):
    # given a tap that only an event names
    path = record(tmp_path / "named.arrows", (received(), [start(), tap_event(start()["time_ns"], TAPS[LLDP])]))

    assert f"not seen by lldpd [{LLDP}]: " in bondtrace("show", path).stdout
