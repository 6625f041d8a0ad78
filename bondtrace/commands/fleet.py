# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace fleet`: queries of a dataset of many hosts' recordings."""

from __future__ import annotations

import sys
from datetime import date
from typing import Optional

import click

from ..reporters import fleet as view
from ..stats.fleet import ENGINES, Wanted, summarise
from .options import say
from .selecting import ReadBy


def _day(words: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise ValueError(f"{words!r} is no day: give one as 2026-11-27") from None


_DAY = ReadBy("day", _day)
_NOTHING = "no recording in what was asked for, or none in which a tap was offered or missed a packet"


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
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only this host; may be repeated.")
@click.option("--since", type=_DAY, metavar="DAY", help="Journeys of this day (UTC) and later ones: 2026-11-27.")
@click.option("--until", type=_DAY, metavar="DAY", help="Journeys of the days before this one (UTC).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def summary(
    dataset: str, engine: str, hosts: tuple[str, ...], since: Optional[date], until: Optional[date], as_json: bool
) -> None:
    """Show which taps were given which packets on which hosts, and why not the others."""
    wanted = Wanted(hosts, since, until)
    rows = summarise(dataset, engine, wanted)
    if as_json:
        view.write_json(rows, sys.stdout)
    else:
        view.write(rows, sys.stdout)
    for host in wanted.without_rows(rows):
        say(f"{host}: {_NOTHING}")
