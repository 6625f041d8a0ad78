# SPDX-License-Identifier: GPL-2.0-or-later
"""A stage that is not attached: nothing that it would have decided is told as absent, in any output."""

import csv
import io
import json
import re

import pytest

from bondtrace import watched
from bondtrace.eras import answers, find_era
from bondtrace.model import Tap
from bondtrace.recording import Batch
from bondtrace.reporters.as_if import answer_objects
from bondtrace.reporters.story import paragraphs
from bondtrace.reporters.text import TextReporter
from bondtrace.wire import EMPTY
from build import (
    BEGIN_NS,
    HANDLERS,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    events,
    handler,
    journeys,
    protocol,
    received,
    record,
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
    "ip_rcv": ("the protocol handler's turn", "delivery to it is not told")}


def start_without(*names):
    """The start of a trace in which these stages are not attached."""
    return start(handlers=[name for name in HANDLERS if name not in names], stages=[
        {"name": name, "tells": tells, "without": without, "missing": REASON if name in names else "", "probes": []}
        for name, (tells, without) in STAGES.items()])


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


@pytest.mark.parametrize(("missing", "asked", "passes"), [
    ("transmit", ("rx", "tx"), [rx("eth0", *WAY)]),
    ("receive", ("rx", "tx"), [tx("bond0")])])
def test_what_may_have_passed_in_the_direction_that_is_missing_is_not_absent(missing, asked, passes):
    surroundings = around(missing)
    told = unseen(surroundings, *passes)
    assert told[ON_ETH1] == ("not-watched",
                             f"{STAGES[missing][1]} in this trace: bondtrace cannot tell")


def test_a_direction_that_was_not_asked_for_is_not_missing():
    surroundings = around("transmit")
    surroundings.start["directions"] = ["rx"]
    assert unseen(surroundings, rx("eth0", *WAY))[ON_ETH1][0] == "bound-elsewhere"


def test_without_the_bonds_verdicts_nobody_knows_why_the_packet_did_not_come_up():
    told = unseen(around("bond_handle_frame"), rx("eth1", tap(ON_ETH1)))
    assert told[ON_BOND0] == ("not-watched", "its verdicts are not seen in this trace: bondtrace cannot tell")
    # and a tap on another slave is told as ever
    assert told[ON_ETH0][0] == "bound-elsewhere"


def test_without_the_protocol_handlers_a_packet_is_not_told_as_dropped():
    lldp = Tap(50003, TAPS[ON_ETH1].netns, 2, 0x0800, "raw", "eth0", buffer="queue", running=True)
    assert unseen(around(taps={50003: lldp}), rx("eth0"))[50003][0] == "dropped-before"
    assert unseen(around("ip_rcv", taps={50003: lldp}), rx("eth0"))[50003][0] == "not-watched"


# --- outputs -------------------------------------------------------------------------------------------

def text_of(surroundings, *passes):
    stream = io.StringIO()
    for journey in journeys(*passes, around=surroundings):
        TextReporter(stream, surroundings).write(journey)
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
    from bondtrace.pipeline import Pipeline
    from bondtrace.recording import Recording
    from bondtrace.reporters.prometheus import Metrics
    from bondtrace.tally import Tally

    rows = list(csv.DictReader(io.StringIO(run("export", recording, "--format", "csv", "-o", "-")[1])))
    assert {row["reason"] for row in rows if row["kind"] == "unseen"} == {"not-watched"}
    assert {row["clean"].lower() for row in rows} == {"false"}

    pipeline = Pipeline()
    tally = Tally(pipeline.scene)
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


# --- warnings ------------------------------------------------------------------------------------------

def test_only_what_everybody_asks_for_is_warned_of():
    assert watched.does_not_see(around("VLAN", "bond_handle_frame")) == []
    [phrase] = watched.does_not_see(around("ring taps"))
    assert watched.warning([phrase]).startswith(
        f"WARNING: this trace does not see taps with a mapped ring (tcpdump, libpcap) (ring taps: {REASON}). ")


class Source:
    """A trace of a single reply without ring taps, in place of the running kernel."""

    def __init__(self, *_, **__):
        self.seen = [f"taps with a mapped ring (tcpdump, libpcap) (ring taps: {REASON})"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def describe(self):
        return "nothing"

    def does_not_see(self):
        return self.seen

    def stop(self):
        pass

    def batches(self):
        yield Batch(rx("eth0", *WAY), [start_without("ring taps"), *events()[1:]], BEGIN_NS + 1_000_000)
        yield Batch(EMPTY, [{"kind": "end", "time_ns": BEGIN_NS + 10**9}], BEGIN_NS + 10**9)


@pytest.mark.parametrize("words", [
    ("--iface", "bond0"), ("--iface", "bond0", "--json"), ("--iface", "bond0", "--summary-only"),
    ("record", "--iface", "bond0", "-o", "trace.arrows"), ("top", "--iface", "bond0"),
    ("exporter", "--iface", "bond0", "--listen", "127.0.0.1:{port}")], ids=lambda words: words[0] + words[-1])
@pytest.mark.parametrize("colour", [False, True])
def test_every_tracer_warns_at_its_start_and_at_its_end(words, colour, run, monkeypatch, tmp_path):
    import socket
    from importlib import import_module

    from bondtrace.sources import live

    monkeypatch.setattr(live, "LiveSource", Source)
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
