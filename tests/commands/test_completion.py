# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell completion: by a real bash with the script that is printed, and by what the scripts of zsh and fish ask."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bondtrace import lab
from bondtrace.analysis.eras import ERAS
from bondtrace.commands import COMMANDS

ROOT = Path(__file__).parents[2]

# Completes one command line as readline would have it, and prints what readline would be told.
BASH = """\
compopt() { local IFS=' '; COMPREPLY+=("compopt: $*"); }
eval "$(bondtrace completion bash)"
complete -p bondtrace
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_bondtrace_completion bondtrace
printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(*words, **environment):
    return subprocess.run(
        words,
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.fixture
def bash(tmp_path):
    """bash(*words): what a real bash, with the script sourced, completes the last of these words with."""
    command = tmp_path / "bondtrace"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bondtrace "$@"\n')
    command.chmod(0o755)

    def complete(*words):
        done = run("bash", "--norc", "-c", BASH, "bash", "bondtrace", *words, PATH=f"{tmp_path}:{os.environ['PATH']}")
        assert (done.returncode, done.stderr) == (0, "")
        registered, *found = done.stdout.splitlines()
        assert registered == "complete -o nosort -F _bondtrace_completion bondtrace"
        return [one for one in found if one]

    return complete


def asked(shell, words, word):
    """The answer to what the script of zsh or fish asks."""
    done = run(
        sys.executable, "-m", "bondtrace", COMP_WORDS=words, COMP_CWORD=word, _BONDTRACE_COMPLETE=f"{shell}_complete"
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def devices():
    return sorted(name for name in os.listdir("/sys/class/net") if re.fullmatch(r"[\w.@+-]+", name, re.ASCII))


@pytest.mark.parametrize(
    "words, wanted",
    [
        (("",), list(COMMANDS)),
        (("su",), ["summary"]),
        (("--vers",), ["--version"]),
        (("--if",), ["--iface"]),
        (("show", "--as-if", ""), [era.name for era in ERAS]),
        (("show", "--j"), ["--json"]),
        (("--rx", "--t"), ["--tap", "--tx"]),
        (("summary", "--format", "t"), ["tsv"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("lab", "--scenario", ""), [one.name for one in lab.scenarios()]),
        (("sumary", "--nosuch"), []),
    ],
    ids=str,
)
def test_bash_completes_commands_options_and_values(bash, words, wanted):
    assert bash(*words) == wanted


@pytest.mark.parametrize(
    "words", [("--iface", ""), ("-i", ""), ("record", "--iface", ""), ("summary", "-i", "")], ids=str
)
def test_bash_completes_the_devices_of_this_host(bash, words):
    assert bash(*words) == devices()
    assert bash(*words[:-1], devices()[0][:-1]) == [one for one in devices() if one.startswith(devices()[0][:-1])]


@pytest.mark.parametrize(
    "words",
    [
        ("show", ""),
        ("summary", "ex"),
        ("explain", ""),
        ("record", "-o", ""),
        ("--write", ""),
        ("lab", "--scenario", "./"),
        ("--netns", "/proc/"),
    ],
    ids=str,
)
def test_bash_completes_files(bash, words):
    assert bash(*words) == ["compopt: -o default"]


def test_zsh_is_told_a_kind_a_value_and_a_help_a_line_each():
    answer = asked("zsh", "bondtrace lab --scenario pi", "3")
    assert answer == f"plain\nping\n{lab.find_scenario('ping').title}\n"
    assert asked("zsh", "bondtrace --iface ", "2") == "".join(f"plain\n{name}\n_\n" for name in devices())
    assert asked("zsh", "bondtrace show ", "2") == "file\n\n_\n"


def test_fish_is_told_a_kind_a_value_and_a_help_in_a_line():
    assert asked("fish", "bondtrace lab --scenario pi", "pi") == f"plain,ping\t{lab.find_scenario('ping').title}\n"
    assert asked("fish", "bondtrace --iface ", "") == "".join(f"plain,{name}\n" for name in devices())
    assert asked("fish", "bondtrace show ", "") == "file,\n"


@pytest.mark.parametrize(
    "shell, marks",
    [
        ("bash", ["_BONDTRACE_COMPLETE=bash_complete", "complete -o nosort -F"]),
        ("zsh", ["#compdef bondtrace\n", "_BONDTRACE_COMPLETE=zsh_complete"]),
        ("fish", ["_BONDTRACE_COMPLETE=fish_complete", "--command bondtrace"]),
    ],
)
def test_the_script_is_printed(shell, marks):
    done = run(sys.executable, "-m", "bondtrace", "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert [mark for mark in marks if mark not in done.stdout] == []


@pytest.mark.parametrize("instruction", ["bash_complete", "nosuch_complete", "bash_nosuch", "1"])
def test_what_cannot_be_answered_is_silent(instruction):
    # given a script of another version, or a variable set by hand
    done = run(sys.executable, "-m", "bondtrace", _BONDTRACE_COMPLETE=instruction)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
