# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports journeys as rows of CSV, and as pcapng."""

import csv
import io
import shutil
from pathlib import Path

import pytest

from bondtrace.exporters.csv_rows import CsvExporter
from bondtrace.exporters.pcapng import PcapngExporter
from bondtrace.format.payload import bytes_events
from build import scene, stitched

needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")


def exported_csv(*passes, around=None):
    """Return the rows of these passes' journeys, as dictionaries."""
    stream = io.StringIO(newline="")
    exporter = CsvExporter(stream)
    exporter.begin(Path("trace.arrows"), around or scene())
    exporter.take(stitched(*passes, around=around))
    return list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))


def exported_pcapng(*passes, around=None, kept=()):
    """Return these passes' journeys as a pcapng file; ``kept``: (cpu, seq, bytes) of packets."""
    around, stream = around or scene(), io.BytesIO()
    exporter = PcapngExporter(stream)
    exporter.begin(Path("trace.arrows"), around)
    exporter.payloads.take(bytes_events(0, list(kept)))
    exporter.take(stitched(*passes, around=around))
    exporter.end()
    return stream.getvalue()


def brief(row, *names):
    """Return these columns of a row."""
    return tuple(row[name] for name in names)
