# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace [live]`: journeys as they happen, and the summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, TypeVar

import click

from ..analysis import coverage, watched
from ..analysis.scene import Scene
from ..analysis.select import Criteria
from ..capture.capabilities import drop_rights, require_rights
from ..errors import UsageError
from ..format.batch import Batch
from ..format.recording import Recorder
from ..pipeline import Pipeline
from ..reporters import table
from ..util.pipes import STDIO
from .options import (
    TraceOptions,
    detail_of,
    end_on_signals,
    json_option,
    private,
    quiet_option,
    reporter,
    say,
    trace_options,
    verbose_option,
    warn,
)
from .selecting import Selecting, selection_of, selection_options, tell

T = TypeVar("T")
_COUNT_EVERY_S = 1.0


@click.command(cls=Selecting)
@selection_options
@trace_options
@json_option
@verbose_option
@quiet_option
@click.option("-w", "--write", type=click.Path(path_type=Path), metavar="FILE", help="Also record to FILE.")
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option("--summary-only", is_flag=True, help="Show no packets: count in the kernel, exactly at any rate.")
@click.argument("filter", nargs=-1)
def live(
    options: TraceOptions,
    criteria: Criteria,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    write: Optional[Path],
    force: bool,
    summary_only: bool,
) -> None:
    """Show the journeys of packets as they happen (the default command).

    FILTER is a tcpdump filter (man pcap-filter): packets that do not match it cost next to nothing.
    Ctrl-C ends with the summary: which taps were given which packets.
    """
    detail = detail_of(verbose, quiet, as_json)
    if write == STDIO:
        raise UsageError("-w - would mix a recording with what is shown: `bondtrace record -o -` writes only it")
    if summary_only:
        _count(options, criteria, as_json, write)
        return
    pipeline = Pipeline(directions=options.directions, count=options.count, selection=selection_of(criteria))
    pipeline.show = reporter(as_json, pipeline.scene, detail=detail)
    with recording_to(write, force) as recorder:
        if recorder:
            pipeline.keep = lambda batch: recorder.write(batch.passes, batch.events)
        trace(pipeline, options, writes=write is not None)
    tell(pipeline.selection, pipeline.scene, are_told=True, live=True)
    if as_json:
        more = {"selection": pipeline.selection.object()} if pipeline.selection else {}
        table.write_json(pipeline.summary, pipeline.scene, sys.stderr, more)
    else:
        print()
        for line in pipeline.selection.lines(pipeline.scene) if pipeline.selection else ():
            print(line)
        table.write(pipeline.summary, pipeline.scene, sys.stdout)


def _count(options: TraceOptions, criteria: Criteria, as_json: bool, write: Optional[Path]) -> None:
    """Count in the kernel, for `--summary-only`."""
    others = ((write, "--write"), (options.count, "--count"), (options.sockets or None, "--sockets"))
    for given, name in (*others, (criteria or None, criteria.words)):
        if given is not None:
            raise UsageError(f"{name} is about journeys, and --summary-only makes none: leave one of them out")
    pipeline = Pipeline(directions=options.directions)
    trace(pipeline, options, count_every_s=_COUNT_EVERY_S)
    (table.write_json if as_json else table.write)(pipeline.summary, pipeline.scene, sys.stdout)


@contextmanager
def recording_to(path: Optional[Path], force: bool) -> Iterator[Optional[Recorder]]:
    """Open a recorder (``None`` without a path), and close it at the end."""
    if path is None:
        yield None
        return
    require_rights()
    with Recorder(path, force) as recorder:
        yield recorder


def trace(
    pipeline: Pipeline,
    options: TraceOptions,
    enough: Callable[[], bool] = lambda: False,
    count_every_s: Optional[float] = None,
    writes: bool = False,
    quiet: bool = False,
) -> None:
    """Run a pipeline on the running kernel until it is ended, or until it is ``enough``.

    :param count_every_s: count packets in the kernel, read the counts this often, and report no single packet.
    :param writes: the rights to write files are still needed.
    :param quiet: say nothing where all is well.
    """
    begin = time.monotonic()
    from ..capture.live.source import LiveSource, Request

    request = Request(
        options.interfaces,
        options.netns,
        options.directions,
        fentry=not options.kprobes,
        packet_filter=options.packet_filter,
        count_every_s=count_every_s,
        snaplen=options.snaplen,
        sockets=options.sockets,
    )
    source: Any = LiveSource(request, tell=say, drop=lambda: drop_rights(writes))
    with source, ending_in_order(pipeline, source.stop):
        end_on_signals(source.stop, options.duration_s)
        if not quiet:
            say(f"attached in {time.monotonic() - begin:.1f} s: {source.describe()}; Ctrl-C ends with the summary")
        warn(source.does_not_see())
        # Again at the end, after all that the command prints.
        click.get_current_context().call_on_close(lambda: warn(watched.does_not_see(pipeline.scene)))
        pipeline.run(private(_until(enough, source, pipeline.scene), options.privacy), source.stop)


@contextmanager
def ending_in_order(pipeline: Pipeline, stop: Callable[[], None]) -> Iterator[None]:
    """End the trace in good order if a journey cannot be shown, or a batch kept: the reader, or the terminal, is gone.

    The trace ends as it does on request, so that what else is written of it is complete; the error is raised after
    that.
    """
    failed: list[OSError] = []

    def attempting(act: Optional[Callable[[T], None]]) -> Optional[Callable[[T], None]]:
        mine: list[OSError] = []

        def attempt(one: T) -> None:
            try:
                if act and not mine:
                    act(one)
            except OSError as error:
                mine.append(error)
                failed.append(error)
                stop()

        return attempt if act else None

    pipeline.show, pipeline.keep = attempting(pipeline.show), attempting(pipeline.keep)
    pipeline.columns = attempting(pipeline.columns)
    yield
    if failed:
        raise failed[0]


def _until(enough: Callable[[], bool], source: Any, scene: Scene) -> Iterator[Batch]:
    for number, batch in enumerate(source.batches()):
        yield batch
        if not number and (not_traced := coverage.line(scene)):  # the scene has taken the start
            say(not_traced)
        if enough():
            source.stop()
