# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten minutes at a steady rate: flat memory, and counts that do not drift."""

from pathlib import Path

import pytest

import bondtrace

pytestmark = pytest.mark.soak

SCENARIO = str(Path(__file__).parent / "faults" / "soak.sh")


@pytest.fixture(scope="module")
def run(play_all):
    return play_all(scenarios=[SCENARIO], command="true", memory_mb=2000, scenario_s=2400)["soak"]


def test_every_packet_is_recorded(run, figure):
    sent = int((run.out / "sent").read_text())
    with bondtrace.open(run.out / "record.arrows") as trace:
        summary, losses = trace.summary(), trace.losses()
    assert losses == {}
    assert summary.journeys == sent
    figure(f"soak: {sent} packets sent, as many recorded")


def test_memory_is_flat(run, figure):
    # kB, every ten seconds; the first minute is the warm-up
    rows = [[int(one) for one in line.split()] for line in (run.out / "memory").read_text().splitlines()]
    sizes = [size for at, size in rows if at >= rows[0][0] + 60]
    assert rows[-1][0] - rows[0][0] >= 590
    figure(f"soak: record has {sizes[0]} kB after a minute, {sizes[len(sizes) // 2]} half-way, {sizes[-1]} then")
    # then it grows by less than 2 %
    assert sizes[-1] < 1.02 * sizes[0]
