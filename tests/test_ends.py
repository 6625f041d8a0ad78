# SPDX-License-Identifier: GPL-2.0-or-later
"""How commands end when something ends them: signals, readers and terminals that go away, full and read-only disks."""

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from shell import BONDTRACE, PING, REPLY, ROOT

from bondtrace.format.recording import Recording
from bondtrace.format.wire import EMPTY
from build import SKB, events, received, record, reply, short_trace

pytestmark = pytest.mark.usefixtures("signals_are_heard")

TOLD = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "ended by SIGTERM"),
    signal.SIGHUP: (129, "ended by SIGHUP"),
}
WRITES = [("export", "--format", form) for form in ("csv", "jsonl", "pcapng", "perfetto", "parquet")] + [("report",)]


def words(command, *more):
    return [command[0], str(PING), *command[1:], *map(str, more)]


# --- signals -------------------------------------------------------------------------------------------

# The command is stopped where all of its files are open and some of what they get is written.
STOPPED = """
import sys, time
from bondtrace import cli, pipeline
run = pipeline.Pipeline.run
def stopped(self, *words):
    run(self, *words)
    print("here", file=sys.stderr, flush=True)
    while True:  # a signal just before a long sleep would be seen after it
        time.sleep(0.01)
pipeline.Pipeline.run = stopped
cli.main()
"""


def stopped(command, *more, cwd):
    """A process that waits amid this command."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, *words(command, *more)],
        cwd=cwd,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for line in process.stderr:
        if line == "here\n":
            return process
    raise AssertionError("it ended too early")


@pytest.mark.parametrize("number", TOLD, ids=lambda number: number.name)
@pytest.mark.parametrize("command", [WRITES[0], WRITES[4], WRITES[5], ("show",)], ids=lambda command: "-".join(command))
def test_a_signal_ends_it_with_a_line_and_leaves_nothing_behind(command, number, tmp_path):
    target = ("-o", tmp_path / "out") if command in WRITES else ()
    process = stopped(command, *target, cwd=tmp_path)

    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    status, said = TOLD[number]
    assert (process.returncode, err) == (status, f"bondtrace: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_as_it_was_when_a_signal_comes(tmp_path):
    old = tmp_path / "out"
    old.write_text("old")
    process = stopped(WRITES[0], "-o", old, "--force", cwd=tmp_path)
    process.terminate()
    process.communicate(timeout=30)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out": "old"}


@pytest.mark.parametrize("command", WRITES[3:], ids=lambda command: "-".join(command))
def test_what_is_killed_leaves_nothing_that_could_be_taken_for_whole(command, tmp_path):
    process = stopped(command, "-o", tmp_path / "out", cwd=tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert [path.name for path in tmp_path.iterdir()] == [f".out.{process.pid}.partial"]


def test_nohup_is_respected(tmp_path):
    process = subprocess.Popen(
        ["nohup", *BONDTRACE, "show", "--follow", cut_off(tmp_path)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert "#1" in process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def cut_off(directory):
    """A recording that is still being written."""
    path = record(directory / "growing.arrows", (received(), events()), (EMPTY, [events()[0]]))
    path.write_bytes(path.read_bytes()[:-8])
    return path


# --- readers and terminals that go away -----------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("show", "--json"),
        ("summary",),
        ("explain", "--journey", "1"),
        ("export", "--format", "csv", "-o", "-"),
        ("export", "--format", "pcapng", "-o", "-"),
        ("report", "-o", "-"),
    ],
    ids=lambda command: "-".join(command[:3]),
)
def test_a_reader_that_is_gone(command):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*BONDTRACE, *words(command)],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(write)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    # given more journeys than a pipe holds, and a reader that takes one line of them
    path = record(
        tmp_path / "long.arrows",
        (EMPTY, events()),
        *((received(1000 * n, packet=reply(seq=n), skb=SKB + 64 * n), []) for n in range(1500)),
    )
    command = f"{sys.executable} -m bondtrace show {path} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},
    )

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        REPLY.splitlines(keepends=True)[0].replace("seq 1", "seq 0"),
        "",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("show", "FILE"),
        ("show", "FILE", "--json"),
        ("summary", "FILE"),
        ("summary", "FILE", "--json"),
        ("explain", "FILE", "--journey", "1"),
        ("taps",),
        ("--help",),
        ("show", "--help"),
        ("--version",),
    ],
    ids=" ".join,
)
def test_a_pipe_that_nobody_reads_is_no_failure(tmp_path, words):
    # given a pipe whose reader is gone before the first word
    path, (reader, writer) = short_trace(tmp_path / "trace.arrows"), os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        words = [str(path) if word == "FILE" else word for word in words]
        done = subprocess.run(
            [sys.executable, "-m", "bondtrace", *words],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("show", "FILE"), ("summary", "FILE", "--json"), ("--version",)], ids=" ".join)
def test_an_output_that_cannot_be_written_is_told(tmp_path, words, unbuffered):
    path = short_trace(tmp_path / "trace.arrows")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bondtrace", *(str(path) if word == "FILE" else word for word in words)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    assert (done.returncode, done.stderr) == (1, "bondtrace: cannot write the output: No space left on device\n")


# A failure without a file's name, which is not of the output, while that is written to.
FAILS_ELSEWHERE = """
import errno, os
from bondtrace import cli, pipeline
def fails(self, *words):
    print("so far")
    raise OSError(errno.{}, os.strerror(errno.{}))
pipeline.Pipeline.run = fails
cli.main()
"""


@pytest.mark.parametrize(("name", "said"), [("EPERM", "Operation not permitted"), ("EMFILE", "Too many open files")])
def test_another_failure_is_not_told_as_one_of_the_output(name, said):
    done = subprocess.run(
        [sys.executable, "-c", FAILS_ELSEWHERE.format(name, name), "summary", str(PING)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, f"bondtrace: {said}\n")


def test_a_terminal_that_is_gone(tmp_path):
    # given a command on a terminal
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.dup2(os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT, 0o600), 2)
        os.execv(sys.executable, [*BONDTRACE, "show", "--follow", str(cut_off(tmp_path))])
    shown = b""
    while b"#1" not in shown:
        shown += os.read(terminal, 4096)

    # when that is closed, then SIGHUP ends the command in good order, or that the reader is gone
    os.close(terminal)
    assert status_of(pid) == 0
    assert (tmp_path / "said").read_text() == ""


# --- traces --------------------------------------------------------------------------------------------

# Of a kernel that says of a reply every hundredth of a second; tests/system/test_faults.py has a real one.
TRACE = """
import sys, time
from bondtrace import cli
from bondtrace.commands import live, record
from bondtrace.format.batch import Batch
from bondtrace.capture.live import source
from bondtrace.format.wire import EMPTY
from build import BEGIN_NS, SKB, events, losses, received
class Source:
    def __init__(self, *_, **__): self.ended = False
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def describe(self): return "nothing"
    def does_not_see(self): return []
    def stop(self): self.ended = True
    def batches(self):
        yield Batch(received(), events(), BEGIN_NS)
        number = 0
        while not self.ended:
            number += 1
            yield Batch(received(number * 1000000, skb=SKB + number * 64), [], BEGIN_NS + number * 1000000000)
            time.sleep(0.01)
        yield Batch(EMPTY, [{"kind": "end", "time_ns": BEGIN_NS + number * 1000000000}], BEGIN_NS + number * 1000000000)
source.LiveSource, live.require_rights, record.require_rights = Source, lambda: None, lambda: None
cli.main()
"""
TRACES = [
    ("live", "--write", "trace.arrows"),
    ("live", "--json", "--write", "trace.arrows"),
    ("record", "-o", "trace.arrows"),
]
HERE_AND_BUILD = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}


def traced(directory):
    """How many packets the recording holds; it has its end."""
    recording = Recording(directory / "trace.arrows")
    batches = list(recording.batches())
    assert not recording.cut_off and batches[-1].events[-1]["kind"] == "end"
    return sum(len(batch.passes) for batch in batches)


@pytest.mark.parametrize("number", TOLD, ids=lambda number: number.name)
@pytest.mark.parametrize("command", TRACES, ids=" ".join)
def test_a_trace_that_a_signal_ends_is_whole_and_ends_with_what_it_has_to_say(command, number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", TRACE, *command],
        cwd=tmp_path,
        text=True,
        env={**os.environ, **HERE_AND_BUILD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr.readline().startswith("bondtrace: attached")
    if command[0] == "live":
        process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "losses: none" in (err if command[0] == "record" else out) or '"losses": {}' in err
    assert traced(tmp_path) > 0


@pytest.mark.parametrize("command", TRACES[:2], ids=" ".join)
def test_a_trace_whose_reader_goes_away_ends_in_order(command, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", TRACE, *command],
        cwd=tmp_path,
        text=True,
        env={**os.environ, **HERE_AND_BUILD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline()
    process.stdout.close()

    assert process.wait(60) == 0
    assert re.fullmatch("bondtrace: attached [^\n]*\n", process.stderr.read())
    process.stderr.close()
    assert traced(tmp_path) > 0


@pytest.mark.parametrize("hangup", ["--default-signal=HUP", "--ignore-signal=HUP"])
@pytest.mark.parametrize("command", TRACES, ids=" ".join)
def test_a_trace_whose_terminal_goes_away_is_whole(command, hangup, tmp_path):
    # given a trace that says everything on a terminal, which may hang up on deaf ears
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ.update(HERE_AND_BUILD)
        os.environ.pop("PYTHONUNBUFFERED", None)  # with which nothing is left to be written at the end
        os.execvp("env", ["env", hangup, sys.executable, "-c", TRACE, *command])
    shown = b""
    while b"passes," not in shown and b"ip_rcv" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)

    # when nobody but a signal ends a recorder, then it has gone on until that
    if command[0] == "record" and "ignore" in hangup:
        before = (tmp_path / "trace.arrows").stat().st_size
        wait_for(lambda: (tmp_path / "trace.arrows").stat().st_size > before)
        os.kill(pid, signal.SIGTERM)
    assert status_of(pid) == 0
    assert traced(tmp_path) > 0


def wait_for(what):
    deadline = time.monotonic() + 60
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert what()


def status_of(pid):
    """Once it has ended, which it does within a minute."""
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended[0] == pid
    return os.waitstatus_to_exitcode(ended[1])


# --- disks ---------------------------------------------------------------------------------------------


def on_a_disk(tmp_path, script, size="96k", options=""):
    """What a shell script says in a mount namespace of its own, in which $DISK is a small file system."""
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    setup = f"mount -t tmpfs -o size={size} none {disk} || exit 99; {options}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{setup}\n{script}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "DISK": str(disk),
            "PYTHON": sys.executable,
            "PING": str(PING),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        },
    )
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("no mount namespace may be made here")
    return done


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A recording whose exports are larger than the disk."""
    path = tmp_path_factory.mktemp("large") / "large.arrows"
    return record(path, (EMPTY, events()), *((received(n * 100, skb=n * 64), []) for n in range(1, 1200)))


@pytest.mark.parametrize("command", WRITES, ids=lambda command: "-".join(command))
def test_a_full_disk(command, tmp_path, large):
    size = "16k" if "parquet" in command else "96k"
    done = on_a_disk(
        tmp_path,
        f"""
        echo old > $DISK/out
        $PYTHON -m bondtrace {command[0]} {large} {" ".join(command[1:])} -o $DISK/new; echo $?
        $PYTHON -m bondtrace {command[0]} {large} {" ".join(command[1:])} -o $DISK/out --force; echo $?
        ls -A $DISK; cat $DISK/out""",
        size,
    )

    assert done.stdout == "1\n1\nout\nold\n"
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "cannot write" in line] == [
        f"bondtrace: cannot write {tmp_path}/disk/{name}: No space left on device; name another file"
        for name in ("new", "out")
    ]


@pytest.mark.parametrize("command", WRITES[:1] + WRITES[-1:], ids=lambda command: "-".join(command))
def test_a_read_only_disk(command, tmp_path):
    done = on_a_disk(
        tmp_path,
        f"$PYTHON -m bondtrace {command[0]} $PING {' '.join(command[1:])} -o $DISK/new; echo $?",
        options=f"mount -o remount,ro {tmp_path}/disk;",
    )
    assert (done.stdout, done.stderr) == (
        "1\n",
        f"bondtrace: cannot write {tmp_path}/disk/new: Read-only file system; name another file\n",
    )


RECORDS = """
import sys
from pathlib import Path
from bondtrace.errors import BondtraceError
from bondtrace.format.recording import Recorder, Recording
from bondtrace.format.rotation import RotatingRecorder
from bondtrace.format.wire import EMPTY
from build import *
path = Path(sys.argv[1])
recorder = eval(sys.argv[2])
written = 0
try:
    recorder.write(EMPTY, events())
    while True:
        recorder.write(received(written * 100, skb=written * 64), [losses(written, lost=[written])])
        written += 1
except BondtraceError as error:
    print(str(error).replace(str(path.parent), "DISK"))
try:
    recorder.close()
except BondtraceError as error:
    print("at the end", error)
read = 0
for one in sorted(path.parent.iterdir()):
    recording = Recording(one)
    read += sum(len(batch.passes) for batch in recording.batches())
print(sorted(one.name for one in path.parent.iterdir()), read - written in (0, 1), written > 10)
"""


@pytest.mark.parametrize(
    "recorder, said",
    [
        (
            "Recorder(path)",
            [
                "cannot write to DISK/x.arrows: No space left on device; what was written before is whole",
                "['x.arrows'] True True",
            ],
        ),
        (
            "RotatingRecorder(path, part_bytes=30000)",
            [
                re.compile(
                    r"cannot write to DISK/x-000\d.arrows: No space left on device; (what was written before is whole|"
                    r"nothing was written)"
                ),
                re.compile(r"\['x-0001.arrows'.*\] True True"),
            ],
        ),
    ],
)
def test_recorders_on_a_full_disk_keep_every_batch(tmp_path, recorder, said):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(RECORDS))
    done = on_a_disk(tmp_path, f"$PYTHON {script} $DISK/x.arrows '{recorder}'")

    assert done.stderr == ""
    for line, expected in zip(done.stdout.splitlines(), said):
        assert re.fullmatch(expected if isinstance(expected, re.Pattern) else re.escape(expected), line), line
    assert len(done.stdout.splitlines()) == len(said)


def test_recorders_on_a_read_only_disk(tmp_path):
    script = "from pathlib import Path; from bondtrace.format.recording import Recorder; Recorder(Path('DISK/x'))"
    done = on_a_disk(
        tmp_path,
        f"""$PYTHON -c "{script.replace("DISK", str(tmp_path / "disk"))}" 2>&1 | tail -1""",
        options=f"mount -o remount,ro {tmp_path}/disk;",
    )
    assert done.stdout == (
        f"bondtrace.errors.BondtraceError: cannot create {tmp_path}/disk/x: Read-only file system; name another file\n"
    )
