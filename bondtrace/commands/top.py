# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace top`: rates by device, tap and outcome, counted in the kernel."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from ..errors import UsageError
from ..format.batch import Batch
from ..pipeline import Pipeline
from ..reporters import table
from ..reporters import top as view
from ..reporters.fitting import shortened
from ..stats.kernel_counts import KernelCounts
from ..util.untrusted import printable
from .live import trace
from .options import TraceOptions, trace_options

_OTHER_SCREEN, _THIS_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_UNLIMITED = 1 << 20  # columns of a file
_FROM_THE_TOP, _TO_THE_END, _TO_THE_RIGHT = "\x1b[H", "\x1b[J", "\x1b[K"


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two readings.",
)
@trace_options
def top(options: TraceOptions, interval: float) -> None:
    """Show rates by device, tap and outcome, refreshed.

    They are counted in the kernel: nothing is sent per packet, so they are exact at any rate. If the output is not a
    terminal, a block of lines is printed every interval. Ctrl-C ends with the summary.
    """
    if options.count is not None:
        raise UsageError("--count counts journeys, and top shows none: end it with --duration SECONDS or Ctrl-C")
    if options.sockets:
        raise UsageError("--sockets tells where single packets end, and top shows none: use live, record or summary")
    pipeline = Pipeline(directions=options.directions)
    with _screen(sys.stdout) as screen:
        pipeline.keep = _Display(pipeline, printable(", ".join(options.interfaces)) or "all devices", screen).keep
        trace(pipeline, options, count_every_s=interval)
    table.write(pipeline.summary, pipeline.scene, sys.stdout)


class _Display:
    """Shows every reading."""

    def __init__(self, pipeline: Pipeline, what: str, screen: _Screen) -> None:
        self._pipeline, self._what, self._screen = pipeline, what, screen
        self._before, self._before_ns, self._begin_ns = KernelCounts(), 0, 0

    def keep(self, batch: Batch) -> None:
        """Show a reading, if the batch has one."""
        if batch.counts is None:
            return
        now, scene = self._pipeline.counted, self._pipeline.scene
        self._begin_ns = self._begin_ns or batch.now_ns
        seconds = (batch.now_ns - self._before_ns) / 1e9 if self._before_ns else 0.0
        head = (
            f"bondtrace top: {self._what} on {scene.start.get('host')}, Linux {platform.release()}; "
            f"{(batch.now_ns - self._begin_ns) / 1e9:.0f} s; Ctrl-C: the summary"
        )
        lines = view.lines(now, now.since(self._before), seconds, scene, self._screen.columns)
        self._screen.show([head, "", *lines])
        self._before, self._before_ns = now, batch.now_ns


class _Screen:
    """A terminal's alternate screen, once something is shown; or any other stream, to which blocks are added."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._terminal, self._open = stream, stream.isatty(), False

    @property
    def columns(self) -> int:
        """How wide a line may be."""
        return shutil.get_terminal_size().columns if self._terminal else _UNLIMITED

    def show(self, lines: list[str]) -> None:
        """Show these lines; on a terminal as many as fit, and always the last."""
        if not self._terminal:
            print("\n".join(lines) + "\n", file=self._stream, flush=True)
            return
        size = shutil.get_terminal_size()
        if len(lines) > size.lines:
            hidden = len(lines) - size.lines + 1
            lines = [*lines[: size.lines - 2], f"… {hidden} more lines: a taller terminal shows them", lines[-1]]
        text = "\n".join(shortened(line, size.columns) + _TO_THE_RIGHT for line in lines)
        self._stream.write(("" if self._open else _OTHER_SCREEN) + _FROM_THE_TOP + text + _TO_THE_END)
        self._stream.flush()
        self._open = True

    def close(self) -> None:
        """Return the terminal to its normal screen."""
        if self._open:
            self._stream.write(_THIS_SCREEN)
            self._stream.flush()


@contextmanager
def _screen(stream: TextIO) -> Iterator[_Screen]:
    screen = _Screen(stream)
    try:
        yield screen
    finally:
        screen.close()
