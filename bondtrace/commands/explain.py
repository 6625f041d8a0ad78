# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace explain`: one packet's way in plain sentences."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..errors import UsageError
from ..model import Journey
from ..pipeline import Pipeline
from ..reporters import story
from .show import replay


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--journey", "number", type=click.IntRange(min=1), required=True, metavar="N",
              help="The number of the journey, as show prints it (#N).")
def explain(file: Path, number: int) -> None:
    """Tell the way of one packet of a recording in sentences: what happened, where, and who saw it or not."""
    found: list[Journey] = []
    pipeline = Pipeline(show=lambda journey: found.append(journey) if journey.id == number else None)
    replay(pipeline, file)
    if not found:
        raise UsageError(f"{file} has no journey #{number}: it has {pipeline.summary.journeys}; "
                         "`bondtrace show` prints their numbers")
    story.write(found[0], pipeline.scene, sys.stdout)
