# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings through pipes: ``record -o -`` writes one, and every command that reads files reads it from ``-``."""

import array
import errno
import fcntl
import json
import os
import pty
import signal
import subprocess
import termios

import pytest
from played import play
from shell import BONDTRACE, PING, REPLY, ROOT, bondtrace, failure

from bondtrace.format.recording import Recorder
from build import begun, losses, received, refused

pytestmark = pytest.mark.usefixtures("signals_are_heard")


def reading(command, source, *words, **more):
    """Start a command that reads a recording from this stream."""
    return subprocess.Popen(
        [*BONDTRACE, command, "-", *words],
        cwd=ROOT,
        stdin=source,
        text=True,
        env={**os.environ, "TZ": "UTC"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("show", "--follow"),
        ("show", "--json", "--rx", "--count", "2"),
        ("summary", "--why"),
        ("explain", "--journey", "2"),
        ("show", "icmp", "--quiet"),
        ("export", "--format", "jsonl", "-o", "-"),
    ],
)
def test_a_pipe_tells_what_the_file_tells(words):
    of_file = bondtrace(words[0], PING, *words[1:])
    with PING.open("rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
    piped = reading(words[0], cat.stdout, *words[1:])
    cat.stdout.close()
    out, err = piped.communicate(timeout=60)

    assert (piped.returncode, out) == (0, of_file.stdout)
    assert err == of_file.stderr.replace(str(PING), "standard input")
    cat.wait(timeout=60)


@pytest.mark.parametrize("form", ["pcapng", "csv", "perfetto"])
def test_an_export_of_a_pipe_is_that_of_the_file_but_for_its_name(form):
    of_file = subprocess.run([*BONDTRACE, "export", PING, "--format", form, "-o", "-"], cwd=ROOT, capture_output=True)
    with PING.open("rb") as file:  # standard input may be a file, too
        piped = subprocess.run(
            [*BONDTRACE, "export", "-", "--format", form, "-o", "-"], cwd=ROOT, stdin=file, capture_output=True
        )
    assert (of_file.returncode, piped.returncode) == (0, 0)
    if form == "pcapng":  # the name is in options that are padded, and whose lengths differ
        assert piped.stdout.count(b"journey #") == of_file.stdout.count(b"journey #") == 18
    else:
        assert piped.stdout == of_file.stdout.replace(str(PING).encode(), b"standard input")


def test_a_report_of_a_pipe(tmp_path):
    page = tmp_path / "page.html"
    with PING.open("rb") as file:
        piped = reading("report", file, "-o", str(page))
    assert "10 journeys reported" in piped.communicate(timeout=120)[1]
    assert piped.returncode == 0 and "standard input" in page.read_text()


def test_journeys_are_shown_while_the_pipe_is_open(tmp_path):
    # given a trace that is still going on after its packets have come
    tracing = play(PING, "record", "-o", "-")
    showing = reading("show", tracing.stdout, "--json")
    tracing.stdout.close()

    # then these are shown
    assert [json.loads(showing.stdout.readline())["id"] for _ in range(10)] == [*range(1, 11)]
    assert (tracing.poll(), showing.poll()) == (None, None)

    # and when both are interrupted, as by a terminal, they end in order: the recording is whole
    for one in (showing, tracing):
        one.send_signal(signal.SIGINT)
    out, err = showing.communicate(timeout=60)
    assert out == "" and all(" for the last packets of the trace" in line for line in err.splitlines())
    assert (showing.returncode, tracing.wait(timeout=60)) == (0, 0)
    assert tracing.stderr.read().decode().splitlines()[-1].startswith("bondtrace: standard output: 14 passes, ")


def test_an_interrupt_ends_with_what_was_seen_although_the_writer_stays():
    # given a writer that neither writes nor ends, after half a recording
    data = PING.read_bytes()
    showing = reading("summary", subprocess.PIPE, bufsize=0)
    os.write(showing.stdin.fileno(), data[:-300])
    while showing.poll() is None and not _has_read_all(showing.stdin):
        pass

    # when interrupted twice, it does not wait for more
    for _ in range(2):
        showing.send_signal(signal.SIGINT)
    assert showing.wait(timeout=60) == 0
    assert "10 packets; a cell is offers/captures" in showing.stdout.read()
    assert showing.stderr.read().endswith("bondtrace: standard input was cut off; the complete part of it is shown\n")


def _has_read_all(pipe):
    left = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, left)
    return not left[0]


@pytest.mark.parametrize("words", [("show", "--count", "1"), ("head",)])
def test_a_reader_that_goes_away_ends_the_trace_in_order(words):
    tracing = play(PING, "record", "-o", "-")
    if words[0] == "head":
        assert tracing.stdout.read(4) == b"\xff\xff\xff\xff"
        tracing.stdout.close()
    else:
        showing = reading(words[0], tracing.stdout, *words[1:])
        tracing.stdout.close()
        assert " #1 ARP " in showing.communicate(timeout=60)[0] and showing.returncode == 0

    assert tracing.wait(timeout=60) == 0
    assert [line.partition(" in ")[0] for line in tracing.stderr.read().decode().splitlines()] == [
        "bondtrace: attached"
    ]


def test_what_a_trace_writes_to_a_pipe_is_a_recording(tmp_path):
    path = tmp_path / "piped.arrows"
    with path.open("wb") as file:
        tracing = play(PING, "record", "-o", "-", "--max-size", "1k", stdout=file)
        err = tracing.communicate(timeout=60)[1].decode()
    assert tracing.returncode == 0 and f" {path.stat().st_size / 1e6:.2f} MB; losses: none" in err

    assert bondtrace("show", path).stdout == bondtrace("show", PING).stdout


def test_a_full_disk_is_told():
    with open("/dev/full", "wb") as full:
        tracing = play(PING, "record", "-o", "-", stdout=full)
        err = tracing.communicate(timeout=60)[1].decode()
    assert tracing.returncode == 1
    assert err.splitlines()[-1] == f"bondtrace: cannot write to standard output: {os.strerror(errno.ENOSPC)}"


def test_a_pipe_that_was_cut_off_shows_what_is_whole(tmp_path):
    path = tmp_path / "cut.arrows"
    with Recorder(path) as recorder:
        recorder.write(received(), begun("a"))
        whole = recorder.bytes
        recorder.write(refused(30), [losses(60, lost=[0])])
    path.write_bytes(path.read_bytes()[: whole + 1000])

    for words, done in ((("show", "-"), "shown"), (("export", "-", "--format", "jsonl", "-o", "-"), "exported")):
        with path.open("rb") as file:
            piped = reading(words[0], file, *words[2:])
            out, err = piped.communicate(timeout=60)
        assert piped.returncode == 0 and out
        assert f"bondtrace: standard input was cut off; the complete part of it is {done}\n" in err
    assert bondtrace("show", path).stdout.startswith(REPLY.partition("\n")[0])


@pytest.mark.parametrize("command", [("show", "-"), ("summary", "-"), ("export", "-", "--format", "csv", "-o", "-")])
@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "nothing came from standard input: the command that was to write to it may say why"),
        (
            b"hello\nworld\n",
            "standard input is not a bondtrace recording: it is not an Arrow stream; `bondtrace record -o FILE` "
            "makes one",
        ),
    ],
)
def test_what_is_no_recording_is_told(command, data, message):
    done = subprocess.run([*BONDTRACE, *command], cwd=ROOT, input=data, capture_output=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr.decode() == f"bondtrace: {message}\n"


@pytest.mark.parametrize("files", [("-", "-"), ("-", str(PING)), (str(PING), "-")])
@pytest.mark.parametrize("words", [("show",), ("summary",), ("export", "--format", "csv", "-o", "-")])
def test_standard_input_is_one_recording(run, words, files):
    assert failure(run(words[0], *files, *words[1:]), 2) == (
        "bondtrace: - is standard input, which is one recording: give it once, and no file beside it\n"
    )


@pytest.mark.parametrize("words", [("why", "icmp", "-"), ("check", "eth0.pcap", "-")])
def test_what_reads_twice_reads_no_pipe(run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eth0.pcap").write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    assert failure(run(*words), 2) == (
        f"bondtrace: {words[0]} reads the recording twice, and - can be read once: save it to a file\n"
    )


@pytest.mark.parametrize("words", [("--rotate-size", "1M"), ("--rotate-time", "1h", "--keep", "3")])
def test_parts_are_files(run, words):
    assert failure(run("record", "-o", "-", *words), 2) == (
        "bondtrace: parts (--rotate-size, --rotate-time) are files, and -o - is standard output: name a file\n"
    )


def test_live_does_not_mix_a_recording_with_what_it_shows(run):
    assert failure(run("live", "-w", "-"), 2) == (
        "bondtrace: -w - would mix a recording with what is shown: `bondtrace record -o -` writes only it\n"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("record", "-o", "-"),
            "a recording is no text, and standard output is a terminal: pipe it (`| bondtrace show -`), or name a file "
            "instead of -",
        ),
        (
            ("show", "-"),
            "standard input is a terminal: pipe a recording into it (`bondtrace record -o - | ...`), or name a file "
            "instead of -",
        ),
    ],
)
def test_a_terminal_is_refused(words, message):
    leader, terminal = pty.openpty()
    done = subprocess.run(
        [*BONDTRACE, *words], cwd=ROOT, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(leader), os.close(terminal)

    assert (done.returncode, done.stderr) == (2, f"bondtrace: {message}\n")
