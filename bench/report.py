#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the page of a large recording: making it, its size, and in Chromium loading it and selecting in it.

    .venv/bin/python bench/report.py [--journeys 1000000] [--again FILE]

The recording is the flood of bench/analysis.py, and one of as many journeys of hundreds of kinds. Prints one JSON
object per recording; ``first_load_s`` is of a browser that was just started, and
``tables_s`` how long after its begin all but the pictures was there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import analysis
import numpy as np
import traffic

from bondtrace.format.recording import Recorder
from bondtrace.format.wire import STEP_TAP, Passes

sys.path.insert(0, str(analysis.ROOT / "tests"))
from browser import Browser

_RATE = 500_000
_SELECTIONS = (
    "--tap 'tcpdump -i bond0'",
    "--unseen bound-elsewhere --outcome captured",
    "--slower 20us --since +100ms",
)


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--journeys", type=int, default=1_000_000)
    parser.add_argument("--again", type=Path, help="measure the page of this recording")
    options = parser.parse_args()
    if options.again:
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(measure(options.again, Path(directory))))
        return
    for result in run(options.journeys):
        print(json.dumps(result))


def run(journeys: int) -> list[dict[str, object]]:
    """Return a result for each recording."""
    with tempfile.TemporaryDirectory() as directory:
        return _run(journeys, Path(directory))


def _run(journeys: int, directory: Path) -> list[dict[str, object]]:
    results = []
    for traffic_, make in (("flood", _flood), ("of many kinds", _many_kinds)):
        path = directory / "trace.arrows"
        with ProcessPoolExecutor(1) as pool:  # so that this process stays small: a child's peak counts its parent's
            pool.submit(make, path, journeys).result()
        results.append({"traffic": traffic_, **measure(path, directory)})
    return results


def _flood(path: Path, journeys: int) -> None:
    analysis.record(path, journeys, "flood", _RATE)


def _many_kinds(path: Path, journeys: int) -> None:
    """Make a recording in which what the taps did, and how the pass went on, differs from packet to packet."""
    events, templates = traffic.example()
    rng = np.random.default_rng(2026)
    with Recorder(path, force=True) as recorder:
        for nth, batch in enumerate(traffic.make(templates["flood"], journeys, _RATE)):
            recorder.write(_varied(batch, rng), events if not nth else [])


def _varied(passes: Passes, rng: np.random.Generator) -> Passes:
    """Return the passes with outcomes of taps, and lost steps, drawn by chance."""
    taps = passes.steps["kind"] == STEP_TAP
    passes.steps["result"][taps] = rng.integers(0, 5, int(taps.sum()))
    passes.steps["round"] = rng.integers(1, 3, len(passes.steps))
    passes.records["steps_lost"] = rng.integers(0, 3, len(passes))
    return passes


def measure(path: Path, directory: Path) -> dict[str, object]:
    """Make the page of a recording and use it; return what was measured."""
    page = directory / "page.html"
    told = analysis.timed(path, "-o", str(page), "--force", command="report")
    with Browser(directory / "browser", "--window-size=1280,2000") as browser:
        browser.open("about:blank")
        before_s = browser.cpu_s()
        first_s = _load_s(browser, page.as_uri())
        cpu_s, tables_ms = browser.cpu_s() - before_s, browser.evaluate(_TABLES)
        loads = [_load_s(browser, page.as_uri()) for _ in range(3)]
        selecting = [_select_s(browser, line) for line in _SELECTIONS]
        count = "document.querySelector('[data-count=journeys]').textContent.replace(/\\D/g, '')"
        browser.evaluate("document.getElementById('clear').click()")
        return {
            "journeys": int(browser.evaluate(count)),
            "kinds": browser.evaluate("JSON.parse(document.getElementById('report').textContent).kinds.list.length"),
            "cells": browser.evaluate("JSON.parse(document.getElementById('report').textContent).timeline.kind.length"),
            **told,
            "page_mb": round(page.stat().st_size / 1e6, 2),
            "tables_s": round(tables_ms / 1000, 2),
            "first_load_s": round(first_s, 2),
            "first_load_cpu_s": round(cpu_s, 2),
            "load_s": round(sorted(loads)[1], 2),
            "first_selection_s": round(selecting[0], 2),
            "slowest_selection_s": round(max(selecting), 2),
        }


_TABLES = "performance.getEntriesByName('tables')[0].startTime"
#: Until it is painted.
_DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def _load_s(browser: Browser, address: str) -> float:
    browser.open("about:blank")
    begin = time.monotonic()
    browser.open(address)
    browser.evaluate(_DRAWN)
    return time.monotonic() - begin


def _select_s(browser: Browser, line: str) -> float:
    begin = time.monotonic()
    browser.evaluate(
        f"document.getElementById('select').value = {json.dumps(line)};"
        "document.getElementById('apply').click();"
        f"document.getElementById('selected').childElementCount ? {_DRAWN} : Promise.reject('not selected')"
    )
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
