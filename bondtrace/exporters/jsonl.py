# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON lines: exactly what ``bondtrace show --json`` prints (docs/json.md)."""

from __future__ import annotations

import json
from typing import TextIO

from ..format.wire import Array
from ..model import Journey
from ..reporters.json_lines import journey_object
from . import Exporter


class JsonLinesExporter(Exporter):
    """JSON lines on a stream; they are not flushed one by one, as nothing waits for the lines of a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, journey: Journey, records: Array) -> None:
        print(json.dumps(journey_object(journey, self.scene), ensure_ascii=False), file=self._stream)

    def flush(self) -> None:
        self._stream.flush()
