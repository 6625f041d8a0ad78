# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace summary`: of recordings, chosen, and what it refuses."""

import json

import pytest
from shell import PING, bondtrace, failure

from build import begun, received, record


@pytest.mark.parametrize("options, journeys", [((), 3), (("--rx",), 2), (("--tx",), 1), (("--count", "2"), 2)])
def test_what_is_summarised_can_be_chosen(recording, options, journeys):
    done = bondtrace("summary", recording, "--json", *options)

    assert (done.returncode, done.stderr, json.loads(done.stdout)["journeys"]) == (0, "", journeys)


def test_summary_prints_the_table_of_a_recording(recording):
    done = bondtrace("summary", recording, "--rx", "--format", "tsv")

    assert (done.returncode, done.stderr) == (0, "bondtrace: losses: none; taps known only by inode: 3\n")
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["tap", "bound to", "eth0 rx", "eth1 rx", "bond0 rx", "captured", "twice", "unseen", "mostly because"],
        ["tcpdump -i bond0 [41003]", "bond0", "-", "-", "1/1", "1", "0", "1", "inactive-slave"],
        ["[41001]", "unknown", "1/1", "-", "-", "1", "0", "0", ""],
        ["[41002]", "unknown", "-", "1/1", "-", "1", "0", "0", ""],
        ["[41004]", "unknown", "1/1", "1/1", "1/1", "3", "1", "0", ""],
        ["(packets that passed)", "", "1", "1", "1", "", "", "", ""],
    ]


@pytest.mark.parametrize("options", [(), ("--rx",), ("--why",), ("--json",), ("--duration", "5")])
def test_a_summary_of_nothing_in_particular_is_refused(run, options):
    assert failure(run("summary", *options), 2) == (
        "bondtrace: summary needs a recording (FILE), or --iface NAME or --netns NAME for a live trace\n"
    )


@pytest.mark.parametrize("option", [("--iface", "eth0"), ("--netns", "blue"), ("--duration", "5"), ("--sockets",)])
def test_what_only_a_live_trace_has_is_refused_of_a_recording(recording, option):
    assert failure(bondtrace("summary", recording, *option), 2) == (
        f"bondtrace: {recording} is a recording: --iface, --netns, --duration, --privacy, --sockets and --kprobes are "
        "for live\n"
    )


def test_several_summaries_as_json_are_an_object_a_line(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    lines = bondtrace("summary", "--json", *names).stdout.splitlines()

    assert [json.loads(line)["recording"] for line in lines] == [str(one) for one in names]


def test_on_a_narrow_terminal_a_socket_still_has_its_port(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, told, _ = run("summary", PING.with_name("ends.arrows"))
    table = told.split("\nsocket ")[1].split("\n\n")[0].splitlines()

    assert "python3's UDP socket *:4004 [11713]   21     2       19    SOCKET_RCVBUFF 19" in table
    assert max(map(len, table)) <= 80 and table[-2].startswith("(too narrow for: on, ")
