# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings in parts: together they are the whole, each opens by itself, and the last are kept."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from shell import ROOT

from bondtrace.errors import UsageError
from bondtrace.format import rotation
from bondtrace.format.events import socket_event, tap_event
from bondtrace.format.recording import Recording
from bondtrace.format.rotation import RotatingRecorder, existing_parts
from bondtrace.format.trace_set import gather
from bondtrace.format.wire import EMPTY
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import table
from build import (
    BEGIN_NS,
    ON_5354,
    ON_8080,
    ON_BOND0,
    SOCKETS,
    TAPS,
    begun,
    events,
    given,
    hook,
    in_parts,
    losses,
    received,
    record,
    refused,
    rx,
    sent,
)


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


def sockets_of(path):
    """(inode, port, processes) of the sockets that a part tells of, and whether it tells it again."""
    told = [event for batch in Recording(path).batches() for event in batch.events if event["kind"] == "socket"]
    return [
        (one["socket"]["inode"], one["socket"]["port"], len(one["socket"]["processes"]), one.get("again", False))
        for one in told
    ]


def test_sockets_are_told_again_in_a_new_part_as_they_are_by_then(tmp_path):
    # given two sockets: of one the processes are found later, the other one connects
    found, other = SOCKETS[ON_5354], SOCKETS[ON_8080]
    recorder = RotatingRecorder(tmp_path / "trace.arrows", part_bytes=1)
    recorder.write(EMPTY, [*begun("a"), socket_event(BEGIN_NS, replace(found, processes=()))])
    recorder.write(EMPTY, [socket_event(BEGIN_NS + 1, other), socket_event(BEGIN_NS + 2, found)])
    recorder.write(rx("eth0", given(ON_5354), at=9), [socket_event(BEGIN_NS + 3, replace(other, port=81))])
    recorder.close()
    parts = existing_parts(tmp_path / "trace.arrows")

    assert [sockets_of(part) for part in parts] == [
        [(ON_5354, 5354, 0, False)],
        [(ON_5354, 5354, 0, True), (ON_8080, 8080, 0, False), (ON_5354, 5354, 1, False)],
        [(ON_5354, 5354, 1, True), (ON_8080, 8080, 0, True), (ON_8080, 81, 0, False)],
        [(ON_5354, 5354, 1, True), (ON_8080, 81, 0, True)],
    ]
    # then the part of the packet alone names the socket as the whole does
    [(whole, _)], [(alone, _)] = told(*gather(tuple(parts))), told(*gather((parts[2],)))
    assert [[end.detail for end in one.ends] for one in (whole[-1], alone[-1])] == [
        ["dnsd's UDP socket *:5354 [12385]: whether it took it is not known"]
    ] * 2


def test_only_the_sockets_that_were_told_of_last_are_told_again(monkeypatch):
    monkeypatch.setattr(rotation, "SOCKETS_KEPT", 3)
    around = rotation.Surroundings()
    around.learn(begun("a"))
    others = len(around.told_again(2))

    around.learn([socket_event(n, replace(SOCKETS[ON_5354], inode=n)) for n in (1, 2, 3, 1, 4)])

    again = [one["socket"]["inode"] for one in around.told_again(2) if one["kind"] == "socket"]
    assert sorted(again) == [1, 3, 4] and len(around.told_again(2)) == others + 3
    # and one that was forgotten is there once it is told of again
    around.learn([socket_event(9, replace(SOCKETS[ON_5354], inode=2))])
    assert sorted(one["socket"]["inode"] for one in around.told_again(2) if one["kind"] == "socket") == [1, 2, 4]


def test_of_the_parts_the_last_are_kept(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", keep=2, part_bytes=1)

    assert [one.name for one in parts] == ["trace-0004.arrows", "trace-0005.arrows"]
    [trace] = gather((tmp_path,))
    assert (trace.paths, trace.numbers, trace.missing) == (parts, [4, 5], [])


def test_parts_of_an_earlier_recording_are_not_overwritten(tmp_path):
    in_parts(tmp_path / "trace.arrows", part_bytes=1)

    with pytest.raises(UsageError, match=r"trace-0001.arrows already exists; name another file, or use --force"):
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


def test_a_recorder_that_is_killed_leaves_what_is_whole_under_its_name(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from build import *; "
        "from bondtrace.format.rotation import RotatingRecorder; "
        "r = RotatingRecorder(Path(sys.argv[1]), part_bytes=1)\n"
        "for n in range(5): r.write(received(n * 100), events())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.arrows"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    read = [
        sum(len(batch.passes) for batch in Recording(path).batches())
        for path in sorted(tmp_path.iterdir())
        if path.stat().st_size
    ]
    assert read == [1] * 5 + [0]
