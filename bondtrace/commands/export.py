# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace export`: the journeys of recordings for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Optional

import click

from ..errors import UsageError
from ..exporters import FORMATS, Exporter
from ..exporters.csv_rows import CsvExporter
from ..exporters.jsonl import JsonLinesExporter
from ..exporters.output import STDOUT, Output, cannot_write
from ..exporters.parquet import DatasetExporter, ParquetExporter
from ..exporters.pcapng import PcapngExporter
from ..exporters.perfetto import PerfettoExporter, begin_ns
from ..format.recording import Recording
from ..pipeline import Pipeline
from ..reporters.text import trust_line
from .options import directions, privacy_option, private, say, view_options


@click.command()
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
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
    form: str,
    name: str,
    force: bool,
    privacy: Optional[str],
    only_rx: bool,
    only_tx: bool,
    count: Optional[int],
) -> None:
    """Write the journeys of recordings for other programs."""
    path = Path(name)
    for file in files:
        if path.exists() and file.exists() and path.samefile(file):
            raise UsageError(f"{path} is the recording itself; name another file to write")
    with ExitStack() as stack:
        try:
            exporter = _exporter(form, name, force, files, stack)
            stack.callback(exporter.release)  # before the file is closed
            written = _run(exporter, files, directions(only_rx, only_tx), count, privacy)
        except OSError as error:
            if path == STDOUT:
                raise
            raise cannot_write(path, error) from None
    say(f"{written} journeys written to {'standard output' if path == STDOUT else path}")


def _exporter(form: str, name: str, force: bool, files: Sequence[Path], stack: ExitStack) -> Exporter:
    """Return the exporter of a format; ``stack`` finishes its file, or leaves none if writing fails."""
    path = Path(name)
    if path.is_dir() or name.endswith("/"):
        if form != "parquet":
            raise UsageError(f"{name} is a directory; {form} is one file: name it")
        return DatasetExporter(path, force, stack)
    if form == "parquet" and path == STDOUT:
        raise UsageError("Parquet is written to a file or a directory, not to standard output")
    output = stack.enter_context(Output(path, force))
    if form == "pcapng":
        return PcapngExporter(output.binary)
    if form == "parquet":
        return ParquetExporter(output.binary)
    if form == "perfetto":
        return PerfettoExporter(output.text, _earliest_ns(files))
    return {"jsonl": JsonLinesExporter, "csv": CsvExporter}[form](output.text)


def _earliest_ns(files: Sequence[Path]) -> int:
    """Return when the first of the recordings begins, in nanoseconds since the Unix epoch."""
    batches = (batch for file in files for batch in islice(Recording(file).batches(), 1))
    return min((time_ns for time_ns in map(begin_ns, batches) if time_ns is not None), default=0)


def _run(
    exporter: Exporter,
    files: Sequence[Path],
    wanted: tuple[str, ...],
    count: Optional[int],
    privacy: Optional[str] = None,
) -> int:
    """Give the exporter each recording; return how many journeys they had."""
    written = 0
    for file in files:
        if count is not None and written >= count:
            break
        pipeline = Pipeline(directions=wanted, columns=exporter.take, count=None if count is None else count - written)
        exporter.begin(file, pipeline.scene)
        pipeline.payloads = exporter.payloads
        recording = Recording(file)
        pipeline.run(private(recording.batches(), privacy))
        exporter.end()
        written += pipeline.summary.journeys
        if recording.cut_off:
            say(f"{file} was cut off; the complete part of it is exported")
        elif not pipeline.scene.start:
            say(f"{file} does not hold the start of a trace: names and times may be missing")
        say(f"{file}: {trust_line(pipeline.scene)}")
    exporter.close()
    return written
