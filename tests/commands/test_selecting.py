# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a recording, or a live trace: which words are files, what is selected, and what is said of it."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from typing import ClassVar

import pytest
from shell import PING, ROOT, bondtrace, failure
from traced import Source

from bondtrace.capture.live import source
from bondtrace.format.payload import bytes_events
from bondtrace.format.recording import Recorder, Recording
from bondtrace.net import pcap
from build import (
    BEGIN_NS,
    FEW,
    ON_ETH0,
    SKB,
    begun,
    both,
    ether,
    events,
    ip4,
    losses,
    received,
    record,
    rx,
    sent,
    tap,
    udp,
)

# examples/ping.arrows: ARP 1 2 3 6 7 8, ICMP 4 5 9 10; dropped 2 5 6; sent 1 4 8 10.
ARP, ICMP = [1, 2, 3, 6, 7, 8], [4, 5, 9, 10]


def numbers(*words):
    """The numbers of the journeys that `show` prints."""
    done = bondtrace("show", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "words, wanted",
    [
        ((PING, "icmp"), ICMP),
        ((PING, "icmp", "and", "src", "host", "10.9.0.2"), [4, 10]),
        ((PING, "icmp and src host 10.9.0.2"), [4, 10]),
        ((PING, "--filter", "arp"), ARP),
        ((PING, "net", "10.9.0.0/16", "and", "not", "arp"), ICMP),
        ((PING, "--dropped"), [2, 5, 6]),
        (("--dropped", PING), [2, 5, 6]),
        (("--dropped", "NO_SOCKET", PING), [5]),
        (("--dropped=no_socket", PING, "icmp"), [5]),
        (("--dropped", "--rx", PING, "arp"), [2, 6]),
        (("--dropped", "UNHANDLED_PROTO", "--dropped", "NO_SOCKET", PING), [2, 5, 6]),
        (("--unseen", "inactive-slave", PING), [2, 6]),
        (("--tap", "tcpdump -i eth1", PING), [2, 6]),
        (("--tap", "10960", PING, "--outcome", "captured"), [2, 6]),
        (("--dev", "eth1", "--dev", "bond0", PING), [*range(1, 11)]),
        (("--path", "eth0>bond0", PING), [3, 5, 7, 9]),
        (("--path", "bond0 → eth0", PING), [1, 4, 8, 10]),
        (("--slower", "700us", PING), [1, 2, 3]),
        (("--slower", "700us", "--sort", "duration", PING), [1, 2, 3]),
        (("--dropped", "--sort", "duration", PING), [2, 5, 6]),
        (("--sort", "duration", "--count", "2", PING, "icmp"), [5, 9]),
        (("--since", "2000-01-01", "--until", "+1m", PING), [*range(1, 11)]),
        (("--since", "08:40:38", PING), [6, 7, 8, 9, 10]),
        (("--until", "08:40:38", PING, "icmp", "--count", "1"), [4]),
    ],
)
def test_journeys_keep_their_numbers_and_only_those_that_are_asked_for_are_shown(words, wanted):
    assert numbers(*words) == wanted


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A recording of two taps of the same command but for the file; only the second had room."""
    first = FEW[ON_ETH0]
    (process,) = first.processes
    taps = {
        inode: replace(
            first, inode=inode, processes=(replace(process, pid=pid, cmdline=f"tcpdump -i eth0 -w /tmp/{name}.pcap"),)
        )
        for inode, pid, name in ((ON_ETH0, 801, "a"), (50001, 901, "b"))
    }
    passes = rx("eth0", tap(ON_ETH0, "full"), tap(50001))
    return record(tmp_path_factory.mktemp("twins") / "twins.arrows", (passes, events(taps=taps)))


@pytest.mark.parametrize("command", ["show", "summary", "why", "export"])
def test_a_tap_that_is_told_apart_is_asked_for_as_it_is_printed_and_json_calls_it_so(twins, command):
    name = "tcpdump -i eth0 -w b.pcap"
    if command == "why":
        assert bondtrace("why", name, twins).stdout.startswith(f"{name} [50001] listens on eth0")
        return
    words = {"show": [], "summary": [], "export": ["--format", "csv", "-o", "-"]}[command]
    assert name in bondtrace(command, twins, *words).stdout
    for known, there in ((name, 1), ("tcpdump -i eth0 -w a.pcap", 0), ("tcpdump -i eth0 pid 901", 1)):
        done = bondtrace(command, twins, *words, "--tap", known, "--outcome", "captured")
        assert f"selected: {there} of 1 journeys" in done.stderr + done.stdout
    if command != "export":
        taps = json.loads(bondtrace(command, "--json", twins).stdout)["taps"]
        assert (taps["50001"]["name"], taps[str(ON_ETH0)]["name"]) == (name, "tcpdump -i eth0 -w a.pcap")


def test_what_was_selected_is_said_on_stderr():
    assert bondtrace("show", PING, "icmp", "--count", "2").stderr == (
        "bondtrace: selected: 2 of the first 5 journeys by --filter icmp\n"
    )
    assert bondtrace("show", PING).stderr == ""


def test_where_count_ends_it_no_more_journeys_are_said_to_be_there_than_were_looked_at():
    for command in ("show", "summary"):
        done = bondtrace(command, PING, "icmp", "--count", "2")
        assert "selected: 2 of the first 5 journeys by --filter icmp\n" in done.stderr + done.stdout
    told = json.loads(bondtrace("summary", PING, "icmp", "--count", "2", "--json").stdout)["selection"]
    assert (told["selected"], told["of"], told["ended_early"]) == (2, 5, True)
    assert "selected: 4 of 10 journeys" in bondtrace("show", PING, "icmp", "--count", "5").stderr


def test_the_slowest_are_as_many_as_are_asked_for_and_it_is_said():
    done = bondtrace("show", PING, "--sort", "duration", "--count", "3")

    assert [line.split("#")[1][:2].strip() for line in done.stdout.splitlines() if "#" in line] == ["1", "2", "3"]
    assert done.stderr == "bondtrace: the slowest 3 of 10 journeys are shown: --count N\n"
    assert failure(bondtrace("show", PING, "--sort", "duration", "--follow"), 2).startswith("bondtrace: --sort dur")


# --- files and filters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "summary", "explain", "export", "report"])
def test_a_mistyped_file_is_told_with_the_one_that_may_be_meant(command, recording):
    name = recording.with_name("trcae.arrows")
    more = ("--format", "csv") if command == "export" else ()
    more += ("-o", recording.parent / "out") if command in ("export", "report") else ()
    more += ("--journey", "1") if command == "explain" else ()

    told = f"bondtrace: cannot read {name}: No such file or directory; did you mean {recording}?\n"

    assert failure(bondtrace(command, *more, name), 1) == told
    assert failure(bondtrace(command, *more, recording, name), 1) == told
    assert not (recording.parent / "out").exists()


def test_a_filter_without_a_file_is_told_where_it_belongs():
    message = "bondtrace: cannot read icmp: No such file or directory; FILTER comes after FILE\n"

    assert failure(bondtrace("show", "icmp"), 1) == failure(bondtrace("summary", "icmp"), 1) == message


def test_what_is_neither_a_file_nor_a_filter_is_told_as_both(recording):
    message = failure(bondtrace("show", recording, "icmpp"), 2)

    assert message.startswith("bondtrace: the filter 'icmpp' is not a tcpdump filter: ")
    assert message.endswith("(there is no file 'icmpp', so FILTER begins there)\n")


def test_two_filters_are_refused(recording):
    assert failure(bondtrace("show", recording, "icmp", "-f", "arp"), 2) == (
        "bondtrace: two filters were given ('arp' and 'icmp'): join them with `and` or `or`\n"
    )


def test_a_blank_filter_is_none(recording):
    assert bondtrace("show", PING, "-f", " ").stderr == bondtrace("summary", PING, " ").stderr == ""
    assert failure(bondtrace("explain", PING, "-f", " "), 2).startswith("bondtrace: explain needs FILE with --journey")
    assert numbers(PING, "icmp", "-f", " ") == ICMP


@pytest.mark.parametrize("command", ["show", "summary"])
def test_a_filter_is_compiled_once_for_each_link_type(run, monkeypatch, command):
    compiled, compile_filter = [], pcap.compile_filter
    monkeypatch.setattr(pcap, "compile_filter", lambda *told: compiled.append(told) or compile_filter(*told))

    assert run(command, PING, "icmp")[0] == 0
    assert compiled == [("icmp", pcap.ETHERNET), ("icmp", pcap.RAW_IP)]


def test_the_bytes_that_a_recording_kept_beyond_the_headers_are_read(tmp_path):
    # given a recording of two datagrams, of which one has all its bytes
    frames = [ether(ip4(udp(data=bytes(99) + bytes([n])), 17)) for n in (7, 8)]
    passes = both(*(rx("eth0", at=1000 * n, packet=frames[n], seq=n + 1, skb=SKB + 64 * n) for n in (0, 1)))
    kept = bytes_events(BEGIN_NS, [(0, 1, frames[0])])
    path = record(tmp_path / "bytes.arrows", (passes, [*events(taps=FEW), *kept]))

    done = bondtrace("show", "--json", path, "udp[107] = 7")

    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1]
    assert done.stderr.splitlines() == [
        "bondtrace: selected: 1 of 2 journeys by --filter 'udp[107] = 7'",
        "bondtrace: 1 packets have too few bytes kept for this filter: record with --snaplen (not selected)",
    ]


# --- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked, told",
    [
        (("--tap", "tcpdmp"), "no tap 'tcpdmp' is in this trace: there are tcpdump -i bond0 [1389], tcpdump"),
        (("--dev", "bond1"), "no device 'bond1' is in this trace: there are bond0, "),
        (("--path", "eth0>bnd0"), "no device 'bnd0' is in this trace: there are bond0, "),
        (("--dropped=NO_SOCKT",), "no drop reason 'NO_SOCKT' is in this trace: there are NO_SOCKET, "),
    ],
)
@pytest.mark.parametrize("command", ["show", "summary", "explain"])
def test_a_name_that_nothing_has_is_a_usage_error_that_names_what_there_is(command, asked, told):
    done = bondtrace(command, PING, *asked)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"bondtrace: {told}")


def test_beside_a_name_that_is_there_it_is_a_line():
    done = bondtrace("show", PING, "--dev", "eth1", "--dev", "eht1")

    assert done.returncode == 0 and "#2" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("bondtrace: no device 'eht1' is in this trace: there are eth1, ")


@pytest.mark.parametrize(
    "words",
    [("--unseen", "inactive"), ("--outcome", "seen"), ("--slower", "fast"), ("--since", "noon"), ("--path", "eth0>")],
)
def test_values_that_are_none_are_refused(words):
    done = bondtrace("show", PING, *words)

    assert done.returncode == 2 and f"Invalid value for '{words[0]}'" in done.stderr and not done.stdout


# --- the other commands --------------------------------------------------------------------------------


def test_a_summary_counts_what_is_selected_and_says_so():
    text = bondtrace("summary", PING, "--dropped", "arp")
    tsv = bondtrace("summary", PING, "--dropped", "arp", "--format", "tsv")
    whole = json.loads(bondtrace("summary", PING, "--json").stdout)
    told = json.loads(bondtrace("summary", PING, "--dropped", "arp", "--json").stdout)

    line = "selected: 2 of 10 journeys by --dropped --filter arp"
    assert text.stdout.splitlines()[0] == line and (text.returncode, text.stderr) == (0, "")
    assert tsv.stdout.startswith("tap\t") and tsv.stderr.splitlines()[0] == f"bondtrace: {line}"
    assert told["selection"] == {
        "by": "--dropped --filter arp",
        "selected": 2,
        "of": 10,
        "ended_early": False,
        "undecided": 0,
    }
    assert (told["journeys"], told["dropped"][0]["packets"], len(told["dropped"])) == (2, 2, 1)
    assert "selection" not in whole and whole["journeys"] == 10


def test_the_first_of_a_selection_is_explained_or_as_many_as_are_asked_for():
    one = bondtrace("explain", PING, "--dropped", "--tap", "tcpdump -i bond0")
    two = bondtrace("explain", PING, "arp", "--count", "2", "--rx")

    assert one.stdout == bondtrace("explain", PING, "--journey", "5").stdout
    assert one.stderr == "bondtrace: selected: 1 of the first 5 journeys by --tap 'tcpdump -i bond0' --dropped\n"
    assert [line[:10] for line in two.stdout.splitlines() if line.startswith("Journey #")] == [
        "Journey #2",
        "Journey #3",
    ]


def test_a_journey_that_is_named_is_not_selected():
    assert failure(bondtrace("explain", PING, "--journey", "5", "--dropped"), 2) == (
        "bondtrace: --journey 5 names one journey: leave it out, or --dropped\n"
    )


def test_an_export_and_a_report_have_what_is_selected(tmp_path):
    done = bondtrace("export", PING, "icmp", "--format", "jsonl", "-o", tmp_path / "out")
    page = bondtrace("report", PING, "icmp", "-o", tmp_path / "page.html")

    assert [json.loads(line)["id"] for line in (tmp_path / "out").read_text().splitlines()] == ICMP
    assert "bondtrace: selected: 4 of 10 journeys by --filter icmp\n" in done.stderr
    assert page.returncode == 0, page.stderr
    assert "selected: 4 of 10 journeys by --filter icmp." in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("words", [("export", "--format", "csv"), ("report",)])
def test_a_filter_and_privacy_together_are_refused(tmp_path, words):
    done = bondtrace(*words, PING, "host 10.9.0.1", "--privacy", "drop", "-o", tmp_path / "out")

    assert failure(done, 2).startswith("bondtrace: --privacy drop takes out what the filter 'host 10.9.0.1' reads: ")
    assert list(tmp_path.iterdir()) == []


def test_several_traces_are_told_by_name(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    done = bondtrace("show", *names, "--tap", str(ON_ETH0), "--tap", "nobody")

    assert done.returncode == 0
    assert [line.partition(": no tap")[0] for line in done.stderr.splitlines()] == [
        f"bondtrace: {names[0]}: selected: 1 of 1 journeys by --tap {ON_ETH0} --tap nobody",
        f"bondtrace: {names[0]}",
        f"bondtrace: {names[1]}: selected: 1 of 1 journeys by --tap {ON_ETH0} --tap nobody",
        f"bondtrace: {names[1]}",
    ]


@pytest.mark.usefixtures("signals_are_heard")
def test_what_is_followed_is_selected_as_it_comes(tmp_path):
    path = tmp_path / "trace.arrows"
    with Recorder(path) as recorder:
        recorder.write(both(received(), sent(5_000)), begun("a"))
        following = subprocess.Popen(
            [sys.executable, "-m", "bondtrace", "show", "--json", "--follow", str(path), "--path", "bond0>eth0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert json.loads(following.stdout.readline())["id"] == 2
        recorder.write(both(received(9_000_000), sent(9_500_000, skb=SKB + 0x900)), [losses(9_900_000, lost=[0])])
        assert json.loads(following.stdout.readline())["id"] == 4
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=30) == 0
    assert following.stderr.read() == "bondtrace: selected: 2 of 4 journeys by --path 'bond0>eth0'\n"


class Played(Source):
    """In place of a live trace: the example's batches."""

    requests: ClassVar[list] = []

    def batches(self):
        return Recording(PING).batches()


@pytest.fixture
def live(run, monkeypatch):
    """live(*words): what a trace of the example's packets prints."""
    monkeypatch.setattr(source, "LiveSource", Played)
    monkeypatch.setattr(import_module("bondtrace.commands.live"), "end_on_signals", lambda *_: None)
    return run


def test_live_shows_and_sums_up_what_is_selected_and_filters_in_the_kernel(live):
    status, out, err = live("live", "--dropped", "--tap", "tcpdump -i eth1", "arp")
    last = out[out.index("selected:") :].splitlines()

    assert status == 0, err
    assert [line.split("#")[1][:2].strip() for line in out.splitlines() if " #" in line] == ["2", "6"]
    assert last[0] == "selected: 2 of 10 journeys by --tap 'tcpdump -i eth1' --dropped"
    assert any(line.startswith("2 packets") for line in last)
    assert Played.requests[-1].packet_filter.expression == "arp"


def test_live_summary_and_explain_take_a_selection_too(live):
    status, out, _ = live("summary", "--iface", "bond0", "--unseen", "inactive-slave", "--json")
    assert (status, json.loads(out)["selection"]["selected"]) == (0, 2)

    status, out, _ = live("explain", "--iface", "bond0", "--dropped", "NO_SOCKET")
    assert status == 0 and out.startswith("Journey #5, ")

    status, _, err = live("live", "--dev", "bond7")
    assert status == 0 and "no device 'bond7' is in this trace: there are bond0, " in err


def test_what_the_kernel_only_counts_cannot_be_selected(live):
    assert live("live", "--summary-only", "--dropped") == (
        2,
        "",
        "bondtrace: --dropped is about journeys, and --summary-only makes none: leave one of them out\n",
    )
