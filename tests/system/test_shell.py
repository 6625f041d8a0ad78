# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace lab --shell`, by commands and at a terminal, and Ctrl-C, which ends a command in the machine in order."""

import json
import subprocess

import pytest
from guests import scenario
from screen import Screen
from shell import BONDTRACE

pytestmark = pytest.mark.lab

# Only to end what hangs.
BOOT_S, TRACER_S = 600, 2000


@pytest.fixture
def screen():
    """screen(*words) -> Screen of bondtrace's command line."""
    shown = []

    def start(*words):
        shown.append(Screen(*BONDTRACE, *map(str, words)))
        return shown[-1]

    yield start
    for one in shown:
        one.close()


def test_commands_on_standard_input_are_run_in_one_boot_and_the_last_status_is_told(tmp_path):
    commands = """\
ip -br link
bondtrace taps
play >played && wait_until test -s bond0.pcap
python3 -c 'import bondtrace; print(bondtrace.__file__)'
exit 3
"""
    words = [*BONDTRACE, "lab", "--shell", "--cpus", "1", "--out", str(tmp_path)]
    ended = subprocess.run(words, input=commands, capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    # the network is that of the scenario ping, and so are the taps
    assert {line.split("@")[0].split()[0] for line in lines[:5]} >= {"lo", "eth0", "eth1", "bond0"}
    tapped = [line for line in lines if "tcpdump" in line]
    assert [sum(device in line for line in tapped) for device in ("eth0", "eth1", "bond0")] == [1, 1, 1], tapped
    assert "1 received" in (tmp_path / "played").read_text()
    assert lines[-1].endswith("/bondtrace/__init__.py")


def test_a_shell_on_a_terminal(screen, tmp_path):
    shown = screen("lab", "--shell", "--cpus", 1, "--out", tmp_path)
    assert shown.shows("the scenario ping is set up", BOOT_S) and shown.shows(f"lab {tmp_path} # ")
    # a line is edited, the window has its size, jobs of the set-up live on
    shown.type("ip -br -4 addr show dev bond1\x7f0; stty size\r")
    assert shown.shows("10.9.0.2/24") and shown.shows("33 99\r\n")
    # Ctrl-C is the foreground command's, not the shell's, the taps' or the lab's
    shown.type("ping 10.9.0.1\r")
    assert shown.shows("icmp_seq=2")
    shown.type("\x03")
    assert shown.shows("packet loss")
    shown.type("jobs -r | grep -c tcpdump\r")
    assert shown.shows("3\r\n")
    shown.type("exit 4\r")
    assert shown.status() == 4
    assert (tmp_path / "bond0.pcap").stat().st_size > 24


PINGS = "setup() { make_bonded_host; start_taps bond0; }\nplay() { ping -i 0.2 10.9.0.1; }\n"


def test_ctrl_c_gives_every_command_in_the_machine_its_last_word(screen, tmp_path):
    live = tmp_path / "live.jsonl"
    command = f"bondtrace --iface bond0 --json >{live}; echo status $?; bondtrace --version; exit 5"
    # given a scenario that does not end by itself
    path = scenario(tmp_path, PINGS, "pings.sh")
    shown = screen("lab", "--cpus", 1, "--out", tmp_path, "--scenario", path, "--", "bash", "-c", command)
    assert shown.shows("bondtrace: attached", TRACER_S)
    while not live.stat().st_size:
        assert not shown.shows("bondtrace lab: ", 1)  # which would tell of a failure
    shown.type("\x03")
    assert shown.shows("interrupted: the command in the machine is being ended") and shown.shows("status 0\r\n")
    assert shown.status() == 5 and b"bondtrace, version" in shown.seen
    journeys = [json.loads(line) for line in live.read_text().splitlines()]
    assert {one["packet"]["protocol"] for one in journeys} >= {"ICMP"}
