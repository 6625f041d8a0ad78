# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports journeys as rows of CSV."""

import csv
import io
from pathlib import Path

from bondtrace.exporters.csv_rows import CsvExporter
from build import scene, stitched


def exported_csv(*passes, around=None):
    """Return the rows of these passes' journeys, as dictionaries."""
    stream = io.StringIO(newline="")
    exporter = CsvExporter(stream)
    exporter.begin(Path("trace.arrows"), around or scene())
    exporter.take(stitched(*passes, around=around))
    return list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))


def brief(row, *names):
    """Return these columns of a row."""
    return tuple(row[name] for name in names)
