# SPDX-License-Identifier: GPL-2.0-or-later
"""Which journeys are listed: of each chunk some places, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple, Optional

import numpy as np

from ..format.wire import Array
from .store import Chunk


class Spot(NamedTuple):
    """One journey: its chunk and its place there."""

    chunk: Chunk
    place: int


class Listing:
    """Journeys in the order of their chunks; grows at its end."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._places: list[Array] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def add(self, chunk: Chunk, places: Array) -> None:
        """Add journeys of a chunk, by their places there."""
        if len(places):
            self._chunks.append(chunk)
            self._places.append(places.astype(np.int32))
            self._ends.append(len(self) + len(places))

    def __getitem__(self, index: int) -> Spot:
        part = bisect_right(self._ends, index)
        return Spot(self._chunks[part], int(self._places[part][index - self._begin(part)]))

    def index(self, spot: Spot) -> int:
        """Return where a journey is listed; of one that is not, where the next one is, or the last."""
        part = bisect_left([chunk.number for chunk in self._chunks], spot.chunk.number)
        if part < len(self._chunks) and self._chunks[part] is spot.chunk:
            found = self._begin(part) + int(np.searchsorted(self._places[part], spot.place))
        else:
            found = self._begin(part) if part < len(self._chunks) else len(self)
        return max(min(found, len(self) - 1), 0)

    def nearest(self, index: int, step: int, alike: bool) -> Optional[int]:
        """Return the nearest journey after (``step`` 1) or before (-1) this one of the same shape, or of another one;
        ``None`` where there is none."""
        spot = self[index]
        shape = spot.chunk.shapes[spot.place]
        first = part = bisect_right(self._ends, index)
        while 0 <= part < len(self._chunks):
            begin = self._begin(part)
            shapes = self._chunks[part].shapes.take(self._places[part])
            found = np.flatnonzero((shapes == shape) == alike) + begin
            if part == first:
                found = found[found > index] if step > 0 else found[found < index]
            if len(found):
                return int(found[0] if step > 0 else found[-1])
            part += step
        return None

    def _begin(self, part: int) -> int:
        return self._ends[part - 1] if part else 0
