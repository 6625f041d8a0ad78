# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics for Prometheus: names cannot break a scrape, and every metric is as docs/prometheus.md has it."""

import json
import re
from dataclasses import replace

import pytest
from scrape import FORMATS, by, offered_to, scraped, series_of, summed, tally_of, taps_called
from shell import PING, ROOT

from bondtrace.format.events import device_event
from bondtrace.model import Process
from bondtrace.stats.metrics import MAX_NAMES
from build import DEVICES, ON_ETH0, TAPS, events, losses, received, record, refused, scene, start


@pytest.mark.parametrize("generate, parse", FORMATS, ids=["text", "OpenMetrics"])
def test_names_cannot_break_a_scrape(generate, parse):
    # given taps of processes with such names, and a device called so
    taps = taps_called('a"} 1\nbondtrace_journeys_total 9', "back\\slash", "\udcff\udcfe", "\033[2J", "ü", "")
    around = scene(taps=taps)
    around.apply(device_event(start()["time_ns"], replace(DEVICES["eth0"], name='e"\n\\\udcff')))

    found = series_of(tally_of(around, offered_to(taps, around)), generate, parse)

    # then every name has its series, written so that nothing is taken for syntax
    assert by(found["bondtrace_tap_captured_total"], "tap", "device") == {
        (name, r'e"\x0a\\xff'): 1
        for name in ('a"} 1\\x0abondtrace_journeys_total 9', "back\\slash", "\\xff\\xfe", "\\x1b[2J", "ü", "")
    }
    assert found["bondtrace_journeys_total"] == {(): 1}


def test_names_that_are_written_alike_are_added_up_for_no_series_may_be_there_twice():
    taps = taps_called("\n", "\\x0a")
    around = scene(taps=taps)

    found = series_of(tally_of(around, offered_to(taps, around)))

    assert by(found["bondtrace_tap_captured_total"], "tap") == {("\\x0a",): 2}


def test_the_probe_plan():
    samples, _ = scraped(PING)

    stages = {
        dict(pairs)["stage"]: value for (name, pairs), value in samples.items() if name == "bondtrace_stage_attached"
    }
    assert stages["receive"] == stages["bond_handle_frame"] == 1 and set(stages.values()) == {1}


def test_verdicts_and_losses(tmp_path):
    path = record(tmp_path / "trace.arrows", (received(), events()), (refused(9_000_000), [losses(0, lost=[2, 3])]))

    samples, _ = scraped(path)

    assert summed(samples, "bondtrace_verdicts_total", "device", "function", "verdict") == {
        ("eth0", "bond_handle_frame", "ANOTHER"): 1,
        ("eth1", "bond_handle_frame", "EXACT"): 1,
    }
    assert summed(samples, "bondtrace_losses_total", "kind") == {("lost",): 5}
    assert samples["bondtrace_losses_total", (("kind", "unbalanced"),)] == 0


def test_names_that_are_no_text_are_printable(tmp_path):
    strange = replace(TAPS[ON_ETH0], processes=(Process(7, 'e\x1b[31m"\n\\', "\udcff\n"),))
    path = record(tmp_path / "trace.arrows", (received(), events(taps={ON_ETH0: strange})))

    samples, _ = scraped(path)

    names = {dict(pairs)["tap"] for (metric, pairs) in samples if metric == "bondtrace_tap_offered_total"}
    assert names and all(name.isprintable() for name in names)


# --- docs/prometheus.md --------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")


def every_metric():
    """{metric: its labels} of a scrape, with what has no series of the example named by hand."""
    there = {}
    for metric, pairs in scraped(PING)[0]:
        there.setdefault(metric, {label for label, _ in pairs})
    for outcome in ("filtered", "full", "ignored", "unknown"):
        there[f"bondtrace_tap_{outcome}_total"] = there["bondtrace_tap_captured_total"]
    return there


def test_every_metric_is_documented_with_its_labels():
    told, same = {}, set()
    for line in PAGE.splitlines():
        if line.startswith("| `bondtrace_"):
            name, labels = (cell.strip() for cell in line.split("|")[1:3])
            same = same if labels == "the same" else set(re.findall(r"`(\w+)`", labels))
            told[name.strip("`")] = same
    assert told == every_metric()
    assert f"more than {MAX_NAMES} different taps" in " ".join(PAGE.split())
    values = {line.split("`")[1] for line in PAGE.partition("| label |")[2].splitlines() if line.startswith("| `")}
    assert set().union(*told.values()) - values == {"stage", "version", "kernel"}


def test_the_example_is_a_scrape():
    samples, _ = scraped(PING)
    example = PAGE.partition("## An example")[2].split("```")[1].partition("\n")[2]
    there = {
        f"{metric}{{{','.join(f'{label}={json.dumps(value)}' for label, value in pairs)}}} {value}"
        for (metric, pairs), value in samples.items()
    }
    assert len(example.splitlines()) > 4
    assert set(example.splitlines()) - there == set()


def test_the_queries_ask_for_what_there_is():
    there = every_metric()
    queries = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) >= 4
    for query in queries:
        assert query.count("(") == query.count(")")
        asked = re.findall(r"(bondtrace_\w+)(?:\{(.*?)\})?", query)
        labels = set(re.findall(r"(\w+) *=", " ".join(inner for _, inner in asked)))
        labels |= {word for words in re.findall(r"(?:by|on) \((.*?)\)", query) for word in words.split(", ")}
        assert asked and labels <= set().union(*(there[name] for name, _ in asked)), query
