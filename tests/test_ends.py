# SPDX-License-Identifier: GPL-2.0-or-later
"""How commands end when something ends them: signals, readers that go away, full and read-only disks, lost terminals.

And what they make of names of files that a shell or a terminal would obey.
"""

import errno
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from shell import REPLY

from bondtrace.capture.kernel.filter import c_text, make_filter
from bondtrace.errors import UsageError
from bondtrace.exporters.output import Output
from bondtrace.format.recording import Recorder, Recording
from bondtrace.format.wire import EMPTY
from bondtrace.util import files
from build import SKB, events, received, record, reply, short_trace

pytestmark = pytest.mark.usefixtures("signals_are_heard")

ROOT = Path(__file__).parents[1]
PING = ROOT / "examples" / "ping.arrows"
BONDTRACE = [sys.executable, "-m", "bondtrace"]
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
from bondtrace.format.recording import Batch
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


# --- what may be written where --------------------------------------------------------------------------


def writers(path, force):
    """Everything that makes a file of that name."""
    return [lambda: Recorder(path, force), lambda: Output(path, force)]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["symbolic link", "dangling link", "pipe", "device", "directory"])
def test_only_regular_files_are_overwritten(tmp_path, kind, force):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    path = tmp_path / "out"
    if kind.endswith("link"):
        path.symlink_to(precious if kind == "symbolic link" else tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/null")
    before = path.lstat()

    for write in writers(path, force):
        with pytest.raises(UsageError) as caught:
            write()
        word = "symbolic link" if kind.endswith("link") else kind
        assert str(caught.value) == (
            f"{path} is a {word}, no regular file; name another file"
            if force
            else f"{path} exists already; name another file, or --force to overwrite it"
        )
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)
    assert precious.read_text() == "precious" and not (tmp_path / "nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    "uid, gid, owner",
    [
        ("1234", "5678", (1234, 5678)),
        ("1234", "", (1234, 0)),
        ("", "5678", (0, 0)),
        ("-1", "0", (0, 0)),
        ("x", "y", (0, 0)),
        ("1234", "$(id)", (1234, 0)),
        ("99999999999999999999", "1", (0, 0)),
        ("٣", "1", (0, 0)),
    ],
)
def test_under_sudo_files_are_the_callers(tmp_path, monkeypatch, uid, gid, owner):
    monkeypatch.setenv("SUDO_UID", uid)
    monkeypatch.setenv("SUDO_GID", gid)
    old = os.umask(0)
    try:
        record(tmp_path / "x.arrows", (received(), events()))
        with Output(tmp_path / "y") as output:
            output.text.write("y")
    finally:
        os.umask(old)
    for path in tmp_path.iterdir():
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (*owner, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory and a link of others")
def test_a_directory_that_another_user_planted_is_not_followed(tmp_path):
    # given a directory as /tmp is, of one user, in which another planted a link to a directory
    sticky, target = tmp_path / "sticky", tmp_path / "target"
    sticky.mkdir(mode=0o1777)
    sticky.chmod(0o1777)
    target.mkdir()
    (sticky / "link").symlink_to(target)
    os.chown(sticky / "link", 1234, 1234, follow_symlinks=False)

    # nor where a link of ours leads over it
    (tmp_path / "ours").symlink_to("sticky/link")

    for way in (sticky / "link", tmp_path / "ours"):
        for write in writers(way / "out", False):
            with pytest.raises(Exception, match=r"Permission denied; name another file"):
                write()
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_what_others_do_to_the_way_meanwhile_leads_nowhere_else(tmp_path, monkeypatch, force):
    # given a directory that is looked at, and then moved away, with a link in its place
    way, target, moved = (tmp_path / name for name in ("way", "target", "moved"))
    target.mkdir()
    really = os.open

    def swapped(path, flags, *more, **where):
        if flags & os.O_CREAT and "out" in str(path) and not way.is_symlink():
            way.rename(moved)
            way.symlink_to(target)
        return really(path, flags, *more, **where)

    for write in (
        lambda: record(way / "out", (received(), events()), force=force),
        lambda: exported(way / "out", force),
    ):
        way.mkdir()
        if force:
            (way / "out").write_text("old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", swapped)
            write()
        # then everything happens where it was
        assert [one.name for one in moved.iterdir()] == ["out"] and (moved / "out").stat().st_size > 3
        assert list(target.iterdir()) == []
        way.unlink()
        shutil.rmtree(moved)


def exported(path, force):
    with Output(path, force) as output:
        output.text.write("exported")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_only_a_directory_that_was_made_is_given_to_the_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "1234")
    precious, way = tmp_path / "precious", tmp_path / "way"
    precious.mkdir()
    really = os.mkdir

    def swapped(*words, **where):
        really(*words, **where)
        way.rename(tmp_path / "moved")
        way.symlink_to(precious)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="Not a directory"):
        patched.setattr(os, "mkdir", swapped)
        files.make_directory(way)
    assert precious.stat().st_uid == 0

    files.make_directory(precious)  # which is there
    assert precious.stat().st_uid == 0
    files.make_directory(tmp_path / "new")
    assert (tmp_path / "new").stat().st_uid == 1234


@pytest.mark.parametrize("way", ["/proc/self/cwd", "/proc/self/root/TMP", "link", ".", "up/../link/.", "/TMP/absolute"])
def test_ways_that_lead_to_a_directory(tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there" / "up").mkdir(parents=True)
    (tmp_path / "up").symlink_to("there/up")
    (tmp_path / "there" / "link").symlink_to("..")
    (tmp_path / "link").symlink_to("there/../there/link")
    (tmp_path / "absolute").symlink_to(tmp_path / "link")

    exported(Path(way.replace("/TMP", str(tmp_path))) / "out", False)
    assert (tmp_path / "out").read_text() == "exported"


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Exception, match="Too many levels of symbolic links"):
        exported(tmp_path / "a" / "out", False)


def no_links(*_, **__):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch, links):
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", no_links)
        exported(tmp_path / "out", False)
        assert (tmp_path / "out").read_text() == "exported"
        (tmp_path / "out").unlink()
    path = tmp_path / "out"
    with pytest.raises(UsageError, match="exists already"), Output(path) as output:
        output.text.write("new")
        path.write_text("another's")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"out": "another's"}


# --- names that others would obey -----------------------------------------------------------------------

NAMES = [
    "$(touch pwned)",
    "`touch pwned`;|touch pwned",
    "--help",
    "new\nline",
    "\x1b[31mred\udcff\u202e",
    "%s%n{0}'\"\\",
    " ",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_files_are_only_names(tmp_path, name):
    """A recording of that name is read, an export of it written; what is said of them is one harmless line each."""
    shutil.copy(PING, tmp_path / name)
    for command, target in ((["show"], None), (["summary"], None), (["export", "--format", "csv"], f"{name}.csv")):
        more = ["-o", target] if target else []
        done = subprocess.run(
            [*BONDTRACE, *command, *more, "--", name],
            cwd=tmp_path,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert all(char.isprintable() or char in "\n" for char in (done.stdout + done.stderr).decode())
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.csv"}


@pytest.mark.parametrize(
    "expression",
    [
        'icmp"); system("touch pwned',
        "icmp\n#include </etc/shadow>",
        "icmp */ int x; /*",
        "$(touch pwned)",
        "host `id`",
        "\\",
        "%n%s",
        "icmp'",
        "\x1b[31m",
        "\udcff",
        "(" * 3000,
        "icmp and " * 500 + "icmp",
        "port 1 or " * 300 + "port 2",
        "ether[0:4] = 0xffffffff",
        "host 10.0.0.1 and not (vlan 7 or mpls)",
    ],
)
def test_nothing_of_a_filter_but_numbers_reaches_the_source(expression, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        text = c_text(make_filter(expression))
    except UsageError as error:
        assert "Traceback" not in str(error)
        return
    code = re.sub(
        r"\b(static|__always_inline|u8|u32|u64|filter_(ethernet|raw)|struct|view|view_load|len|fate|return|"
        r"goto|if|else|FILTER_(ACCEPT|REJECT)|[axl]\d*|m\d+|0xf|\d+U?)\b",
        "",
        text,
    )
    assert set(code) <= set(" \t\n(){}=,;:?!<>&|^+-*/%~") | {"&"} and "/*" not in code and "//" not in code
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_is_killed_leaves_what_is_whole_under_its_name(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from build import *; "
        "from bondtrace.format.rotation import RotatingRecorder; "
        "r = RotatingRecorder(Path(sys.argv[1]), part_bytes=1)\n"
        "for n in range(5): r.write(received(n * 100), events())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.arrows"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    read = [
        sum(len(batch.passes) for batch in Recording(path).batches())
        for path in sorted(tmp_path.iterdir())
        if path.stat().st_size
    ]
    assert read == [1] * 5 + [0]


def test_a_name_of_its_own_is_found_for_what_is_not_whole(tmp_path):
    long = tmp_path / ("x" * 255)
    with Output(long) as output:
        output.text.write("whole")
    assert long.read_text() == "whole"
    assert len(files.aside_of(long)) < 255
