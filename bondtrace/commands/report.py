# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace report`: a recording as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from ..analysis.select import Criteria
from ..exporters.output import STDOUT, Output, cannot_write, refuse_overwriting
from ..format.trace_set import TraceSet
from ..pipeline import Pipeline
from ..reporters import html
from ..reporters.text import trust_line
from ..stats.report_data import ReportData, Sample
from .options import directions, privacy_option, say, view_options
from .replaying import only_trace, replay
from .selecting import Selecting, files_and_selection, refuse_private_filter, selection_of, tell


@click.command(cls=Selecting)
@files_and_selection
@click.option(
    "-o",
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The page to write, e.g. trace.html; - is standard output.",
)
@click.option("--force", is_flag=True, help="Overwrite the page if it exists.")
@click.option(
    "--journeys",
    "listed",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    metavar="N",
    help="How many journeys are listed with their stories; if there are more, a sample.",
)
@privacy_option
@view_options
def report(
    files: tuple[Path, ...],
    criteria: Criteria,
    path: Path,
    force: bool,
    listed: int,
    privacy: Optional[str],
    only_rx: bool,
    only_tx: bool,
    count: Optional[int],
) -> None:
    """Write an HTML page that shows the paths, taps, times and journeys of a recording.

    FILE is a recording, the parts of one, or a directory of them. FILTER is a tcpdump filter (man pcap-filter), which
    begins with the first word that is no file.
    """
    refuse_private_filter(criteria, privacy)
    trace = only_trace(files, "report")
    refuse_overwriting(path, [trace])
    html.plotly_script()  # before the work, and before there is a file
    data = ReportData(Sample(listed), directions(only_rx, only_tx))
    selection = selection_of(criteria)
    pipeline = Pipeline(None, data.add, data.directions, count, scene=data.scene, summary=data.summary)
    pipeline.selection = selection
    with Output(path, force) as output:
        replay(pipeline, trace, privacy=privacy)
        tell(selection, data.scene)
        try:
            said = [f"{line}." for line in selection.lines(data.scene)] if selection else []
            html.write(data, output.text, trace.name, [*said, *_notes(trace, count, data)])
            output.text.flush()
        except OSError as error:
            if path == STDOUT:
                raise
            raise cannot_write(path, error) from None
    say(
        f"{data.summary.journeys} journeys reported in "
        f"{'standard output' if path == STDOUT else path}; {trust_line(data.scene)}"
    )


def _notes(trace: TraceSet, count: Optional[int], data: ReportData) -> list[str]:
    """Return where the page shows less than all of the trace."""
    notes = [f"{path} was cut off: this is the complete part of it." for path in trace.cut_off]
    if trace.missing:
        notes.append(f"{trace.missing_words}.")
    if not trace.cut_off and not data.scene.start:
        notes.append("The recording does not hold the start of a trace: names and times may be missing.")
    if count is not None and data.summary.journeys >= count:
        notes.append(f"Only the first {count} journeys are shown (--count).")
    return notes
