# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace show`: which journeys it prints, and where."""

import json
import signal
import subprocess
import sys
import time

import pytest
from shell import PING, REPLY, ROOT, bondtrace

from bondtrace.format.recording import Recorder
from build import LLDP, TAPS, begun, losses, received, record, sent, start, tap_event


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

    assert f"not seen by lldpd [{LLDP}]: " in bondtrace("show", "-v", path).stdout
    assert "1 other tap: " in bondtrace("show", path).stdout


def test_how_much_is_said_of_a_journey_can_be_chosen():
    quiet = bondtrace("show", PING, "--quiet", "--count", "2").stdout.splitlines()
    assert [one.partition(" bytes ")[2] for one in quiet] == [
        "(1.6 ms): seen by tcpdump -i bond0 [1389], tcpdump -i eth0 [10961]",
        "(798.0 µs): seen by tcpdump -i eth1 [10960]; not seen by tcpdump -i bond0 [1389] (inactive-slave)",
    ]
    explained = [bondtrace("explain", PING, "--journey", "2", *option).stdout for option in ((), ("-v",))]
    assert ["(-v lists it)" in one for one in explained] == [True, False]
    assert "Not seen by tcpdump -i eth0 [10961]" in explained[1]


@pytest.mark.parametrize("options", [("-v", "-q"), ("-q", "--json")])
def test_what_contradicts_itself_is_refused(options):
    done = bondtrace("show", PING, *options)
    assert (done.returncode, done.stdout) == (2, "") and "leave" in done.stderr


def test_count_counts_over_all_traces(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    assert len(bondtrace("show", "--json", "--count", "1", *names).stdout.splitlines()) == 1
    assert len(bondtrace("show", "--json", "--count", "2", *names).stdout.splitlines()) == 2


def test_follow_tells_what_comes_until_the_recording_ends(tmp_path):
    # given a recording of a received packet, still open
    path = tmp_path / "trace.arrows"
    with Recorder(path) as recorder:
        recorder.write(received(), begun("a"))
        following = subprocess.Popen(
            [sys.executable, "-m", "bondtrace", "show", "--json", "--follow", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

        # then its journey is told although nothing else comes
        assert json.loads(following.stdout.readline())["id"] == 1

        # and when one more comes, then that too, and it ends with the recording
        recorder.write(sent(9_000_000), [losses(9_000_001, lost=[0])])
    assert [json.loads(line)["id"] for line in following.stdout] == [2]
    assert following.wait(timeout=30) == 0


@pytest.mark.usefixtures("signals_are_heard")
def test_follow_ends_with_an_interrupt(tmp_path):
    path = tmp_path / "trace.arrows"
    with Recorder(path) as recorder:
        recorder.write(received(), begun("a"))
        following = subprocess.Popen(
            [sys.executable, "-m", "bondtrace", "show", "--json", "--follow", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        following.stdout.readline()
        time.sleep(0.1)
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=30) == 0
    assert following.stderr.read() == ""


def test_follow_is_for_one_trace(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    assert bondtrace("show", "--follow", *names).stderr == (
        "bondtrace: --follow is for one trace, these are 2: give the file that is being written\n"
    )
