# SPDX-License-Identifier: GPL-2.0-or-later
"""In no recording of the tests is a tap unknown for want of a rule beside a step that decided."""

from pathlib import Path

import pytest
import unknowns

from bondtrace.api import open_trace
from build import ON_ETH0, drop, handler, in_parts, journeys, lossy, protocol, rx, short_trace, tap

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = sorted([*ROOT.glob("examples/**/*.arrows"), *ROOT.glob("tests/data/**/*.arrows")])


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_of_kernels(path):
    with open_trace(path) as trace:
        told = list(trace.journeys())

    assert len(told) > 0
    assert unknowns.faults(told) == [], unknowns.listed(told)


@pytest.mark.parametrize("make", [short_trace, lossy, in_parts])
def test_of_those_that_tests_write(make, tmp_path):
    made = make(tmp_path / "trace.arrows")
    with open_trace(*(made if isinstance(made, list) else [made])) as trace:
        told = list(trace.journeys())

    assert len(told) > 0
    assert unknowns.faults(told) == [], unknowns.listed(told)


def test_what_is_one():
    # given a tap for all protocols on a device whose other taps were given the packet, which tc dropped then
    passes = rx("eth0", tap(77), drop("TC_INGRESS"), at=0), rx("eth0", tap(77), protocol("ip_rcv"), at=50)
    told = journeys(*passes)

    assert [len(unknowns.unruled(one)) for one in told] == [2, 2]
    # then it is a fault, but not where nothing decided
    assert [line.partition(":")[0] for line in unknowns.faults(told)] == ["#1", "#1"]
    assert unknowns.faults(journeys(rx("eth0", tap(ON_ETH0), handler("EXACT")))) != []
    assert len(unknowns.listed(told)) == 4
