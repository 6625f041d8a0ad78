# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace browse` on a real terminal: the program in tmux, its screen as a user sees it."""

import os
import shutil
import signal
import sys
import time

import pytest
from screen import Screen
from shell import BONDTRACE, PING, ROOT, bondtrace, failure
from terminal import Terminal

from build import begun, received, record, refused

in_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@in_tmux
def test_a_recording_is_browsed_on_a_terminal_of_80_columns():
    with Terminal("browse", "examples/ping.arrows") as terminal:
        # the list, and the story of its first journey
        lines = terminal.shows("10 journeys")
        assert lines[0].startswith(" examples/ping.arrows (virtme-ng, Linux 6.1.0-56-amd64)") and len(lines) == 24
        assert lines[2] == "08:40:36.710749 tx bond0>eth0    2/2    ARP 10.9.0.2 > 10.9.0.1 who-has 10.9.0.…"
        assert "    1 other tap: not on its way (-v lists it)" in lines
        assert lines[-1].endswith(" 1/10")

        # a filter: half of it is said to be wrong, and keeps the list
        terminal.press("/")
        terminal.type("icm")
        assert terminal.shows("the filter 'icm' is not a tcpdump filter")[0].endswith("10 journeys")
        terminal.type("p")
        lines = terminal.shows("4 of 10")
        assert lines[-1] == "/icmp" and [line[16:18] for line in lines[2:6]] == ["tx", "rx", "rx", "tx"]
        terminal.press("Enter")
        terminal.shows("[icmp]  / select")

        # a journey's story, in sentences
        terminal.press("j", "Enter")
        terminal.shows("Journey #5, 08:40:36.719614: ICMP 10.9.0.1 > 10.9.0.2 echo reply id 473 seq")

        # the table of what is selected
        terminal.press("Tab")
        lines = terminal.shows("selected: 4 of 10 journeys by --filter icmp")
        assert any(line.startswith("tcpdump -i bond0 [1389]") for line in lines)

        terminal.press("q")
        assert terminal.status() == 0


@in_tmux
def test_what_is_typed_is_taken_back_by_escape():
    with Terminal("browse", PING, "--dropped") as terminal:
        terminal.shows("3 of 10")
        terminal.press("/", "C-u")
        terminal.shows("10 journeys")
        terminal.type("arp")
        terminal.shows("6 of 10")
        terminal.press("Escape")
        assert terminal.shows("3 of 10")[-1].startswith("[--dropped]  / select")


@in_tmux
def test_what_can_follow_stands_below_the_line_and_tab_completes_it():
    with Terminal("browse", PING) as terminal:
        terminal.shows("10 journeys")
        terminal.press("/")
        terminal.type("--")
        lines = terminal.shows(" --path     passed these devices in this order: eth0>bond0")
        assert len(lines) == 24 and lines[0].endswith("10 journeys") and lines[-7] == "/--" and "--tap  " in lines[-6]
        terminal.type("unseen ina")
        terminal.until(lambda lines: lines[-2:] == ["/--unseen ina", " inactive-slave"])
        terminal.press("Tab")
        assert "/--unseen inactive-slave" in terminal.shows("2 of 10")[-2:]
        terminal.type(" --tap bond")
        terminal.until(lambda lines: lines[-1] == " tcpdump -i bond0")
        terminal.press("Tab")
        terminal.shows("--tap 'tcpdump -i bond0'")
        terminal.press("Enter")
        assert terminal.shows("'tcpdump -i bond0']  / ")[-1].startswith(
            "[--unseen inactive-slave --tap 'tcpdump -i bond0']"
        )


@in_tmux
def test_keys_reach_the_browser():
    with Terminal("browse", PING) as terminal:
        terminal.shows("10 journeys")
        for keys, text in (
            *(("G", "10/10"), ("Up", "9/10"), ("Home", " 1/10"), ("End", "10/10"), ("k", "9/10"), ("g", " 1/10")),
            *(("PageDown", " 8/10"), ("PageUp", " 1/10"), ("Down", " 2/10"), ("Right", "▶ #2 steps"), ("?", "Ctrl-C")),
            *(("Escape", "─ #2 steps"), ("v", "not seen by tcpdump -i eth0 [10961]"), ("n", " 6/10"), ("N", " 2/10")),
        ):
            terminal.press(keys)
            terminal.shows(text)


@in_tmux
def test_the_screen_follows_the_size_of_the_terminal():
    with Terminal("browse", PING) as terminal:
        terminal.shows("10 journeys")
        terminal.resize(200, 50)
        lines = terminal.until(lambda lines: len(lines) == 50 and lines[-1].endswith("1/10"))
        assert "─ #1 steps" in lines[1] and lines[2].startswith("#1       08:40:36.710749 tx bond0>eth0")
        terminal.resize(40, 10)
        terminal.until(lambda lines: len(lines) == 10 and lines[-1].endswith("1/10"))


@in_tmux
@pytest.mark.parametrize("env, coloured", [((), True), (("NO_COLOR=1",), False)])
def test_colours_are_left_out_where_they_are_not_wanted(env, coloured):
    with Terminal("browse", PING, env=env) as terminal:
        terminal.shows("10 journeys")
        assert ("\x1b[32mcaptured" in "\n".join(terminal.lines("-e"))) == coloured


@in_tmux
@pytest.mark.parametrize("end, status", [("C-c", 0), (signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_in_order(end, status):
    with Terminal("browse", PING) as terminal:
        terminal.shows("10 journeys")
        if isinstance(end, signal.Signals):
            terminal.kill(end)
        else:
            terminal.press(end)

        assert terminal.status() == status
        assert status == 0 or "bondtrace: ended by SIGTERM" in terminal.lines()


@in_tmux
def test_a_recording_that_is_damaged_or_cut_off_is_shown_as_far_as_it_goes(tmp_path):
    path = record(tmp_path / "t.arrows", (received(), begun("a")), (refused(9_000_000), []))
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    with Terminal("browse", path) as terminal:
        assert "not all is there: Tab" in terminal.shows(" 1 journey;")[0]
        terminal.press("q")
        assert terminal.status() == 0
        assert "was cut off; the complete part of it is shown" in "".join(terminal.lines())
    place = data.rindex(b"\xff\xff\xff\xff", 0, len(data) - 8)
    path.write_bytes(data[: place + 4] + b"\xff\xff\xff\x7f" + data[place + 8 :])
    with Terminal("browse", path) as terminal:
        terminal.until(lambda lines: "a batch is malformed" in " ".join(" ".join(lines).split()))
        terminal.press("q")
        assert terminal.status() == 1
        assert "is not a bondtrace recording: a batch is malformed" in "".join(terminal.lines())


def test_the_end_of_its_terminal_ends_it():
    screen = Screen(*BONDTRACE, "browse", str(PING))
    assert screen.shows("10 journeys")
    screen.close()

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if os.waitpid(screen.process, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# --- without a terminal --------------------------------------------------------------------------------


def test_without_a_terminal_it_says_what_else_there_is():
    assert failure(bondtrace("browse", PING), 2) == (
        "bondtrace: browse needs a terminal: `bondtrace show` prints journeys to anything\n"
    )


def test_without_prompt_toolkit_it_says_what_to_install(tmp_path):
    (tmp_path / "prompt_toolkit.py").write_text("raise ImportError('none')")
    screen = Screen("env", f"PYTHONPATH={tmp_path}:{ROOT}", *BONDTRACE, "browse", str(PING))

    assert screen.status() == 1
    told = screen.seen.decode()
    assert "browse needs the Python package prompt_toolkit: `" in told and "python3-prompt-toolkit" in told
    assert "Traceback" not in told and sys.executable in told


def test_a_file_that_is_none_is_told_before_the_screen_is_taken(tmp_path):
    screen = Screen(*BONDTRACE, "browse", str(tmp_path / "none.arrows"))

    assert screen.status() == 1 and "No such file" in screen.seen.decode() and "\x1b[?1049h" not in screen.seen.decode()
