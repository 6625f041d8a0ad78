# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as a user meets it: help, usage errors, exit status, and errors in a line or two."""

import signal

import click
import pytest
from click.testing import CliRunner
from shell import bondtrace, failure

from bondtrace.cli import COMMANDS, cli
from bondtrace.errors import BondtraceError
from bondtrace.util.signals import Ended

# --- help ----------------------------------------------------------------------------------------------


def commands():
    """(name, command) of every command."""
    context = click.Context(cli)
    return [(name, cli.get_command(context, name)) for name in cli.list_commands(context)]


@pytest.mark.parametrize("name, command", commands())
def test_every_command_and_every_option_has_help(name, command):
    assert command.help and command.help.split("\n")[0].strip().endswith((".", ":")), name
    lacking = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert lacking == []


@pytest.mark.parametrize("name, command", commands())
def test_help_tells_every_option_with_its_help(name, command):
    # given the help of a command, as one line
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="bondtrace", terminal_width=100)
    assert result.exit_code == 0
    text = " ".join(result.output.split())

    # then it has its description, and every option's names and help
    assert " ".join(command.help.split()) in text
    for one in command.params:
        if isinstance(one, click.Option):
            assert all(option in text for option in (*one.opts, *one.secondary_opts))
            assert " ".join(one.help.split()) in text


def test_the_help_of_all_tells_every_command():
    done = bondtrace("--help")

    listed = [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert (done.returncode, done.stderr, listed) == (0, "", list(COMMANDS))


def test_the_version():
    assert bondtrace("--version").stdout.startswith("bondtrace, version ")


# --- usage errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, said",
    [
        (("--fogus",), "No such option '--fogus'."),
        (("show",), "Missing argument 'FILE... [FILTER]'."),
        (("record",), "Missing option '-o' / '--output'."),
        (("taps", "x"), "Got unexpected extra argument (x)"),
        (
            ("record", "-o", "x", "--rotate-size", "10X"),
            "Invalid value for '--rotate-size': '10X' is not a size: "
            "give one as 500k, 100M or 2G (bytes, powers of 1000)",
        ),
        (
            ("record", "-o", "x", "--rotate-time", "0"),
            "Invalid value for '--rotate-time': '0' is not a time: give one as 90s, 10m or 1h",
        ),
        (("show", "x", "--count", "0"), "Invalid value for '--count': 0 is not in the range x>=1."),
        (("show", "x", "--count", "few"), "Invalid value for '--count': 'few' is not a valid integer range."),
        (("--duration", "0"), "Invalid value for '--duration': 0.0 is not in the range x>0."),
        (
            ("summary", "x", "--format", "html"),
            "Invalid value for '--format': 'html' is not one of 'simple', 'plain', 'github', 'tsv'.",
        ),
    ],
)
def test_wrong_use_is_told_with_status_2(run, words, said):
    status, out, err = run(*words)

    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: {said}"
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words, meant",
    [
        (("sumary", "x"), "summary"),
        (("Summary", "x"), "summary"),
        (("sho", "x", "--json"), "show"),
        (("doctr",), "doctor"),
        (("tap",), "taps"),
        (("explian", "x"), "explain"),
        (("lvie", "--iface", "lo"), "live"),
        (("recrod", "-o", "x"), "record"),
        (("labb",), "lab"),
        (("sumary", "x", "--why"), "summary"),
    ],
)
def test_a_mistyped_command_is_told_with_the_one_that_was_meant(run, words, meant):
    # given the first word that is neither an option nor one's value
    mistyped = words[-1] if words[0] in ("--iface", "live") else words[0]

    assert failure(run(*words), 2) == (f"bondtrace: no command '{mistyped}': did you mean `bondtrace {meant}`?\n")


@pytest.mark.parametrize(
    "word",
    [
        "icmp",
        "icmp6",
        "arp",
        "rarp",
        "ip",
        "ip6",
        "tcp",
        "udp",
        "sctp",
        "vlan",
        "mpls",
        "ether",
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "src",
        "dst",
        "not",
        "less",
        "greater",
        "gateway",
        "broadcast",
        "multicast",
        "inbound",
        "outbound",
        "stp",
    ],
)
def test_what_filters_begin_with_is_not_taken_for_a_mistyped_command(run, word):
    assert failure(run(word, "=", "=x"), 2).startswith(f"bondtrace: the filter '{word} = =x' is not a tcpdump filter: ")


# --- how errors end the process ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised, status, said",
    [
        (BondtraceError("the fact"), 1, "bondtrace: the fact\n"),
        (click.UsageError("the option"), 2, "Error: the option\n"),
        (KeyboardInterrupt(), 130, "bondtrace: interrupted\n"),
        (Ended(signal.SIGTERM), 143, "bondtrace: ended by SIGTERM\n"),
        (MemoryError(), 1, "bondtrace: there is not enough memory for this\n"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_what_is_raised_becomes_a_line_and_a_status(monkeypatch, run, raised, status, said):
    # given a command that raises
    def raising(*_, **__):
        raise raised

    monkeypatch.setattr(cli, "invoke", raising)

    # when it runs, then that is the status, and that is said
    found, out, err = run("show", "x")
    assert (found, out, err.strip("\n")) == (status, "", said.strip("\n"))
