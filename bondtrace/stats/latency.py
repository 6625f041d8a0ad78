# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a packet takes from entering a pass to each of its steps, as histograms.

Everything is counted in columns. The bins are a quarter of an octave wide (a factor of 1.19), so that is the precision
of a quantile; minimum, maximum and mean are exact.

Invariant: memory grows with the kinds of steps and devices, not with the journeys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np

from ..analysis.passes import function_name
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys
from ..analysis.whereabouts import namespaces
from ..format.wire import RECORD_LATE, RECORD_TX, STEP_DROP, STEP_HANDLER, STEP_NETNS, STEP_SEGMENTS, Array
from ..net.topology import key_from
from ..util.arrays import upper_half

EDGES_NS: Array = np.unique(np.round(2.0 ** (np.arange(0, 4 * 33) / 4)).astype(np.int64))
"""Bin ``i`` has the times from ``EDGES_NS[i - 1]`` to below ``EDGES_NS[i]``; the first those below 1 ns, the last all
above. Shape (bins - 1,)."""

BINS = len(EDGES_NS) + 1


class Kind(NamedTuple):
    """A kind of step: its device (``netns``, ``ifindex``) and what it is, numbers as in ``wire``; ``address`` is the
    low half of the address of an rx_handler, or of the function that dropped the packet."""

    netns: int
    ifindex: int
    sent: bool
    step: int
    func: int
    address: int

    def function(self, scene: Scene) -> Optional[str]:
        """Return the kernel's function, where it has a name."""
        return function_name(self.func, self.address, self.step, scene)


@dataclass
class Spread:
    """Times in ns: their number, sum, minimum, maximum, and the number in each bin, shape (BINS,) of int64."""

    count: int = 0
    total_ns: int = 0
    least_ns: int = 1 << 62
    most_ns: int = 0
    bins: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def quantile_ns(self, share: float) -> int:
        """Return the time that ``share`` (0 to 1) of the steps did not exceed: the upper edge of the bin, or the
        maximum."""
        place = int(np.searchsorted(np.cumsum(self.bins), share * self.count))
        return min(int(EDGES_NS[place]), self.most_ns) if place < len(EDGES_NS) else self.most_ns


@dataclass
class Latencies:
    """The spread of every kind of step."""

    spreads: dict[Kind, Spread] = field(default_factory=dict)

    def add(self, columns: Journeys) -> None:
        """Count the steps of these journeys, without those of a pass whose beginning is not known."""
        passes = columns.passes
        owner = passes.of_step
        is_step = ~np.isin(passes.steps["kind"], (STEP_NETNS, STEP_SEGMENTS))
        told = np.flatnonzero(is_step & (passes.records["kind"][owner] != RECORD_LATE))
        if not len(told):
            return
        netns = namespaces(passes.records["netns"], passes.steps, passes.offsets)[told]
        steps, owner = passes.steps[told], owner[told]
        sent = passes.records["kind"][owner] == RECORD_TX
        has_address = np.isin(steps["kind"], (STEP_HANDLER, STEP_DROP))
        device = upper_half(netns) | steps["ifindex"]
        what = (
            upper_half(np.where(has_address, steps["skb_low"], 0))
            | np.where(steps["kind"] == STEP_DROP, 0, steps["func"]).astype(np.uint64) << np.uint64(16)
            | steps["kind"].astype(np.uint64) << np.uint64(8)
            | sent.astype(np.uint64)
        )
        devices, where = np.unique(device, return_inverse=True)
        kinds, which = np.unique(what, return_inverse=True)
        found, group = np.unique(where.reshape(-1) * len(kinds) + which.reshape(-1), return_inverse=True)
        keys = [_kind(int(devices[one // len(kinds)]), int(kinds[one % len(kinds)])) for one in found.tolist()]
        self._count(keys, group.reshape(-1), steps["t_ns"].astype(np.int64))

    def _count(self, keys: list[Kind], group: Array, times_ns: Array) -> None:
        """Count times; ``group`` has for each the place of its kind in ``keys``."""
        order = np.argsort(group, kind="stable")
        begins = np.searchsorted(group[order], np.arange(len(keys)))
        ordered = times_ns[order]
        bins = np.bincount(
            group * BINS + np.searchsorted(EDGES_NS, times_ns, side="right"), minlength=len(keys) * BINS
        ).reshape(-1, BINS)
        least, most = np.minimum.reduceat(ordered, begins), np.maximum.reduceat(ordered, begins)
        total = np.add.reduceat(ordered, begins)
        for place, key in enumerate(keys):
            spread = self.spreads.setdefault(key, Spread())
            spread.count += int(bins[place].sum())
            spread.total_ns += int(total[place])
            spread.least_ns = min(spread.least_ns, int(least[place]))
            spread.most_ns = max(spread.most_ns, int(most[place]))
            spread.bins += bins[place]


def _kind(device: int, what: int) -> Kind:
    return Kind(*key_from(device), bool(what & 0xFF), what >> 8 & 0xFF, what >> 16 & 0xFF, what >> 32)
