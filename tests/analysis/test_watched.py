# SPDX-License-Identifier: GPL-2.0-or-later
"""A stage that is not attached: nothing that it would have decided is told as absent, in any output."""

import csv
import io
import json
import re
from collections import Counter

import pytest
from traced import Source

from bondtrace.analysis import watched
from bondtrace.analysis.eras import answers, find_era
from bondtrace.format.batch import Batch
from bondtrace.format.wire import EMPTY
from bondtrace.model import Device, Tap
from bondtrace.reporters.as_if import answer_objects
from bondtrace.reporters.story import paragraphs
from bondtrace.reporters.text import write
from build import (
    BEGIN_NS,
    DEVICES,
    HANDLERS,
    HERE,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    both,
    drop,
    events,
    handler,
    journeys,
    protocol,
    received,
    record,
    refused,
    rx,
    scene,
    start,
    tap,
    tx,
)

REASON = "fentry tpacket_rcv: R6 invalid mem access 'scalar'"
STAGES = {
    "receive": ("packets received", "no received packet is seen"),
    "transmit": ("packets offered to transmit taps", "no transmitted packet is seen"),
    "ring taps": ("taps with a mapped ring (tcpdump, libpcap)", "taps with a mapped ring are not seen"),
    "queue taps": ("taps without a ring (plain packet sockets)", "plain packet sockets are not seen"),
    "VLAN": ("the turn of a tag's VLAN device", "the step to a VLAN device is only seen by what comes after it"),
    "bond_handle_frame": ("its verdicts", "its verdicts are not seen"),
    "macvlan_handle_frame": ("its verdicts", "its verdicts are not seen"),
    "ip_rcv": ("the protocol handler's turn", "delivery to it is not told"),
}


def start_without(*names):
    """The start of a trace in which these stages are not attached."""
    return start(
        handlers=[name for name in HANDLERS if name not in names],
        stages=[
            {"name": name, "tells": tells, "without": without, "missing": REASON if name in names else "", "probes": []}
            for name, (tells, without) in STAGES.items()
        ],
    )


def around(*names, taps=TAPS):
    return scene(start_without(*names), taps=taps)


def unseen(surroundings, *passes):
    """{tap: (reason, detail)} of a single packet."""
    [journey] = journeys(*passes, around=surroundings)
    return {one.tap: (one.reason, one.detail) for one in journey.unseen}


# A reply through the bond as it is told without the stage of ring taps.
WAY = (handler("ANOTHER", "bond0"), protocol("ip_rcv"))
NO_RING = "taps with a mapped ring are not seen in this trace: bondtrace cannot tell"


def test_nothing_is_known_of_a_tap_whose_stage_is_missing():
    told = unseen(around("ring taps"), rx("eth0", *WAY))
    assert {told[inode] for inode in (ON_ETH0, ON_ETH1, ON_BOND0, ON_ANY)} == {("not-watched", NO_RING)}


def test_a_tap_of_another_kind_is_told_as_ever():
    plain = Tap(50001, TAPS[ON_ETH1].netns, 3, 3, "raw", "eth1", buffer="queue", running=True)
    told = unseen(around("ring taps", taps={50001: plain}), rx("eth0", *WAY))
    assert told == {50001: ("bound-elsewhere", "bound to eth1; the packet passed eth0 and bond0")}


def test_a_tap_that_had_no_hook_is_told_so_all_the_same():
    closed = Tap(50002, TAPS[ON_ETH1].netns, 3, 0, "raw", "eth1", buffer="ring", running=True)
    told = unseen(around("ring taps", taps={50002: closed}), rx("eth0", *WAY))
    assert told[50002][0] == "not-running"


@pytest.mark.parametrize(
    ("missing", "asked", "passes"),
    [("transmit", ("rx", "tx"), [rx("eth0", *WAY)]), ("receive", ("rx", "tx"), [tx("bond0")])],
)
def test_what_may_have_passed_in_the_direction_that_is_missing_is_not_absent(missing, asked, passes):
    surroundings = around(missing)
    told = unseen(surroundings, *passes)
    assert told[ON_ETH1] == ("not-watched", f"{STAGES[missing][1]} in this trace: bondtrace cannot tell")


def test_a_direction_that_was_not_asked_for_is_not_missing():
    surroundings = around("transmit")
    surroundings.start["directions"] = ["rx"]
    assert unseen(surroundings, rx("eth0", *WAY))[ON_ETH1][0] == "bound-elsewhere"


UNKNOWN = "it was not offered it; why is not known: "


def test_without_the_bonds_verdicts_nobody_knows_why_the_packet_did_not_come_up():
    told = unseen(around("bond_handle_frame"), rx("eth1", tap(ON_ETH1)))
    assert told[ON_BOND0] == ("unknown", f"{UNKNOWN}its verdicts are not seen in this trace: bondtrace cannot tell")
    # and a tap on another slave is told as ever
    assert told[ON_ETH0][0] == "bound-elsewhere"


def test_the_handler_of_a_macvlan_is_on_the_device_below():
    devices = {**DEVICES, "mv0": Device(HERE, 12, "mv0", "macvlan", link=8, up=True)}
    on_macvlan = Tap(50004, HERE, 12, 3, "raw", "mv0", buffer="ring", running=True)
    surroundings = scene(start_without("macvlan_handle_frame"), taps={50004: on_macvlan}, devices=devices)
    assert unseen(surroundings, rx("veth0"))[50004][0] == "unknown"


def test_without_the_protocol_handlers_a_packet_is_not_told_as_dropped():
    by_protocol = {50003: Tap(50003, HERE, 2, 0x0800, "raw", "eth0", buffer="queue", running=True)}
    assert unseen(around(taps=by_protocol), rx("eth0"))[50003][0] == "dropped-before"
    assert unseen(around("ip_rcv", taps=by_protocol), rx("eth0"))[50003] == (
        "unknown",
        f"{UNKNOWN}delivery to it is not told in this trace: bondtrace cannot tell",
    )


def test_the_kernels_own_word_for_a_drop_needs_no_protocol_handler():
    by_protocol = {50003: Tap(50003, HERE, 2, 0x0800, "raw", "eth0", buffer="queue", running=True)}
    told = unseen(around("ip_rcv", "bond_handle_frame", taps=by_protocol), rx("eth0", drop("TC_INGRESS")))
    assert told[50003][0] == "dropped-before"


def test_the_handler_of_another_protocol_decides_nothing():
    by_protocol = {50003: Tap(50003, HERE, 2, 0x0800, "raw", "eth0", buffer="queue", running=True)}
    surroundings = scene(
        start(stages=[{"name": "ipv6_rcv", "tells": "t", "without": "w", "missing": "no function", "probes": []}]),
        taps=by_protocol,
    )
    assert unseen(surroundings, rx("eth0"))[50003][0] == "dropped-before"


# --- outputs -------------------------------------------------------------------------------------------


def text_of(surroundings, *passes):
    stream = io.StringIO()
    for journey in journeys(*passes, around=surroundings):
        write(journey, surroundings, stream)
    return stream.getvalue()


def test_the_text_claims_no_absence():
    few = {ON_ETH0: TAPS[ON_ETH0]}
    told = text_of(around("ring taps", taps=few), rx("eth0", *WAY))
    assert f"    not known of tcpdump -i eth0 [{ON_ETH0}]: {NO_RING} (not-watched)\n" in told
    assert "not seen by" not in told


def test_an_empty_pass_says_what_is_not_watched():
    told = text_of(around("ring taps", "queue taps", taps={}), rx("veth0"))
    assert told.endswith("nothing that is watched took it (not watched: ring taps, queue taps)\n")
    assert text_of(around(taps={}), rx("veth0")).endswith("no tap, rx_handler or protocol handler took it\n")


def test_the_story_claims_no_absence():
    surroundings = around("ring taps", taps={ON_ETH0: TAPS[ON_ETH0]})
    [journey] = journeys(rx("veth0"), around=surroundings)
    told = paragraphs(journey, surroundings)
    assert f"Not known of tcpdump -i eth0 [{ON_ETH0}]: {NO_RING} (not-watched)." in told
    assert "There nothing that is watched took it (not watched: ring taps)." in told


def test_an_older_kernel_is_not_told_to_differ_from_what_was_not_watched():
    surroundings = around("ring taps", taps={ON_ETH0: TAPS[ON_ETH0]})
    [journey] = journeys(rx("eth0", *WAY), around=surroundings)
    [one] = answers(journey, surroundings, find_era("6.15"))
    assert (one.recorded, one.differs, len(one.modelled)) == (None, False, 1)
    [told] = answer_objects(journey, surroundings, find_era("6.15"))["taps"]
    assert told["recorded"] is None


@pytest.fixture
def recording(tmp_path):
    """A recording of a trace without ring taps: a reply, of which no tap's step was told."""
    ring_taps = {inode: TAPS[inode] for inode in (ON_ETH0, ON_ETH1, ON_BOND0, ON_ANY)}
    told = [start_without("ring taps"), *events(ring_taps)[1:]]
    record(tmp_path / "trace.arrows", (rx("eth0", *WAY), told))
    return tmp_path / "trace.arrows"


def test_the_table_has_no_zeros(recording, run):
    status, out, _ = run("summary", "--why", recording)
    rows = {re.split(r"\s{2,}", line)[0]: re.split(r"\s{2,}", line)[1:] for line in out.splitlines()}
    assert rows[f"tcpdump -i eth0 [{ON_ETH0}]"] == ["eth0", "?", "?", "?", "not-watched"]
    assert "?: not watched in this trace." in out
    assert "did not see" not in out and f"tcpdump -i eth0 [{ON_ETH0}] may have seen or not" in out
    assert status == 0 and f"ring taps: taps with a mapped ring are not seen ({REASON})" in out


def test_the_summarys_json_has_null_where_nothing_is_known(recording, run):
    told = json.loads(run("summary", "--json", recording)[1])
    one = told["taps"][str(ON_ETH0)]
    assert (one["watched"], one["outcomes"], one["twice"]) == (False, None, None)
    assert {(place["offered"], place["captured"]) for place in one["devices"]} == {(None, None)}
    assert list(one["unseen"]) == ["not-watched"]
    assert told["trust"]["does_not_see"] == [f"taps with a mapped ring (tcpdump, libpcap) (ring taps: {REASON})"]


def test_rows_and_prometheus_know_the_reason_alone(recording, run):
    from bondtrace.format.recording import Recording
    from bondtrace.pipeline import Pipeline
    from bondtrace.reporters.prometheus import Metrics
    from bondtrace.stats.metrics import NamedCounts

    rows = list(csv.DictReader(io.StringIO(run("export", recording, "--format", "csv", "-o", "-")[1])))
    assert {row["reason"] for row in rows if row["kind"] == "unseen"} == {"not-watched"}
    assert {row["clean"].lower() for row in rows} == {"false"}

    pipeline = Pipeline()
    tally = NamedCounts(pipeline.scene)
    pipeline.summary.also = tally.count
    pipeline.run(Recording(recording).batches())
    metrics = Metrics()
    metrics.update(tally, pipeline.scene)
    samples = [sample for family in metrics.collect() for sample in family.samples]
    assert [sample for sample in samples if "bondtrace_tap_" in sample.name and "unseen" not in sample.name] == []
    assert {sample.labels["reason"] for sample in samples if "tap_unseen" in sample.name} == {"not-watched"}


def test_wireshark_is_told_so_too(recording, run, tmp_path):
    status, _, _ = run("export", recording, "--format", "pcapng", "-o", tmp_path / "trace.pcapng")
    data = (tmp_path / "trace.pcapng").read_bytes()
    assert status == 0 and b"not known of tcpdump -i eth0" in data and b"not seen by" not in data


def test_a_recording_with_all_stages_is_told_as_before(run, tmp_path):
    record(tmp_path / "trace.arrows", (received(), [start_without(), *events()[1:]]))
    out = run("summary", tmp_path / "trace.arrows")[1]
    assert "?" not in out and "losses: none" in out


# --- counts that are known in part ---------------------------------------------------------------------


def table_of(recording, run):
    """{tap: cells} of the summary, and its other lines."""
    lines = run("summary", recording)[1].splitlines()
    return {line.split(" [")[0]: re.split(r"\s{2,}", line)[1:] for line in lines if " [4100" in line}, lines


def test_one_reason_that_is_not_known_costs_no_counts(run, tmp_path):
    # given a tap that captured, and once was not offered a packet for a reason that nobody knows
    ring_taps = {inode: TAPS[inode] for inode in (ON_ETH1, ON_BOND0)}
    record(
        tmp_path / "trace.arrows",
        (both(received(), refused(30)), [start_without("bond_handle_frame"), *events(ring_taps)[1:]]),
    )
    rows, lines = table_of(tmp_path / "trace.arrows", run)
    assert "1/1" in rows["tcpdump -i bond0"] and rows["tcpdump -i bond0"][-2:] == ["1", "unknown"]
    assert "?: not watched in this trace." not in lines


@pytest.mark.parametrize("passes", [[], [tx("bond0", tap(ON_BOND0)), tx("eth0", tap(ON_ETH0))]], ids=["none", "sent"])
def test_without_a_direction_no_total_is_known_and_every_cell_is(passes, run, tmp_path):
    ring_taps = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0)}
    record(
        tmp_path / "trace.arrows",
        (both(*passes) if passes else EMPTY, [start_without("receive"), *events(ring_taps)[1:]]),
    )
    rows, lines = table_of(tmp_path / "trace.arrows", run)
    assert {tuple(row[-2:]) for row in rows.values()} == {("?", "not-watched")}
    assert any(f"{len(passes) // 2} packets of those that are watched" in line for line in lines)
    if passes:
        assert rows["tcpdump -i bond0"][1:3] == ["-", "1/1"]
    told = json.loads(run("summary", "--json", tmp_path / "trace.arrows")[1])["taps"][str(ON_BOND0)]
    assert (told["watched"], told["outcomes"], told["twice"]) == (False, None, None)
    assert [place["offered"] for place in told["devices"]] == ([0, 1] if passes else [])


def test_counts_of_the_kernel_are_told_so_too():
    from bondtrace.reporters.table import summary_object
    from bondtrace.stats.kernel_counts import KernelCounts

    surroundings = around("receive", taps={ON_ETH0: TAPS[ON_ETH0]})
    place = (HERE, 2, "tx")
    counted = KernelCounts(Counter({place: 3}), Counter({(ON_ETH0, place, "captured"): 3}), passes=3)
    told = summary_object(counted.summary(), surroundings)["taps"][str(ON_ETH0)]
    assert (told["watched"], told["outcomes"], told["devices"][0]["captured"]) == (False, None, 3)


def test_a_fleet_counts_no_absence_of_what_was_not_watched():
    from bondtrace.reporters import fleet
    from bondtrace.stats.fleet import FleetRow

    def row(unseen, doubtful):
        return FleetRow("a", 1, "tcpdump", 7, "tcpdump", "eth0", HERE, "", None, None, 0, {}, unseen, doubtful)

    stream = io.StringIO()
    fleet.write([row({"not-watched": 2}, 2), row({"netns": 1}, 0)], stream)
    assert "(not known)" in stream.getvalue() and "(not offered)" in stream.getvalue()
    assert stream.getvalue().endswith("0 offers, 1 absences, none of them in doubt; 2 times it was not watched.\n")


def test_kernels_do_not_differ_by_what_one_did_not_watch(tmp_path):
    from bondtrace.commands.lab import observe
    from bondtrace.reporters import comparison

    ring_taps = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0)}
    seen = rx("eth0", tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"))
    record(tmp_path / "all.arrows", (seen, [start_without(), *events(ring_taps)[1:]]))
    record(tmp_path / "less.arrows", (rx("eth0", *WAY), [start_without("ring taps"), *events(ring_taps)[1:]]))
    stream = io.StringIO()
    comparison.write([observe(name, "6.1", tmp_path / f"{name}.arrows") for name in ("all", "less")], stream)
    told = stream.getvalue()
    assert "≠" not in told and "the kernels answer alike" in told
    assert re.search(r"tcpdump -i eth0 +eth0 +eth0 rx +1/1 +\? *\n", told) and "?: not watched on that kernel" in told


def test_what_an_older_kernel_would_have_done_is_unknown_without_the_bonds_verdicts():
    surroundings = around("bond_handle_frame", taps={ON_BOND0: TAPS[ON_BOND0]})
    [journey] = journeys(rx("eth0", tap(ON_ETH0)), around=surroundings)
    assert [(one.modelled, one.differs) for one in answers(journey, surroundings, find_era("4.0"))] == [(None, False)]


@pytest.mark.parametrize("odd", [5, True, "rx", [7], {"rx": 1}])
def test_odd_directions_are_no_crash(odd, run, tmp_path):
    record(tmp_path / "odd.arrows", (received(), [{**start_without("transmit"), "directions": odd}, *events()[1:]]))
    status, _, err = run("summary", tmp_path / "odd.arrows")
    assert status in (0, 1) and "Traceback" not in err


# --- warnings ------------------------------------------------------------------------------------------


def test_only_what_everybody_asks_for_is_warned_of():
    assert watched.does_not_see(around("VLAN", "bond_handle_frame")) == []
    [phrase] = watched.does_not_see(around("ring taps"))
    only_rx = around("transmit")
    only_rx.start["directions"] = ["rx"]
    assert watched.does_not_see(around("transmit")) != [] == watched.does_not_see(only_rx)
    assert watched.warning([phrase]).startswith(
        f"WARNING: this trace does not see taps with a mapped ring (tcpdump, libpcap) (ring taps: {REASON}). "
    )


class Traced(Source):
    """A trace of a single reply without ring taps, in place of the running kernel."""

    def does_not_see(self):
        return [f"taps with a mapped ring (tcpdump, libpcap) (ring taps: {REASON})"]

    def batches(self):
        yield Batch(rx("eth0", *WAY), [start_without("ring taps"), *events()[1:]], BEGIN_NS + 1_000_000)
        yield Batch(EMPTY, [{"kind": "end", "time_ns": BEGIN_NS + 10**9}], BEGIN_NS + 10**9)


@pytest.mark.parametrize(
    "words",
    [
        ("--iface", "bond0"),
        ("--iface", "bond0", "--json"),
        ("--iface", "bond0", "--summary-only"),
        ("record", "--iface", "bond0", "-o", "trace.arrows"),
        ("top", "--iface", "bond0"),
        ("summary", "--iface", "bond0"),
        ("explain", "--iface", "bond0"),
        ("exporter", "--iface", "bond0", "--listen", "127.0.0.1:{port}"),
    ],
    ids=lambda words: words[0] + words[-1],
)
@pytest.mark.parametrize("colour", [False, True])
def test_every_tracer_warns_at_its_start_and_at_its_end(words, colour, run, monkeypatch, tmp_path):
    import socket
    from importlib import import_module

    from bondtrace.capture.live import source

    monkeypatch.setattr(source, "LiveSource", Traced)
    for name in ("live", "record", "exporter"):
        monkeypatch.setattr(import_module(f"bondtrace.commands.{name}"), "require_rights", lambda: None)
    monkeypatch.setenv("FORCE_COLOR" if colour else "NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    status, _, err = run(*(word.format(port=port) for word in words))

    red, end = ("\033[1;31m", "\033[0m") if colour else ("", "")
    lines = err.splitlines()
    warning = f"{red}bondtrace: WARNING: this trace does not see taps with a mapped ring"
    warned = [place for place, line in enumerate(lines) if line.startswith(warning)]
    assert status == 0 and len(warned) == 2 and warned[1] == len(lines) - 1, err
    assert "bondtrace: attached" in lines[warned[0] - 1]
    assert all(lines[place].endswith(f"says more{end}") for place in warned)
