# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace top`: what it writes to a terminal, and to anything else."""

import io
import re

from bondtrace.commands import top as command


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_not_overrun_and_left_as_it_was(monkeypatch):
    monkeypatch.setenv("LINES", "6")
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    with command._screen(terminal) as screen:
        for _ in range(2):
            screen.show([f"line {number} " + "x" * 40 for number in range(30)] + ["losses: none"])
    text = terminal.getvalue()
    assert text.startswith("\x1b[?1049h") and text.endswith("\x1b[?1049l")
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    frame = text.split("\x1b[H")[1]
    shown = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", frame).split("\n")
    assert len(shown) == 6 and max(map(len, shown)) <= 20 and shown[-1] == "losses: none"
    assert "26 more lines" in frame


def test_a_file_gets_blocks_without_control_codes():
    stream = io.StringIO()
    with command._screen(stream) as screen:
        screen.show(["one"])
        screen.show(["two"])
    assert stream.getvalue() == "one\n\ntwo\n\n"


def test_a_number_of_journeys_is_refused(run):
    assert run("top", "--count", "3") == (
        2,
        "",
        "bondtrace: --count counts journeys, and top shows none: end it with --duration SECONDS or Ctrl-C\n",
    )


def test_sockets_are_refused(run):
    assert run("top", "--sockets") == (
        2,
        "",
        "bondtrace: --sockets tells where single packets end, and top shows none: use live, record or summary\n",
    )
