# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands have: colours and filters."""

import os
import subprocess
import sys

import pytest
from shell import ROOT, bondtrace, failure


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
    assert message.startswith("bondtrace: the filter 'icmp adn arp' is no tcpdump filter: ")
    assert message.endswith("syntax error; `man pcap-filter` has the language\n")


def test_two_filters_are_refused():
    assert failure(bondtrace("--filter", "icmp", "arp"), 2) == (
        "bondtrace: two filters were given ('icmp' and 'arp'): join them with `and` or `or`\n"
    )
