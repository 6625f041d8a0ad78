# SPDX-License-Identifier: GPL-2.0-or-later
"""The journeys of traces, kept to be looked at in any order.

They are kept in chunks, their passes packed as a recording packs them. What is looked at is unpacked chunk by chunk,
and only what is on the screen is assembled.

Invariant: memory grows with the recordings' files, some forty bytes a journey beside, and not with what was looked at.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional, TypeVar

import numpy as np

from ..analysis import assemble
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys, Rows
from ..errors import BondtraceError
from ..format.arrow_ipc import read_message
from ..format.batch import SCHEMA, decode, encode
from ..format.wire import Array, concatenate
from ..model import Journey
from ..pipeline import Pipeline
from ..reporters.as_if import Counts

PASSES_A_CHUNK = 1 << 14
_CHUNKS_OPEN = 6
_JOURNEYS_KNOWN = 1 << 10

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class Trace:
    """One trace that is read. ``steps`` reads it, a batch at a time, into ``pipeline``; ``share`` is how much of it
    has been read, from 0 to 1; ``reservations`` says afterwards where it is incomplete. ``counts`` are those of an
    era, if there is one."""

    name: str
    pipeline: Pipeline
    steps: Iterator[None]
    share: Callable[[], float] = lambda: 1.0
    reservations: Callable[[], list[str]] = list
    counts: Optional[Counts] = None

    @property
    def scene(self) -> Scene:
        """Its surroundings, as far as they have been read."""
        return self.pipeline.scene


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some journeys of a trace that began one after the other; columns as in ``Journeys``, passes packed.

    ``number``: how many chunks came before it.
    """

    number: int
    trace: Trace
    packed: bytes
    offsets: Array
    numbers: Array
    begins_ns: Array
    shapes: Array
    inferred: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def unpacked(self) -> Journeys:
        """Return the journeys."""
        message = read_message(io.BytesIO(self.packed))
        assert message is not None
        rows = Rows((decode(message, SCHEMA).passes,))
        places = np.arange(int(self.offsets[-1]))
        return Journeys(rows, places, self.offsets, self.numbers, self.begins_ns, self.shapes, self.inferred)


class Store:
    """The chunks of traces, as far as these have been read. ``failures`` are the errors by which reading ended."""

    def __init__(self, traces: list[Trace]) -> None:
        self.traces = traces
        self.chunks: list[Chunk] = []
        self.failures: list[BondtraceError] = []
        self._read = 0  # traces
        self._coming: list[Journeys] = []
        self._open: OrderedDict[Chunk, Journeys] = OrderedDict()
        self._known: OrderedDict[tuple[Chunk, int], Journey] = OrderedDict()
        for trace in traces:
            trace.pipeline.columns = self._take

    @property
    def is_whole(self) -> bool:
        """Has everything been read?"""
        return self._read == len(self.traces)

    @property
    def share(self) -> float:
        """How much has been read, from 0 to 1."""
        return 1.0 if self.is_whole else (self._read + min(self.traces[self._read].share(), 1.0)) / len(self.traces)

    def read_on(self) -> bool:
        """Do a part of the reading; return whether there was anything to do."""
        if self.is_whole:
            return False
        if sum(len(part.places) for part in self._coming) >= PASSES_A_CHUNK // 2:
            self._pack()
            return True
        try:
            if next(self.traces[self._read].steps, self) is not self:
                return True
        except BondtraceError as error:
            self.failures.append(error)
        while self._coming:
            self._pack()
        self._read += 1
        if self.is_whole:
            self._known.clear()  # what was assembled before all was known of its surroundings
        return True

    def journeys(self, chunk: Chunk) -> Journeys:
        """Return the journeys of a chunk, in columns."""
        return _kept(self._open, chunk, chunk.unpacked, _CHUNKS_OPEN)

    def journey(self, chunk: Chunk, place: int) -> Journey:
        """Return one journey of a chunk, assembled."""
        return _kept(
            self._known,
            (chunk, place),
            lambda: assemble.journey(self.journeys(chunk), place, chunk.trace.scene),
            _JOURNEYS_KNOWN,
        )

    def _take(self, journeys: Journeys) -> None:
        """Take journeys of the trace that is being read."""
        begin = 0
        while begin < len(journeys):
            limit = journeys.offsets[begin] + PASSES_A_CHUNK // 2
            end = max(int(np.searchsorted(journeys.offsets, limit, side="right")) - 1, begin + 1)
            self._coming.append(journeys.take(np.arange(begin, end)))
            begin = end

    def _pack(self) -> None:
        """Make a chunk of the first that have come."""
        sizes = np.cumsum([len(part.places) for part in self._coming])
        count = max(int(np.searchsorted(sizes, PASSES_A_CHUNK, side="right")), 1)
        parts, self._coming = self._coming[:count], self._coming[count:]
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        numbers, begins_ns, shapes, inferred = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("numbers", "begins_ns", "shapes", "inferred")
        )
        self.chunks.append(
            Chunk(
                len(self.chunks),
                self.traces[self._read],
                encode(concatenate([part.passes for part in parts]), []),
                np.append(0, np.cumsum(counts)).astype(np.int64),
                numbers,
                begins_ns,
                shapes,
                inferred,
            )
        )


def _kept(known: OrderedDict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    """Return what is known by a key, or make it; what was not asked for longest is forgotten."""
    if key in known:
        known.move_to_end(key)
    else:
        known[key] = make()
        if len(known) > most:
            known.popitem(last=False)
    return known[key]
