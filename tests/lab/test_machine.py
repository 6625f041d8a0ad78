# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab asks of the host and sends to the guest, without booting one."""

import os
import platform
import select
import signal
import stat
import sys
from pathlib import Path

import pytest

from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import guest, machine
from bondtrace.lab.arches import AMD64, ARM64
from bondtrace.lab.kernels import Kernel
from bondtrace.util.signals import Ended

KERNEL = Kernel("6.1.0-56-amd64", Path("/k/boot/vmlinuz-6.1.0-56-amd64"), Path("/k"))


def fake_vng(directory: Path, monkeypatch, body: str) -> None:
    """Puts a vng on PATH that runs `body`; $script is the guest script that it was given."""
    program = directory / "bin" / "vng"
    program.parent.mkdir()
    program.write_text(f'#!/bin/bash\nscript="${{@: -1}}"\n{body}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program.parent / "python3"))


def test_the_commands_output_and_status_come_back(tmp_path, monkeypatch):
    # given a machine that runs the guest's script
    fake_vng(tmp_path, monkeypatch, 'sed -i "/^grep/d" "$script"; exec bash "$script"')
    received = []
    # when a command prints on both streams and fails
    status = machine.run(
        KERNEL,
        ["bash", "-c", 'echo "$GREETING"; echo err >&2; pwd; exit 7'],
        tmp_path / "out",
        env={"GREETING": "it's fine"},
        on_output=received.append,
    )
    # then both are passed on as they were
    assert (status, b"".join(received)) == (7, f"it's fine\nerr\n{tmp_path}/out\n".encode())


def test_a_panic_is_told_with_the_consoles_end(tmp_path, monkeypatch):
    fake_vng(tmp_path, monkeypatch, 'printf "\\033[1mbooting\\r\\nKernel panic - not syncing: oh\\n"')
    with pytest.raises(BondtraceError) as raised:
        machine.run(KERNEL, ["true"], tmp_path / "out")
    console = tmp_path / "out" / "lab" / "console.log"
    assert str(raised.value) == (
        f"kernel 6.1.0-56-amd64 panicked in the lab; its console ({console}) ends:\n"
        "  booting\n"
        "  Kernel panic - not syncing: oh"
    )


def test_a_kernel_that_panics_at_boot_is_booted_once_more(tmp_path, monkeypatch):
    # given a machine that panics the first time, and then runs the guest's script
    fake_vng(
        tmp_path,
        monkeypatch,
        f"""[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again
        echo Kernel panic - not syncing: oh; exit; }}
        sed -i "/^grep/d" "$script"; exec bash "$script\"""",
    )
    received = []
    assert machine.run(KERNEL, ["echo", "done"], tmp_path / "out", on_output=received.append) == 0
    assert received == [b"done\n"]


def test_a_kernel_that_panics_while_the_command_runs_is_not_booted_again(tmp_path, monkeypatch):
    fake_vng(
        tmp_path,
        monkeypatch,
        f"""echo boot >>{tmp_path}/boots; sed -i "/^grep/d" "$script"
        timeout --foreground 1 bash "$script"; echo Kernel panic - not syncing: oh""",
    )
    with pytest.raises(BondtraceError, match="panicked in the lab"):
        machine.run(KERNEL, ["sleep", "100"], tmp_path / "out")
    assert (tmp_path / "boots").read_text() == "boot\n"


def has_ended(pid):
    """Is this process gone, or a zombie, within ten seconds?"""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(process) as handle:
        return bool(select.select([handle], [], [], 10)[0])


def test_a_machine_that_takes_too_long_is_ended_with_all_it_started(tmp_path, monkeypatch):
    # given a machine that hangs, with a child of its own
    fake_vng(tmp_path, monkeypatch, f"sleep 1000 & echo $! > {tmp_path}/child; echo waiting; wait")
    # when its time is over
    with pytest.raises(BondtraceError) as raised:
        machine.run(KERNEL, ["true"], tmp_path / "out", timeout_s=0.5)
    # then it is said so, and the child is gone too
    console = tmp_path / "out" / "lab" / "console.log"
    assert str(raised.value) == (
        f"kernel 6.1.0-56-amd64 did not finish the command in 0.5 s; its console ({console}) ends:\n  waiting"
    )
    assert has_ended(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    "out_dir, system, python",
    [("/tmp/out", True, True), ("/opt/python/out", True, False), ("/usr/local/src/out", False, False)],
)
def test_the_mounts_that_remember_never_hide_the_output_directory(out_dir, system, python, monkeypatch):
    # given this Python in a directory of its own
    monkeypatch.setattr(sys, "prefix", "/opt/python")
    script = guest.guest_script(["true"], Path(out_dir), {})
    assert ("mount -t overlay" in script) == system
    assert ("mount --bind /run/remembered/host/opt/python /opt/python" in script.splitlines()) == python


def test_a_path_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(UsageError) as raised:
        machine.run(KERNEL, ["true"], tmp_path / "two words")
    shown = repr(str(tmp_path / "two words"))
    assert str(raised.value) == (f"cannot share {shown} with the guest: choose a path without spaces, commas, quotes")


def test_a_machine_without_anything_lacks_every_tool(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_tool", lambda name: None)
    assert [missing.tool for missing in machine.requirements(AMD64)] == [
        "qemu-system-x86_64",
        "vng",
        "busybox",
        "modprobe",
        "depmod",
        "file",
        "ip",
        "tcpdump",
        "ping",
    ]


# --- signals ------------------------------------------------------------------------------------------

# Runs the guest's script, whose port is a FIFO here.
HEEDS = """\
socket=$(printf '%s\\n' "$@" | sed -n 's/.*bondtrace.control,path=\\([^ ]*\\).*/\\1/p')
mkfifo "$script.control"
/usr/bin/python3 -c 'import socket, sys
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
port = open(sys.argv[2], "r+b", buffering=0)
while data := one.recv(100):
    port.write(data)' "$socket" "$script.control" &
sed -i "/^grep/d" "$script"; control=$script.control exec bash "$script\""""
READY = "echo ready; for _ in {1..600}; do sleep 0.05; done"  # nobody ends what a machine leaves here


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_in_order_and_nothing_more_is_run(number, tmp_path, monkeypatch, signals_are_heard):
    fake_vng(tmp_path, monkeypatch, HEEDS)
    received, told = [], []

    def take(data):
        received.append(data)
        if b"ready" in data:
            os.kill(os.getpid(), number)

    # given a command with a child that has the last word
    command = ["bash", "-c", f"bash -c \"trap 'echo summary; exit 0' INT; {READY}\"; echo next; exit 4"]
    with pytest.raises(machine.Interrupted) as raised:
        machine.run(KERNEL, command, tmp_path / "out", on_output=take, notify=told.append)
    assert (raised.value.status, b"".join(received)) == (4, b"ready\nsummary\nnext\n")
    assert told == ["interrupted: the command in the machine is being ended; once more ends the machine at once"]


def test_a_second_signal_ends_the_machine_at_once(tmp_path, monkeypatch, signals_are_heard):
    fake_vng(tmp_path, monkeypatch, HEEDS)

    def take(data):
        if data in (b"ready\n", b"deaf\n"):
            os.kill(os.getpid(), signal.SIGINT)

    command = ["bash", "-c", f"trap 'echo deaf' INT; {READY}"]
    with pytest.raises(KeyboardInterrupt) as raised:
        machine.run(KERNEL, command, tmp_path / "out", on_output=take)
    assert not isinstance(raised.value, machine.Interrupted)


def test_a_signal_while_it_boots_ends_the_machine_at_once(tmp_path, monkeypatch, signals_are_heard):
    fake_vng(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/vng; kill -TERM $PPID; sleep 1000")
    with pytest.raises(Ended):
        machine.run(KERNEL, ["true"], tmp_path / "out")
    assert has_ended(int((tmp_path / "vng").read_text()))


# --- another user land --------------------------------------------------------------------------------


def test_the_guest_runs_the_command_in_the_root_directory():
    script = guest.guest_script(
        ["bondtrace", "doctor"], Path("/tmp/out"), {}, guest.Root.OTHER, [Path("/mine/scenarios")]
    )
    lines = script.splitlines()
    assert (
        "setsid env --default-signal=INT,QUIT chroot /run/userland/root bash -c "
        '\'cd "$1" && shift && exec "$@"\' - /tmp/out bondtrace doctor </dev/null >>/tmp/out/lab/output 2>&1 &'
    ) in lines
    # and finds there the output directory, this bondtrace and the scenarios, each at its own path
    assert {f"show {guest.PACKAGE}", "show /mine/scenarios", 'mount --bind /tmp/out "$new"/tmp/out'} <= set(lines)


def test_a_guest_of_another_processor_boots_with_the_root_directory(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    kernel = Kernel("6.12.9-arm64", Path("/k/boot/vmlinuz-6.12.9-arm64"), Path("/k"), ARM64)
    words = machine.vng_command(kernel, Path("/tmp/out"), 2, 512, ["-device a"], Path("/userland"))
    # then nothing of this machine's is run in it, and it finds the output directory at a path of its own
    assert words[words.index("--arch") + 1 :][:3] == ["arm64", "--root", "/userland"]
    assert [word for word in words if word.startswith("--rwdir")] == ["--rwdir=/run/output=/tmp/out"]
    assert words[-3:] == ["--", "bash", "/run/output/lab/guest.sh"] and "--append" not in words
    # and the command finds it where it is on the host, with the kernel's modules
    script = guest.guest_script(["true"], Path("/tmp/out"), {}, guest.Root.BOOTED).splitlines()
    assert {'mount --bind /run/output "$new"/tmp/out', ": >/run/output/lab/begun"} <= set(script)
    assert any(line.endswith(" modules /usr/lib/modules/$(uname -r)") for line in script)


def test_the_guest_has_the_user_lands_own_python(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/of/this/machine")
    environment = guest.guest_environment(Path("/tmp/out"), {}, userland=True)
    assert environment["PATH"].split(":")[0] == "/usr/local/sbin"
    assert environment["PYTHONPATH"] == str(guest.PACKAGE.parent)
