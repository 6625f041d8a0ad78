# SPDX-License-Identifier: GPL-2.0-or-later
"""How many journeys of each kind (``kinds``) began when, and how long they took.

Everything is counted in columns, as cells: (kind, bin of time, bin of duration). When there are too many of them, or
the bins of time are full, bins become wider.

Invariant: memory grows neither with the journeys nor with the length of the trace, and no journey is lost from the
cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from ..format.wire import Array
from ..util.arrays import alike
from .latency import BINS, EDGES_NS

_NONE: Array = np.zeros(0, np.int64)
_FEW_BINS = 16  # of time; with fewer, bins of durations become wider, too
_BITS = 16


@dataclass
class Timeline:
    """Counts over time: a bin of time is ``width_ns`` wide, the first begins at ``begin_ns`` (CLOCK_MONOTONIC); the
    last journey began at ``last_ns``. A bin of durations is ``joined`` (a power of two) of those of ``latency``.
    ``cells`` are keys in ascending order, ``counts`` their journeys; both of shape (n,) of int64."""

    bins_max: int = 256
    cells_max: int = 50_000
    width_ns: int = 100_000
    joined: int = 1
    begin_ns: Optional[int] = None
    last_ns: int = 0
    cells: Array = field(default_factory=lambda: _NONE)
    counts: Array = field(default_factory=lambda: _NONE)

    def add(self, kinds: Array, begins_ns: Array, durations_ns: Array) -> None:
        """Count journeys, which come in the order in which they began; all arrays of shape (n,) of int64."""
        if not len(kinds):
            return
        if self.begin_ns is None:
            self.begin_ns = int(begins_ns.min())
        self.last_ns = max(self.last_ns, int(begins_ns.max()))
        while self.used > self.bins_max:
            self._widen()
        when = np.maximum(begins_ns - self.begin_ns, 0) // self.width_ns
        long = np.searchsorted(EDGES_NS, durations_ns, side="right") // self.joined
        self._merge(kinds << 2 * _BITS | when << _BITS | long, np.ones(len(kinds), np.int64))
        while len(self.cells) > self.cells_max and (self.used > 1 or self.joined < BINS):
            if self.used <= _FEW_BINS and self.joined < BINS:
                self._join()
            else:
                self._widen()

    @property
    def used(self) -> int:
        """The number of bins of time up to the last journey."""
        return 0 if self.begin_ns is None else (self.last_ns - self.begin_ns) // self.width_ns + 1

    def columns(self) -> tuple[Array, Array, Array, Array]:
        """Return (kind, bin of time, bin of duration, journeys) of every cell, each of shape (n,)."""
        mask = (1 << _BITS) - 1
        return self.cells >> 2 * _BITS, self.cells >> _BITS & mask, self.cells & mask, self.counts

    def by_kind(self, kinds: int) -> Array:
        """Return the journeys of each of so many kinds, shape (kinds,)."""
        return np.bincount(self.cells >> 2 * _BITS, self.counts, kinds).astype(np.int64)

    def edges_ns(self) -> list[int]:
        """Return from which duration on each bin of durations is."""
        return [int(EDGES_NS[one - 1]) if one else 0 for one in range(0, BINS, self.joined)]

    def _widen(self) -> None:
        self.width_ns *= 2
        kinds, when, long, counts = self.columns()
        self._replace(kinds << 2 * _BITS | when >> 1 << _BITS | long, counts)

    def _join(self) -> None:
        self.joined *= 2
        kinds, when, long, counts = self.columns()
        self._replace(kinds << 2 * _BITS | when << _BITS | long >> 1, counts)

    def _merge(self, cells: Array, counts: Array) -> None:
        self._replace(np.concatenate([self.cells, cells]), np.concatenate([self.counts, counts]))

    def _replace(self, cells: Array, counts: Array) -> None:
        first, _, which = alike(cells)
        self.cells = cells[first]
        self.counts = np.bincount(which, counts, len(first)).astype(np.int64)
