# SPDX-License-Identifier: GPL-2.0-or-later
"""The slowest journeys of a stream.

Invariant: memory grows with the number that is wanted, not with the stream; only what may be among them is assembled.
"""

from __future__ import annotations

import numpy as np

from ..model import Journey
from . import assemble
from .scene import Scene
from .select import durations_ns
from .stitch import Journeys


class Slowest:
    """The ``limit`` journeys that took longest, so far."""

    def __init__(self, limit: int, scene: Scene) -> None:
        self._limit, self._scene = limit, scene
        self._found: list[Journey] = []

    def add(self, columns: Journeys) -> None:
        """Take these journeys."""
        if not len(columns):
            return
        took_ns = durations_ns(columns)
        least_ns = self._found[-1].duration_ns if len(self._found) >= self._limit else -1
        slow = np.flatnonzero(took_ns > least_ns)
        slow = slow.take(np.argsort(-took_ns.take(slow), kind="stable")[: self._limit])
        self._found += [assemble.journey(columns, int(place), self._scene) for place in slow]
        self._found.sort(key=lambda journey: (-journey.duration_ns, journey.id))
        del self._found[self._limit :]

    def in_order(self) -> list[Journey]:
        """Return them, the slowest first; of those that took as long, the first to begin."""
        return self._found
