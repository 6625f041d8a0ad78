# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings that are not what they should be, to all commands that read them."""

import json

import pytest
from shell import REPLY, bondtrace, failure

from bondtrace.format.recording import Recorder
from bondtrace.format.wire import EMPTY
from build import ON_BOND0, TAPS, events, received, record, refused


@pytest.mark.parametrize("command", [("show",), ("summary",), ("explain", "--journey", "1")])
def test_a_recording_that_is_not_there(tmp_path, command):
    path = tmp_path / "nosuch"

    assert failure(bondtrace(*command, path), 1) == f"bondtrace: cannot read {path}: No such file or directory\n"


@pytest.mark.parametrize("command", [("show",), ("summary",), ("explain", "--journey", "1")])
def test_a_file_that_is_no_recording(tmp_path, command):
    path = tmp_path / "text"
    path.write_text("hello\n")

    assert failure(bondtrace(*command, path), 1) == (
        f"bondtrace: {path} is not a bondtrace recording: it is not an Arrow stream; `bondtrace record -o FILE` makes "
        "one\n"
    )


def test_a_recording_that_was_cut_off_shows_what_is_whole(tmp_path):
    # given a recording that ends within its third batch: the reply is whole
    path = tmp_path / "cut.arrows"
    with Recorder(path) as recorder:
        recorder.write(EMPTY, events(taps={ON_BOND0: TAPS[ON_BOND0]}))
        recorder.write(received(), [])
        recorder.flush()
        whole = recorder.bytes
        recorder.write(refused(30), [])
    path.write_bytes(path.read_bytes()[: whole + 1000])

    # when shown, then so is the reply, what is missing is said on stderr, and it is no failure
    done = bondtrace("show", path)
    assert (done.returncode, done.stdout) == (0, REPLY)
    assert done.stderr == f"bondtrace: {path} was cut off; the complete part of it is shown\n"


def test_a_recording_without_a_begin_is_shown_and_said(tmp_path):
    # given passes without the events that name devices
    path = record(tmp_path / "bare.arrows", (refused(), []))
    done = bondtrace("show", path)

    assert (done.returncode, done.stderr) == (
        0,
        f"bondtrace: {path} does not hold the start of a trace: names and times may be missing\n",
    )
    assert " if3 " in done.stdout


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "device"},
        {"kind": "device", "device": 5},
        {"kind": "device", "device": {"name": "x"}},
        {"kind": "losses"},
        {"kind": "tap", "tap": {}},
        {"kind": "tap", "tap": None},
        {"kind": "losses", "counters": {"lost": ["x"]}},
        {"kind": "namespace", "netns": "here", "name": ""},
        {"kind": "note"},
        {"kind": "tap-gone"},
    ],
    ids=json.dumps,
)
def test_an_event_that_cannot_be_understood_is_an_error_and_no_traceback(tmp_path, run, event):
    path = record(tmp_path / "odd.arrows", (received(), [{**event, "time_ns": 5}]))

    message = failure(run("show", path), 1)
    assert message.startswith(f"bondtrace: the recording is damaged: an event '{event['kind']}' is malformed")
