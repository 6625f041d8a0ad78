# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands have: colours, filters, sizes and times."""

import io
import os
import subprocess
import sys

import click
import pytest
from shell import ROOT, bondtrace, failure

from bondtrace.commands import options


def test_colour_is_for_terminals_and_for_those_who_ask(recording, monkeypatch):
    # given the same recording shown into a pipe, in a process that asks for colours, and one that refuses them
    def shown(**environment):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(
            [sys.executable, "-m", "bondtrace", "show", str(recording)],
            capture_output=True,
            check=True,
            env=environment,
        ).stdout

    assert [b"\033[" in shown(**one) for one in ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"})] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("words", [("icmp adn arp",), ("icmp", "adn", "arp"), ("--filter", "icmp adn arp")])
def test_a_bad_filter_is_refused_with_libpcaps_message(words):
    message = failure(bondtrace("--iface", "lo", *words), 2)
    assert message.startswith("bondtrace: the filter 'icmp adn arp' is not a tcpdump filter: ")
    assert message.endswith("syntax error; `man pcap-filter` has the language\n")


def test_two_filters_are_refused():
    assert failure(bondtrace("--filter", "icmp", "arp"), 2) == (
        "bondtrace: two filters were given ('icmp' and 'arp'): join them with `and` or `or`\n"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "environment, terminal, file",
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
    ],
)
def test_where_colours_are_wanted(monkeypatch, environment, terminal, file):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert (options.wants_colour(Terminal()), options.wants_colour(io.StringIO())) == (terminal, file)


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (options.SIZE, "500", 500),
        (options.SIZE, "500k", 500_000),
        (options.SIZE, "1.5M", 1_500_000),
        (options.SIZE, "2G", 2_000_000_000),
        (options.SECONDS, "90", 90),
        (options.SECONDS, "90s", 90),
        (options.SECONDS, "10m", 600),
        (options.SECONDS, "0.5h", 1800),
        (options.SECONDS, "1d", 86400),
    ],
)
def test_sizes_and_times_have_units(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize("kind", [options.SIZE, options.SECONDS])
@pytest.mark.parametrize("text", ["", "k", "0", "-1", "1x", "1e30", "nan", "inf", "1kk"])
def test_what_is_no_size_or_time_is_refused(kind, text):
    with pytest.raises(click.BadParameter, match=r"is not a (size|time): give one as "):
        kind.convert(text, None, None)


@pytest.mark.parametrize(
    "only_rx, only_tx, expected",
    [(False, False, ("rx", "tx")), (True, False, ("rx",)), (False, True, ("tx",)), (True, True, ("rx", "tx"))],
)
def test_directions(only_rx, only_tx, expected):
    assert options.directions(only_rx, only_tx) == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"interfaces": ("eth0",)},
        {"netns": ("blue",)},
        {"duration_s": 5.0},
        {"kprobes": True},
        {"privacy": "drop"},
        {"sockets": True},
    ],
)
def test_what_only_a_live_trace_has(asked):
    assert options.TraceOptions(**asked).only_live
    assert not options.TraceOptions(directions=("rx",), count=3).only_live
