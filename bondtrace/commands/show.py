# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace show`: the journeys of a recording, as live prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from ..eras import find_era
from ..pipeline import Pipeline
from ..recording import Recording
from .options import as_if_option, directions, json_option, reporter, say, view_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@view_options
@as_if_option
@json_option
def show(file: Path, only_rx: bool, only_tx: bool, count: Optional[int], as_if: Optional[str], as_json: bool) -> None:
    """Show the journeys of a recording."""
    pipeline = Pipeline(directions=directions(only_rx, only_tx), count=count)
    pipeline.show = reporter(as_json, pipeline.scene, find_era(as_if) if as_if else None)
    replay(pipeline, file)


def replay(pipeline: Pipeline, file: Path) -> None:
    """Run a pipeline on a recording, and say where it stops short."""
    recording = Recording(file)
    pipeline.run(recording.batches())
    if recording.cut_off:
        say(f"{file} was cut off; what is whole of it is shown")
    elif not pipeline.scene.start:
        say(f"{file} holds no begin of a trace: names and times may be missing")
