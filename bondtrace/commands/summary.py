# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace summary`: which taps were given which packets, from a recording or live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import click

from ..analysis.eras import find_era
from ..errors import UsageError
from ..pipeline import Pipeline
from ..reporters import as_if as as_if_view
from ..reporters import table
from ..reporters.text import trust_line
from .live import trace
from .options import TraceOptions, as_if_option, json_option, say, trace_options
from .replaying import heading, replay, traces_of


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, metavar="[FILE...]")
@trace_options
@as_if_option
@json_option
@click.option("--why", is_flag=True, help="Also list why taps and sockets did not get packets, with examples.")
@click.option(
    "--format",
    "form",
    type=click.Choice(table.FORMATS),
    default="simple",
    show_default=True,
    help="How the table is drawn.",
)
def summary(
    files: tuple[Path, ...], options: TraceOptions, as_if: Optional[str], as_json: bool, why: bool, form: str
) -> None:
    """Show the table of taps and devices, of recordings or of a live trace until Ctrl-C.

    FILE is a recording, or a directory of recordings; the parts of one trace are joined, and each trace has a table.
    """
    if files and options.only_live:
        raise UsageError(
            f"a recording ({files[0]}) is summarised whole: --iface, --netns, --filter, --duration, "
            "--privacy, --sockets and --kprobes are for live"
        )
    if not files and not options.interfaces and not options.netns:
        raise UsageError("summary needs a recording (FILE), or --iface NAME or --netns NAME for a live trace")
    if as_if and not files:
        raise UsageError(f"--as-if {as_if} is for a recording: give FILE")
    era = find_era(as_if) if as_if else None
    traces = traces_of(files) if files else [None]
    for place, one in enumerate(traces):
        pipeline = Pipeline(directions=options.directions, count=options.count)
        counts = as_if_view.Counts(pipeline.scene, era) if era else None
        pipeline.summary.also = counts.count if counts else None
        if one is None:
            trace(pipeline, options)
        else:
            replay(pipeline, one)
        several = one if len(traces) > 1 else None
        if several and not as_json:
            print("\n" * bool(place) + heading(several, pipeline))
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
        table.write_json(pipeline.summary, pipeline.scene, sys.stdout, more)
        return
    table.write(pipeline.summary, pipeline.scene, sys.stdout, form, why)
    if form == "tsv":
        say(trust_line(pipeline.scene))
    if counts:
        as_if_view.write(counts, sys.stdout)
