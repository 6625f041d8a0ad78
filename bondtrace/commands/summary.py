# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace summary`: which taps were given which packets, from a recording or live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from ..eras import find_era
from ..errors import UsageError
from ..pipeline import Pipeline
from ..reporters import table
from ..reporters.as_if import Counts, counts_object, write_table
from ..reporters.text import trust_line
from .live import trace
from .options import TraceOptions, as_if_option, json_option, say, trace_options
from .show import replay


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@trace_options
@as_if_option
@json_option
@click.option("--why", is_flag=True, help="Also list, for each tap, why it did not see packets, with examples.")
@click.option("--format", "form", type=click.Choice(table.FORMATS), default="simple", show_default=True,
              help="How the table is drawn.")
def summary(file: Optional[Path], options: TraceOptions, as_if: Optional[str], as_json: bool, why: bool,
            form: str) -> None:
    """Show the table of taps and devices, of a recording or of a live trace until Ctrl-C."""
    pipeline = Pipeline(directions=options.directions, count=options.count)
    if file is not None and options.only_live:
        raise UsageError(f"a recording ({file}) is summarised whole: --iface, --netns, --filter, --duration and "
                         "--kprobes are for live")
    if file is None and not options.interfaces and not options.netns:
        raise UsageError("summary wants a recording (FILE), or --iface NAME or --netns NAME for a live trace")
    if as_if and file is None:
        raise UsageError(f"--as-if {as_if} is for a recording: give FILE")
    counts = Counts(pipeline.scene, find_era(as_if)) if as_if else None
    pipeline.summary.also = counts.count if counts else None
    if file is not None:
        replay(pipeline, file)
    else:
        trace(pipeline, options)
    if as_json:
        more = {"as_if": counts_object(counts)} if counts else {}
        table.write_json(pipeline.summary, pipeline.scene, sys.stdout, more)
    else:
        table.write(pipeline.summary, pipeline.scene, sys.stdout, form, why)
        if form == "tsv":
            say(trust_line(pipeline.scene))
        if counts:
            write_table(counts, sys.stdout)
