# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace fleet`: queries of a dataset of many hosts' recordings."""

from __future__ import annotations

import sys

import click

from ..reporters import fleet as view
from ..stats.fleet import ENGINES, summarise


@click.group()
def fleet() -> None:
    """Query a dataset of many hosts' recordings, as `export --format parquet -o DIR/` makes it."""


@fleet.command()
@click.argument("dataset")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="duckdb",
    show_default=True,
    help="The engine that runs the query: DuckDB here, or the Spark that the environment names.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def summary(dataset: str, engine: str, as_json: bool) -> None:
    """Show which taps were given which packets on which hosts, and why not the others."""
    rows = summarise(dataset, engine)
    if as_json:
        view.write_json(rows, sys.stdout)
    else:
        view.write(rows, sys.stdout)
