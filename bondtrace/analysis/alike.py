# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys that are alike: of one shape (``shapes``), while the surroundings were as they were.

Invariant: whatever is said of one of them, but for times and for the packet's own bytes, holds for all of them.
"""

from __future__ import annotations

import numpy as np

from ..format.wire import Array
from ..util.arrays import alike, mix
from .scene import Scene
from .stitch import Journeys


def groups(columns: Journeys, scene: Scene) -> tuple[Array, Array, Array]:
    """Return (first, counts, which): for each group, in order of first occurrence, the place of its first journey and
    how many it has; for every journey, the place of its group among them.

    A shape is all that an answer can depend on: every step without its time, the kind, device and protocol of every
    pass; to it comes the state of devices and taps at the time.
    """
    state = np.searchsorted(np.array(scene.changes_ns, np.uint64), columns.begins_ns, side="right").astype(np.uint64)
    same = not len(state) or bool((state == state[0]).all())
    first, counts, which = alike(columns.shapes if same else mix(columns.shapes, state))
    order = np.argsort(first, kind="stable")
    return first[order], counts[order], np.argsort(order, kind="stable")[which]
