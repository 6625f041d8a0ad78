# SPDX-License-Identifier: GPL-2.0-or-later
"""In which network namespace each step's device is: an ifindex means a device only together with it."""

from __future__ import annotations

import numpy as np

from ..format.wire import NETNS_FROM_HERE, NETNS_NEXT_STEP, STEP_NETNS, Array


def namespaces(netns: Array, steps: Array, offsets: Array) -> Array:
    """Return for every step the namespace of its device: that of its pass, or the one that the packet entered before.

    :param netns: of each pass's first device, shape (n,).
    :param steps: of all passes, shape (m,) of ``wire.STEP``; those of pass ``i`` are ``offsets[i]:offsets[i + 1]``.
    :returns: shape (m,); for a step of the kind NETNS itself, the namespace that it names.
    """
    counts = np.diff(offsets)
    result: Array = np.repeat(netns, counts)
    enters = steps["kind"] == STEP_NETNS
    if not enters.any():
        return result
    at = np.arange(len(steps))
    latest = np.maximum.accumulate(np.where(enters & (steps["result"] == NETNS_FROM_HERE), at, -1))
    entered = latest >= np.repeat(offsets[:-1], counts)
    result[entered] = steps["arg"][latest[entered]]
    for_next = np.flatnonzero(enters & (steps["result"] == NETNS_NEXT_STEP))
    result[for_next] = steps["arg"][for_next]
    followed = for_next[np.isin(for_next + 1, offsets, invert=True)]
    result[followed + 1] = steps["arg"][followed]
    return result
