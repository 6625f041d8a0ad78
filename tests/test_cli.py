# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as a user meets it: help, what is printed where, exit status, and errors in a line or two."""

import gzip
import json
import os
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bondtrace import cli as command_line
from bondtrace.capture.capabilities import drop_all_rights
from bondtrace.capture.kernel import btf, loader
from bondtrace.cli import COMMANDS, cli
from bondtrace.errors import BondtraceError
from bondtrace.format.recording import Recorder
from bondtrace.format.wire import EMPTY
from bondtrace.util.signals import Ended
from build import LLDP, ON_BOND0, SKB, TAPS, events, losses, received, record, refused, reply, sent, start, tap_event

ROOT = Path(__file__).parents[1]
doctor = import_module("bondtrace.commands.doctor")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def bondtrace(*words, path=(), **more):
    """Run the command line; ``path`` comes before everything else in PYTHONPATH."""
    environment = {**os.environ, "TZ": "UTC", "PYTHONPATH": ":".join(map(str, [*path, ROOT]))}
    for name in ("NO_COLOR", "FORCE_COLOR", "SUDO_UID", "SUDO_GID"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "bondtrace", *map(str, words)],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        **more,
    )


@pytest.fixture
def inside(monkeypatch, capsys):
    """inside(*words): the same within this process, which is faster."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bondtrace", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, caught.value.code, printed.out, printed.err)

    return run


def failure(done, status):
    """The message of a command that failed with this status: at most two lines on stderr, nothing on stdout."""
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr and 0 < len(done.stderr.splitlines()) <= 2
    return done.stderr


@pytest.fixture
def recording(tmp_path):
    """A trace with a reply, an ARP request on the backup slave, and a request sent."""
    taps = {inode: TAPS[inode] for inode in (ON_BOND0,)}
    return record(
        tmp_path / "trace.arrows",
        (EMPTY, events(taps=taps)),
        (received(), []),
        (refused(30), []),
        (sent(60), [losses(70, lost=[0])]),
        (EMPTY, [{"kind": "end", "time_ns": start()["time_ns"]}]),
    )


REPLY = """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (7.0 µs)
       1.0 µs  eth0                 rx tap [41004] (known only by its inode): captured
       2.0 µs  eth0                 rx tap [41001] (known only by its inode): captured
       3.0 µs  eth0                 bond_handle_frame → ANOTHER, next bond0 (active slave)
       4.0 µs  bond0 (orig eth0)    rx tap [41004] (known only by its inode): captured
       5.0 µs  bond0 (orig eth0)    rx tap tcpdump -i bond0 [41003]: captured
       6.0 µs  bond0 (orig eth0)    → ip_rcv
    [41004] saw it twice: on eth0, then bond0
"""


# --- help ----------------------------------------------------------------------------------------------


def commands():
    """(name, command) of every command."""
    context = click.Context(cli)
    return [(name, cli.get_command(context, name)) for name in cli.list_commands(context)]


@pytest.mark.parametrize("name, command", commands())
def test_every_command_and_every_option_has_help(name, command):
    assert command.help and command.help.split("\n")[0].strip().endswith((".", ":")), name
    lacking = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert lacking == []


@pytest.mark.parametrize("name, command", commands())
def test_help_tells_every_option_with_its_help(name, command):
    # given the help of a command, as one line
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="bondtrace", terminal_width=100)
    assert result.exit_code == 0
    text = " ".join(result.output.split())

    # then it has its description, and every option's names and help
    assert " ".join(command.help.split()) in text
    for one in command.params:
        if isinstance(one, click.Option):
            assert all(option in text for option in (*one.opts, *one.secondary_opts))
            assert " ".join(one.help.split()) in text


def test_the_help_of_all_tells_every_command():
    done = bondtrace("--help")

    listed = [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert (done.returncode, done.stderr, listed) == (0, "", list(COMMANDS))


def test_the_version():
    assert bondtrace("--version").stdout.startswith("bondtrace, version ")


# --- show and summary ----------------------------------------------------------------------------------


def test_show_prints_the_journeys_of_a_recording(recording):
    done = bondtrace("show", recording)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(REPLY + "12:00:00.000030 rx eth1 #2 ARP ")
    assert [line for line in done.stdout.splitlines() if "#" in line][2].startswith("12:00:00.000060 tx bond0 #3 ICMP")


@pytest.mark.parametrize(
    "options, ids",
    [
        ((), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--rx",), [(1, "rx"), (2, "rx")]),
        (("--tx",), [(3, "tx")]),
        (("--rx", "--tx"), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--count", "2"), [(1, "rx"), (2, "rx")]),
        (("--count", "9"), [(1, "rx"), (2, "rx"), (3, "tx")]),
        (("--tx", "--count", "1"), [(3, "tx")]),
    ],
)
def test_what_is_shown_can_be_chosen(recording, options, ids):
    done = bondtrace("show", recording, "--json", *options)

    assert (done.returncode, done.stderr) == (0, "")
    assert [(one["id"], one["direction"]) for one in map(json.loads, done.stdout.splitlines())] == ids


@pytest.mark.parametrize("options, journeys", [((), 3), (("--rx",), 2), (("--tx",), 1), (("--count", "2"), 2)])
def test_what_is_summarised_can_be_chosen(recording, options, journeys):
    done = bondtrace("summary", recording, "--json", *options)

    assert (done.returncode, done.stderr, json.loads(done.stdout)["journeys"]) == (0, "", journeys)


def test_summary_prints_the_table_of_a_recording(recording):
    done = bondtrace("summary", recording, "--rx", "--format", "tsv")

    assert (done.returncode, done.stderr) == (0, "bondtrace: losses: none; taps known only by inode: 3\n")
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["tap", "bound to", "eth0 rx", "eth1 rx", "bond0 rx", "captured", "twice", "unseen", "mostly because"],
        ["tcpdump -i bond0 [41003]", "bond0", "-", "-", "1/1", "1", "0", "1", "inactive-slave"],
        ["[41001]", "unknown", "1/1", "-", "-", "1", "0", "0", ""],
        ["[41002]", "unknown", "-", "1/1", "-", "1", "0", "0", ""],
        ["[41004]", "unknown", "1/1", "1/1", "1/1", "3", "1", "0", ""],
        ["(packets that passed)", "", "1", "1", "1", "", "", "", ""],
    ]


def test_colour_is_for_terminals_and_for_those_who_ask(recording, monkeypatch):
    # given the same recording shown into a pipe, in a process that asks for colours, and one that refuses them
    def shown(**environment):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(
            [sys.executable, "-m", "bondtrace", "show", str(recording)],
            capture_output=True,
            check=True,
            env=environment,
        ).stdout

    assert [b"\033[" in shown(**one) for one in ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"})] == [
        False,
        True,
        False,
    ]


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
def test_a_pipe_that_nobody_reads_is_no_failure(recording, words):
    # given a pipe whose reader is gone before the first word
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        words = [str(recording) if word == "FILE" else word for word in words]
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


# --- recordings that are not what they should be -------------------------------------------------------


@pytest.mark.parametrize("command", [("show",), ("summary",), ("explain", "--journey", "1")])
def test_a_recording_that_is_not_there(tmp_path, command):
    path = tmp_path / "nosuch"

    assert failure(bondtrace(*command, path), 1) == f"bondtrace: cannot read {path}: No such file or directory\n"


@pytest.mark.parametrize("command", [("show",), ("summary",), ("explain", "--journey", "1")])
def test_a_file_that_is_no_recording(tmp_path, command):
    path = tmp_path / "text"
    path.write_text("hello\n")

    assert failure(bondtrace(*command, path), 1) == (
        f"bondtrace: {path} is no bondtrace recording: it is not an Arrow stream; `bondtrace record -o FILE` makes "
        "one\n"
    )


def test_a_recording_that_was_cut_off_shows_what_is_whole(tmp_path):
    # given a recording that ends within its third batch: the reply is whole
    path = tmp_path / "cut.arrows"
    with Recorder(path) as recorder:
        recorder.write(EMPTY, events(taps={ON_BOND0: TAPS[ON_BOND0]}))
        recorder.write(received(), [])
        recorder.flush()
        whole = recorder.bytes
        recorder.write(refused(30), [])
    path.write_bytes(path.read_bytes()[: whole + 1000])

    # when shown, then so is the reply, what is missing is said on stderr, and it is no failure
    done = bondtrace("show", path)
    assert (done.returncode, done.stdout) == (0, REPLY)
    assert done.stderr == f"bondtrace: {path} was cut off; what is whole of it is shown\n"


def test_a_recording_without_a_begin_is_shown_and_said(tmp_path):
    # given passes without the events that name devices
    path = record(tmp_path / "bare.arrows", (refused(), []))
    done = bondtrace("show", path)

    assert (done.returncode, done.stderr) == (
        0,
        f"bondtrace: {path} holds no begin of a trace: names and times may be missing\n",
    )
    assert " if3 " in done.stdout


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "device"},
        {"kind": "device", "device": 5},
        {"kind": "device", "device": {"name": "x"}},
        {"kind": "losses"},
        {"kind": "tap", "tap": {}},
        {"kind": "tap", "tap": None},
        {"kind": "losses", "counters": {"lost": ["x"]}},
        {"kind": "namespace", "netns": "here", "name": ""},
        {"kind": "note"},
        {"kind": "tap-gone"},
    ],
    ids=json.dumps,
)
def test_an_event_that_cannot_be_understood_is_an_error_and_no_traceback(tmp_path, inside, event):
    path = record(tmp_path / "odd.arrows", (received(), [{**event, "time_ns": 5}]))

    message = failure(inside("show", path), 1)
    assert message.startswith(f"bondtrace: the recording is damaged: an event '{event['kind']}' does not hold together")


@as_root
@pytest.mark.parametrize("words", [("record", "-o"), ("live", "-w")])
def test_an_existing_file_is_not_recorded_to(tmp_path, words):
    path = tmp_path / "precious"
    path.write_text("precious")

    assert failure(bondtrace(*words, path), 2) == (
        f"bondtrace: {path} exists already; name another file, or --force to overwrite it\n"
    )
    assert path.read_text() == "precious"


@as_root
@pytest.mark.parametrize("words", [("record", "-o"), ("live", "-w")])
def test_a_trace_that_never_begins_leaves_no_file_and_an_older_one_as_it_was(tmp_path, words):
    # given a device that does not exist, an older recording, and a name that is free
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("precious")

    # when a trace is to be recorded to either, then it fails, the older file is untouched and no new one is left
    for path, force in ((old, ["--force"]), (new, []), (new, ["--force"])):
        message = failure(bondtrace(*words, path, *force, "--iface", "nosuch"), 2)
        assert message.startswith("bondtrace: no device named 'nosuch' in this network namespace ")
        assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("old", "precious")]


# --- wrong use -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, said",
    [
        (("--bogus",), "No such option '--bogus'."),
        (("show",), "Missing argument 'FILE...'."),
        (("record",), "Missing option '-o' / '--output'."),
        (("taps", "x"), "Got unexpected extra argument (x)"),
        (
            ("record", "-o", "x", "--rotate-size", "10X"),
            "Invalid value for '--rotate-size': '10X' is no size: give one as 500k, 100M or 2G (bytes, powers of 1000)",
        ),
        (
            ("record", "-o", "x", "--rotate-time", "0"),
            "Invalid value for '--rotate-time': '0' is no time: give one as 90s, 10m or 1h",
        ),
        (("show", "x", "--count", "0"), "Invalid value for '--count': 0 is not in the range x>=1."),
        (("show", "x", "--count", "few"), "Invalid value for '--count': 'few' is not a valid integer range."),
        (("--duration", "0"), "Invalid value for '--duration': 0.0 is not in the range x>0."),
        (
            ("summary", "x", "--format", "html"),
            "Invalid value for '--format': 'html' is not one of 'simple', 'plain', 'github', 'tsv'.",
        ),
    ],
)
def test_wrong_use_is_told_with_status_2(inside, words, said):
    done = inside(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: {said}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("icmp adn arp",), ("icmp", "adn", "arp"), ("--filter", "icmp adn arp")])
def test_a_bad_filter_is_refused_with_libpcaps_message(words):
    message = failure(bondtrace("--iface", "lo", *words), 2)
    assert message.startswith("bondtrace: the filter 'icmp adn arp' is no tcpdump filter: ")
    assert message.endswith("syntax error; `man pcap-filter` has the language\n")


def test_two_filters_are_refused():
    assert failure(bondtrace("--filter", "icmp", "arp"), 2) == (
        "bondtrace: two filters were given ('icmp' and 'arp'): join them with `and` or `or`\n"
    )


@pytest.mark.parametrize(
    "words, meant",
    [
        (("sumary", "x"), "summary"),
        (("Summary", "x"), "summary"),
        (("sho", "x", "--json"), "show"),
        (("doctr",), "doctor"),
        (("tap",), "taps"),
        (("explian", "x"), "explain"),
        (("lvie", "--iface", "lo"), "live"),
        (("recrod", "-o", "x"), "record"),
        (("labb",), "lab"),
        (("sumary", "x", "--why"), "summary"),
    ],
)
def test_a_mistyped_command_is_told_with_the_one_that_was_meant(inside, words, meant):
    # given the first word that is neither an option nor one's value
    mistyped = words[-1] if words[0] in ("--iface", "live") else words[0]

    assert failure(inside(*words), 2) == (f"bondtrace: no command '{mistyped}': did you mean `bondtrace {meant}`?\n")


@pytest.mark.parametrize(
    "word",
    [
        "icmp",
        "icmp6",
        "arp",
        "rarp",
        "ip",
        "ip6",
        "tcp",
        "udp",
        "sctp",
        "vlan",
        "mpls",
        "ether",
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "src",
        "dst",
        "not",
        "less",
        "greater",
        "gateway",
        "broadcast",
        "multicast",
        "inbound",
        "outbound",
        "stp",
    ],
)
def test_what_filters_begin_with_is_not_taken_for_a_mistyped_command(inside, word):
    assert failure(inside(word, "=", "=x"), 2).startswith(f"bondtrace: the filter '{word} = =x' is no tcpdump filter: ")


@pytest.mark.parametrize("options", [(), ("--rx",), ("--why",), ("--json",), ("--duration", "5")])
def test_a_summary_of_nothing_in_particular_is_refused(inside, options):
    assert failure(inside("summary", *options), 2) == (
        "bondtrace: summary wants a recording (FILE), or --iface NAME or --netns NAME for a live trace\n"
    )


@pytest.mark.parametrize("option", [("--iface", "eth0"), ("--netns", "blue"), ("--duration", "5")])
def test_a_recording_is_summarised_whole(recording, option):
    assert failure(bondtrace("summary", recording, *option), 2) == (
        f"bondtrace: a recording ({recording}) is summarised whole: --iface, --netns, --filter, --duration, "
        "--privacy and --kprobes are for live\n"
    )


def test_a_journey_that_a_recording_does_not_have(recording):
    message = failure(bondtrace("explain", recording, "--journey", "4"), 2)

    assert f"{recording} has no journey #4" in message


# --- what a host lacks ---------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("words", [("--iface", "lo"), ("record", "-o", "TMP/x"), ("summary", "--iface", "lo")])
def test_tracing_without_root_says_so(tmp_path, words):
    # given somebody who has no rights; another user could not read this checkout in a home directory of mode 700
    words = [word.replace("TMP", str(tmp_path)) for word in words]
    done = bondtrace(*words, preexec_fn=drop_all_rights)

    assert failure(done, 1) == (
        "bondtrace: tracing needs root, or at least CAP_BPF and CAP_PERFMON (missing: CAP_BPF, CAP_PERFMON): BPF "
        "programs are loaded into the kernel; run it with sudo\n"
    )
    assert list(tmp_path.iterdir()) == []


INSTALL = (
    "install it from your distribution: `apt install python3-bpfcc` (Debian, Ubuntu), `dnf install python3-bcc` "
    "(Fedora)"
)


@pytest.fixture
def fake_bcc(tmp_path):
    """fake_bcc(text): a directory in which a package ``bcc`` is this text."""

    def make(text):
        (tmp_path / "bcc").mkdir()
        (tmp_path / "bcc" / "__init__.py").write_text(text)
        return tmp_path

    return make


BCCS = [
    (
        "raise ImportError(\"No module named 'bcc'\")",
        f"the BPF compiler collection (bcc) is not installed for this Python; {INSTALL}",
    ),
    (
        "raise ImportError('libLLVM-99.so: cannot open shared object file')",
        f"bcc does not load here (libLLVM-99.so: cannot open shared object file); {INSTALL}",
    ),
    (
        "def convert(): pass",
        f"the `bcc` that this Python imports (TMP/bcc/__init__.py) is another project's; `pip uninstall bcc` and "
        f"{INSTALL}",
    ),
]


@as_root
@pytest.mark.parametrize("text, said", BCCS)
def test_a_bcc_that_is_missing_or_another_is_told_with_the_package_to_install(fake_bcc, text, said):
    place = fake_bcc(text)
    done = bondtrace("--iface", "lo", path=[place])

    assert failure(done, 1) == f"bondtrace: {said.replace('TMP', str(place))}\n"


@pytest.mark.parametrize("text, said", BCCS)
def test_the_doctor_tells_it_too(fake_bcc, text, said):
    place = fake_bcc(text)
    done = bondtrace("doctor", "--json", path=[place])

    findings = json.loads(done.stdout)
    assert (done.returncode, done.stderr, findings["can_trace"]) == (1, "", False)
    assert {"check": "bcc", "ok": False, "detail": said.replace("TMP", str(place))} in findings["checks"]


def test_a_kernel_without_type_information_is_told(tmp_path, monkeypatch):
    # given a host without /sys/kernel/btf
    monkeypatch.setattr(loader, "read_kernel_btf", partial(btf.read_kernel_btf, directory=tmp_path))

    with pytest.raises(BondtraceError) as caught:
        loader.read_kernel()

    assert (caught.value.exit_status, str(caught.value)) == (
        1,
        f"this kernel has no type information ({tmp_path}/vmlinux: No such file or directory); bondtrace needs a "
        "kernel built with CONFIG_DEBUG_INFO_BTF=y",
    )


def test_the_doctor_tells_that_type_information_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "read_kernel_btf", partial(btf.read_kernel_btf, directory=tmp_path))
    result = CliRunner().invoke(cli, ["doctor"], prog_name="bondtrace")

    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert f"  MISSING kernel type information (BTF): this kernel has no type information ({tmp_path}/vmlinux: " in (
        result.output
    )
    assert result.output.endswith("bondtrace cannot trace here\n")


@pytest.mark.parametrize(
    ("version", "ok", "detail"),
    [
        ("5.10", False, "this kernel gives none (Linux before 5.17): a drop is told with its function alone"),
        ("6.1", True, "67 names"),
        ("7.3", True, "128 names"),
    ],
)
def test_the_doctor_tells_whether_drops_have_reasons(version, ok, detail):
    captured = Path(__file__).parent / "data" / "btf" / f"{version}.btf.gz"

    told = doctor.drop_reasons(btf.Btf(gzip.decompress(captured.read_bytes())))

    assert told == {"check": "drop reasons", "ok": ok, "detail": detail}


@as_root
def test_a_device_that_is_not_there_is_told_with_those_that_are():
    message = failure(bondtrace("--iface", "nosuch"), 2)

    there = sorted(path.name for path in Path("/sys/class/net").iterdir() if (path / "ifindex").exists())
    assert message.startswith("bondtrace: no device named 'nosuch' in this network namespace (there are: ")
    assert message.endswith("; `ip link` lists them)\n")
    assert sorted(message.partition("there are: ")[2].partition(";")[0].split(", ")) == there


# --- how errors end the process ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised, status, said",
    [
        (BondtraceError("the fact"), 1, "bondtrace: the fact\n"),
        (click.UsageError("the option"), 2, "Error: the option\n"),
        (KeyboardInterrupt(), 130, "bondtrace: interrupted\n"),
        (Ended(signal.SIGTERM), 143, "bondtrace: ended by SIGTERM\n"),
        (MemoryError(), 1, "bondtrace: there is not enough memory for this\n"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_what_is_raised_becomes_a_line_and_a_status(monkeypatch, inside, raised, status, said):
    # given a command that raises
    def raising(*_, **__):
        raise raised

    monkeypatch.setattr(cli, "invoke", raising)

    # when it runs, then that is the status, and that is said
    done = inside("show", "x")
    assert (done.returncode, done.stdout, done.stderr.strip("\n")) == (status, "", said.strip("\n"))


def test_taps_that_are_known_are_named_in_what_is_shown(tmp_path):
    # given a tap that only an event names
    path = record(tmp_path / "named.arrows", (received(), [start(), tap_event(start()["time_ns"], TAPS[LLDP])]))

    assert f"not seen by lldpd [{LLDP}]: " in bondtrace("show", path).stdout
