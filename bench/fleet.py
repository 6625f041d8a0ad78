#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures `bondtrace fleet summary` of a dataset of many hosts, by DuckDB and by Spark.

    .venv/bin/python bench/fleet.py [--hosts 1000] [--packets 2000] [--files 1] [--days 1] [--keep DIR] [--no-write]
    .venv/bin/python bench/fleet.py --again DIR

The dataset is made by bondtrace itself: for every host, day and file a recording (`Host`), which `bondtrace export`
adds to the dataset. What is varied between hosts is in the recording, before the export. Prints a JSON object for the
making and one for each query; the tables are put into docs/fleet.md.

Spark is a Java process beside Python: time and memory are those of the command's whole tree of processes, looked at
every 50 ms. Where an engine's packages are missing, it is left out. What the size of files does to all this is measured
with further, smaller datasets, by DuckDB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import analysis
import pyarrow.parquet as pq
import traffic

from bondtrace.format.events import Event
from bondtrace.format.wire import STEP_TAP, Passes

PAGE = analysis.ROOT / "docs" / "fleet.md"
FIRST_DAY = date(2026, 11, 23)
DAY_S = 86_400
KINDS = {"ping": 2, "flood": 1}  # journeys of one packet of traffic.py
ENGINES = ("duckdb", "pyspark")
SIZES = ((8, 24_000, 1), (40, 4_800, 1), (40, 4_800, 24))  # hosts, packets of each, files of each
RATES = (10, 100, 1_000)  # packets a second
_TOGETHER = 20  # recordings that one command exports
_LOSSY = 50  # of so many hosts one lost records
_NAMES = (("bond0", "eth0", "eth1"), ("bond0", "ens1f0", "ens1f1"), ("bond1", "enp65s0f0np0", "enp65s0f1np1"))
_PAUSE_S = 0.05
_TICKS, _PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=2000, help="of a host and day, on average")
    parser.add_argument("--files", type=int, default=1, help="of a host and day")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="that make the dataset")
    parser.add_argument("--keep", type=Path, help="keep the dataset here")
    parser.add_argument("--again", type=Path, help="ask the dataset that was kept")
    parser.add_argument("--no-write", action="store_true", help="leave docs/fleet.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        dataset = options.again or options.keep or Path(directory) / "fleet"
        if not options.again:
            hosts = [Host(number, options.packets, options.files) for number in range(options.hosts)]
            print(json.dumps(make(dataset, hosts, options.days, options.jobs)), flush=True)
        made, asked = json.loads((dataset / MADE).read_text()), []
        for one in queries(dataset):
            print(json.dumps(one), flush=True)
            asked.append(one)
        sizes = []
        for one in of_sizes(Path(directory), options.jobs):
            print(json.dumps(one), flush=True)
            sizes.append(one)
    if not options.no_write:
        write_tables(made, asked, sizes)


# --- the dataset ---------------------------------------------------------------------------------------

MADE = "_made.json"  # readers of datasets leave out names that begin so


@dataclass(frozen=True)
class Host:
    """A host that records: how its traffic, its devices, its taps and their number differ from the other hosts'."""

    number: int
    mean_packets: int
    files: int

    @property
    def name(self) -> str:
        """Such as ``db-0007``."""
        return f"{('web', 'db', 'lb', 'mail')[self.number % 4]}-{self.number:04d}"

    @property
    def kind(self) -> str:
        """Of its traffic."""
        return list(KINDS)[self.number // 4 % 2]

    def recordings(self, directory: Path, day: date) -> Iterator[tuple[Path, int]]:
        """Make the recordings of a day; yield each, and the number of its packets."""
        events, templates = traffic.example()
        template = templates[self.kind]
        chance = random.Random(f"{self.number} {day}")
        packets = chance.lognormvariate(0, 0.5) * self.mean_packets / 1.133 / KINDS[self.kind] / self.files
        passes = max(4, round(packets)) * len(template)
        span_s = DAY_S / self.files
        for nth in range(self.files):
            begin_s = (day - date(1970, 1, 1)).days * DAY_S + nth * span_s
            path = directory / f"{self.name}-{nth}.arrows"
            batches = traffic.make(template, passes, passes / (span_s * 0.8))
            analysis.write(path, self._events(events, int(begin_s * 1e9)), map(self._with_its_taps, batches))
            yield path, passes // len(template) * KINDS[self.kind]

    def _events(self, events: list[Event], begin_ns: int) -> list[Event]:
        """Return the example's events as they would be on this host."""
        text = json.dumps(events)
        for old, new in zip(_NAMES[0], _NAMES[self.number % len(_NAMES)]):
            text = re.sub(rf"(?<!@)\b{old}\b", f"@{new}", text)
        varied: list[Event] = json.loads(text.replace("@", ""))
        for event in varied:
            if event["kind"] == "start":
                event.update(host=self.name, wall_offset_ns=begin_ns - event["time_ns"])
            if event["kind"] == "tap":
                event["tap"]["inode"] += self.number
                for process in event["tap"]["processes"]:
                    process["pid"] += self.number
            if event["kind"] == "losses" and self.number % _LOSSY == 0:
                event["counters"]["lost"][0] = 3
        return varied

    def _with_its_taps(self, passes: Passes) -> Passes:
        passes.steps["arg"][passes.steps["kind"] == STEP_TAP] += self.number
        return passes


def make(dataset: Path, hosts: list[Host], days: int, jobs: int) -> dict[str, Any]:
    """Make the dataset; return what is in it and what the export took. The same is written into it."""
    begin_s = time.monotonic()
    dataset.mkdir(parents=True)
    tasks = [(host, FIRST_DAY + timedelta(day)) for day in range(days) for host in hosts]
    per_task = max(1, _TOGETHER // hosts[0].files)
    parts = [tasks[first : first + per_task] for first in range(0, len(tasks), per_task)]
    with ProcessPoolExecutor(jobs) as pool:
        totals = [sum(one) for one in zip(*pool.map(_add, [dataset] * len(parts), parts))]
    files = sorted(dataset.glob("host=*/day=*/*.parquet"))
    packets, recorded_bytes, cpu_s = totals
    parquet_bytes = sum(path.stat().st_size for path in files)
    told = {
        "hosts": len(hosts),
        "days": days,
        "files": len(files),
        "packets": packets,
        "rows": sum(pq.read_metadata(path).num_rows for path in files),
        "recorded_bytes": recorded_bytes,
        "parquet_bytes": parquet_bytes,
        "recorded_bytes_per_packet": round(recorded_bytes / packets, 1),
        "parquet_bytes_per_packet": round(parquet_bytes / packets, 1),
        "export_cpu_s": round(cpu_s, 1),
        "exported_packets_per_cpu_s": round(packets / cpu_s),
        "made_s": round(time.monotonic() - begin_s),
    }
    (dataset / MADE).write_text(json.dumps(told))
    return told


def _add(dataset: Path, tasks: list[tuple[Host, date]]) -> tuple[int, int, float]:
    """Add recordings of hosts to the dataset: how many packets and bytes they are, and the export's CPU time."""
    with tempfile.TemporaryDirectory() as directory:
        made = [one for host, day in tasks for one in host.recordings(Path(directory), day)]
        names = [str(path) for path, _ in made]
        size = sum(path.stat().st_size for path, _ in made)
        messages = Path(directory) / "messages"
        words = ("export", *names, "--format", "parquet", "-o", f"{dataset}/")
        _, status, usage = os.wait4(analysis.spawn(*words, messages=str(messages)), 0)
        if status:
            raise SystemExit(f"bondtrace export ended with {status}:\n{messages.read_text()}")
    return sum(packets for _, packets in made), size, usage.ru_utime + usage.ru_stime


# --- the queries ---------------------------------------------------------------------------------------


def queries(dataset: Path) -> Iterator[dict[str, Any]]:
    """Yield a result for each query and engine; all engines must give the same answers."""
    made = json.loads((dataset / MADE).read_text())
    hosts = sorted(path.name.partition("=")[2] for path in dataset.glob("host=*"))
    last = str(FIRST_DAY + timedelta(made["days"] - 1))
    asked: dict[str, tuple[str, ...]] = {"all": (), "one host": ("--host", hosts[len(hosts) // 2])}
    if made["days"] > 1:
        asked["one day"] = ("--since", last)
    for name, words in asked.items():
        answers = []
        for engine in (one for one in ENGINES if find_spec(one)):
            told, text = watched("fleet", "summary", str(dataset), "--json", "--engine", engine, *words)
            answers.append(json.loads(text)["rows"])
            if answers[-1] != answers[0]:
                raise SystemExit(f"{engine} does not answer as {ENGINES[0]} does")
            yield {
                "asked": name,
                "engine": engine,
                "answer_rows": len(answers[0]),
                "offers": sum(row["offered"] for row in answers[0]),
                **told,
                "rows_per_s": round(made["rows"] / told["seconds"]) if name == "all" else None,
            }


def of_sizes(directory: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """Yield what datasets of fewer hosts are, with few and with many files."""
    for hosts, packets, files in SIZES:
        dataset = directory / f"{hosts}-{files}"
        made = make(dataset, [Host(number, packets, files) for number in range(hosts)], 1, jobs)
        yield {**made, **watched("fleet", "summary", str(dataset), "--json")[0]}


def watched(*words: str) -> tuple[dict[str, float], str]:
    """Run bondtrace; return how long it took, the CPU time and the peak memory of all its processes, and what it
    printed."""
    with tempfile.TemporaryDirectory() as directory:
        out, messages = Path(directory) / "out", Path(directory) / "messages"
        begin_s = time.monotonic()
        child = analysis.spawn(*words, out=str(out), messages=str(messages))
        cpu_s: dict[int, float] = {}
        peak_bytes = 0
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            tree = _tree(child)
            cpu_s.update({number: one[0] for number, one in tree.items()})
            peak_bytes = max(peak_bytes, sum(memory for _, memory in tree.values()))
            time.sleep(_PAUSE_S)
        seconds = time.monotonic() - begin_s
        if ended[1]:
            raise SystemExit(f"bondtrace {' '.join(words)} ended with {ended[1]}:\n{messages.read_text()}")
        told = {
            "seconds": round(seconds, 2),
            "cpu_s": round(sum(cpu_s.values()), 2),
            "peak_mib": round(peak_bytes / (1 << 20)),
        }
        return told, out.read_text()


def _tree(root: int) -> dict[int, tuple[float, int]]:
    """Return the CPU time, in seconds, and the memory, in bytes, of a process and all that come from it."""
    parents, found = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                number = int(entry.name)
                parents[number] = int(fields[1])
                found[number] = ((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_BYTES)
    inside = {root}
    while more := {number for number, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return {number: found[number] for number in inside if number in found}


# --- the tables ----------------------------------------------------------------------------------------


def write_tables(made: dict[str, Any], asked: list[dict[str, Any]], sizes: list[dict[str, Any]]) -> None:
    """Put the tables into the document."""
    import run  # which loads all other measurements

    text = (
        f"{made['hosts']:,} hosts, a day in {made['files']:,} files: {made['packets']:,} packets, {made['rows']:,} "
        f"rows ({made['rows'] / made['packets']:.1f} a packet)."
    )
    answers = [
        [
            one["asked"],
            {"duckdb": "DuckDB", "pyspark": "Spark"}[one["engine"]],
            one["seconds"],
            one["cpu_s"],
            one["peak_mib"],
            f"{one['rows_per_s']:,}" if one["rows_per_s"] else "",
        ]
        for one in asked
    ]
    of_files = [
        [
            f"{one['hosts']:,}",
            f"{one['files']:,}",
            f"{one['packets'] / one['files']:,.0f}",
            one["recorded_bytes_per_packet"],
            one["parquet_bytes_per_packet"],
            f"{one['exported_packets_per_cpu_s']:,}",
            one["cpu_s"],
        ]
        for one in [*sizes, {**made, "cpu_s": next(one["cpu_s"] for one in asked)}]
    ]
    tables = (
        text,
        run.table(["asked for", "engine", "seconds", "its CPU seconds", "peak memory, MiB", "rows a second"], answers),
        "What the size of files does:",
        run.table(
            [
                *("hosts", "files", "packets a file", "recording, bytes a packet", "Parquet, bytes a packet"),
                *("exported packets a CPU second", "DuckDB, CPU seconds"),
            ],
            of_files,
        ),
        "So a host and day costs, with the first row's figures:",
        run.table(
            ["packets a second, recorded", "packets", "recordings, MB", "Parquet, MB", "export, CPU seconds"],
            [_cost(rate, sizes[0]) for rate in RATES],
        ),
        run.where(),
    )
    run.put("fleet", "\n\n".join(tables), PAGE)


def _cost(per_second: int, of: dict[str, Any]) -> list[str]:
    """Return what a host costs that records so many packets a second for a day."""
    packets = per_second * DAY_S
    return [
        f"{per_second:,}",
        f"{packets:,}",
        f"{packets * of['recorded_bytes_per_packet'] / 1e6:,.0f}",
        f"{packets * of['parquet_bytes_per_packet'] / 1e6:,.0f}",
        f"{packets / of['exported_packets_per_cpu_s']:,.0f}",
    ]


if __name__ == "__main__":
    main()
