# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace browse`: recordings on a terminal, by keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Optional

import click

from ..analysis.eras import Era, find_era
from ..analysis.select import Criteria
from ..browser.browser import Browser
from ..browser.store import Trace
from ..errors import UsageError
from ..format.payload import Payloads
from ..format.trace_set import TraceSet, gather
from ..pipeline import Pipeline
from ..reporters.as_if import Counts
from .options import as_if_option, direction_options, directions, say, wants_colour
from .replaying import batch_by_batch, refuse_piped, reservations
from .selecting import Selecting, files_and_selection, typed


@click.command(cls=Selecting)
@files_and_selection
@direction_options
@as_if_option
def browse(files: tuple[Path, ...], criteria: Criteria, only_rx: bool, only_tx: bool, as_if: Optional[str]) -> None:
    """Look through the journeys of recordings on a terminal: a list, the story of each, the table of taps.

    FILE is a recording, or a directory of recordings; the parts of one trace are joined. FILTER is a tcpdump filter
    (man pcap-filter), which begins with the first word that is no file; it can be changed later. The key ? lists the
    keys.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise UsageError("browse needs a terminal: `bondtrace show` prints journeys to anything")
    from ..browser import terminal  # prompt_toolkit takes long, and may be missing

    refuse_piped(files, "browse", "reads its keys from the terminal")
    era, recorded = find_era(as_if) if as_if else None, gather(files)
    traces = [trace_of(one, directions(only_rx, only_tx), era) for one in recorded]
    browser = Browser(traces, typed, criteria.words, era)
    terminal.run(browser, wants_colour(sys.stdout))
    for one in traces:
        for line in one.reservations():
            say(line)
    if browser.store.failures:
        raise browser.store.failures[0]


def trace_of(recorded: TraceSet, wanted: tuple[str, ...] = ("rx", "tx"), era: Optional[Era] = None) -> Trace:
    """Return a trace to browse, of which nothing has been read yet."""
    pipeline = Pipeline(directions=wanted, payloads=Payloads())
    counts = Counts(pipeline.scene, era) if era else None
    pipeline.summary.also = counts.count if counts else None
    return Trace(
        recorded.name,
        pipeline,
        batch_by_batch(pipeline, recorded),
        lambda: recorded.done_bytes / max(recorded.size_bytes, 1),
        lambda: reservations(pipeline, recorded),
        counts,
    )
