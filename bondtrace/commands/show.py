# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace show`: the journeys of recordings, as `live` prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import click

from ..analysis.eras import find_era
from ..analysis.select import Criteria
from ..analysis.slowest import Slowest
from ..errors import UsageError
from ..format.trace_set import TraceSet, gather
from ..model import Journey
from ..pipeline import Pipeline
from .options import (
    as_if_option,
    detail_of,
    directions,
    json_option,
    quiet_option,
    reporter,
    say,
    verbose_option,
    view_options,
)
from .replaying import heading, replay
from .selecting import Selecting, files_and_selection, selection_of, tell

ORDERS = ("time", "duration")
SLOWEST = 1000  # journeys that --sort duration shows without --count: they are held in memory


@click.command(cls=Selecting)
@files_and_selection
@view_options
@click.option(
    "--sort",
    type=click.Choice(ORDERS),
    default="time",
    show_default=True,
    metavar="|".join(ORDERS),
    help=f"By begin, or the slowest first: those that --count says, or {SLOWEST:,}.",
)
@click.option(
    "--follow", is_flag=True, help="FILE is still being written: continue as it grows, until it is closed or Ctrl-C."
)
@as_if_option
@json_option
@verbose_option
@quiet_option
def show(
    files: tuple[Path, ...],
    criteria: Criteria,
    only_rx: bool,
    only_tx: bool,
    count: Optional[int],
    sort: str,
    follow: bool,
    as_if: Optional[str],
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Show the journeys of recordings, in order of time.

    FILE is a recording, or a directory of recordings; the parts of one trace are joined. FILTER is a tcpdump filter
    (man pcap-filter), which begins with the first word that is no file.
    """
    era, detail = find_era(as_if) if as_if else None, detail_of(verbose, quiet, as_json)
    traces = gather(files)
    if follow and len(traces) > 1:
        raise UsageError(f"--follow is for one trace, these are {len(traces)}: give the file that is being written")
    if follow and sort == "duration":
        raise UsageError("--sort duration needs the whole trace, and --follow has no end: leave one of them out")
    for trace in traces:
        pipeline = Pipeline(
            directions=directions(only_rx, only_tx),
            count=count if sort == "time" else None,
            selection=selection_of(criteria),
        )
        show_one = reporter(as_json, pipeline.scene, era, detail)
        several = len(traces) > 1
        show_all = _below(trace, pipeline, show_one) if several and not as_json else show_one
        shown = _run(pipeline, trace, follow, show_all, None if sort == "time" else count or SLOWEST)
        tell(pipeline.selection, pipeline.scene, trace.name if several else "")
        if count is not None:
            count -= shown
            if count <= 0:
                break


def _run(
    pipeline: Pipeline, trace: TraceSet, follow: bool, show_one: Callable[[Journey], None], slowest: Optional[int]
) -> int:
    """Show a trace, all that the pipeline gives or so many of the slowest; return how many were shown."""
    if slowest is None:
        pipeline.show = show_one
        replay(pipeline, trace, follow)
        return pipeline.summary.journeys
    found = Slowest(slowest, pipeline.scene)
    pipeline.columns = found.add
    replay(pipeline, trace)
    for journey in found.in_order():
        show_one(journey)
    if len(found.in_order()) < pipeline.summary.journeys:
        say(f"the slowest {len(found.in_order()):,} of {pipeline.summary.journeys:,} journeys are shown: --count N")
    return len(found.in_order())


def _below(trace: TraceSet, pipeline: Pipeline, show_one: Callable[[Journey], None]) -> Callable[[Journey], None]:
    """Return a function that shows the journeys of a trace below its heading."""
    first: list[bool] = []

    def write(journey: Journey) -> None:
        if not first:
            first.append(True)
            print(heading(trace, pipeline))
        show_one(journey)

    return write
