# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace summary`: which taps were given which packets, from a recording or live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from ..errors import UsageError
from ..pipeline import Pipeline
from ..reporters import table
from ..reporters.text import trust_line
from .live import trace
from .options import directions, json_option, say, trace_options
from .show import replay


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@trace_options
@json_option
@click.option("--why", is_flag=True, help="Also list, for each tap, why it did not see packets, with examples.")
@click.option("--format", "form", type=click.Choice(table.FORMATS), default="simple", show_default=True,
              help="How the table is drawn.")
def summary(file: Optional[Path], interfaces: tuple[str, ...], netns: tuple[str, ...], only_rx: bool, only_tx: bool,
            count: Optional[int], duration: Optional[float], kprobes: bool, as_json: bool, why: bool,
            form: str) -> None:
    """Show the table of taps and devices, of a recording or of a live trace until Ctrl-C."""
    pipeline = Pipeline(directions=directions(only_rx, only_tx), count=count)
    if file is not None and (interfaces or netns or duration):
        raise UsageError(f"a recording ({file}) is summarised whole: --iface, --netns and --duration are for live")
    if file is None and not interfaces and not netns:
        raise UsageError("summary wants a recording (FILE), or --iface NAME or --netns NAME for a live trace")
    if file is not None:
        replay(pipeline, file)
    else:
        trace(pipeline, interfaces, netns, duration, kprobes)
    if as_json:
        table.write_json(pipeline.summary, pipeline.scene, sys.stdout)
    else:
        table.write(pipeline.summary, pipeline.scene, sys.stdout, form, why)
        if form == "tsv":
            say(trust_line(pipeline.scene))
