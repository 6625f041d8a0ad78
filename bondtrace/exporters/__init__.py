# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys into files that other programs read, a module per format.

An exporter is given one recording after another, each as ``begin``, its journeys by ``take``, ``end``; then ``close``.

Invariant: it writes as it reads, so that memory does not grow with the number of journeys.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from ..analysis import assemble
from ..analysis.scene import Scene
from ..analysis.select import Selection
from ..analysis.stitch import Journeys
from ..errors import BondtraceError
from ..format.batch import Batch
from ..format.payload import Payloads
from ..format.wire import Array
from ..model import Journey

FORMATS = ("pcapng", "parquet", "jsonl", "csv", "perfetto", "arrows")

TIME_END_NS = 1 << 63  # in the year 2262


class Exporter:
    """What every format does. ``payloads`` collects the packets' bytes for a format that needs them."""

    payloads: Optional[Payloads] = None

    def begin(self, source: Path, scene: Scene) -> None:
        """Begin a recording; ``scene`` fills while it is read."""
        self.source, self.scene = source, scene

    def take(self, columns: Journeys) -> None:
        """Write these journeys.

        :raises BondtraceError: if one of them began at an impossible time.
        """
        for place, journey in enumerate(assemble.journeys(columns, self.scene)):
            if not 0 <= journey.wall_ns < TIME_END_NS:
                raise BondtraceError(f"{self.source} is damaged: its journey #{journey.id} began at an impossible time")
            self.write(journey, columns.passes.records[columns.offsets[place] : columns.offsets[place + 1]])

    def take_at_once(self, columns: Journeys) -> None:
        """Write these journeys, which can be read from the output at once."""
        self.take(columns)
        if len(columns):
            self.flush()

    def keeping(self, batches: Iterable[Batch], selection: Selection, most: Optional[int] = None) -> Iterable[Batch]:
        """Yield the batches on their way to the pipeline, for a format that is of batches.

        :param selection: what is asked about all journeys, which come in the order of their begins.
        :param most: how many journeys are to be written.
        """
        return batches

    def write(self, journey: Journey, records: Array) -> None:
        """Write one journey; ``records`` are those of its passes (``wire.RECORD``), in order."""
        raise NotImplementedError

    def end(self) -> None:
        """End the recording, which has been read completely: its losses are known."""

    def flush(self) -> None:
        """Let whoever reads the output already see all that was written. A format that is of use only when it is
        complete does nothing."""

    def close(self) -> None:
        """Finish the output: no more recordings follow."""

    def release(self) -> None:
        """Release the file: after ``close``, or instead of it if something failed."""
