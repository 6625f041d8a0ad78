# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace report`: what is listed, where it is written, and what it refuses."""

import builtins
import os
import stat

import pytest
from page import made, report_of
from shell import PING

from bondtrace import errors
from bondtrace.format.recording import Recorder
from bondtrace.format.wire import EMPTY
from build import ON_ETH0, TAPS, events, lossy, received, record


@pytest.mark.parametrize("wanted, listed", [(0, 0), (2, 2), (10, 10), (100, 10)])
def test_so_many_journeys_are_listed(tmp_path, run, wanted, listed):
    journeys = report_of(made(tmp_path, run, PING, "--journeys", wanted))["journeys"]

    assert (journeys["total"], len(journeys["list"])) == (10, listed)


def test_one_direction_alone(tmp_path, run):
    report = report_of(made(tmp_path, run, PING, "--tx"))

    assert report["trace"]["directions"] == ["tx"] and report["journeys"]["total"] == 4
    stops = report["flow"]["stops"]
    assert {stops[path["stops"][0]]["label"] for path in report["flow"]["paths"]} == {"sent by this host"}


def test_a_recording_without_a_journey(tmp_path, run):
    report = report_of(made(tmp_path, run, record(tmp_path / "empty.arrows", (EMPTY, events()))))

    assert report["journeys"] == {"total": 0, "list": [], "absences": [], "ways": []}
    assert [report["flow"]["stops"], report["kinds"]["list"], report["latencies"]["steps"]] == [[], [], []]


def test_what_it_says_and_who_may_read_it(tmp_path, run):
    path = tmp_path / "report.html"

    assert run("report", PING, "-o", path) == (0, "", f"bondtrace: 10 journeys reported in {path}; losses: none\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_to_standard_output(run):
    status, out, err = run("report", PING, "-o", "-")

    assert (status, err) == (0, "bondtrace: 10 journeys reported in standard output; losses: none\n")
    assert out.startswith("<!DOCTYPE html>") and out.rstrip().endswith("</html>")


def test_an_existing_file_is_kept_unless_forced(tmp_path, run):
    path = tmp_path / "report.html"
    path.write_text("mine")

    assert run("report", PING, "-o", path) == (
        2,
        "",
        f"bondtrace: {path} already exists; name another file, or use --force to overwrite it\n",
    )
    assert path.read_text() == "mine"
    assert run("report", PING, "-o", path, "--force")[0] == 0
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_the_recording_is_not_overwritten_by_its_report(tmp_path, run):
    recording = lossy(tmp_path / "trace.arrows")
    before = recording.read_bytes()

    assert run("report", recording, "-o", recording, "--force") == (
        2,
        "",
        f"bondtrace: {recording} is the recording itself; name another file to write\n",
    )
    assert recording.read_bytes() == before


def test_two_traces_are_refused(tmp_path, run):
    other = lossy(tmp_path / "trace.arrows")

    assert run("report", PING, other, "-o", tmp_path / "report.html") == (
        2,
        "",
        f"bondtrace: report is for one trace, these are 2: {other}, {PING}; give one, or the parts of one\n",
    )


def test_a_file_that_is_no_recording_leaves_no_report(tmp_path, run):
    (tmp_path / "notes.txt").write_text("notes")

    status, out, err = run("report", tmp_path / "notes.txt", "-o", tmp_path / "report.html")

    assert (status, out) == (1, "") and "is not a bondtrace recording" in err
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_without_plotly_it_says_how_to_get_it(tmp_path, run, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)

    assert run("report", PING, "-o", tmp_path / "report.html") == (
        1,
        "",
        f"bondtrace: report needs the Python package plotly: `{errors.install_command('report', 'plotly')}`\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_cut_off_is_said_on_the_page(tmp_path, run):
    path = tmp_path / "trace.arrows"
    recorder = Recorder(path)
    recorder.write(EMPTY, events(taps={ON_ETH0: TAPS[ON_ETH0]}))
    recorder.write(received(), [])  # and it is never closed

    page = made(tmp_path, run, path)

    assert report_of(page)["trace"]["notes"] == [f"{path} was cut off: this is the complete part of it."]
