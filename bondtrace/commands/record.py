# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace record`: what the kernel says, unstitched, into a file for later."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ..pipeline import Pipeline
from ..recording import Batch, Recorder
from ..reporters.text import trust_line
from .live import recording_to, trace
from .options import TraceOptions, say, trace_options

_PROGRESS_S = 0.5


@click.command()
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The recording to write.")
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@trace_options
@click.argument("filter", nargs=-1)
def record(options: TraceOptions, output: Path, force: bool) -> None:
    """Record a trace to FILE; show and summary read it, and so does any Arrow reader."""
    with recording_to(output, force) as recorder:
        assert recorder is not None
        progress = _Progress(recorder)
        pipeline = Pipeline(directions=options.directions, count=options.count, keep=progress.keep)
        trace(pipeline, options)
    progress.end()
    say(f"{output}: {recorder.passes} passes, {recorder.bytes / 1e6:.2f} MB; {trust_line(pipeline.scene)}")


class _Progress:
    """Writes batches on, and on a terminal a line about how it goes."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._next = recorder, 0.0
        self._shown = sys.stderr.isatty()
        self._lost = 0

    def keep(self, batch: Batch) -> None:
        self._recorder.write(batch.passes, batch.events)
        for event in batch.events:
            if event.get("kind") == "losses":
                self._lost = sum(event["counters"]["lost"])
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_S
            print(f"\r{self._recorder.passes} passes, {self._recorder.bytes / 1e6:.2f} MB, {self._lost} lost ",
                  end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
