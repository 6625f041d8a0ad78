#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures a search of a large recording: `bondtrace summary` with selections, each in a process of its own.

    .venv/bin/python bench/search.py [--journeys 1000000]

Prints one JSON object per search, the first without a selection.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import analysis

SEARCHES = {
    "none": (),
    "a tap": ("--tap", "tcpdump -i bond0"),
    "a path": ("--path", "eth0>bond0"),
    "why a tap was not offered it": ("--unseen", "bound-elsewhere"),
    "drops": ("--dropped",),
    "slower than 1 ms": ("--slower", "1ms"),
    "a filter": ("icmp[icmptype] = icmp-echo and host 10.9.0.1",),
}
_RATE = 500_000


def main() -> None:
    """Run the searches of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--journeys", type=int, default=1_000_000)
    for result in run(parser.parse_args().journeys):
        print(json.dumps(result))


def run(journeys: int) -> list[dict[str, object]]:
    """Return a result for each search. A flood's journey is one pass."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "flood.arrows"
        analysis.record(path, journeys, "flood", _RATE)
        return [
            {"search": name, "journeys": journeys, **analysis.timed(path, *words)} for name, words in SEARCHES.items()
        ]


if __name__ == "__main__":
    main()
