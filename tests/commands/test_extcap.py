# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace extcap`, as tshark calls it: listed, asked, and captured from through its pipe. In the place of the kernel
is a recording (``played``)."""

import os
import shlex
import signal
import subprocess
import sys
import time

import played
import pytest
from exported import needs_tshark
from played import play
from shell import PING, ROOT, failure

from bondtrace.exporters import wireshark


@pytest.fixture
def installed(tmp_path):
    """The environment of a user whose Wireshark has bondtrace's interfaces and fields."""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TZ": "UTC"}
    for name in [name for name in environment if name.startswith("XDG_")]:
        del environment[name]
    told = wireshark.folders(environment)
    where = told._replace(
        extcap=told.extcap if told.extcap.is_relative_to(tmp_path) else tmp_path / ".config/wireshark/extcap"
    )
    called = [sys.executable, played.__file__, str(PING)]
    text = wireshark.how_to(where, called, "root", is_own=False)
    subprocess.run(["sh", "-e"], input=text, text=True, env=environment, check=True)
    return environment


def tshark(environment, *words):
    """Run tshark; return its lines."""
    done = subprocess.run(
        ["tshark", "-n", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_tshark
def test_tshark_lists_the_interfaces(installed):
    assert any("bondtrace (Every device with taps and verdicts)" in line for line in tshark(installed, "-D"))


@needs_tshark
def test_tshark_captures_what_is_traced_and_selects_by_fields(installed):
    # when tshark captures from the interface as many frames as the trace has
    rows = tshark(
        installed,
        *("-i", "bondtrace", "-c", "18", "-f", "icmp or arp", "-Y", 'bondtrace.outcome == "captured"'),
        *("-T", "fields", "-e", "frame.interface_name", "-e", "bondtrace.journey", "-e", "bondtrace.verdict"),
    )

    # then it has all of them, as in a file of the recording, although the trace goes on
    rows = [row.split("\t") for row in rows]
    assert len(rows) == 18
    assert rows[2] == ["eth1", "2", "EXACT"]
    assert {dev for dev, _, _ in rows} == {"bond0", "eth0", "eth1"}
    assert [int(number) for _, number, _ in rows] == sorted(int(number) for _, number, _ in rows)


@needs_tshark
def test_a_filter_that_is_none_ends_the_capture_with_a_message(installed):
    done = subprocess.run(
        ["tshark", "-n", "-i", "bondtrace", "-f", "icmp prot", "-c", "1"],
        env=installed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "" and "icmp prot" in done.stderr


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.usefixtures("signals_are_heard")
def test_a_capture_ends_in_order_when_it_is_ended(fifo):
    capturing = play(PING, "extcap", "--capture", "--extcap-interface", "bondtrace-bond0", "--fifo", fifo)
    found = bytearray()
    with fifo.open("rb") as stream:
        while found.count(b"journey #") < 18:
            found += os.read(stream.fileno(), 1 << 16)
        capturing.send_signal(signal.SIGTERM)
        found += stream.read()
    out, err = capturing.communicate(timeout=60)

    assert (capturing.returncode, out, err) == (0, b"", b"")  # Wireshark shows what is on standard error
    assert found.count(b"losses: none") == 3  # the interfaces' statistics


def test_a_reader_that_goes_away_ends_the_capture(fifo):
    capturing = play(PING, "extcap", "--capture", "--extcap-interface", "bondtrace", "--fifo", fifo)
    with fifo.open("rb") as stream:
        assert stream.read(4) == b"\x0a\x0d\x0d\x0a"
    capturing.communicate(timeout=60)
    assert capturing.returncode == 0


@pytest.mark.usefixtures("signals_are_heard")
def test_ended_before_anybody_reads_is_no_failure(fifo):
    capturing = play(PING, "extcap", "--capture", "--extcap-interface", "bondtrace", "--fifo", fifo)
    while not _waits_in_open(capturing.pid) and capturing.poll() is None:
        time.sleep(0.05)
    capturing.send_signal(signal.SIGTERM)

    assert capturing.communicate(timeout=60) == (b"", b"")
    assert capturing.returncode == 0


def _waits_in_open(pid):
    """Does the process wait for somebody to open a pipe? The system call is openat, 257, on x86-64."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == "257"


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "--capture needs --extcap-interface NAME: `bondtrace extcap --extcap-interfaces` lists them"),
        (
            ("--extcap-interface", "bondtrace-bond0", "--iface", "eth0"),
            "bondtrace-bond0 is for bond0: --iface eth0 is for the interface bondtrace",
        ),
        (("--extcap-interface", "bondtrace", "--extcap-capture-filter", "icmp prot"), "the filter 'icmp prot' is not "),
    ],
)
def test_a_capture_that_cannot_begin_closes_its_pipe(fifo, words, message):
    capturing = play(PING, "extcap", "--capture", "--fifo", fifo, *words)
    assert fifo.read_bytes() == b""

    assert capturing.communicate(timeout=60)[1].decode().startswith(f"bondtrace: {message}")
    assert capturing.returncode == 2


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("--capture", "--extcap-interface", "bondtrace"),
            "--capture needs --fifo PIPE, a named pipe that Wireshark reads",
        ),
        (
            ("--extcap-interface", "eth0", "--extcap-config"),
            "'eth0' is no interface of bondtrace: `bondtrace extcap --extcap-interfaces` lists them",
        ),
        (("--extcap-interface", "bondtrace"), "what of bondtrace? Give --capture, --extcap-config or --extcap-dlts"),
        (("--snaplne", "5"), "--snaplne is no option of extcap: `bondtrace extcap --help` lists them"),
    ],
)
def test_what_cannot_be_meant_is_told(run, words, message):
    assert failure(run("extcap", *words), 2) == f"bondtrace: {message}\n"


def test_what_a_newer_wireshark_may_ask_for_is_passed_over(run):
    status, out, err = run("extcap", "--extcap-interfaces", "--extcap-version=9.9", "--extcap-new-thing", "x")
    assert (status, err) == (0, "") and "interface {value=bondtrace}" in out


def test_a_filter_is_verified_as_wireshark_wants_it(run):
    of = ("extcap", "--extcap-interface", "bondtrace", "--extcap-capture-filter")
    assert run(*of, "icmp or arp") == (0, "", "")
    status, out, err = run(*of, "icmp prot")
    assert (status, err) == (0, "") and out.startswith("the filter 'icmp prot' is not a tcpdump filter: ")


def test_options_are_described_with_what_they_are_called(run):
    _, all_devices, _ = run("extcap", "--extcap-interface", "bondtrace", "--extcap-config")
    _, one_device, _ = run("extcap", "--extcap-interface", "bondtrace-bond0", "--extcap-config")
    calls = [line.partition("{call=")[2].partition("}")[0] for line in all_devices.splitlines()]

    assert calls == ["--iface", "--netns", "--sockets", "--snaplen"]
    assert "--iface" not in one_device and one_device.startswith("arg {number=0}{call=--netns}")
    assert run("extcap", "--extcap-interface", "bondtrace", "--extcap-dlts")[1].startswith(
        "dlt {number=1}{name=EN10MB}"
    )


def test_without_options_it_prints_what_to_type(run):
    status, out, err = run("extcap")

    assert (status, err) == (0, "")
    assert shlex.quote(str(wireshark.LUA)) in out and f"exec {shlex.join(wireshark.program())} extcap" in out


@pytest.mark.parametrize(
    "make", [os.mkdir, lambda path: path.write_text("precious"), lambda path: path.symlink_to("x")]
)
def test_only_a_pipe_is_written_to(tmp_path, make):
    path = tmp_path / "x"
    make(path)
    capturing = play(PING, "extcap", "--capture", "--extcap-interface", "bondtrace", "--fifo", path)
    out, err = capturing.communicate(timeout=60)

    assert (capturing.returncode, out) == (2, b"")
    assert err.decode() == f"bondtrace: {path} is no named pipe: `mkfifo` makes one\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_under_sudo_only_the_callers_own_pipe_is_written_to(fifo):
    words = ("extcap", "--capture", "--extcap-interface", "bondtrace", "--fifo", fifo)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SUDO_UID": "65534", "SUDO_GID": "65534"}
    capturing = play(PING, *words, env=environment)

    assert capturing.communicate(timeout=60)[1].decode() == (
        f"bondtrace: {fifo} does not belong to the user who called sudo: name a pipe of your own\n"
    )
    assert capturing.returncode == 2

    os.chown(fifo, 65534, 65534)
    capturing = play(PING, *words, env=environment)
    with fifo.open("rb") as stream:
        assert stream.read(4) == b"\x0a\x0d\x0d\x0a"
    capturing.communicate(timeout=60)
