# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report shows of a trace: counts, paths, times, and some journeys in full.

Invariant: nothing grows with the number of journeys, and Python runs only for the few journeys that are assembled: one
of each shape in a batch, and those of the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..analysis import assemble
from ..analysis.alike import groups
from ..analysis.scene import Scene
from ..analysis.select import durations_ns
from ..analysis.stitch import Journeys
from ..format.wire import Array
from ..model import Journey
from .kinds import Kinds
from .latency import Latencies
from .paths import Paths, path
from .summary import Summary
from .timeline import Timeline


class Listed(NamedTuple):
    """A journey, and the number of its kind (``kinds``)."""

    journey: Journey
    kind: int


@dataclass
class Sample:
    """A sample of journeys: from the first on every ``every``-th (a power of two), so that there are at most
    ``limit``."""

    limit: int
    every: int = 1
    seen: int = 0
    kept: dict[int, Listed] = field(default_factory=dict)  # by how many came before it

    def add(self, columns: Journeys, kinds: Array, scene: Scene) -> None:
        """Add those of these journeys that are in the sample; ``kinds`` are the numbers of their kinds."""
        total = self.seen + len(columns)
        if not self.limit:
            self.seen = total
            return
        while (total - 1) // self.every + 1 > self.limit:
            self.every *= 2
        self.kept = {place: one for place, one in self.kept.items() if place % self.every == 0}
        for place in range(-self.seen % self.every, len(columns), self.every):
            self.kept[self.seen + place] = Listed(assemble.journey(columns, place, scene), int(kinds[place]))
        self.seen = total


@dataclass
class ReportData:
    """What a report shows of one trace. The pipeline that reads the trace uses ``summary`` and ``add``; ``scene`` is
    that pipeline's. ``named`` has the journeys that the summary names as examples, ``firsts`` the first of each
    path."""

    sample: Sample
    directions: tuple[str, ...] = ("rx", "tx")
    scene: Scene = field(default_factory=Scene)
    summary: Summary = field(default_factory=Summary)
    kinds: Kinds = field(default_factory=Kinds)
    paths: Paths = field(default_factory=Paths)
    timeline: Timeline = field(default_factory=Timeline)
    latencies: Latencies = field(default_factory=Latencies)
    named: dict[int, Listed] = field(default_factory=dict)
    firsts: dict[int, Listed] = field(default_factory=dict)
    _shapes: list[Listed] = field(default_factory=list)  # one of each that the summary counted last

    def __post_init__(self) -> None:
        self.summary.also = self._shape

    def _shape(self, journey: Journey, times: int) -> None:
        way = path(journey)
        listed = Listed(journey, self.kinds.number(journey, self.scene, way))
        if self.paths.count(journey, times, way):
            self.firsts[journey.id] = listed
        self._shapes.append(listed)
        absences = self.summary.absences
        if any(absences[missed.tap, missed.reason].journey is journey for missed in journey.unseen):
            self.named[journey.id] = listed

    def add(self, columns: Journeys) -> None:
        """Take these journeys, which the summary has counted just now."""
        _, _, which = groups(columns, self.scene)
        kinds = np.array([one.kind for one in self._shapes], np.int64)[which]
        self._shapes.clear()
        self.timeline.add(kinds, columns.begins_ns.astype(np.int64), durations_ns(columns))
        self.latencies.add(columns)
        self.sample.add(columns, kinds, self.scene)

    def journeys(self) -> list[Listed]:
        """Return the list, at most ``sample.limit`` journeys, by number: the sample, in which examples (a path's first
        journey, those that the summary names, one of each kind) replace some where both together are too many."""
        limit = self.sample.limit
        if len(self.sample.kept) == self.sample.seen:
            return list(self.sample.kept.values())
        of_paths = [self.firsts[self.paths.examples[way].id] for way, _ in self.paths.most_common()]
        of_kinds = [Listed(one, number) for number, one in enumerate(self.kinds.examples)]
        examples = [*of_paths, *self.named.values(), *of_kinds]
        chosen = {one.journey.id: one for one in examples[: limit // 2]}
        rest = [one for one in self.sample.kept.values() if one.journey.id not in chosen]
        places = np.unique(np.linspace(0, len(rest) - 1, min(len(rest), limit - len(chosen))).astype(int))
        chosen.update((rest[place].journey.id, rest[place]) for place in places.tolist())
        return [chosen[number] for number in sorted(chosen)]
