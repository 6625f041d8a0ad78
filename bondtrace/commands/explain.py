# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace explain`: one packet's path in plain sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from ..analysis.eras import Era, find_era
from ..errors import UsageError
from ..model import Journey
from ..pipeline import Pipeline
from ..reporters import as_if as as_if_view
from ..reporters import story
from .live import trace
from .options import TraceOptions, as_if_option, trace_options
from .replaying import replay, traces_of


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, metavar="[FILE...]")
@click.option(
    "--journey",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of the journey in FILE, as show prints it (#N).",
)
@as_if_option
@trace_options
def explain(files: tuple[Path, ...], number: Optional[int], as_if: Optional[str], options: TraceOptions) -> None:
    """Describe the path of one packet in sentences: what happened, where, and which taps saw it or not.

    With FILE, journey N of a recording; without, the next packet (or the next --count packets) of a live trace.
    """
    if bool(files) != (number is not None):
        raise UsageError("explain needs FILE and --journey N together, or neither for a live trace")
    if files:
        if options.only_live or options.count:
            raise UsageError(
                "--iface, --netns, --filter, --count, --duration, --privacy, --sockets and --kprobes are for live, "
                f"not for a recording ({files[0]})"
            )
        _explain_recorded(files, number or 0, options.directions, find_era(as_if) if as_if else None)
        return
    if as_if:
        raise UsageError(f"--as-if {as_if} is for a recording: give FILE and --journey N")
    pipeline = Pipeline(directions=options.directions, count=options.count or 1)
    pipeline.show = lambda journey: story.write(journey, pipeline.scene, sys.stdout)
    trace(pipeline, options)


def _explain_recorded(files: tuple[Path, ...], number: int, wanted: tuple[str, ...], era: Optional[Era]) -> None:
    found: list[Journey] = []
    pipeline = Pipeline(directions=wanted, show=lambda journey: found.append(journey) if journey.id == number else None)
    traces = traces_of(files)
    if len(traces) > 1:
        raise UsageError(f"explain is for one trace, these are {len(traces)}: {traces[0].name}, {traces[1].name}, ...")
    replay(pipeline, traces[0])
    if not found:
        raise UsageError(
            f"{traces[0].name} has no journey #{number}: it has {pipeline.summary.journeys}; "
            "`bondtrace show` prints their numbers"
        )
    more = as_if_view.paragraphs(found[0], pipeline.scene, era) if era else []
    story.write(found[0], pipeline.scene, sys.stdout, more)
