# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel side counted itself, by name of outcome, verdict and function: for rates at which journeys are of no
use. Nothing is sent per packet, so the counts are exact at any rate.

What is counted is passes and steps, not packets: a packet that a bridge hands on passes twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Optional

from ..analysis.passes import function_name, is_only_freed
from ..analysis.scene import Scene
from ..format.wire import OUTCOMES, STEP_DROP, STEP_HANDLER, STEP_PASS, STEP_TAP, STEP_VLAN, VERDICTS, Array
from .ended import Ended
from .summary import Place, Summary


@dataclass(frozen=True)
class KernelCounts:
    """Counts since the beginning of the trace. ``passed``: rounds with that ``skb->dev``, or offers to the transmit
    taps there; ``offers`` by (tap inode, place, outcome); ``verdicts`` by (netns, ifindex, function, verdict);
    ``drops`` by (netns, ifindex, function, the kernel's reason)."""

    passed: Counter[Place] = field(default_factory=Counter)
    offers: Counter[tuple[int, Place, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[int, int, str, str]] = field(default_factory=Counter)
    drops: Counter[tuple[int, int, str, Optional[str]]] = field(default_factory=Counter)
    passes: int = 0

    @property
    def inodes(self) -> set[int]:
        """The taps that were offered something."""
        return {inode for inode, _, _ in self.offers}

    def since(self, earlier: KernelCounts) -> KernelCounts:
        """Return what was counted after an earlier reading."""
        return KernelCounts(
            self.passed - earlier.passed,
            self.offers - earlier.offers,
            self.verdicts - earlier.verdicts,
            self.drops - earlier.drops,
            self.passes - earlier.passes,
        )

    def summary(self) -> Summary:
        """Return the counts as a summary, as far as these can show it."""
        ended = Ended(dropped=Counter(self.drops))
        result = Summary(journeys=self.passes, counted=True, passed=Counter(self.passed), ended=ended)
        for (inode, place, outcome), count in self.offers.items():
            result.offered[inode, place] += count
            result.outcomes[inode, outcome] += count
            if outcome == "captured":
                result.captured[inode, place] += count
        return result


def of(counts: Array, scene: Scene, directions: Collection[str] = ("rx", "tx")) -> KernelCounts:
    """Return the counts of these directions. ``counts`` has shape (n,) of ``wire.COUNT``."""
    passes = 0
    result = KernelCounts()
    for (netns, ifindex, arg, more, kind, code, func, outgoing), count in counts.tolist():
        place = (netns, ifindex, "tx" if outgoing else "rx")
        if place[2] not in directions:
            continue
        if kind == STEP_PASS:
            result.passed[place] += count
            passes += 0 if code else count
        elif kind == STEP_TAP:
            result.offers[arg, place, OUTCOMES.get(code, "unknown")] += count
        elif kind in (STEP_HANDLER, STEP_VLAN):
            function = function_name(func, arg, kind, scene) or "?"
            result.verdicts[netns, ifindex, function, VERDICTS.get(code, "unknown")] += count
        elif kind == STEP_DROP and not is_only_freed(arg, scene):
            function = function_name(func, arg, kind, scene) or "?"
            result.drops[netns, ifindex, function, scene.drop_reason(more)] += count
    return KernelCounts(result.passed, result.offers, result.verdicts, result.drops, passes)
