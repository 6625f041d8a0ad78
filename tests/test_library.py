# SPDX-License-Identifier: GPL-2.0-or-later
"""``import bondtrace``: what a program gets of a recording is what the commands print."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bondtrace
from bondtrace.errors import BondtraceError, UsageError
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
    return subprocess.run([sys.executable, "-m", "bondtrace", *words], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout


def test_the_journeys_are_those_of_show(ping):
    shown = [json.loads(line) for line in printed("show", "--json", PING).splitlines()]

    told = [json.loads(json.dumps(journey_object(one, ping.scene()))) for one in ping.journeys()]

    for one in (*shown, *told):
        del one["trust"]  # as it was then, and as it was at the end
    assert len(told) == 10 and told == shown


def test_a_direction_alone(ping):
    assert {one.direction for one in ping.journeys(("tx",))} == {"tx"}


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

    with pytest.raises(UsageError, match=r"bondtrace.open\(\) is for one trace, these are 2: .*a.arrows, .*b.arrows"):
        bondtrace.open(one, two)


def test_what_is_no_recording_is_told_when_it_is_read(tmp_path):
    (tmp_path / "x").write_text("hello")

    with pytest.raises(BondtraceError, match="x is no bondtrace recording"):
        list(bondtrace.open(tmp_path / "x").journeys())


def test_importing_it_reads_nothing_heavy():
    program = "import sys, bondtrace; print(sorted({'numpy', 'click', 'bcc'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout == "[]\n"


def test_the_worked_example_prints_what_the_page_says():
    page = (ROOT / "docs" / "library.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.S).group(1)
    says = re.search(r"```text\n(.*?)```", page, re.S).group(1)

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout == says
