# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace export`: the journeys of recordings for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Optional

import click

from ..analysis.select import Criteria, Selection
from ..errors import UsageError
from ..exporters import FORMATS, Exporter
from ..exporters.arrows import ArrowsExporter, Made
from ..exporters.csv_rows import CsvExporter
from ..exporters.jsonl import JsonLinesExporter
from ..exporters.output import STDOUT, Output, cannot_write, refuse_overwriting
from ..exporters.parquet import DatasetExporter, ParquetExporter
from ..exporters.pcapng import PcapngExporter
from ..exporters.perfetto import PerfettoExporter, begin_ns
from ..format.recording import Recording
from ..format.trace_set import TraceSet, require_one_input
from ..pipeline import Pipeline
from ..reporters.text import trust_line
from ..util.pipes import STDIO
from .options import directions, privacy_option, say, view_options
from .replaying import only_trace, replay
from .selecting import Selecting, files_and_selection, refuse_private_filter, tell


@click.command(cls=Selecting)
@files_and_selection
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="The format to write.")
@click.option(
    "-o",
    "--output",
    "name",
    required=True,
    metavar="PATH",
    help="The file to write; - is standard output; for Parquet also a directory (DIR/), for a dataset.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@privacy_option
@view_options
def export(
    files: tuple[Path, ...],
    criteria: Criteria,
    form: str,
    name: str,
    force: bool,
    privacy: Optional[str],
    only_rx: bool,
    only_tx: bool,
    count: Optional[int],
) -> None:
    """Write the journeys of recordings for other programs.

    FILTER is a tcpdump filter (man pcap-filter), which begins with the first word that is no file.
    """
    refuse_private_filter(criteria, privacy)
    path, sources = Path(name), _sources(files, form)
    refuse_overwriting(path, sources)
    with ExitStack() as stack:
        try:
            exporter = _exporter(form, name, force, files, criteria.words, stack)
            stack.callback(exporter.release)  # before the file is closed
            asked = _Asked(directions(only_rx, only_tx), count, privacy, criteria)
            written = _run(exporter, sources, asked)
        except OSError as error:
            if path == STDOUT:
                raise
            raise cannot_write(path, error) from None
    if isinstance(exporter, ArrowsExporter) and criteria and path != STDOUT:
        _compare(path, exporter)
    say(f"{written} journeys written to {'standard output' if path == STDOUT else path}")


@dataclass(frozen=True)
class _Asked:
    """Which journeys are to be exported, and how."""

    directions: tuple[str, ...]
    count: Optional[int]
    privacy: Optional[str]
    criteria: Criteria


def _sources(files: Sequence[Path], form: str) -> list[TraceSet]:
    """Return what is exported one after the other: each file; for a recording the one trace that they are."""
    require_one_input(files)
    if form != "arrows":
        return [TraceSet([file], [1], 0) for file in files]
    return [only_trace(tuple(files), "export --format arrows")]


def _compare(path: Path, exporter: ArrowsExporter) -> None:
    """Say where the journeys of a new recording are not those of the whole: which passes are joined can depend on what
    came in between."""
    there, wanted = Made(), exporter.made
    Pipeline(columns=there.add).run(Recording(path).batches())
    if not there.is_same(wanted):
        say(
            f"{path}: without the other packets its passes make {there.journeys:,} journeys, and not those "
            f"{wanted.journeys:,}"
        )


def _exporter(form: str, name: str, force: bool, files: Sequence[Path], by: str, stack: ExitStack) -> Exporter:
    """Return the exporter of a format; ``stack`` finishes its file, or leaves none if writing fails."""
    path = Path(name)
    if path.is_dir() or name.endswith("/"):
        if form != "parquet":
            raise UsageError(f"{name} is a directory; {form} is one file: name it")
        return DatasetExporter(path, force, stack)
    if form == "parquet" and path == STDOUT:
        raise UsageError("Parquet is written to a file or a directory, not to standard output")
    output = stack.enter_context(Output(path, force))
    if form == "arrows":
        return ArrowsExporter(output.binary, by)
    if form == "pcapng":
        return PcapngExporter(output.binary)
    if form == "parquet":
        return ParquetExporter(output.binary)
    if form == "perfetto":
        return PerfettoExporter(output.text, _earliest_ns(files))
    return {"jsonl": JsonLinesExporter, "csv": CsvExporter}[form](output.text)


def _earliest_ns(files: Sequence[Path]) -> Optional[int]:
    """Return when the first of the recordings begins, in nanoseconds since the Unix epoch; ``None`` of standard input,
    which can be read once."""
    if STDIO in files:
        return None
    batches = (batch for file in files for batch in islice(Recording(file).batches(), 1))
    return min((time_ns for time_ns in map(begin_ns, batches) if time_ns is not None), default=0)


def _run(exporter: Exporter, sources: Sequence[TraceSet], asked: _Asked) -> int:
    """Give the exporter each recording; return how many journeys they had."""
    written = 0
    for source in sources:
        if asked.count is not None and written >= asked.count:
            break
        left = None if asked.count is None else asked.count - written
        selection = Selection(asked.criteria)
        pipeline = Pipeline(directions=asked.directions, count=left, selection=selection)
        pipeline.columns = exporter.take
        if source.is_piped:
            exporter.flush()
            pipeline.columns = exporter.take_at_once
        exporter.begin(Path(source.name) if source.is_piped else source.paths[0], pipeline.scene)
        pipeline.payloads = exporter.payloads
        through = partial(exporter.keeping, selection=selection, most=left)
        replay(pipeline, source, privacy=asked.privacy, done="exported", through=through)
        exporter.end()
        written += pipeline.summary.journeys
        tell(selection if asked.criteria else None, pipeline.scene, source.name if len(sources) > 1 else "")
        say(f"{source.name}: {trust_line(pipeline.scene)}")
    exporter.close()
    return written
