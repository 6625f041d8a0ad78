# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults and loads: ways in which a trace can end, a host that changes under it, packets that interrupt its own
programs, more than it can take, traffic that must not feel it, other tracers beside it, and tracing without being
root."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

import bondtrace
from bondtrace.format.recording import Recording
from bondtrace.format.wire import RECORD_RX, STEP_HANDLER, STEP_TAP, concatenate

pytestmark = pytest.mark.lab

ANOTHER = 1  # RX_HANDLER_ANOTHER
PACKET_RCV, CAPTURED, FULL = 1, 1, 3  # bpf/wire.h
HERE = Path(__file__).parent / "faults"


# In one machine of one CPU, and in one of two.
ON_ONE_CPU, ON_TWO_CPUS = ("ends", "together", "rights", "refused", "overload"), ("turmoil", "interrupted")
# LAB_TAPS=10000: so many taps in overload, which then takes some ten minutes.
MORE = {name: value for name, value in os.environ.items() if name == "LAB_TAPS"}


def of(scenario):
    """A test of this scenario's run."""
    return pytest.mark.parametrize("run", [scenario], indirect=True)


@pytest.fixture
def run(play_all, request):
    """The run of a scenario; each starts tracers of its own, in its setup."""
    name = request.param
    two = name in ON_TWO_CPUS
    return play_all(
        scenarios=[str(HERE / f"{one}.sh") for one in (ON_TWO_CPUS if two else ON_ONE_CPU)],
        command="true",
        cpus=1 + two,
        memory_mb=3000,
        scenario_s=3600,
        **MORE,
    )[name]


def said(run, name):
    """What a tracer said of itself, without what differs each time."""
    lines = (run.out / f"{name}.err").read_text().splitlines()
    return [line.partition("bondtrace: ")[2] for line in lines if "attached in" not in line]


def status(run, name):
    return int((run.out / f"{name}.status").read_text())


def read(run, name):
    return (run.out / name).read_text()


def recorded(run, name):
    """(passes, events, whether the file stops short) of a recording."""
    recording = Recording(run.out / name)
    batches = list(recording.batches())
    return (
        concatenate([batch.passes for batch in batches]),
        [event for batch in batches for event in batch.events],
        recording.cut_off,
    )


def replies(passes):
    """Of these, the received answers to pings that are not fragments."""
    packets = passes.records["packet"]
    return passes.take(
        (passes.records["kind"] == RECORD_RX)
        & (packets[:, 12:14] == (8, 0)).all(axis=1)
        & (packets[:, 23] == 1)
        & (packets[:, 34] == 0)
    )


def losses(run, name):
    """Those of a recording."""
    with bondtrace.open(run.out / name) as trace:
        return trace.losses()


# --- ways in which a trace can end ----------------------------------------------------------------


@of("ends")
@pytest.mark.parametrize("what, most", [("programs", 175), ("links", 35), ("maps", 35), ("probes", 100)])
def test_nothing_is_left_in_the_kernel_however_a_trace_ended(run, what, most):
    # given that there was something, of seven at once
    assert read(run, f"{what}.during").count("\n") >= read(run, f"{what}.before").count("\n") + most
    assert read(run, f"{what}.after") == read(run, f"{what}.before")


@of("ends")
@pytest.mark.parametrize(
    "name, wanted",
    [
        ("term", 0),
        ("int", 0),
        ("hup", 0),
        ("pipe", 0),
        ("terminal", 0),
        ("kill", 137),
        ("full", 1),
        ("fixed", 1),
        ("early", 143),
    ],
)
def test_the_status_tells_how_it_ended(run, name, wanted):
    assert status(run, name) == wanted


@of("ends")
@pytest.mark.parametrize("name", ["term.arrows", "kill.arrows", "full.arrows", "terminal.arrows"])
def test_what_was_recorded_is_whole(run, name):
    passes, events, cut_off = recorded(run, name)
    # then those that had time to end their file did
    assert cut_off == (name in ("kill.arrows", "full.arrows"))
    if name != "full.arrows":
        assert Counter(passes.records["kind"].tolist())[RECORD_RX] == 10
    assert [one["kind"] for one in events if one["kind"] in ("start", "end")] == ["start", "end"][: 2 - cut_off]


@of("ends")
def test_a_message_says_what_stood_in_the_way(run):
    assert said(run, "full") == [
        "cannot write to small/full.arrows: No space left on device; what was written before is whole"
    ]
    assert said(run, "fixed") == ["cannot create fixed/never.arrows: Read-only file system; name another file"]
    assert not (run.out / "early.arrows").exists()


@of("ends")
def test_a_live_trace_that_a_signal_ends_has_the_last_word(run):
    # given ten answers; with no tap on the host the kernel skips the code that would tell of what is sent
    assert said(run, "int") == []
    assert read(run, "int.out").splitlines()[-1] == "losses: none; only packets that match 'icmp'"
    assert json.loads(read(run, "hup.err").splitlines()[-1])["journeys"] == len(run.lines("hup.out")) == 10


@of("ends")
def test_a_live_trace_whose_reader_goes_away_ends_without_a_word(run):
    assert (len(read(run, "pipe.out").splitlines()), said(run, "pipe")) == (1, [])


# --- a host that changes under the trace ----------------------------------------------------------------


@of("turmoil")
def test_every_ping_is_told_through_all_changes(run):
    assert status(run, "trace") == 0
    passes, events, _ = recorded(run, "trace.arrows")
    told = replies(passes)
    devices = [one["device"] for one in events if one["kind"] == "device"]
    name = {(one["netns"], one["ifindex"]): one["name"] for one in devices}
    verdicts = [
        told.steps[begin:end]["result"][told.steps[begin:end]["kind"] == STEP_HANDLER].tolist()
        for begin, end in zip(told.offsets[:-1], told.offsets[1:])
    ]
    # five after each change, ten by the slave that took over while the tracer stood still, and a first one after each
    # new bond that may have been too early
    by = Counter(name[key] for key in zip(told.records["netns"].tolist(), told.records["ifindex"].tolist()))
    assert by["eth2"] == 10
    assert 85 <= by["eth0"] <= 87 and len(by) == 2
    assert verdicts == [[ANOTHER]] * len(told)
    assert losses(run, "trace.arrows") == {}


@of("turmoil")
def test_a_vlan_device_is_traced_from_its_first_packet(run):
    """What it receives is told of the slave's packets; what it sends only where it is traced itself (join_upper)."""
    with bondtrace.open(run.out / "trace.arrows") as trace:
        told = [one for one in trace.journeys() if "10.9.5.2" in (one.packet.src, one.packet.dst)]
    # given that the tracer stood still until the last of five pings had been answered
    assert Counter((one.direction, *((step.kind, step.dev) for step in one.passes[0].steps)) for one in told) == {
        (
            "rx",
            ("enter", "eth0"),
            ("vlan", "eth0"),
            ("rx_handler", "eth0"),
            ("vlan", "bond0"),
            ("tap", "bond0.5"),
            ("protocol", "bond0.5"),
        ): 5,
        ("tx", ("enter", "bond0.5"), ("tap", "bond0.5")): 5,
    }


@of("turmoil")
def test_what_happened_is_told(run):
    told = said(run, "trace")[:-1]
    assert [one for one in told if "time of day" not in one] == [
        "bond0 is gone; a device of that name will be traced once there is one",
        "bond0 is back",
        "bond0 is gone; a device of that name will be traced once there is one",
        "bond0 is back",
        "module bonding was reloaded: bond_handle_frame is attached again",
        "dv1 is gone; a device of that name will be traced once there is one",
        "network namespace doomed no longer has a name or a process: it is no longer traced; the others still are",
    ]
    moved_s = [float(one.split()[6]) for one in told if "time of day" in one]
    # then by an hour, less the parts of seconds that `date` sets to nothing
    assert [round(one / 3600, 2) for one in moved_s] == [1, -1]
    _, events, _ = recorded(run, "trace.arrows")
    assert [one["text"] for one in events if one["kind"] == "note"] == told


@of("turmoil")
def test_hundreds_of_taps_come_and_go(run):
    [received, dropped, count] = [int(one) for one in read(run, "hundreds").split()]
    assert (dropped, count) == (0, 60)
    with bondtrace.open(run.out / "trace.arrows") as trace:
        summary, taps = trace.summary(), trace.taps()
    crowd = {int(inode) for inode in read(run, "hundreds.inodes").split()}
    assert len(crowd) == 300 and crowd <= taps.keys()
    # what each socket says that it was given: replies, and the requests that were sent
    assert Counter(summary.outcomes[inode, "captured"] for inode in crowd) == {received: 300}


@of("turmoil")
def test_members_of_a_fanout_group_come_and_go(run):
    own = {
        int(inode): (int(received), int(dropped))
        for inode, received, dropped in map(str.split, read(run, "members").splitlines())
    }
    with bondtrace.open(run.out / "trace.arrows") as trace:
        summary = trace.summary()
    assert len(own) == 11 and all(received > 0 for received, _ in own.values())
    assert {inode: (summary.outcomes[inode, "captured"], 0) for inode in own} == own


# --- packets that interrupt its own programs ---------------------------------------------------------------


def requests(passes):
    """Of these, the received pings."""
    packets = passes.records["packet"]
    return passes.take((passes.records["kind"] == RECORD_RX) & (packets[:, 34] == 8))


@of("interrupted")
def test_what_a_plain_socket_captured_is_told_where_the_kernel_skips_a_program(run, figure):
    assert status(run, "fentry") == 0
    skipped = [
        one["recursion_misses"]
        for one in json.loads(read(run, "fentry.programs"))
        if one.get("name", "").startswith("bt_tap_qu") and one.get("recursion_misses")
    ]
    [socket] = json.loads(read(run, "fentry.sockets"))
    passes, _, _ = recorded(run, "fentry.arrows")
    steps = passes.steps[(passes.steps["kind"] == STEP_TAP) & (passes.steps["func"] == PACKET_RCV)]
    # given firings that were skipped
    assert sum(skipped) > 0
    assert losses(run, "fentry.arrows") == {}
    assert len(requests(passes)) == 2000
    assert Counter(steps["result"].tolist()) == Counter(
        {CAPTURED: socket["packets"] - socket["drops"], FULL: socket["drops"]}
    )
    figure(f"2,000 pings that interrupted a busy process: {sum(skipped)} programs skipped, by their twins made good")


@of("interrupted")
def test_a_packet_whose_begin_was_skipped_is_counted(run, figure):
    assert status(run, "kprobes") == 0
    passes, _, _ = recorded(run, "kprobes.arrows")
    missed = losses(run, "kprobes.arrows")
    assert set(missed) == {"begins or ends missed"}
    assert len(requests(passes)) + missed["begins or ends missed"] == 2000
    figure(f"the same by kprobes: {missed['begins or ends missed']} begins skipped and reported")


# --- more than it can take ------------------------------------------------------------------------------


@of("overload")
def test_every_packet_of_a_flood_is_told_or_reported_lost(run, figure):
    assert status(run, "trace") == 0
    passes, _, _ = recorded(run, "trace.arrows")
    sent = [int(one) for one in read(run, "sent").split()]
    lost = losses(run, "trace.arrows").get("records lost", 0)
    told = int((passes.records["packet"][:, 26:29] == (192, 0, 2)).all(axis=1).sum())
    # then also a ping that came before the reader was up again is one or the other
    assert told + len(replies(passes)) + lost == sum(sent) + 15
    # given that the ring could not hold what came while the reader was stopped, for a minute
    assert lost > 0 and int(read(run, "stopped")) >= 60
    figure(
        f"reader stopped for {read(run, 'stopped').strip()} s, in a flood: {sum(sent)} packets sent, {told} told, "
        f"{lost} reported lost"
    )


@of("overload")
def test_every_tap_is_listed(run, figure):
    lines = read(run, "taps.table").splitlines()
    assert sum(line.split()[0] == "python3" for line in lines) == int(read(run, "taps"))
    figure(f"bondtrace taps: {len(lines) - 2} taps in {int(read(run, 'taps.ms')) / 1000:.1f} s")


@of("overload")
def test_once_it_runs_again_it_tells_everything_and_needs_no_more_memory(run, figure):
    passes, _, _ = recorded(run, "trace.arrows")
    sizes = Counter(replies(passes).records["len"].tolist())
    # 5 before, 5 after, and 5 of 65,042 bytes
    assert sizes == {98: 10, 65042: 5}
    rows = [line.split() for line in read(run, "memory").splitlines()]
    most_kb = {name: int(most) for name, _, most in rows}
    assert most_kb["end"] < most_kb["crowded"] + 150_000
    figure(
        f"{read(run, 'taps').strip()} taps, {read(run, 'devices').strip()} devices: MB of memory now and at most: "
        + ", ".join(f"{name} {int(now) // 1000}, {int(most) // 1000}" for name, now, most in rows)
        + f"; {read(run, 'trace.err').splitlines()[0]}"
    )


# --- traffic that must not feel it, and other tracers beside it -------------------------------------------


@of("together")
def test_traffic_is_the_same_byte_by_byte_and_in_order(run):
    without = read(run, "transfer.without")
    assert without.split()[1:] == [str(128 << 16), "3000", "True"]
    assert read(run, "transfer.with") == without


@of("together")
def test_no_packet_is_dropped_and_nothing_is_set_on_the_devices(run):
    counters = [[int(line.split()[1]) for line in read(run, f"drops.{number}").splitlines()] for number in range(4)]
    without, traced = ([after - before for before, after in zip(counters[at], counters[at + 1])] for at in (0, 2))
    assert traced == without
    assert read(run, "state.with") == read(run, "state.after") == read(run, "state.without")


@of("together")
def test_two_of_them_and_bpftrace_count_the_same(run):
    counted = dict(line[1:].split(": ") for line in read(run, "third.out").splitlines() if line.startswith("@"))
    assert counted["handled"] == counted["returned"]
    assert [status(run, name) for name in ("one", "two")] == [0, 0]
    handled = {
        name: int((recorded(run, f"{name}.arrows")[0].steps["kind"] == STEP_HANDLER).sum()) for name in ("one", "two")
    }
    # then, where a packet interrupted a program, kprobes skipped both bpftrace's and those of the one by kprobes, which
    # says so
    assert losses(run, "one.arrows") == {}
    skipped = losses(run, "two.arrows")
    assert set(skipped) <= {"begins or ends missed"}
    # bpftrace began after and ended before them
    assert handled["two"] == int(counted["handled"])
    assert handled["one"] == handled["two"] + sum(skipped.values())


# --- without being root ---------------------------------------------------------------------------------


@of("rights")
def test_a_user_with_the_capabilities_traces_and_is_told_what_is_missing(run):
    journeys = run.lines("least.out")
    assert status(run, "least") == 0
    got = [one for one in journeys if one["packet"]["info"].startswith("echo reply") and one["direction"] == "rx"]
    assert [
        [step.get("verdict") for step in one["passes"][0]["steps"] if step["kind"] == "rx_handler"] for one in got
    ] == [["ANOTHER"]] * 5
    assert {tap["comm"] for tap in journeys[0]["taps"].values()} == {None}
    told = said(run, "least")
    assert [one.split()[1].rstrip(",") for one in told if one.startswith("without ")] == [
        "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH",
        "CAP_SYSLOG",
        "CAP_SYS_ADMIN",
    ]


@of("rights")
def test_without_the_rights_they_are_named(run):
    assert status(run, "none") == 1
    assert said(run, "none") == [
        "tracing needs root, or at least CAP_BPF and CAP_PERFMON (missing: CAP_BPF, "
        "CAP_PERFMON): BPF programs are loaded into the kernel; run it with sudo"
    ]


@of("rights")
def test_root_keeps_what_a_trace_uses(run):
    tracing = sum(1 << one for one in (2, 12, 19, 21, 34, 38, 39))
    # the thread that answers has none
    assert sorted(int(line.split()[1], 16) for line in read(run, "kept.metrics").splitlines()) == [0, tracing]


# --- a stage that the kernel refuses -------------------------------------------------------------------

WARNING = "bondtrace: WARNING: this trace does not see taps with a mapped ring (tcpdump, libpcap) (ring taps: "
TRACERS = ("text", "counted", "exporter")


@of("refused")
def test_the_doctor_names_what_it_would_not_see_and_the_verifiers_sentence(run):
    told = read(run, "doctor.out").splitlines()
    assert status(run, "doctor") == 1
    assert told[-1] == "bondtrace can trace here, but does not see taps with a mapped ring (tcpdump, libpcap)"
    refused = [line for line in told if line.startswith("refused: ")]
    assert refused and refused[0].startswith("refused: fexit tpacket_rcv")
    for line in refused:
        assert re.search(
            r": R\d+ invalid mem access '(scalar|inv)' \(program tap_ring_(enter|fexit), instruction "
            r"\d+: \(71\) r\d+ = \*\(u8 \*\)\(r\d+ [+]0\)\)$",
            line,
        ), line
    # and with --verbose all of it, of the fexit attempt, too
    logs = [line for line in told if re.search(r", program tap_ring_(enter|fexit):$", line)]
    assert logs[0] == "  fexit tpacket_rcv, program tap_ring_fexit:"
    assert set(logs[1:]) == {"  kprobe tpacket_rcv, program tap_ring_enter:"}
    assert sum(line.strip().startswith("processed ") for line in told) == len(logs)


@of("refused")
@pytest.mark.parametrize("name", TRACERS)
def test_every_tracer_warns_at_its_start_and_at_its_end(run, name):
    red, end = ("\033[1;31m", "\033[0m") if name == "text" else ("", "")
    lines = read(run, f"{name}.err").splitlines()
    warned = [place for place, line in enumerate(lines) if line.startswith(red + WARNING) and line.endswith(end)]
    assert len(warned) == 2 and warned[-1] == len(lines) - 1, lines
    assert "bondtrace: attached" in lines[warned[0] - 1]
    assert status(run, name) == 0


@of("refused")
def test_what_the_files_have_is_nowhere_told_as_absent(run):
    # given that the taps have the pings in their files
    assert all((run.out / f"{name}.pcap").stat().st_size > 24 + 4 * 16 for name in ("eth0", "bond0"))

    text = re.sub(r"\033\[[0-9;]*m| \[\d+\]", "", read(run, "text.out"))  # no colours, no process ids
    assert "not seen by tcpdump" not in text
    unknown = re.findall(r"not known of (.*): taps with a mapped ring", text)
    assert {frozenset(one.split(", ")) for one in unknown} == {
        frozenset(f"tcpdump -i {device}" for device in ("eth0", "eth1", "bond0"))
    }
    rows = [line.split() for line in text.splitlines() if line.startswith("tcpdump -i ")]
    assert len(rows) == 3 and all(set(row[5:-1]) == {"?"} and row[-1] == "not-watched" for row in rows), rows

    counted = json.loads(read(run, "counted.out"))
    taps = [tap for tap in counted["taps"].values() if tap["comm"] == "tcpdump"]
    assert len(taps) == 3
    assert {(tap["watched"], tap["outcomes"]) for tap in taps} == {(False, None)}
    assert {(place["offered"], place["captured"]) for tap in taps for place in tap["devices"]} == {(None, None)}
    assert counted["trust"]["does_not_see"] != []


@of("refused")
def test_prometheus_is_told_of_no_offer_and_of_the_stage(run):
    metrics = read(run, "metrics").splitlines()
    taps = [line for line in metrics if re.match(r'bondtrace_tap_\w+_total\{.*"tcpdump"', line)]
    assert taps and all("not-watched" in line for line in taps), taps
    assert 'bondtrace_stage_attached{stage="ring taps"} 0.0' in metrics
