# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report shows of a trace: counts, paths, times, and some journeys in full.

Invariant: nothing grows with the number of journeys, and Python runs only for the few journeys that are assembled: one
of each shape in a batch, and those of the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..analysis import assemble
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys
from ..model import Journey
from .latency import Latencies
from .paths import Paths
from .summary import Summary
from .timeline import Timeline


@dataclass
class Sample:
    """A sample of journeys: from the first on every ``every``-th (a power of two), so that there are at most
    ``limit``."""

    limit: int
    every: int = 1
    seen: int = 0
    kept: dict[int, Journey] = field(default_factory=dict)  # by how many came before it

    def add(self, columns: Journeys, scene: Scene) -> None:
        """Add those of these journeys that are in the sample."""
        total = self.seen + len(columns)
        if not self.limit:
            self.seen = total
            return
        while (total - 1) // self.every + 1 > self.limit:
            self.every *= 2
        self.kept = {place: one for place, one in self.kept.items() if place % self.every == 0}
        for place in range(-self.seen % self.every, len(columns), self.every):
            self.kept[self.seen + place] = assemble.journey(columns, place, scene)
        self.seen = total


@dataclass
class ReportData:
    """What a report shows of one trace. The pipeline that reads the trace uses ``summary`` and ``add``; ``scene`` is
    that pipeline's. ``named`` has the journeys that the summary names as examples."""

    sample: Sample
    directions: tuple[str, ...] = ("rx", "tx")
    scene: Scene = field(default_factory=Scene)
    summary: Summary = field(default_factory=Summary)
    paths: Paths = field(default_factory=Paths)
    timeline: Timeline = field(default_factory=Timeline)
    latencies: Latencies = field(default_factory=Latencies)
    named: dict[int, Journey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.summary.also = self._shape

    def _shape(self, journey: Journey, times: int) -> None:
        self.paths.count(journey, times)
        examples = self.summary.examples
        if any(examples[missed.tap, missed.reason].journey == journey.id for missed in journey.unseen):
            self.named[journey.id] = journey

    def add(self, columns: Journeys) -> None:
        """Take these journeys, which the summary has counted already."""
        self.timeline.add(columns)
        self.latencies.add(columns)
        self.sample.add(columns, self.scene)

    def journeys(self) -> list[Journey]:
        """Return the list, at most ``sample.limit`` journeys, by number: the sample, in which examples (a path's first
        journey, those that the summary names) replace some where both together are too many."""
        limit = self.sample.limit
        if len(self.sample.kept) == self.sample.seen:
            return list(self.sample.kept.values())
        examples = [self.paths.examples[way] for way, _ in self.paths.most_common()]
        chosen = {one.id: one for one in [*examples, *self.named.values()][: limit // 2]}
        rest = [one for one in self.sample.kept.values() if one.id not in chosen]
        places = np.unique(np.linspace(0, len(rest) - 1, min(len(rest), limit - len(chosen))).astype(int))
        chosen.update((rest[place].id, rest[place]) for place in places.tolist())
        return [chosen[number] for number in sorted(chosen)]
