#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures `bondtrace summary` of a large recording: time, peak memory, and bytes per pass on disk.

    .venv/bin/python bench/analysis.py [--passes 10000000] [--kind ping|flood] [--rate 500000] [--keep FILE]

The recording is made first, in batches as `bondtrace record` writes them; so is one of a tenth of its size, to see
whether memory grows with the file. Prints one JSON object per recording.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import traffic

from bondtrace.format.events import Event
from bondtrace.format.recording import Recorder
from bondtrace.format.wire import Passes

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=10_000_000)
    parser.add_argument("--kind", choices=("ping", "flood"), default="ping")
    parser.add_argument("--rate", type=int, default=500_000, help="passes per second of the traffic")
    parser.add_argument("--keep", type=Path, help="keep the recording here")
    parser.add_argument("--again", type=Path, help="use the recording that was kept")
    options = parser.parse_args()
    for result in run(options.passes, options.kind, options.rate, options.keep, options.again):
        print(json.dumps(result))


def run(
    passes: int, kind: str = "ping", rate: int = 500_000, keep: Path | None = None, again: Path | None = None
) -> list[dict[str, object]]:
    """Return a result for a tenth of the passes and one for all."""
    if again:
        return [measure(again, passes, kind, rate)]
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for count in (passes // 10, passes):
            path = keep if keep and count == passes else Path(directory) / f"{count}.arrows"
            record(path, count, kind, rate)
            results.append(measure(path, count, kind, rate))
    return results


def record(path: Path, passes: int, kind: str, rate: float) -> None:
    """Make a recording of this many passes."""
    events, templates = traffic.example()
    write(path, events, traffic.make(templates[kind], passes, rate))


def write(path: Path, events: list[Event], batches: Iterable[Passes]) -> None:
    """Make a recording of these events, which begin it (and end it), and passes."""
    before = [event for event in events if event.get("kind") != "end"]
    end = [event for event in events if event.get("kind") == "end"]
    with Recorder(path, force=True) as recorder:
        for batch in batches:
            recorder.write(batch, before)
            before, last = [], batch
        ends_ns = int((last.records["time_ns"] + last.records["duration_ns"]).max())
        recorder.write(
            last.take(last.records["kind"] == 99),
            [{**one, "time_ns": ends_ns, "not_before_ns": ends_ns} for one in end],
        )


def measure(path: Path, passes: int, kind: str, rate: int) -> dict[str, object]:
    """Run the command on a recording; return what was measured."""
    file_bytes = path.stat().st_size
    told = timed(path)
    return {
        "passes": passes,
        "traffic": kind,
        "rate": rate,
        "file_bytes": file_bytes,
        "bytes_per_pass": round(file_bytes / passes, 1),
        **told,
        "passes_per_s": round(passes / told["summary_s"]),
    }


def timed(path: Path, *words: str, command: str = "summary") -> dict[str, float]:
    """Run the command on a recording, with further words; return what it took."""
    path.read_bytes()  # into the page cache
    begin = time.monotonic()
    child = spawn(command, str(path), *words)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - begin
    if status:
        raise SystemExit(f"bondtrace {command} ended with {status}")
    return {
        f"{command}_s": round(seconds, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def spawn(*words: str, out: str = "/dev/null", messages: Optional[str] = None) -> int:
    """Start bondtrace with these words, its output, and its messages, going to files; return the process's number."""
    files = [(1, out), *([(2, messages)] if messages else [])]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "bondtrace", *words],
        {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, number, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for number, name in files
        ],
    )


if __name__ == "__main__":
    main()
