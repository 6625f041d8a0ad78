# SPDX-License-Identifier: GPL-2.0-or-later
"""Running pipelines on recordings, for the subcommands that read files: progress, and messages about a file; and on
what still grows: a file that is being written (``--follow``), and a pipe (``-``)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, TypeVar

import click

from ..analysis.shapes import with_facts
from ..errors import UsageError
from ..format.batch import Batch
from ..format.trace_set import TraceSet, gather
from ..pipeline import Pipeline
from ..util.pipes import STDIO, input_name
from ..util.signals import on_signals
from .options import private, say

T = TypeVar("T")
_PATIENCE_S = 2.0
_FOLLOW_S = 0.2
_LAST_WORDS_S, _TOLD_AFTER_S = 10.0, 1.0
_NOBODY_WAITS_NS = 1_000_000_000
_WRITER_HOLDS_NS = 2_000_000_000  # passes reach a file that is being written after a second at most


def only_trace(files: tuple[Path, ...], command: str) -> TraceSet:
    """Return the one trace that these files are.

    :raises UsageError: where they are several.
    """
    traces = gather(files)
    if len(traces) > 1:
        more = ", ..." if len(traces) > 2 else ""
        names = f"{traces[0].name}, {traces[1].name}{more}"
        raise UsageError(f"{command} is for one trace, these are {len(traces)}: {names}; give one, or the parts of one")
    return traces[0]


def refuse_piped(files: Sequence[Path], command: str, why: str = "reads the recording twice") -> None:
    """Refuse standard input for a command that has another use for it, or reads twice."""
    if STDIO in files:
        raise UsageError(f"{command} {why}, and - can be read once: save it to a file")


def replay(
    pipeline: Pipeline,
    trace: TraceSet,
    follow: bool = False,
    privacy: Optional[str] = None,
    done: str = "shown",
    through: Callable[[Iterable[Batch]], Iterable[Batch]] = lambda batches: batches,
    again: bool = False,
) -> None:
    """Run a pipeline on a trace, and report where it is incomplete. With ``follow``, and of a pipe, wait for more until
    Ctrl-C.

    :param done: what is done to the journeys, for messages.
    :param through: what the batches go through last, on their way to the pipeline.
    :param again: it was read before, and reported then.
    """
    if trace.is_piped:
        ending = _Ending()
        batches = ending.limited(private(trace.batches(ending.wait), privacy))
        pipeline.run(through(batches), ending.end)
    elif follow:
        ending = _Ending()
        pipeline.run(through(_ticking(private(trace.batches(ending.wait_for_file), privacy))), ending.end)
    else:
        pipeline.rest_ns = _NOBODY_WAITS_NS
        batches = iter(private(trace.batches(), privacy))  # first: fingerprints are of what is shown
        pipeline.run(through(_with_progress(_ahead(_prepared(_ahead(batches))), trace)))
    for line in () if again else reservations(pipeline, trace, done, follow):
        say(line)


def batch_by_batch(pipeline: Pipeline, trace: TraceSet) -> Iterator[None]:
    """Run a pipeline on a trace of files, and yield after each batch: somebody waits, so no work is put off for
    long."""
    yield from pipeline.batch_by_batch(_ahead(_prepared(_ahead(trace.batches()))))


def reservations(pipeline: Pipeline, trace: TraceSet, done: str = "shown", follow: bool = False) -> list[str]:
    """Return where a trace that was read is incomplete, a sentence each."""
    cut_off = trace.cut_off if not follow or trace.is_piped else ()
    told = [f"{input_name(path)} was cut off; the complete part of it is {done}" for path in cut_off]
    told += [f"{trace.name}: {trace.missing_words}"] if trace.missing else []
    if not trace.cut_off and not pipeline.scene.start:
        told.append(f"{trace.name} does not hold the start of a trace: names and times may be missing")
    return told


class _Ending:
    """Says when a trace that still grows is to end: on a signal.

    Whoever writes to a pipe often gets the same Ctrl-C, and still has something to say (the last packets, the losses):
    it has some time for that, until a second signal.
    """

    def __init__(self) -> None:
        self._asked_s: list[float] = []
        self._told = False
        on_signals(lambda: self._asked_s.append(time.monotonic()))

    def end(self) -> None:
        """End it at once."""
        self._asked_s += [time.monotonic()] * 2

    def wait(self) -> bool:
        """Is a pipe to be waited for?"""
        if not self._asked_s:
            return True
        waited_s = time.monotonic() - self._asked_s[0]
        if waited_s > _TOLD_AFTER_S and len(self._asked_s) < 2 and not self._told:
            self._told = True
            say(f"waiting up to {_LAST_WORDS_S:.0f} s for the last packets of the trace; Ctrl-C again ends at once")
        return len(self._asked_s) < 2 and waited_s < _LAST_WORDS_S

    def wait_for_file(self) -> bool:
        """Wait for a file to grow; return false where it is to be waited for no longer."""
        if not self._asked_s:
            time.sleep(_FOLLOW_S)
        return not self._asked_s

    def limited(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, until it is to end although more come."""
        for batch in batches:
            yield batch
            if not self.wait():
                return


def _prepared(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches with their passes' facts, so that the thread that stitches does not compute them."""
    return (batch._replace(passes=with_facts(batch.passes)) for batch in batches)


def _ahead(batches: Iterator[T]) -> Iterator[T]:
    """Yield the items, each made by another thread while the one before it is used."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield one


def _ticking(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches, and let time go on while none comes, so that journeys that have ended are shown."""
    known_ns, seen_s = 0, time.monotonic()
    for batch in batches:
        if batch.now_ns:
            known_ns, seen_s = batch.now_ns, time.monotonic()
            yield batch
        else:
            elapsed_ns = int((time.monotonic() - seen_s) * 1e9)
            yield batch._replace(now_ns=max(0, known_ns + elapsed_ns - _WRITER_HOLDS_NS))


def _with_progress(batches: Iterator[Batch], trace: TraceSet) -> Iterator[Batch]:
    """Yield the batches, with a progress bar on a terminal if that takes long and no journeys are printed there."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield from batches
        return
    begin_s, bar, shown = time.monotonic(), None, 0
    try:
        for batch in batches:
            if bar is None and time.monotonic() - begin_s > _PATIENCE_S:
                bar = _bar(trace)
            if bar is not None:
                bar.update(trace.done_bytes - shown)
                shown = trace.done_bytes
            yield batch
    finally:
        if bar is not None:
            bar.render_finish()


def _bar(trace: TraceSet) -> Any:
    bar: Any = click.progressbar(length=trace.size_bytes, label=f"reading {trace.name}", file=sys.stderr)
    bar.render_progress()
    return bar


def heading(trace: TraceSet, pipeline: Pipeline) -> str:
    """Return the line above the output for one of several traces."""
    start = pipeline.scene.start
    return f"== {trace.name}: {start.get('host', 'unknown host')}, Linux {start.get('kernel', 'unknown')}"
