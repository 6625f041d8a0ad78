#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures `bondtrace browse` of a large recording, without its terminal: until the first screen and until all is read,
peak memory, what keys and selections take.

    .venv/bin/python bench/browsing.py [--passes 1000000] [--kind ping|flood]

Prints one JSON object. ``longest_part_ms`` is for how long no key is answered while it reads. Keys (median, longest)
are measured with the screen of 80x24 after each; these, parts and selections in CPU time of their thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import analysis

from bondtrace.browser.browser import Browser
from bondtrace.commands.browse import trace_of
from bondtrace.commands.selecting import typed
from bondtrace.format.trace_set import gather

SELECTIONS = ("icmp[icmptype] = icmp-echo and host 10.9.0.1", "--unseen bound-elsewhere --tap tcpdump", "--slower 1ms")
_SIZE = 80, 24


def main() -> None:
    """Run the measurement of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=("ping", "flood"), default="flood")
    options = parser.parse_args()
    told = run(options.passes, options.kind)
    print(json.dumps({"passes": options.passes, "traffic": options.kind, **told}))


def run(passes: int, kind: str = "flood") -> dict[str, object]:
    """Return what browsing a recording of so many passes takes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "large.arrows"
        analysis.record(path, passes, kind, 500_000)
        path.read_bytes()  # into the page cache
        return measure(path)


def measure(path: Path) -> dict[str, object]:
    """Return what browsing this recording takes."""
    begin_s, cpu_s, first = time.monotonic(), time.process_time(), {}
    browser = Browser([trace_of(one) for one in gather((path,))], typed)
    parts_ms = []
    has_more = True
    while has_more:
        part_s = time.thread_time()
        has_more = browser.work()
        parts_ms.append((time.thread_time() - part_s) * 1000)
        if not first and len(browser.search.listing):
            browser.lines(*_SIZE)
            first = {"first_screen_s": _since(begin_s), "its_cpu_s": round(time.process_time() - cpu_s, 2)}
    told: dict[str, object] = {
        "file_mib": round(path.stat().st_size / (1 << 20), 1),
        **first,
        "all_read_s": _since(begin_s),
        "all_cpu_s": round(time.process_time() - cpu_s, 2),
        "longest_part_ms": round(max(parts_ms)),
        "kept_mib": round(sum(len(chunk.packed) for chunk in browser.store.chunks) / (1 << 20), 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "keys_ms": {key: _keys_ms(browser, key) for key in ("j", "pagedown", "G", "u")},
    }
    return {**told, "selections_s": {words: _selection_s(browser, words) for words in SELECTIONS}}


def _since(begin_s: float) -> float:
    return round(time.monotonic() - begin_s, 2)


def _keys_ms(browser: Browser, key: str, times: int = 50) -> list[float]:
    """Return the median and the longest time of a key, and of the screen after it."""
    found = []
    for turn in range(times):
        browser.press("g")
        for _ in range(turn % 7):
            browser.press("pagedown")
        browser.lines(*_SIZE)
        begin_s = time.thread_time()
        browser.press(key)
        browser.lines(*_SIZE)
        found.append((time.thread_time() - begin_s) * 1000)
    return [round(statistics.median(found), 1), round(max(found), 1)]


def _selection_s(browser: Browser, words: str) -> float:
    begin_s = time.thread_time()
    browser.type(words)
    while browser.work():
        pass
    browser.lines(*_SIZE)
    return round(time.thread_time() - begin_s, 2)


if __name__ == "__main__":
    main()
