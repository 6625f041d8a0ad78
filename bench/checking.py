#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures `bondtrace check` of a large recording and its tap's capture file: time, and peak memory.

    .venv/bin/python bench/checking.py [--passes 3000000] [--kind ping|flood] [--rate 500000]

The recording is that of bench/analysis.py; the file, of a tcpdump on the bond's slave, is made of what it says that
this tap captured. So is a pair of a tenth of their size, to see whether memory grows with them. Prints one JSON object
per pair.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import analysis
import numpy as np

from bondtrace.format.recording import Recording
from bondtrace.format.wire import PACKET_BYTES, STEP_TAP
from bondtrace.pipeline import Pipeline

BETWEEN_NS = 2_000  # a packet's time in a file is earlier than that of its step


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=3_000_000)
    parser.add_argument("--kind", choices=("ping", "flood"), default="ping")
    parser.add_argument("--rate", type=int, default=500_000, help="passes per second of the traffic")
    options = parser.parse_args()
    for result in run(options.passes, options.kind, options.rate):
        print(json.dumps(result))


def run(passes: int, kind: str = "ping", rate: int = 500_000) -> list[dict[str, object]]:
    """Return a result for a tenth of the passes and one for all."""
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for count in (passes // 10, passes):
            recording, capture = Path(directory) / f"{count}.arrows", Path(directory) / "eth0.pcap"
            analysis.record(recording, count, kind, rate)
            inode = tap_on(recording, "eth0")
            packets = write_capture(capture, recording, inode)
            told = analysis.timed(recording, str(capture), "--tap", f"eth0.pcap={inode}", command="check")
            results.append(
                {
                    "passes": count,
                    "traffic": kind,
                    "packets": packets,
                    **told,
                    "packets_per_s": round(packets / told["check_s"]),
                }
            )
    return results


def tap_on(recording: Path, device: str) -> int:
    """Return the inode of the tap that is bound to a device."""
    pipeline = Pipeline(stitching=False)
    pipeline.run(Recording(recording).batches())
    taps = (history.last_known() for history in pipeline.scene.taps.values())
    return next(tap.inode for tap in taps if tap is not None and tap.dev == device)


def write_capture(path: Path, recording: Path, inode: int) -> int:
    """Write what the recording says that this tap captured, in order of time; return how many packets that is."""
    record = np.dtype([("head", "<u4", (4,)), ("data", "u1", (PACKET_BYTES,))])
    count, offset_ns = 0, 0
    with path.open("wb") as file:
        file.write(np.array([0xA1B23C4D, 0x00040002, 0, 0, PACKET_BYTES, 1], "<u4").tobytes())
        for batch in Recording(recording).batches():
            offset_ns = next((one["wall_offset_ns"] for one in batch.events if one["kind"] == "start"), offset_ns)
            passes, steps = batch.passes, batch.passes.steps
            owner = passes.of_step
            mine = np.flatnonzero((steps["kind"] == STEP_TAP) & (steps["arg"] == inode) & (steps["result"] == 1))
            records = passes.records[owner[mine]]
            times_ns = records["time_ns"].astype(np.int64) + steps["t_ns"][mine] + offset_ns - BETWEEN_NS
            order = np.argsort(times_ns, kind="stable")
            rows = np.zeros(len(mine), record)
            rows["head"][:, 0], rows["head"][:, 1] = np.divmod(times_ns, 10**9)
            rows["head"][:, 2], rows["head"][:, 3] = PACKET_BYTES, records["len"]
            rows["data"] = records["packet"]
            file.write(rows.take(order).tobytes())
            count += len(mine)
    return count


if __name__ == "__main__":
    main()
