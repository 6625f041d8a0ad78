# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of the kernel: by name, as a summary, as a screen of `top`."""

import io
import json
import re

import numpy as np
import pytest

import build
from bondtrace.commands import top as command
from bondtrace.format.batch import Batch
from bondtrace.format.wire import COUNT, EMPTY, STEP_DROP, STEP_HANDLER, STEP_PASS, STEP_TAP
from bondtrace.pipeline import Pipeline
from bondtrace.reporters import table
from bondtrace.reporters import top as view
from bondtrace.stats import kernel_counts

ETH0, BOND0, TAP = 2, 4, build.ON_BOND0
HANDLER, DROP_PLACE = 0x81A0, 0x82B0


def key(ifindex, kind, count, arg=0, more=0, result=0, func=0, outgoing=0, netns=build.HERE):
    return ((netns, ifindex, arg, more, kind, result, func, outgoing), count)


READING = np.array(
    [
        key(ETH0, STEP_PASS, 100),
        key(BOND0, STEP_PASS, 90, result=1),
        key(BOND0, STEP_PASS, 7, outgoing=1),
        key(ETH0, STEP_HANDLER, 90, arg=HANDLER, result=1, func=63),
        key(ETH0, STEP_HANDLER, 10, arg=HANDLER, result=2, func=63),
        key(BOND0, STEP_TAP, 80, arg=TAP, result=1, func=2),
        key(BOND0, STEP_TAP, 10, arg=TAP, result=3, func=2),
        key(BOND0, STEP_TAP, 7, arg=TAP, result=1, func=2, outgoing=1),
        key(BOND0, STEP_TAP, 3, arg=77, result=2, func=1),
        key(ETH0, STEP_DROP, 10, arg=DROP_PLACE, more=3),
    ],
    COUNT,
)


@pytest.fixture
def pipeline():
    """One that was given the reading."""
    events = [
        *build.events(),
        {"kind": "symbol", "time_ns": 1, "address": HANDLER, "name": "bond_handle_frame"},
        {"kind": "symbol", "time_ns": 1, "address": DROP_PLACE, "name": "__netif_receive_skb_core"},
    ]
    told = Pipeline()
    told.run([Batch(EMPTY, events, 10, READING[:3]), Batch(EMPTY, [], 20), Batch(EMPTY, [], 30, READING)])
    return told


def test_a_reading_replaces_the_one_before(pipeline):
    assert pipeline.summary.journeys == pipeline.counted.passes == 107
    assert pipeline.summary.passed == {
        (build.HERE, ETH0, "rx"): 100,
        (build.HERE, BOND0, "rx"): 90,
        (build.HERE, BOND0, "tx"): 7,
    }


def test_a_direction_is_left_out(pipeline):
    only = kernel_counts.of(READING, pipeline.scene, ("tx",))
    assert only.passes == 7 and only.passed == {(build.HERE, BOND0, "tx"): 7}
    assert not only.verdicts and not only.drops


def test_verdicts_and_drops_are_named(pipeline):
    assert pipeline.counted.verdicts == {
        (build.HERE, ETH0, "bond_handle_frame", "ANOTHER"): 90,
        (build.HERE, ETH0, "bond_handle_frame", "EXACT"): 10,
    }
    assert pipeline.counted.drops == {(build.HERE, ETH0, "__netif_receive_skb_core", "NO_SOCKET"): 10}


def test_the_table_claims_no_absence(pipeline):
    stream = io.StringIO()
    table.write(pipeline.summary, pipeline.scene, stream)
    text = stream.getvalue()
    assert "unseen" not in text and "mostly because" not in text
    assert "90/80" in text and "7/7" in text
    assert "107 passes, counted in the kernel: why a tap was not offered a packet is not known" in text
    assert "dropped by the kernel: 10 on eth0 in __netif_receive_skb_core: NO_SOCKET" in text
    assert "taps known only by inode: 1" in text


def test_json_says_what_is_not_known(pipeline):
    stream = io.StringIO()
    table.write_json(pipeline.summary, pipeline.scene, stream)
    told = json.loads(stream.getvalue())
    assert told["passes"] == 107 and "journeys" not in told and "incomplete" not in told
    assert {tap["unseen"] for tap in told["taps"].values()} == {tap["twice"] for tap in told["taps"].values()} == {None}
    assert told["taps"][str(TAP)]["outcomes"] == {"captured": 87, "full": 10}


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


def test_a_name_from_the_kernel_does_not_reach_the_terminal(pipeline):
    pipeline.scene.symbols[DROP_PLACE] = "evil\x1b[2J"
    again = kernel_counts.of(READING, pipeline.scene)
    assert "\x1b" not in "\n".join(view.lines(again, again, 1.0, pipeline.scene))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_not_overrun_and_left_as_it_was(monkeypatch):
    monkeypatch.setenv("LINES", "6")
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    with command._screen(terminal) as screen:
        for _ in range(2):
            screen.show([f"line {number} " + "x" * 40 for number in range(30)] + ["losses: none"])
    text = terminal.getvalue()
    assert text.startswith("\x1b[?1049h") and text.endswith("\x1b[?1049l")
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    frame = text.split("\x1b[H")[1]
    shown = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", frame).split("\n")
    assert len(shown) == 6 and max(map(len, shown)) <= 20 and shown[-1] == "losses: none"
    assert "26 more lines" in frame


def test_a_file_gets_blocks_without_control_codes():
    stream = io.StringIO()
    with command._screen(stream) as screen:
        screen.show(["one"])
        screen.show(["two"])
    assert stream.getvalue() == "one\n\ntwo\n\n"


@pytest.mark.parametrize(
    "words", [["--summary-only", "--count", "3"], ["--summary-only", "--write", "x.arrows"], ["top", "--count", "3"]]
)
def test_what_counts_journeys_is_refused(words, monkeypatch, capsys, tmp_path):
    from bondtrace import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bondtrace", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "journeys" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
