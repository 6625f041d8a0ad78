# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording (docs/recording.md) of some journeys: all their passes, and all events of the trace.

Passes and events keep their places: each pass is written with the batch in which it came, so that a reader knows of
devices and taps what the reader of the whole recording knew then. Late steps are already in the passes to which they
belong.

Invariant: memory grows with the passes that a stitcher holds back, and not with the recording.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
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
from ..util.arrays import upper_half
from . import Exporter

_NO_KEYS: Array = np.zeros(0, np.uint64)
_END_NS = 1 << 64
_OF_PARTS = ("trace", "part")  # what a start event says of parts: this is no part of that trace


@dataclass
class _Waiting:
    """A batch of which passes may still be in journeys that come: ``keys`` are of all that it had. None of these, or of
    a batch before, ended after ``until_ns``."""

    until_ns: int
    keys: Array
    events: list[Event]
    passes: list[Passes] = field(default_factory=list)


class Made:
    """Journeys, as far as one can tell by their number and a digest of their shapes whether others are the same."""

    def __init__(self) -> None:
        self.journeys, self._digest = 0, blake2b(digest_size=16)

    def add(self, columns: Journeys) -> None:
        """Add these journeys, which come behind those before."""
        self.journeys += len(columns)
        self._digest.update(columns.shapes.tobytes())

    def is_same(self, other: Made) -> bool:
        """Are they of the same shapes, in the same order?"""
        return self.journeys == other.journeys and self._digest.digest() == other._digest.digest()


class ArrowsExporter(Exporter):
    """A recording on a stream; ``by`` says what selected its journeys, "" for all."""

    def __init__(self, stream: BinaryIO, by: str = "") -> None:
        self._stream, self._by = stream, by
        self._waiting: deque[_Waiting] = deque()
        self._last_ns = 0
        self.made = Made()  # to be compared with what a reader makes of it
        self._stream.write(schema_message(SCHEMA))

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self.payloads = Payloads()

    def keeping(self, batches: Iterable[Batch], selection: Selection, most: Optional[int] = None) -> Iterator[Batch]:
        """Yield the batches, each noted before its journeys come. Of its passes only those of taps' hooks are kept."""
        for batch in batches:
            is_full = most is not None and selection.selected >= most
            self._write_until(_END_NS if is_full else selection.begun_ns)
            records = batch.passes.records
            ends_ns = records["time_ns"] + records["duration_ns"]
            self._last_ns = max(self._last_ns, int(ends_ns.max(initial=0)))
            hooks = batch.passes.take(records["kind"] == RECORD_HOOK)
            events = [self._told(event) for event in batch.events if event.get("kind") != "bytes"]
            self._waiting.append(_Waiting(self._last_ns, _NO_KEYS if is_full else _keys(batch.passes), events, [hooks]))
            yield batch

    def take(self, columns: Journeys) -> None:
        """Take the journeys that are to be written: each of their passes belongs to the batch in which it came."""
        if not len(columns):
            return
        self.made.add(columns)
        passes, keys = columns.passes, _keys(columns.passes)
        is_open = np.ones(len(passes), bool)
        for batch in self._waiting:
            places = np.flatnonzero(is_open & np.isin(keys, batch.keys))
            if len(places):
                batch.passes.append(passes.take(places))
                is_open[places] = False

    def _write_until(self, begin_ns: int) -> None:
        """Write the batches whose passes ended before a journey began: none that comes later began before that."""
        while self._waiting and self._waiting[0].until_ns < begin_ns:
            self._write(self._waiting.popleft())

    def flush(self) -> None:
        self._stream.flush()

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


def _keys(passes: Passes) -> Array:
    """Return what tells each pass from all others: its CPU, and its number there."""
    keys: Array = upper_half(passes.records["cpu"]) | passes.records["seq"]
    return keys
