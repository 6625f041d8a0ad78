#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: the measurements that run on this machine, as tables, printed and put into docs/performance.md.

    sudo .venv/bin/python bench/run.py [--passes 10000000] [--seconds 3] [--no-write]

A section of the page is between `<!-- bench: NAME -->` and `<!-- end of bench: NAME -->`, and is replaced as a
whole; ``put`` does that for a section of any name, so that other measurements can use the same page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import analysis
import checking
import numpy
import report
import search
import startup
from tabulate import tabulate

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
KINDS = ("ping", "flood")


def main() -> None:
    """Run all measurements, and write their tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=10_000_000, help="of the recording that is analysed")
    parser.add_argument("--seconds", type=float, default=3, help="for each reader of the ring")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    sections = {
        "ring": ring_table(options.seconds),
        "startup": startup_table(),
        "analysis": analysis_table(options.passes),
        "search": search_table(),
        "browse": browse_table(),
        "check": check_table(options.passes),
        "report": report_table(),
    }
    for name, text in sections.items():
        print(f"{text}\n")
        if not options.no_write:
            put(name, f"{text}\n\n{where()}", PAGE)


def put(name: str, text: str, page: Path) -> None:
    """Replace a section of the page, which must have it."""
    begin, end = f"<!-- bench: {name} -->\n", f"<!-- end of bench: {name} -->\n"
    whole = page.read_text()
    if begin not in whole or end not in whole:
        raise SystemExit(f"{page} has no section {name!r}: add the lines {begin.strip()} and {end.strip()}")
    before, _, rest = whole.partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}")


def ring_table(seconds: float) -> str:
    """Return the table of the ring, each kind of traffic measured in a process of its own, which stays on one CPU."""
    rows = []
    for kind in KINDS:
        told = _alone("ring", f"run({seconds}, {kind!r})")
        for stage, goal in (("drained", ""), ("decoded", ""), ("stitched", "1.0"), ("recorded", "2.0")):
            one = told[stage]
            rows.append(
                [
                    kind,
                    stage,
                    _millions(one["passes_per_s"]),
                    _millions(one["bcc_passes_per_s"]),
                    f"{one['ratio']:.1f}",
                    goal,
                ]
            )
    return table(["traffic", "up to", "million passes per second", "bcc's callback", "ratio", "goal"], rows)


def startup_table() -> str:
    """Return the table of the start."""
    told = startup.run()
    names = {
        "own_import_s": "import of bondtrace's own modules (goal 0.3)",
        "other_import_s": "import of numpy, click …",
        "types_and_symbols_s": "types (BTF) and symbols read",
        "plan_s": "plan",
        "bcc_import_s": "import of bcc",
        "compile_s": "compiled",
        "kept_s": "read what was compiled before",
        "load_s": f"{told['programs']:.0f} programs loaded",
    }
    first = {name: told[name] for name in names if name != "kept_s"}
    later = {name: told[name] for name in names if name not in ("bcc_import_s", "compile_s")}
    rows = [
        [text, *(f"{steps[name]:.2f}" if name in steps else "" for steps in (first, later))]
        for name, text in names.items()
    ]
    rows.append(["all (goals 1.0, 0.6)", *(f"{sum(steps.values()):.2f}" for steps in (first, later))])
    return table(["step", "first start, s", "later ones, s"], rows)


def analysis_table(passes: int) -> str:
    """Return the table of the analysis."""
    rows = [
        [
            one["traffic"],
            f"{one['passes'] / 1e6:g}",
            one["summary_s"],
            one["cpu_s"],
            one["peak_mib"],
            one["bytes_per_pass"],
        ]
        for kind in KINDS
        for one in analysis.run(passes, kind)
    ]
    goals = ["goal", "10", 5, "", 1024, 30]
    return table(
        ["traffic", "million passes", "summary, s", "its CPU time, s", "peak memory, MiB", "bytes per pass on disk"],
        [*rows, goals],
    )


def search_table() -> str:
    """Return the table of searches, each among a million journeys."""
    rows = [
        [one["search"], f"{one['journeys'] / 1e6:g}", one["summary_s"], one["cpu_s"], one["peak_mib"]]
        for one in search.run(1_000_000)
    ]
    return table(["selected by", "million journeys", "summary, s", "its CPU time, s", "peak memory, MiB"], rows)


def browse_table() -> str:
    """Return the table of what browsing a million journeys takes, in a process of its own."""
    told = _alone("browsing", "run(1_000_000)")
    keys = [
        [f"key {key}, with its screen, ms: median, longest", f"{median}, {longest}"]
        for key, (median, longest) in told["keys_ms"].items()
    ]
    selections = [[f"selection {words}, CPU s", one] for words, one in told["selections_s"].items()]
    rows = [
        ["until the first screen, s", told["first_screen_s"]],
        ["its CPU time, s", told["its_cpu_s"]],
        ["until all is read, s", told["all_read_s"]],
        ["its CPU time, s", told["all_cpu_s"]],
        ["longest time for which no key is answered meanwhile, CPU ms", told["longest_part_ms"]],
        ["the file, MiB", told["file_mib"]],
        ["packets kept in memory, MiB", told["kept_mib"]],
        ["peak memory, MiB", told["peak_mib"]],
    ]
    return table(["a million journeys", ""], [*rows, *keys, *selections])


def report_table() -> str:
    """Return the table of the page of a report, of a million journeys."""
    names = (
        "report_s",
        "cpu_s",
        "peak_mib",
        "page_mb",
        "tables_s",
        "first_load_s",
        "first_load_cpu_s",
        "load_s",
        "first_selection_s",
    )
    rows = [
        [one["traffic"], f"{one['journeys'] / 1e6:g}", one["kinds"], *(one[name] for name in names)]
        for one in report.run(1_000_000)
    ]
    headings = ["report, s", "its CPU time, s", "peak memory, MiB", "page, MB", "tables, s", "first load, s"]
    headings += ["its CPU time, s", "load, s", "selection, s"]
    goals = ["goal", "1", "", "", "", "", "", "", 2, "", 2, 2]
    return table(["traffic", "million journeys", "kinds", *headings], [*rows, goals])


def check_table(passes: int) -> str:
    """Return the table of captures that are compared with a recording."""
    rows = [
        [
            one["traffic"],
            f"{one['passes'] / 1e6:g}",
            f"{one['packets'] / 1e6:.2f}",
            one["check_s"],
            one["cpu_s"],
            one["packets_per_s"],
            one["peak_mib"],
        ]
        for kind in KINDS
        for one in checking.run(passes, kind)
    ]
    heads = ["million passes", "million packets in the file", "check, s", "its CPU time, s", "packets a second"]
    return table(["traffic", *heads, "peak memory, MiB"], rows)


def _alone(module: str, call: str) -> Any:
    """Return the value of a call of one of these scripts in another process."""
    program = f"import json, {module}; print(json.dumps({module}.{call}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PAGE.parent.parent)},
    )
    return json.loads(done.stdout)


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f}"


def table(head: list[str], rows: Iterable[list[Any]]) -> str:
    """Return a table in Markdown."""
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def where() -> str:
    """Return what it was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"Measured on {os.cpu_count()} CPUs of a virtual machine ({model}), Linux "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, numpy {numpy.__version__}."
    )


if __name__ == "__main__":
    main()
