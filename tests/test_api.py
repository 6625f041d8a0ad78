# SPDX-License-Identifier: GPL-2.0-or-later
"""``import bondtrace``: what a program gets of a recording is what the commands print."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import bondtrace
from bondtrace.analysis.select import Criteria
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.net.pcap import make_filter
from bondtrace.reporters import table
from bondtrace.reporters.json_lines import journey_object
from build import events, received, record

ROOT = Path(__file__).parents[1]
PING = ROOT / "examples" / "ping.arrows"


@pytest.fixture
def ping():
    with bondtrace.open(PING) as trace:
        yield trace


def printed(*words):
    return subprocess.run(
        [sys.executable, "-m", "bondtrace", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_the_journeys_are_those_of_show(ping):
    shown = [json.loads(line) for line in printed("show", "--json", PING).splitlines()]

    told = [json.loads(json.dumps(journey_object(one, ping.scene()))) for one in ping.journeys()]

    for one in (*shown, *told):
        del one["trust"]  # as it was then, and as it was at the end
    assert len(told) == 10 and told == shown


def test_a_direction_alone(ping):
    assert {one.direction for one in ping.journeys(("tx",))} == {"tx"}


def test_criteria_select_journeys_and_columns(ping):
    dropped = Criteria(dropped=("",), packet_filter=make_filter("arp"))

    assert [one.id for one in ping.journeys(criteria=dropped)] == [2, 6]
    assert [one.id for one in ping.journeys(("tx",), Criteria(devices=("bond0",)))] == [1, 4, 8, 10]
    assert np.concatenate([one.numbers for one in ping.columns(criteria=dropped)]).tolist() == [2, 6]


def test_the_summary_is_that_of_the_command(ping):
    out = io.StringIO()
    table.write_json(ping.summary(), ping.scene(), out)

    assert out.getvalue() == printed("summary", "--json", PING)


def test_columns_are_the_same_journeys(ping):
    numbers = np.concatenate([one.numbers for one in ping.columns()])
    steps = sum(len(one.passes.steps) for one in ping.columns())

    assert numbers.tolist() == [one.id for one in ping.journeys()]
    assert steps == sum(len(part.steps) - 1 for one in ping.journeys() for part in one.passes)


def test_passes_events_and_arrow_are_the_recording(ping):
    reader = ping.arrow()
    rows = reader.read_all()

    passes = sum(len(one) for one in ping.passes())
    told = list(ping.events())
    assert len(rows) == passes + len(told)
    assert [json.loads(one) for one in rows.column("event").to_pylist() if one] == told


def test_taps_devices_and_losses(ping):
    assert sorted(tap.dev for tap in ping.taps().values() if tap.dev) == ["bond0", "eth0", "eth1"]
    assert {"bond0", "eth0", "eth1"} <= {device.name for device in ping.devices().values()}
    assert ping.losses() == {}


def test_a_trace_may_be_read_twice(ping):
    assert len(list(ping.journeys())) == len(list(ping.journeys())) == 10


def test_several_traces_are_refused(tmp_path):
    one, two = (record(tmp_path / name, (received(), events())) for name in ("a.arrows", "b.arrows"))

    with pytest.raises(UsageError, match=r"bondtrace.open\(\) takes one trace, not 2: .*a.arrows, .*b.arrows"):
        bondtrace.open(one, two)


def test_what_is_no_recording_is_told_when_it_is_read(tmp_path):
    (tmp_path / "x").write_text("hello")

    with pytest.raises(BondtraceError, match="x is not a bondtrace recording"):
        list(bondtrace.open(tmp_path / "x").journeys())


def test_importing_it_reads_nothing_heavy():
    program = "import sys, bondtrace; print(sorted({'numpy', 'click', 'bcc'} & set(sys.modules)))"

    assert (
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize("nth", [0, 1])
def test_an_example_prints_what_the_page_says(nth):
    page = (ROOT / "docs" / "library.md").read_text()
    program = re.findall(r"```python\n(.*?)```", page, re.S)[nth]
    says = re.findall(r"```text\n(.*?)```", page, re.S)[nth]

    assert (
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == says
    )


def test_the_host_the_kernel_and_that_it_is_whole(ping):
    start = next(one for one in ping.events() if one["kind"] == "start")
    assert (ping.host, ping.kernel, ping.whole) == (start["host"], start["kernel"], True)


def cut(path, less):
    path.write_bytes(PING.read_bytes()[:-less])
    return bondtrace.open(path)


def test_of_a_recording_that_was_cut_off_all_gives_what_is_whole_and_it_is_said(tmp_path):
    trace = cut(tmp_path / "cut.arrows", 3000)

    assert not trace.whole
    rows = trace.arrow().read_all()
    assert 0 < len(rows) == sum(len(one) for one in trace.passes()) + len(list(trace.events()))
    assert trace.summary().journeys == len(list(trace.journeys())) < 10


def test_a_missing_end_alone_is_told(tmp_path):
    trace = cut(tmp_path / "cut.arrows", 8)
    assert (trace.whole, trace.summary().journeys, len(trace.arrow().read_all())) == (False, 10, 36)


def test_it_is_an_arrow_stream_for_those_who_take_one(ping):
    assert pa.table(ping).equals(ping.arrow().read_all())


def test_what_is_no_recording_is_told_by_all_that_reads(tmp_path):
    (tmp_path / "x").write_text("hello")
    trace = bondtrace.open(tmp_path / "x")
    for read in (trace.arrow, trace.taps, trace.summary, lambda: trace.host, lambda: trace.whole):
        with pytest.raises(BondtraceError, match="x is not a bondtrace recording"):
            read()
    gone = bondtrace.open(tmp_path / "nosuch")
    for read in (gone.arrow, gone.taps, lambda: gone.whole):
        with pytest.raises(BondtraceError, match=r"cannot read .*nosuch: No such file"):
            read()


def test_the_surroundings_are_read_once_and_again_when_the_file_has_grown(tmp_path):
    path = tmp_path / "growing.arrows"
    path.write_bytes(PING.read_bytes()[:-3000])
    trace = bondtrace.open(path)
    before, scene = trace.summary().journeys, trace.scene()
    assert trace.scene() is scene

    path.write_bytes(PING.read_bytes())
    assert before < trace.summary().journeys == 10
    assert trace.scene() is not scene and trace.whole


def test_all_that_a_trace_has_is_documented(ping):
    page = (ROOT / "docs" / "library.md").read_text()
    told = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)(?:\(\))?`", line.split("|")[1])
    }
    assert told == {name for name in dir(ping) if not name.startswith("_")}
