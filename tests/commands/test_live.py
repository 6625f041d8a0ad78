# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace [live]`, and what all that traces live has in common: rights, devices, files to record to."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest
from shell import PING, as_root, bondtrace, failure
from traced import Source

from bondtrace.capture.capabilities import drop_all_rights
from bondtrace.capture.live import source


@pytest.mark.parametrize("words", [["--count", "3"], ["--write", "x.arrows"], ["--sockets"]])
def test_what_is_about_journeys_is_refused_where_packets_are_only_counted(run, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run("--summary-only", *words) == (
        2,
        "",
        f"bondtrace: {words[0]} is about journeys, and --summary-only makes none: leave one of them out\n",
    )
    assert list(tmp_path.iterdir()) == []


@as_root
@pytest.mark.parametrize("words", [("record", "-o"), ("live", "-w")])
def test_an_existing_file_is_not_recorded_to(tmp_path, words):
    path = tmp_path / "precious"
    path.write_text("precious")

    assert failure(bondtrace(*words, path), 2) == (
        f"bondtrace: {path} already exists; name another file, or use --force to overwrite it\n"
    )
    assert path.read_text() == "precious"


@as_root
@pytest.mark.parametrize("words", [("record", "-o"), ("live", "-w")])
def test_a_trace_that_never_begins_leaves_no_file_and_an_older_one_as_it_was(tmp_path, words):
    # given a device that does not exist, an older recording, and a name that is free
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("precious")

    # when a trace is to be recorded to either, then it fails, the older file is untouched and no new one is left
    for path, force in ((old, ["--force"]), (new, []), (new, ["--force"])):
        message = failure(bondtrace(*words, path, *force, "--iface", "nosuch"), 2)
        assert message.startswith("bondtrace: no device named 'nosuch' in this network namespace ")
        assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("old", "precious")]


@as_root
@pytest.mark.parametrize("words", [("--iface", "lo"), ("record", "-o", "TMP/x"), ("summary", "--iface", "lo")])
def test_tracing_without_root_says_so(tmp_path, words):
    # given somebody who has no rights; another user could not read this checkout in a home directory of mode 700
    words = [word.replace("TMP", str(tmp_path)) for word in words]
    done = bondtrace(*words, preexec_fn=drop_all_rights)

    assert failure(done, 1) == (
        "bondtrace: tracing needs root, or at least CAP_BPF and CAP_PERFMON (missing: CAP_BPF, CAP_PERFMON): BPF "
        "programs are loaded into the kernel; run it with sudo\n"
    )
    assert list(tmp_path.iterdir()) == []


@as_root
def test_a_device_that_is_not_there_is_told_with_those_that_are():
    message = failure(bondtrace("--iface", "nosuch"), 2)

    there = sorted(path.name for path in Path("/sys/class/net").iterdir() if (path / "ifindex").exists())
    assert message.startswith("bondtrace: no device named 'nosuch' in this network namespace (there are: ")
    assert message.endswith("; `ip link` lists them)\n")
    assert sorted(message.partition("there are: ")[2].partition(";")[0].split(", ")) == there


class Asked(Source):
    """In place of a live trace: notes what was asked for, and traces nothing."""

    requests: ClassVar[list] = []


@pytest.mark.parametrize("words", [("live",), ("record", "-o", "x.arrows"), ("summary", "--iface", "lo")])
@pytest.mark.parametrize("options", [(), ("--sockets",)])
def test_what_comes_beyond_ip_is_traced_where_it_is_asked_for(run, monkeypatch, tmp_path, words, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "LiveSource", Asked)
    for name in ("live", "record", "summary"):
        monkeypatch.setattr(import_module(f"bondtrace.commands.{name}"), "require_rights", lambda: None, raising=False)
    monkeypatch.setattr(import_module("bondtrace.commands.live"), "end_on_signals", lambda *_: None)
    Asked.requests.clear()

    status, _, err = run(*words, *options)

    assert status == 0, err
    assert [one.sockets for one in Asked.requests] == [bool(options)]


@pytest.mark.parametrize("words", [("show",), ("summary",), ("explain", "--journey", "1")])
def test_of_a_recording_nothing_more_can_be_asked_for(run, words):
    status, _, err = run(*words, PING, "--sockets")
    assert status == 2 and "--sockets" in err
