#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how many passes per second one core takes out of the kernel's ring: drained, decoded, stitched, written to a
recording.

    sudo .venv/bin/python bench/ring.py [--seconds 3] [--kind ping|flood]

A raw tracepoint program, run by BPF_PROG_TEST_RUN and attached to nothing, fills a ring like that of bondtrace with
passes of bench/traffic.py; then the reader's CPU time is measured, not the kernel's. Each figure is compared with bcc's
own callback (`open_ring_buffer`), in the same process, in turns: a callback that does nothing; one that unpacks the
record and its steps by `struct`; one that keeps the bytes, for the same columns as bondtrace's afterwards. Works
wherever root may load a raw tracepoint program: no kprobes, no BTF. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import traffic

from bondtrace.analysis.scene import Scene
from bondtrace.analysis.stitch import Stitcher
from bondtrace.capture.kernel import source
from bondtrace.capture.kernel.compiler import import_bcc
from bondtrace.capture.kernel.ring import Ring
from bondtrace.format.recording import Recorder
from bondtrace.format.wire import FIRST_STEPS, RECORD, SLOT_BYTES, STEP, Array, Passes, decode

PROGRAM = """
#include <linux/types.h>
#define PAGE_SIZE 4096
#line 1 "bpf/wire.h"
%s
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_ARRAY(made, struct record, PASSES);

/* Passes args[0] to args[0] + BURST - 1 of those made, as they would be args[1] ns and args[2] packets later. */
int feed(struct bpf_raw_tracepoint_args *ctx)
{
	for (u32 i = 0; i < BURST; i++) {
		u32 place = ctx->args[0] + i;
		struct record *from = made.lookup(&place);
		if (!from)
			return 1;
		struct record *to = events.ringbuf_reserve(sizeof(struct record));
		if (!to)
			return 2;
		bpf_probe_read_kernel(to, sizeof(*to), from);
		to->time_ns += ctx->args[1];
		to->seq += ctx->args[2];
		to->frame += ctx->args[2];
		if (to->parent)
			to->parent += ctx->args[2];
		events.ringbuf_submit(to, BPF_RB_NO_WAKEUP);
	}
	return 0;
}
"""
RING_BYTES = 4 << 20
BURST = 512
PASSES = RING_BYTES // SLOT_BYTES // BURST * BURST - BURST
_TEST_RUN = 10
_RECORD = struct.Struct("<QQIIIHHHBBHHIIIHBBIIII80s")
_STEP = struct.Struct("<IIIIBBBBI")
assert (_RECORD.size, _STEP.size) == (RECORD.itemsize, STEP.itemsize)


class _TestRun(ctypes.Structure):
    """The used part of union bpf_attr, member test (include/uapi/linux/bpf.h)."""

    _fields_ = [
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    ]


class Feeder:
    """The program and its ring. ``fill()`` puts ``PASSES`` passes into the ring, which must be empty."""

    def __init__(self, kind: str, rate: int) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = str(source.bpf_dir())
        bcc = import_bcc()
        numbers = {"RING_PAGES": RING_BYTES // 4096, "PASSES": PASSES, "BURST": BURST}
        self.bpf = bcc.BPF(
            text=(PROGRAM % (source.bpf_dir() / "wire.h").read_text()).encode(),
            cflags=["-Wno-macro-redefined", *(f"-D{name}={value}" for name, value in numbers.items())],
        )
        self._fd = self.bpf.load_func(b"feed", bcc.BPF.RAW_TRACEPOINT).fd
        self._syscall = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
        self._libc = ctypes.CDLL(None, use_errno=True)
        template = traffic.example()[1][kind]
        batch = next(traffic.make(template, PASSES, rate, chunk=PASSES))
        assert int(np.diff(batch.offsets).max()) <= FIRST_STEPS
        self._later_ns = int(np.ptp(batch.records["time_ns"])) + 10_000
        self._more = int(batch.records["seq"].max())
        self._round = 0
        self.passes = len(batch)
        for place, value in enumerate(_bare(batch)):
            self.bpf["made"][ctypes.c_uint32(place)] = (ctypes.c_char * value.nbytes).from_buffer_copy(value)

    def fill(self) -> int:
        """Fill the ring; return how many passes it holds. ``OSError`` where the kernel does not run the program."""
        self._round += 1
        for first in range(0, self.passes // BURST * BURST, BURST):
            self._run(first, self._later_ns * self._round, self._more * self._round)
        return self.passes // BURST * BURST

    @property
    def now_ns(self) -> int:
        """Return when the last of these passes ended, or later."""
        return self.begin_ns + self._later_ns * (self._round + 1)

    begin_ns = int(traffic.example()[1]["ping"].records["time_ns"].min())

    def _run(self, *args: int) -> None:
        words = (ctypes.c_uint64 * len(args))(*args)
        run = _TestRun(prog_fd=self._fd, ctx_size_in=ctypes.sizeof(words), ctx_in=ctypes.addressof(words))
        if self._libc.syscall(self._syscall, _TEST_RUN, ctypes.byref(run), ctypes.sizeof(run)):
            raise OSError(ctypes.get_errno(), "BPF_PROG_TEST_RUN: " + os.strerror(ctypes.get_errno()))
        assert run.retval == 0, f"the ring took no more: {run.retval}"


def _bare(batch: Passes) -> Array:
    """Return the passes as the ring holds them, without its header: (n, 248) of uint8."""
    slot = np.dtype([("record", RECORD), ("steps", STEP, (FIRST_STEPS,))])
    slots = np.zeros(len(batch), slot)
    slots["record"] = batch.records
    place = np.arange(FIRST_STEPS) < np.diff(batch.offsets)[:, None]
    slots["steps"][place] = batch.steps
    return slots.view(np.uint8).reshape(len(batch), slot.itemsize)


class Readers:
    """Ways to empty the ring, each of which returns how many passes it took."""

    def __init__(self, feeder: Feeder, directory: Path) -> None:
        self._feeder, self._ring = feeder, Ring(feeder.bpf["events"].map_fd, RING_BYTES)
        self._directory, self._raw, self._rows, self._count = directory, [], [], 0
        self._callback: Callable[[int, int], None] = self._nothing
        feeder.bpf["events"].open_ring_buffer(lambda _, data, size: self._callback(data, size))
        scene = Scene()
        for event in traffic.example()[0]:
            if event["kind"] != "end":
                scene.apply(event)
        self._stitchers = [Stitcher(scene.devices.related) for _ in range(2)]
        self._recorders = [Recorder(directory / name) for name in ("ours.arrows", "bcc.arrows")]

    def ways(self) -> dict[str, tuple[Callable[[], int], Callable[[], int]]]:
        """Return by stage bondtrace's reader and bcc's."""
        return {
            "drained": (lambda: len(self._ring.read()), self._bcc_nothing),
            "decoded": (lambda: len(self._decoded()), self._bcc_unpacked),
            "stitched": (lambda: self._stitched(0, self._decoded()), lambda: self._stitched(1, self._bcc_columns())),
            "recorded": (lambda: self._recorded(0, self._decoded()), lambda: self._recorded(1, self._bcc_columns())),
        }

    def _decoded(self) -> Passes:
        return decode(self._ring.read())

    def _stitched(self, which: int, passes: Passes) -> int:
        self._stitchers[which].add(passes, self._feeder.now_ns, later=True)
        return len(passes)

    def _recorded(self, which: int, passes: Passes) -> int:
        self._recorders[which].write(passes, [])
        return len(passes)

    def _nothing(self, data: int, size: int) -> None:
        self._count += 1

    def _unpack(self, data: int, size: int) -> None:
        raw = ctypes.string_at(data, size)
        record = _RECORD.unpack_from(raw)
        self._rows.append((record, list(_STEP.iter_unpack(raw[_RECORD.size :]))[: record[10]]))

    def _keep(self, data: int, size: int) -> None:
        self._raw.append(ctypes.string_at(data, size))

    def _poll(self, callback: Callable[[int, int], None]) -> None:
        self._callback = callback
        self._feeder.bpf.ring_buffer_consume()

    def _bcc_nothing(self) -> int:
        self._count = 0
        self._poll(self._nothing)
        return self._count

    def _bcc_unpacked(self) -> int:
        self._rows = []
        self._poll(self._unpack)
        return len(self._rows)

    def _bcc_columns(self) -> Passes:
        self._raw = []
        self._poll(self._keep)
        slots = np.zeros((len(self._raw), SLOT_BYTES), np.uint8)
        slots[:, 8:] = np.frombuffer(b"".join(self._raw), np.uint8).reshape(len(self._raw), -1)
        return decode(slots)


def run(seconds: float = 3, kind: str = "ping", rate: int = 500_000) -> dict[str, Any]:
    """Return passes per second by stage: ours, bcc's, and the ratio. ``seconds`` are for each reader."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    feeder = Feeder(kind, rate)
    with tempfile.TemporaryDirectory() as directory:
        result: dict[str, Any] = {"traffic": kind, "passes_per_round": feeder.passes}
        for stage, readers in Readers(feeder, Path(directory)).ways().items():
            spent, took = [0.0, 0.0], [0, 0]
            while min(spent) < seconds:
                for which, read in enumerate(readers):
                    if spent[which] >= seconds:
                        continue
                    there = feeder.fill()
                    begin = time.thread_time()
                    count = read()
                    spent[which] += time.thread_time() - begin
                    took[which] += count
                    assert count == there, f"{stage}: {count} of {there} passes"
            ours, theirs = (count / time_s for count, time_s in zip(took, spent))
            result[stage] = {
                "passes_per_s": round(ours),
                "bcc_passes_per_s": round(theirs),
                "ratio": round(ours / theirs, 1),
            }
    return result


def main() -> None:
    """Run the measurement of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3, help="for each reader")
    parser.add_argument("--kind", choices=("ping", "flood"), default="ping")
    parser.add_argument("--rate", type=int, default=500_000, help="passes per second in the traffic's own time")
    options = parser.parse_args()
    print(json.dumps(run(options.seconds, options.kind, options.rate)))


if __name__ == "__main__":
    main()
