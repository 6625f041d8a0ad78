# SPDX-License-Identifier: GPL-2.0-or-later
"""A screen of `top`: rates and totals of what the kernel counts."""

import re

import pytest
from reading import DROP_PLACE, READING, TAP, counting

from bondtrace.reporters import top as view
from bondtrace.stats import kernel_counts


@pytest.fixture
def pipeline():
    return counting()


def test_top_shows_rates_of_the_interval_and_totals(pipeline):
    before = kernel_counts.of(READING[:1], pipeline.scene)
    lines = view.lines(pipeline.counted, pipeline.counted.since(before), 2.0, pipeline.scene)
    rows = [re.split(r"\s{2,}", line) for line in lines]
    assert ["bond0 rx", "45", "90"] in rows and ["eth0 rx", "0", "100"] in rows
    assert ["bond_handle_frame", "eth0", "ANOTHER", "45", "90"] in rows
    assert ["__netif_receive_skb_core", "eth0", "NO_SOCKET", "5", "10"] in rows
    assert rows.index(["bond0 rx", "45", "90"]) < rows.index(["eth0 rx", "0", "100"])  # the busiest first
    tap = next(row for row in rows if f"[{TAP}]" in row[0] and row[2] == "bond0 rx")
    assert tap[3:] == ["45", "40", "0", "5", "90", "80", "0", "10"]  # offers, captured, filtered, full
    assert lines[-1].startswith("losses: none")


def test_a_narrow_screen_still_shows_the_losses_and_says_what_it_leaves_out(pipeline):
    lines = view.lines(pipeline.counted, pipeline.counted, 1.0, pipeline.scene, 80)

    assert max(map(len, lines)) <= 80
    head, first = next((line.split(), lines[place + 1]) for place, line in enumerate(lines) if line.startswith("tap "))
    assert head == ["tap", "on", "offers/s", "captured/s", "full/s", "full"]
    assert re.split(r"\s{2,}", first) == ["tcpdump -i bond0 [41003]", "bond0 rx", "90", "80", "10", "10"]
    assert "(too narrow for: bound to, filtered/s, offers, captured, filtered; a wider terminal has all)" in (
        " ".join(lines)
    )


def test_a_name_from_the_kernel_does_not_reach_the_terminal(pipeline):
    pipeline.scene.symbols[DROP_PLACE] = "evil\x1b[2J"
    again = kernel_counts.of(READING, pipeline.scene)
    text = "\n".join(view.lines(again, again, 1.0, pipeline.scene))
    assert "evil\\x1b[2J" in text and "\x1b" not in text
