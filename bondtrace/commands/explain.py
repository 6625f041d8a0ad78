# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace explain`: one packet's path in plain sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from ..analysis.eras import Era, find_era
from ..analysis.select import Criteria
from ..errors import UsageError
from ..format.trace_set import TraceSet
from ..model import Journey
from ..pipeline import Pipeline
from ..reporters import as_if as as_if_view
from ..reporters import story
from .live import trace
from .options import TraceOptions, as_if_option, trace_options, verbose_option
from .replaying import only_trace, replay
from .selecting import Selecting, files_or_live, for_recordings, selection_of, selection_options, tell


@click.command(cls=Selecting)
@files_or_live
@click.option(
    "--journey",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of the journey in FILE, as show prints it (#N).",
)
@as_if_option
@selection_options
@verbose_option
@trace_options
def explain(
    files: tuple[Path, ...],
    number: Optional[int],
    as_if: Optional[str],
    verbose: bool,
    options: TraceOptions,
    criteria: Criteria,
) -> None:
    """Describe the path of one packet in sentences: what happened, where, and which taps saw it or not.

    With FILE, journey N of a recording, or the first (or the first --count) that a FILTER or other options select;
    without, the next packet (or the next --count packets) of a live trace.
    """
    if files:
        criteria = for_recordings(files, criteria, options)
    if bool(files) != (number is not None or bool(files and criteria)):
        raise UsageError(
            "explain needs FILE with --journey N, FILTER or an option that selects, or no FILE for a live trace"
        )
    if files:
        if options.count and number is not None:
            raise UsageError(f"--journey {number} names one journey: leave it out, or --count")
        if criteria and number is not None:
            raise UsageError(f"--journey {number} names one journey: leave it out, or {criteria.words}")
        era = find_era(as_if) if as_if else None
        if number is None:
            _explain_selected(only_trace(files, "explain"), options, criteria, era, verbose)
        else:
            _explain_recorded(only_trace(files, "explain"), number, options.directions, era, verbose)
        return
    if as_if:
        raise UsageError(f"--as-if {as_if} is for a recording: give FILE and --journey N")
    pipeline = Pipeline(directions=options.directions, count=options.count or 1, selection=selection_of(criteria))
    pipeline.show = lambda journey: story.write(journey, pipeline.scene, sys.stdout, verbose=verbose)
    trace(pipeline, options)
    tell(pipeline.selection, pipeline.scene, live=True)


def _explain_selected(
    recorded: TraceSet, options: TraceOptions, criteria: Criteria, era: Optional[Era], verbose: bool
) -> None:
    """Explain the first journeys that are selected, by default one."""
    found: list[Journey] = []
    selection = selection_of(criteria)
    pipeline = Pipeline(found.append, directions=options.directions, count=options.count or 1, selection=selection)
    replay(pipeline, recorded)
    for place, journey in enumerate(found):
        if place:
            print()
        more = as_if_view.paragraphs(journey, pipeline.scene, era) if era else []
        story.write(journey, pipeline.scene, sys.stdout, more, verbose)
    tell(selection, pipeline.scene)


def _explain_recorded(
    recorded: TraceSet, number: int, wanted: tuple[str, ...], era: Optional[Era], verbose: bool
) -> None:
    found: list[Journey] = []
    pipeline = Pipeline(directions=wanted, show=lambda journey: found.append(journey) if journey.id == number else None)
    replay(pipeline, recorded)
    if not found:
        raise UsageError(
            f"{recorded.name} has no journey #{number}: it has {pipeline.summary.journeys}; "
            "`bondtrace show` prints their numbers"
        )
    more = as_if_view.paragraphs(found[0], pipeline.scene, era) if era else []
    story.write(found[0], pipeline.scene, sys.stdout, more, verbose)
