# SPDX-License-Identifier: GPL-2.0-or-later
"""shell.sh, and a user's terminal lent to a machine, without booting one: the guest's script runs here."""

import os
import subprocess
import sys
import termios

import pytest
from guests import scenario
from screen import Screen
from shell import ROOT

SHELL = ROOT / "bondtrace/lab/shell.sh"
SETS_UP = """\
setup() { echo built; answer=42; }
play() { echo "played on ${1:-$LAB_IFACE}, answer $answer"; false; }
"""


def commanded(tmp_path, commands, text=SETS_UP):
    (tmp_path / "commands").write_text(commands)
    return subprocess.run(
        ["bash", str(SHELL), str(scenario(tmp_path, text)), str(tmp_path / "commands")],
        cwd=tmp_path,
        env={**os.environ, "LAB_OUT": str(tmp_path), "LAB_IFACE": "bond0"},
        input="not for the commands",
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_are_run_one_after_the_other_in_the_scenarios_shell(tmp_path):
    result = commanded(tmp_path, "play || echo failed\nwait_until true\ncat\nplay eth0; exit 3\necho beyond\n")
    assert (result.returncode, result.stdout, result.stderr) == (
        3,
        "played on bond0, answer 42\nfailed\nplayed on eth0, answer 42\n",
        "",
    )
    assert (tmp_path / "play.log").read_text() == "built\n"


@pytest.mark.parametrize(
    "commands, status", [("true\nfalse\n", 1), ("false\n:\n", 0), ("", 0), ("no-such-program", 127)]
)
def test_the_status_is_that_of_the_last_command(tmp_path, commands, status):
    assert commanded(tmp_path, commands).returncode == status


def test_no_command_runs_where_the_set_up_fails(tmp_path):
    result = commanded(tmp_path, "echo here\n", "setup() { echo so far; false; }\nplay() { :; }\n")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"bondtrace lab: the scenario failed in its setup at: false; {tmp_path}/play.log ends:\nso far\n"
    )


# --- on a terminal ------------------------------------------------------------------------------------

# In place of vng, QEMU and a guest: runs the guest's script, with a terminal of its own that is joined to the port.
MACHINE = """\
import os, pty, re, socket, subprocess, sys, threading
paths = dict(re.findall(r"bondtrace[.](\\w+),path=(\\S+)", " ".join(sys.argv)))
port, asked = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
port.connect(paths["terminal"])
asked.connect(paths["control"])
master, slave = pty.openpty()
def copy(read, write):
    try:
        while data := read():
            write(data)
    except OSError:
        pass
fifo = sys.argv[-1] + ".control"
os.mkfifo(fifo)
for read, write in (
    (lambda: os.read(master, 4096), port.sendall),
    (lambda: port.recv(4096), lambda data: os.write(master, data)),
    (lambda: asked.recv(4096), open(fifo, "r+b", buffering=0).write),
):
    threading.Thread(target=copy, args=(read, write), daemon=True).start()
script = open(sys.argv[-1]).read().replace("/dev/hvc0", os.ttyname(slave))
script = re.sub("^grep.*|^mount.*|^mkdir.*|^workdir.*", "", script, flags=re.MULTILINE)
subprocess.run(["bash", "-c", script], env={**os.environ, "control": fifo}, check=False)
"""

USER = """\
import os, sys
from pathlib import Path
from bondtrace.lab import machine
from bondtrace.lab.kernels import Kernel
from bondtrace.lab.terminal import Terminal
machine.find_tool = lambda name: sys.argv[1]
with Terminal() as terminal:
    sys.exit(machine.run(
        Kernel("6.1.0", Path("/k/vmlinuz"), Path("/k")), sys.argv[3:], Path(sys.argv[2]), env={"TERM": "dumb"},
        on_output=lambda data: os.write(1, data), terminal=terminal,
    ))
"""


@pytest.fixture
def screen(tmp_path):
    (tmp_path / "vng").write_text(f"#!{sys.executable}\n{MACHINE}")
    (tmp_path / "vng").chmod(0o755)
    path = scenario(tmp_path, SETS_UP.replace("answer=42;", "answer=42; env --default-signal=INT sleep 2000 &"))
    words = (str(tmp_path / "vng"), str(tmp_path / "out"), "bash", str(SHELL), str(path))
    shown = Screen(sys.executable, "-c", USER, *words)
    yield shown
    shown.close()


def test_a_terminal_is_a_shells_with_its_line_and_its_ctrl_c(screen, tmp_path):
    assert screen.shows("the scenario mine is set up") and screen.shows("lab ")
    # a function of the scenario, a line that is edited, the directory that is kept
    screen.type("play\r")
    assert screen.shows("answer 42")
    screen.type("echo wrogn\x7f\x7fng-$((6*7)) >said; cat said\r")
    assert screen.shows("wrong-42\r\n")
    assert (tmp_path / "out/said").read_text() == "wrong-42\n"
    # Ctrl-C is for what runs in the foreground there
    screen.type("bash -c 'echo here; exec sleep 1000'\r")
    assert screen.shows("here\r\n")
    screen.type("\x03")
    assert screen.shows("lab ")  # the prompt: Ctrl-C takes away what was typed and not read yet
    screen.type("echo status $?; stty size\r")
    assert screen.shows("status 130\r\n33 99\r\n") and screen.shows("lab ")
    # and not for what the set-up has in the background, not even at the prompt
    screen.type("\x03")
    assert screen.shows("lab ")
    screen.type("jobs -r | grep -c 'sleep 2000'; kill %1\r")
    assert screen.shows("1\r\n")
    screen.type("exit 3\r")
    assert screen.status() == 3


def test_ctrl_bracket_ends_the_machine_and_the_terminal_is_as_it_was(screen):
    assert screen.shows("lab ")
    screen.type("trap '' INT TERM; echo de''af; while :; do sleep 1; done\r")
    assert screen.shows("deaf\r\n")
    assert not termios.tcgetattr(screen.fd)[3] & termios.ICANON
    screen.type("\x1d")
    screen.shows("Traceback")
    assert termios.tcgetattr(screen.fd)[3] & termios.ICANON
    assert screen.status() != 0
