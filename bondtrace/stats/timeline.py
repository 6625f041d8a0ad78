# SPDX-License-Identifier: GPL-2.0-or-later
"""How many journeys began when, by the device on which they began and by what the taps did with them.

Everything is counted in columns. When the bins are full, their width doubles and two become one.

Invariant: memory grows neither with the journeys nor with the length of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from ..analysis.stitch import Journeys
from ..format.wire import OUTCOMES, RECORD_TX, STEP_DROP, STEP_TAP, Array
from ..net.topology import key_from
from ..util.arrays import upper_half
from .summary import Place

FATES = ("full", "captured", "offered", "unseen")
"""What the taps did with a packet, the first that holds: a tap had no room for it; a tap captured it; taps were offered
it and none captured it; no tap was offered it."""

DROPPED = "dropped"
"""Counted in addition: the kernel dropped it."""

_OUTCOME = {name: number for number, name in OUTCOMES.items()}


@dataclass
class Timeline:
    """Counts over time: ``counts`` has for each (place, fate) the journeys by bin, shape (``bins_max``,) of int64; bin
    ``i`` begins ``i * width_ns`` after ``begin_ns`` (CLOCK_MONOTONIC). The last journey began at ``last_ns``."""

    bins_max: int = 256
    width_ns: int = 100_000
    begin_ns: Optional[int] = None
    last_ns: int = 0
    counts: dict[tuple[Place, str], Array] = field(default_factory=dict)

    def add(self, columns: Journeys) -> None:
        """Count these journeys; they come in the order in which they began."""
        if not len(columns):
            return
        records = columns.passes.records
        begins_ns = np.minimum.reduceat(records["time_ns"], columns.offsets[:-1]).astype(np.int64)
        if self.begin_ns is None:
            self.begin_ns = int(begins_ns.min())
        self.last_ns = max(self.last_ns, int(begins_ns.max()))
        while (self.last_ns - self.begin_ns) // self.width_ns >= self.bins_max:
            self._widen()
        bins = np.maximum(begins_ns - self.begin_ns, 0) // self.width_ns
        first = records[columns.offsets[:-1]]
        device = upper_half(first["netns"]) | first["ifindex"]
        devices, which = np.unique(device, return_inverse=True)
        which = which.reshape(-1) * 2 + (first["kind"] == RECORD_TX)
        fate, dropped = fates(columns)
        for number, name in enumerate((*FATES, DROPPED)):
            mask = dropped if name == DROPPED else fate == number
            if mask.any():
                self._count(devices, which[mask], bins[mask], name)

    def _count(self, devices: Array, which: Array, bins: Array, name: str) -> None:
        found = np.bincount(which * self.bins_max + bins, minlength=len(devices) * 2 * self.bins_max)
        for place, row in enumerate(found.reshape(-1, self.bins_max)):
            if row.any():
                key = (*key_from(int(devices[place // 2])), ("rx", "tx")[place % 2]), name
                self.counts[key] = self.counts.get(key, 0) + row

    def _widen(self) -> None:
        self.width_ns *= 2
        for key, row in self.counts.items():
            half = row.reshape(-1, 2).sum(axis=1)
            self.counts[key] = np.concatenate([half, np.zeros(self.bins_max - len(half), np.int64)])

    @property
    def used(self) -> int:
        """The number of bins up to the last journey."""
        return 0 if self.begin_ns is None else (self.last_ns - self.begin_ns) // self.width_ns + 1


def fates(columns: Journeys) -> tuple[Array, Array]:
    """Return (the place in FATES, whether the kernel dropped it) for every journey, each of shape (journeys,)."""
    passes, count = columns.passes, len(columns)
    owner = np.repeat(columns.of_pass, np.diff(passes.offsets))
    kind, result = passes.steps["kind"], passes.steps["result"]

    def has(mask: Array) -> Array:
        found: Array = np.bincount(owner[mask], minlength=count) > 0
        return found

    taps = kind == STEP_TAP
    full, captured = (has(taps & (result == _OUTCOME[name])) for name in ("full", "captured"))
    return np.select([full, captured, has(taps)], [0, 1, 2], 3), has(kind == STEP_DROP)
