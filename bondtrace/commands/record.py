# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace record`: what the kernel reports, unstitched, in a file for later, or through a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Optional, Union

import click

from ..capture.capabilities import require_rights
from ..errors import UsageError
from ..format.batch import Batch
from ..format.recording import Recorder
from ..format.rotation import RotatingRecorder
from ..pipeline import Pipeline
from ..reporters.text import trust_line
from ..util.pipes import STDIO, STDOUT_NAME
from .live import trace
from .options import SECONDS, SIZE, TraceOptions, say, snaplen_option, trace_options

_PROGRESS_S = 0.5


@click.command()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The recording to write; - is standard output.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option("--max-size", type=SIZE, metavar="SIZE", help="End when this much is written (500k, 100M, 2G).")
@click.option(
    "--rotate-size", type=SIZE, metavar="SIZE", help="Begin a new part (FILE-0001, FILE-0002, ...) after this much."
)
@click.option("--rotate-time", type=SECONDS, metavar="TIME", help="Begin a new part after this time (90s, 10m, 1h).")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep only the last N parts.")
@snaplen_option
@trace_options
@click.argument("filter", nargs=-1)
def record(
    options: TraceOptions,
    output: Path,
    force: bool,
    max_size: Optional[int],
    rotate_size: Optional[int],
    rotate_time: Optional[float],
    keep: Optional[int],
    snaplen: Optional[int],
) -> None:
    """Record a trace to FILE; show and summary read it, as does any Arrow reader.

    With `-o -` it goes to standard output as it happens: `record -o - | bondtrace show -`.
    """
    piped = output == STDIO
    rotates = rotate_size is not None or rotate_time is not None
    if keep is not None and not rotates:
        raise UsageError(f"--keep {keep} is for a recording in parts: give --rotate-size or --rotate-time")
    if snaplen is not None and options.privacy:
        raise UsageError(f"--snaplen {snaplen} keeps payload and --privacy leaves it out: leave one of them out")
    if piped and rotates:
        raise UsageError("parts (--rotate-size, --rotate-time) are files, and -o - is standard output: name a file")
    if not piped:
        require_rights()  # before there is a file
    recorder = RotatingRecorder(output, force, rotate_size, rotate_time, keep) if rotates else Recorder(output, force)
    with closing(recorder):
        progress = _Progress(recorder, max_size, sys.stderr.isatty() and not piped)
        pipeline = Pipeline(
            directions=options.directions, count=options.count, keep=progress.keep, stitching=options.count is not None
        )
        trace(pipeline, replace(options, snaplen=snaplen or 0), progress.enough, writes=not piped)
    progress.end()
    name = STDOUT_NAME if piped else output
    say(f"{name}: {recorder.passes} passes, {recorder.bytes / 1e6:.2f} MB; {trust_line(pipeline.scene)}")


class _Progress:
    """Writes batches to the recording, and shows its progress on a terminal if it is to be ``shown``."""

    def __init__(self, recorder: Union[Recorder, RotatingRecorder], max_bytes: Optional[int], shown: bool) -> None:
        self._recorder, self._next, self._max_bytes = recorder, 0.0, max_bytes
        self._shown = shown
        self._lost = 0

    def keep(self, batch: Batch) -> None:
        """Write a batch, and show the progress from time to time."""
        self._recorder.write(batch.passes, batch.events)
        for event in batch.events:
            if event.get("kind") == "losses":
                self._lost = sum(event["counters"]["lost"])
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_S
            self._say(f"\r{self._recorder.passes} passes, {self._recorder.bytes / 1e6:.2f} MB, {self._lost} lost ")

    def enough(self) -> bool:
        """Has as much been written as was asked for?"""
        return self._max_bytes is not None and self._recorder.bytes >= self._max_bytes

    def end(self) -> None:
        """Clear the line of progress."""
        if self._shown:
            self._say("\r\033[K")

    def _say(self, text: str) -> None:
        """Print to the terminal while there is one: a recording does not end because it was closed."""
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            self._shown = False
