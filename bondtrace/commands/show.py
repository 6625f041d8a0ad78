# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace show`: the journeys of recordings, as `live` prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import click

from ..analysis.eras import find_era
from ..errors import UsageError
from ..format.trace_set import TraceSet
from ..model import Journey
from ..pipeline import Pipeline
from .options import as_if_option, directions, json_option, reporter, view_options
from .replaying import heading, replay, traces_of


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@view_options
@click.option(
    "--follow", is_flag=True, help="FILE is still being written: continue as it grows, until it is closed or Ctrl-C."
)
@as_if_option
@json_option
def show(
    files: tuple[Path, ...],
    only_rx: bool,
    only_tx: bool,
    count: Optional[int],
    follow: bool,
    as_if: Optional[str],
    as_json: bool,
) -> None:
    """Show the journeys of recordings, in order of time.

    FILE is a recording, or a directory of recordings; the parts of one trace are joined.
    """
    era = find_era(as_if) if as_if else None
    traces = traces_of(files)
    if follow and len(traces) > 1:
        raise UsageError(f"--follow is for one trace, these are {len(traces)}: give the file that is being written")
    for trace in traces:
        pipeline = Pipeline(directions=directions(only_rx, only_tx), count=count)
        show_one = reporter(as_json, pipeline.scene, era)
        pipeline.show = show_one
        if len(traces) > 1 and not as_json:
            pipeline.show = _below(trace, pipeline, show_one)
        replay(pipeline, trace, follow)
        if count is not None:
            count -= pipeline.summary.journeys
            if count <= 0:
                break


def _below(trace: TraceSet, pipeline: Pipeline, show_one: Callable[[Journey], None]) -> Callable[[Journey], None]:
    """Return a function that shows the journeys of a trace below its heading."""
    first: list[bool] = []

    def write(journey: Journey) -> None:
        if not first:
            first.append(True)
            print(heading(trace, pipeline))
        show_one(journey)

    return write
