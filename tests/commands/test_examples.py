# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples under every command's help: they are there, and bondtrace understands each of them."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bondtrace.analysis.eras import find_era
from bondtrace.cli import cli
from bondtrace.commands import COMMANDS
from bondtrace.commands.examples import EXAMPLES
from bondtrace.lab import find_scenario

ROOT = Path(__file__).parents[2]
OPERATORS = {"|", ">", ";", "&&"}


def command(name):
    return cli.get_command(click.Context(cli), name)


def words_of(line):
    """The words that bondtrace is given in a line for the shell."""
    inner = re.search(r"\$\((.*?)\)", line)
    words = shlex.split(inner.group(1) if inner else line)
    end = next((place for place, word in enumerate(words) if word in OPERATORS), len(words))
    assert "bondtrace" in words[:4], line  # after sudo, or ssh host sudo
    return words[words.index("bondtrace") + 1 : end]


@pytest.fixture
def parsed(monkeypatch):
    """parsed(words): the (command, its parameters) that bondtrace would be run with, as far as it parses."""

    def parse(words):
        calls = []
        for name in COMMANDS:
            for one in getattr(command(name), "commands", {"": command(name)}).values():
                monkeypatch.setattr(one, "callback", lambda run_=name, **given: calls.append((run_, given)))
        cli.main(words, "bondtrace", standalone_mode=False)
        return calls[0]

    return parse


LINES = [(name, line) for name, examples in EXAMPLES.items() for line, _ in examples]


def test_every_command_has_two_to_four_examples_each_with_its_meaning():
    assert list(EXAMPLES) == ["", *COMMANDS]
    assert {name: len(examples) for name, examples in EXAMPLES.items() if not 2 <= len(examples) <= 4} == {}
    assert [line for examples in EXAMPLES.values() for line, meaning in examples if not meaning] == []
    assert [line for _, line in LINES if len(line) > 90] == []


@pytest.mark.parametrize("name, line", LINES)
def test_bondtrace_understands_it_and_it_is_of_that_command(parsed, name, line):
    run, given = parsed(words_of(line))
    assert name in ("", run)
    if given.get("as_if"):
        find_era(given["as_if"])
    if given.get("scenario"):
        find_scenario(given["scenario"])
    if given.get("command"):
        assert parsed(words_of(shlex.join(given["command"])))
    if run == "summary":
        assert given["files"] or given["interfaces"]
    if run == "explain":
        assert bool(given["files"]) == (given["number"] is not None or bool(given["dropped"]))


@pytest.mark.parametrize("name, line", [one for one in LINES if " | " not in one[1]])
def test_what_needs_root_says_so(parsed, name, line):
    run, given = parsed(words_of(line))
    traces = run in ("live", "top", "record", "taps", "doctor", "exporter") or (
        run in ("summary", "explain") and not given["files"]
    )
    assert line.startswith("sudo ") == traces


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_ends_with_them_as_they_are(name):
    # given the help on a narrow terminal
    result = CliRunner().invoke(cli, [*filter(None, [name]), "--help"], prog_name="bondtrace", terminal_width=60)

    # then the examples are its end, a line each, not wrapped
    _, _, examples = result.output.partition("\n  Examples:\n")
    wanted = [text for line, meaning in EXAMPLES[name] for text in (f"# {meaning}", line)]
    assert [line.strip() for line in examples.splitlines()] == wanted


def test_those_of_the_readme_and_of_the_command_line_s_page_are_understood_too(parsed):
    for page in ("README.md", "docs/cli.md"):
        lines = re.findall(r"^    ((?:sudo )?bondtrace .*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        lines = [line.split("   #")[0] for line in lines if "[" not in line]
        assert len(lines) > 8
        for line in lines:
            parsed(words_of(line))
