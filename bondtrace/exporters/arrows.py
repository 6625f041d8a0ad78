# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording (docs/recording.md) of some journeys: all their passes, and all events of the trace.

The events keep their places: each pass is written with the batch in which it came, or with an earlier one that ended
after it, so that a reader knows of devices and taps what the reader of the whole recording knew then. Late steps are
already in the passes to which they belong.

Invariant: memory grows with the passes that a stitcher holds back, and with the events meanwhile.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Optional

import numpy as np

from ..analysis.scene import Scene
from ..analysis.select import Selection
from ..analysis.stitch import Journeys
from ..format.arrow_ipc import END_OF_STREAM, schema_message
from ..format.batch import SCHEMA, Batch, encode
from ..format.events import Event
from ..format.payload import Payloads, bytes_events
from ..format.wire import RECORD_HOOK, Array, Passes, concatenate
from . import Exporter

_OF_PARTS = ("trace", "part")  # what a start event says of parts: this is no part of that trace


@dataclass
class _Waiting:
    """A batch that passes may still be added to: all that ended until ``until_ns`` and were not in one before."""

    until_ns: int
    events: list[Event]
    passes: list[Passes] = field(default_factory=list)


class ArrowsExporter(Exporter):
    """A recording on a stream; ``by`` says what selected its journeys, "" for all."""

    def __init__(self, stream: BinaryIO, by: str = "") -> None:
        self._stream, self._by = stream, by
        self._waiting: deque[_Waiting] = deque()
        self._last_ns = 0
        self.shapes: list[Array] = []  # of the journeys, to be compared with those that a reader makes of it
        self._stream.write(schema_message(SCHEMA))

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self.payloads = Payloads()

    def keeping(self, batches: Iterable[Batch], selection: Optional[Selection]) -> Iterator[Batch]:
        """Yield the batches, each noted before its journeys come. Of its passes only those of taps' hooks are kept.

        :param selection: what is asked about the journeys, which come in the order of their begins.
        """
        for batch in batches:
            if selection is not None:
                self._write_until(selection.begun_ns)
            self._last_ns = max(self._last_ns, batch.now_ns)
            hooks = batch.passes.take(batch.passes.records["kind"] == RECORD_HOOK)
            events = [self._told(event) for event in batch.events if event.get("kind") != "bytes"]
            self._waiting.append(_Waiting(self._last_ns, events, [hooks]))
            yield batch

    def take(self, columns: Journeys) -> None:
        """Take the journeys that are to be written."""
        if not len(columns):
            return
        self.shapes.append(columns.shapes)
        passes = columns.passes
        ends_ns = passes.records["time_ns"] + passes.records["duration_ns"]
        places = np.searchsorted(np.array([one.until_ns for one in self._waiting], np.uint64), ends_ns)
        for place in np.unique(places).tolist():
            some = passes.take(np.flatnonzero(places == place))
            self._waiting[min(place, len(self._waiting) - 1)].passes.append(some)
        self._write_until(int(columns.begins_ns[-1]))

    def _write_until(self, begin_ns: int) -> None:
        """Write the batches that ended before the begin of a journey: none that comes later began before that."""
        while self._waiting and self._waiting[0].until_ns < begin_ns:
            self._write(self._waiting.popleft())

    def end(self) -> None:
        """Write what is left."""
        while self._waiting:
            self._write(self._waiting.popleft())

    def close(self) -> None:
        """End the stream."""
        self._stream.write(END_OF_STREAM)

    def _write(self, batch: _Waiting) -> None:
        passes = concatenate(batch.passes)
        passes = passes.take(np.argsort(passes.records["time_ns"] + passes.records["duration_ns"], kind="stable"))
        events = [*batch.events, *bytes_events(batch.until_ns, self._bytes_of(passes))]
        if len(passes) or events:
            texts = [json.dumps(one, separators=(",", ":")) for one in events]
            self._stream.write(encode(passes, texts))

    def _bytes_of(self, passes: Passes) -> list[tuple[int, int, bytes]]:
        keys = zip(passes.records["cpu"].tolist(), passes.records["seq"].tolist()) if self.payloads else ()
        return [(*key, self.payloads[key]) for key in keys if self.payloads is not None and key in self.payloads]

    def _told(self, event: Event) -> Event:
        """Return an event as the new recording has it: its start says what it holds."""
        if event.get("kind") != "start":
            return event
        told = {name: value for name, value in event.items() if name not in _OF_PARTS}
        before = event.get("selection")
        by = " and ".join(one for one in (before, self._by) if isinstance(one, str) and one)
        return {**told, **({"selection": by} if by else {})}
