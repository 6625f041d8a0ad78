# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace summary`: which taps were given which packets, from a recording or live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import click

from ..analysis.eras import find_era
from ..analysis.select import Criteria
from ..errors import UsageError
from ..format.trace_set import gather
from ..pipeline import Pipeline
from ..reporters import as_if as as_if_view
from ..reporters import fitting, table
from ..reporters.text import trust_line
from .live import trace
from .options import TraceOptions, as_if_option, json_option, say, trace_options
from .replaying import heading, replay
from .selecting import Selecting, files_or_live, for_recordings, selection_of, selection_options, tell


@click.command(cls=Selecting)
@files_or_live
@selection_options
@trace_options
@as_if_option
@json_option
@click.option("--why", is_flag=True, help="Also list why taps and sockets did not get packets, with examples.")
@click.option(
    "--format",
    "form",
    type=click.Choice(fitting.FORMATS),
    default="simple",
    show_default=True,
    help="How the table is drawn.",
)
def summary(
    files: tuple[Path, ...],
    options: TraceOptions,
    criteria: Criteria,
    as_if: Optional[str],
    as_json: bool,
    why: bool,
    form: str,
) -> None:
    """Show the table of taps and devices, of recordings or of a live trace until Ctrl-C.

    FILE is a recording, or a directory of recordings; the parts of one trace are joined, and each trace has a table.
    FILTER is a tcpdump filter (man pcap-filter), which begins with the first word that is no file.
    """
    if files:
        criteria = for_recordings(files, criteria, options)
    if not files and not options.interfaces and not options.netns:
        raise UsageError("summary needs a recording (FILE), or --iface NAME or --netns NAME for a live trace")
    if as_if and not files:
        raise UsageError(f"--as-if {as_if} is for a recording: give FILE")
    era = find_era(as_if) if as_if else None
    traces = gather(files) if files else [None]
    for place, one in enumerate(traces):
        pipeline = Pipeline(directions=options.directions, count=options.count, selection=selection_of(criteria))
        counts = as_if_view.Counts(pipeline.scene, era) if era else None
        pipeline.summary.also = counts.count if counts else None
        if one is None:
            trace(pipeline, options)
        else:
            replay(pipeline, one)
        several = one if len(traces) > 1 else None
        if several and not as_json:
            print("\n" * bool(place) + heading(several, pipeline))
        is_tsv = form == "tsv" and not as_json
        tell(pipeline.selection, pipeline.scene, several.name if several else "", are_told=not is_tsv, live=one is None)
        _write(pipeline, counts, as_json, why, form, several.name if several else None)


def _write(
    pipeline: Pipeline,
    counts: Optional[as_if_view.Counts],
    as_json: bool,
    why: bool,
    form: str,
    recording: Optional[str],
) -> None:
    if as_json:
        more: dict[str, Any] = {"as_if": as_if_view.counts_object(counts)} if counts else {}
        if recording:
            more["recording"] = recording
        if pipeline.selection:
            more["selection"] = pipeline.selection.object()
        table.write_json(pipeline.summary, pipeline.scene, sys.stdout, more)
        return
    if pipeline.selection and form != "tsv":
        print("\n".join(pipeline.selection.lines(pipeline.scene)))
    table.write(pipeline.summary, pipeline.scene, sys.stdout, form, why)
    if form == "tsv":
        say(trust_line(pipeline.scene))
    if counts:
        as_if_view.write(counts, sys.stdout)
