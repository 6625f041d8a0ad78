# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings in parts, several of them, and one that is still being written."""

import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bondtrace.analysis.tap_history import Presence
from bondtrace.errors import UsageError
from bondtrace.format.batch import Batch
from bondtrace.format.events import device_event, tap_event
from bondtrace.format.recording import Recorder, Recording
from bondtrace.format.rotation import RotatingRecorder, existing_parts
from bondtrace.format.trace_set import gather
from bondtrace.format.wire import EMPTY, STEP_TAP
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import table
from build import (
    BEGIN_NS,
    DEVICES,
    ON_BOND0,
    TAPS,
    both,
    events,
    hook,
    losses,
    received,
    record,
    refused,
    sent,
    start,
    tap,
    tcpdump,
    tx,
)

ROOT = Path(__file__).parents[2]


def begun(trace, at=0):
    """The events of a begin of the trace of this name."""
    return [
        {**one, "trace": trace, "time_ns": BEGIN_NS + at * 1000} if one["kind"] == "start" else one for one in events()
    ]


def in_parts(path, keep=None, **limits):
    """A recording of four batches, in parts."""
    recorder = RotatingRecorder(path, keep=keep, **limits)
    recorder.write(EMPTY, begun("a"))
    for number, batch in enumerate((received(), refused(20_000), sent(40_000))):
        recorder.write(batch, [losses(50_000 * number, lost=[number])])
    recorder.close()
    return existing_parts(path)


def told(*traces):
    """(journeys, the summary as JSON) of each trace."""
    found = []
    for trace in traces:
        journeys, out = [], io.StringIO()
        pipeline = Pipeline(show=journeys.append)
        pipeline.run(trace.batches())
        table.write_json(pipeline.summary, pipeline.scene, out)
        found.append((journeys, json.loads(out.getvalue())))
    return found


def bondtrace(*words):
    return subprocess.run(
        [sys.executable, "-m", "bondtrace", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


# --- parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"part_bytes": 1}, {"part_s": 1e-9}])
def test_parts_put_together_are_the_whole(tmp_path, limits):
    # given a recording in one file, and the same in parts
    parts = in_parts(tmp_path / "trace.arrows", **limits)
    whole = record(
        tmp_path / "whole.arrows",
        (EMPTY, begun("a")),
        *(
            (batch, [losses(50_000 * number, lost=[number])])
            for number, batch in enumerate((received(), refused(20_000), sent(40_000)))
        ),
    )
    assert [one.name for one in parts] == [f"trace-000{number}.arrows" for number in (1, 2, 3, 4, 5)]

    # when read, in whatever order they are given, then they tell the same
    assert told(*gather(tuple(reversed(parts)))) == told(*gather((whole,)))


def test_a_part_opens_by_itself(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", part_bytes=1)

    [(journeys, summary)] = told(*gather((parts[2],)))

    # it has the names of devices and taps, and the losses until then
    assert [one.passes[0].steps[0].dev for one in journeys] == ["eth1"]
    assert len(summary["taps"]) == len(TAPS) and summary["trust"]["losses"] == {"records lost": 1}


def test_a_tap_that_opened_in_an_earlier_part_was_there_when_a_later_one_began(tmp_path):
    # given a tap on the bond that opens, is hooked in, and is refused a packet in the part after that
    stage = {"name": "tap hooks", "tells": "", "without": "", "missing": "", "probes": []}
    recorder = RotatingRecorder(tmp_path / "trace.arrows", part_bytes=1)
    recorder.write(EMPTY, events(taps={}, stages=[stage], trace="a"))
    recorder.write(
        hook(ON_BOND0, True, at=10), [tap_event(BEGIN_NS + 30_000, TAPS[ON_BOND0], BEGIN_NS, read_ns=BEGIN_NS + 20_000)]
    )
    for number in (1, 2):
        recorder.write(refused(20_000 * number), [losses(50_000 * number)])
    recorder.close()
    parts = existing_parts(tmp_path / "trace.arrows")

    # then a later part alone tells why, as the whole does
    [(whole, _)], [(alone, _)] = told(*gather(tuple(parts))), told(*gather((parts[3],)))
    assert {one.reason for one in whole[-1].unseen} == {one.reason for one in alone[-1].unseen} == {"inactive-slave"}


def test_of_the_parts_the_last_are_kept(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", keep=2, part_bytes=1)

    assert [one.name for one in parts] == ["trace-0004.arrows", "trace-0005.arrows"]
    [trace] = gather((tmp_path,))
    assert (trace.paths, trace.numbers, trace.missing) == (parts, [4, 5], [])


def test_a_part_that_is_missing_is_said(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", part_bytes=1)
    parts[2].unlink()

    done = bondtrace("summary", tmp_path)

    assert done.returncode == 0
    assert done.stderr == (
        f"bondtrace: {parts[0]} to trace-0005.arrows: 1 parts between these are missing, the first of them part 3\n"
    )


def test_parts_of_an_earlier_recording_are_not_overwritten(tmp_path):
    in_parts(tmp_path / "trace.arrows", part_bytes=1)

    with pytest.raises(UsageError, match=r"trace-0001.arrows exists already; name another file, or --force"):
        RotatingRecorder(tmp_path / "trace.arrows", part_bytes=1)


def test_force_leaves_no_part_of_an_earlier_recording(tmp_path):
    in_parts(tmp_path / "trace.arrows", part_bytes=1)
    recorder = RotatingRecorder(tmp_path / "trace.arrows", force=True, part_bytes=1 << 30)
    recorder.write(received(), begun("b"))
    recorder.close()

    assert [one.name for one in existing_parts(tmp_path / "trace.arrows")] == ["trace-0001.arrows"]
    assert [len(journeys) for journeys, _ in told(*gather((tmp_path,)))] == [1]


def test_only_parts_are_taken_for_parts(tmp_path):
    for name in ("trace-1.arrows", "trace-00x1.arrows", "trace-0001.txt", "other-0001.arrows", "trace-0002.arrows"):
        (tmp_path / name).touch()

    assert [one.name for one in existing_parts(tmp_path / "trace.arrows")] == ["trace-0002.arrows"]


def test_passes_wait_for_company_but_not_for_ever(tmp_path):
    # given three batches of passes alone
    path = tmp_path / "trace.arrows"
    with Recorder(path) as recorder:
        for number in range(3):
            recorder.write(received(number * 100), [])
        assert (recorder.bytes, recorder.passes) == (0, 3)

        # when an event comes, they are written in front of it, as one batch
        recorder.write(sent(900), [start()])
        assert recorder.bytes > 0

    assert [(len(one.passes), len(one.events)) for one in Recording(path).batches()] == [(5, 1)]


# --- several -------------------------------------------------------------------------------------------


def test_traces_come_in_order_of_time(tmp_path):
    later = record(tmp_path / "a.arrows", (received(5_000_000), begun("later", 5_000_000)))
    first = record(tmp_path / "b.arrows", (received(), begun("first")))

    assert [one.paths for one in gather((later, first))] == [[first], [later]]
    done = bondtrace("show", later, first)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [
        f"== {first}: lab, Linux 6.1.0",
        f"== {later}: lab, Linux 6.1.0",
    ]


def test_several_summaries_as_json_are_an_object_a_line(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    lines = bondtrace("summary", "--json", *names).stdout.splitlines()

    assert [json.loads(line)["recording"] for line in lines] == [str(one) for one in names]


def test_count_counts_over_all_traces(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    assert len(bondtrace("show", "--json", "--count", "1", *names).stdout.splitlines()) == 1
    assert len(bondtrace("show", "--json", "--count", "2", *names).stdout.splitlines()) == 2


def test_explain_wants_one_trace(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    done = bondtrace("explain", *names, "--journey", 1)

    assert (done.returncode, done.stderr) == (
        2,
        f"bondtrace: explain is for one trace, these are 2: {names[0]}, {names[1]}, ...\n",
    )


def test_the_same_part_twice_is_refused(tmp_path):
    one = record(tmp_path / "a.arrows", (received(), begun("a")))
    (tmp_path / "b.arrows").write_bytes(one.read_bytes())

    with pytest.raises(UsageError, match=r"the same part of a trace was given twice: .*a.arrows, .*b.arrows"):
        gather((tmp_path,))


def test_an_empty_directory_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"holds no recording \(no file that ends in .arrows\)"):
        gather((tmp_path,))


# --- one that is being written -------------------------------------------------------------------------


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


def test_a_pipeline_that_only_hands_on_knows_the_surroundings_as_one_that_stitches():
    # given the example, and a tap that no event tells of
    batches = list(Recording(ROOT / "examples" / "ping.arrows").batches())
    for batch in batches:
        batch.passes.steps["arg"][batch.passes.steps["kind"] == STEP_TAP] = 7

    # when it is run with and without stitching
    kept, scenes = [], []
    for stitching in (True, False):
        pipeline = Pipeline(keep=lambda batch: kept.append(len(batch.passes)), stitching=stitching)
        pipeline.run(batches)
        scenes.append(pipeline.scene)

    # then all was handed on, and the same is known
    assert kept == [len(batch.passes) for batch in batches] * 2
    assert scenes[0].taps.strangers() == scenes[1].taps.strangers() != []
    hooks = [{inode: history.hooks for inode, history in one.taps.items()} for one in scenes]
    assert hooks[0] == hooks[1]
    assert (scenes[0].changes_ns, scenes[0].ended) == (scenes[1].changes_ns, scenes[1].ended)


def test_what_joined_before_it_was_heard_of_is_told_as_what_it_is():
    # given a VLAN's device with a tap, of both of which is heard only after a packet went down from it to the bond
    known = events(devices={name: one for name, one in DEVICES.items() if name != "bond0.7"})
    heard_ns = BEGIN_NS + 2_000_000_000
    heard = [device_event(heard_ns, DEVICES["bond0.7"]), tap_event(heard_ns, tcpdump(77, "bond0.7"), BEGIN_NS + 1)]

    journeys = []
    Pipeline(show=journeys.append).run(
        [
            Batch(EMPTY, known, BEGIN_NS),
            Batch(both(tx("bond0.7", tap(77), at=1), tx("bond0", tap(ON_BOND0), at=5)), heard, heard_ns),
        ]
    )

    # then both passes are one journey, under the names
    assert [[one.steps[0].dev for one in journey.passes] for journey in journeys] == [["bond0.7", "bond0"]]


def test_how_a_tap_is_since_its_hook_is_known_before_what_passed_meanwhile_is_told():
    # given a socket that is bound to nothing, is hooked in at 10 ms, and is read 150 ms later, in the batch in which a
    # packet was refused to the bond in between
    unbound = replace(TAPS[ON_BOND0], ifindex=0, protocol=0, running=False)
    known = [*events(taps={}), tap_event(BEGIN_NS, unbound, read_ns=BEGIN_NS)]
    read_ns, heard_ns = BEGIN_NS + 160_000_000, BEGIN_NS + 161_000_000
    batch = Batch(
        both(hook(ON_BOND0, True, at=10_000), refused(at=30_000)),
        [tap_event(heard_ns, TAPS[ON_BOND0], read_ns=read_ns)],
        heard_ns,
    )

    journeys = []
    Pipeline(show=journeys.append).run([Batch(EMPTY, known, BEGIN_NS), batch])

    # then it is told by how the tap was bound then
    assert [[(one.tap, one.reason) for one in journey.unseen] for journey in journeys] == [
        [(ON_BOND0, "inactive-slave")]
    ]


def test_a_tap_that_was_gone_and_is_listed_again_in_one_batch_is_there():
    # given a tap of which the same batch tells that it is gone, and what it is
    batch = Batch(
        received(at=400_000),
        [
            {"kind": "tap-gone", "time_ns": BEGIN_NS + 200_000_000, "not_before_ns": BEGIN_NS, "inode": ON_BOND0},
            tap_event(BEGIN_NS + 301_000_000, TAPS[ON_BOND0], read_ns=BEGIN_NS + 300_000_000),
        ],
        BEGIN_NS + 500_000_000,
    )
    pipeline = Pipeline()
    pipeline.run([Batch(EMPTY, events(), BEGIN_NS), batch])

    assert (TAPS[ON_BOND0], Presence.HOOKED) in pipeline.scene.taps_at(BEGIN_NS + 400_000_000)
