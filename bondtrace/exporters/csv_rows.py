# SPDX-License-Identifier: GPL-2.0-or-later
"""CSV (RFC 4180, UTF-8, one header line): the rows of ``rows``. What does not apply is empty.

Any process may call itself ``=HYPERLINK(...)``, and a spreadsheet would evaluate it: the first character of a text that
begins as a formula does is written as ``\\xNN``, as are characters that a terminal would obey.
"""

from __future__ import annotations

import csv
from typing import Any, TextIO

from ..format.wire import Array
from ..model import Journey
from ..reporters.json_lines import timestamp
from . import Exporter
from .rows import COLUMNS, NAMES, origin, rows

_FORMULA = "=+-@"


class CsvExporter(Exporter):
    """CSV on a stream, which must leave line ends alone (``newline=""``)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._writer = stream, csv.writer(stream)
        self._writer.writerow(NAMES)

    def write(self, journey: Journey, records: Array) -> None:
        source = origin(self.scene, str(self.source))
        self._writer.writerows(
            [_cell(row[name], kind) for name, kind in COLUMNS] for row in rows(journey, self.scene, source)
        )

    def flush(self) -> None:
        self._stream.flush()


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "timestamp":
        return timestamp(value)
    if kind == "string" and value[:1] in _FORMULA and value:
        return f"\\x{ord(value[0]):02x}{value[1:]}"
    return str(value).lower() if kind == "bool" else str(value)
