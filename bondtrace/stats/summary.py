# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts over journeys: which taps were offered how many packets, where, what became of them, and why not.

Most journeys are alike: the same steps on the same devices by the same taps. So journeys are grouped by *shape* in
columns, and one of each shape is assembled and counted as often as the shape occurs.

Invariant: memory does not grow with the number of journeys, and the counts are those of counting one by one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Optional

from ..analysis import assemble
from ..analysis.alike import groups
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys
from ..model import Journey, Unseen
from .ended import Drop, Ended

Place = tuple[int, int, str]
"""(netns, ifindex, direction)."""


@dataclass
class Absence:
    """That a tap was not offered ``packets`` packets for one reason, for how many of them that is no news
    (``trivial``), and one of them with that one's sentence: the first for which it is news, or else the first."""

    journey: Journey
    unseen: Unseen
    packets: int = 0
    trivial: int = 0

    @property
    def is_trivial(self) -> bool:
        """Is it no news for any of them?"""
        return self.trivial == self.packets

    def count(self, journey: Journey, unseen: Unseen, times: int) -> None:
        """Count a journey ``times`` times."""
        if self.is_trivial and not unseen.trivial:
            self.journey, self.unseen = journey, unseen
        self.packets += times
        self.trivial += times if unseen.trivial else 0


@dataclass
class Summary:
    """The counts so far.

    A packet *passes* a place when a round of it runs with skb->dev there, or it is offered to the transmit taps there.
    ``offered`` and ``captured`` are by (tap inode, place), ``outcomes`` by (tap inode, outcome), ``absences`` by (tap
    inode, reason), ``twice`` (offered more than once) by tap inode. ``ended`` counts what was dropped, and what became
    of packets beyond IP. ``counted``: by the kernel, so ``journeys`` are passes, and ``incomplete``, ``absences``,
    ``twice`` and all of ``ended`` but the drops are not known.
    """

    journeys: int = 0
    incomplete: int = 0
    counted: bool = False
    also: Optional[Callable[[Journey, int], None]] = None  # given each shape's journey, and how many have it
    passed: Counter[Place] = field(default_factory=Counter)
    offered: Counter[tuple[int, Place]] = field(default_factory=Counter)
    captured: Counter[tuple[int, Place]] = field(default_factory=Counter)
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    absences: dict[tuple[int, str], Absence] = field(default_factory=dict)
    twice: Counter[int] = field(default_factory=Counter)
    ended: Ended = field(default_factory=Ended)

    @property
    def dropped(self) -> Counter[Drop]:
        """What the kernel dropped: ``Ended.dropped``."""
        return self.ended.dropped

    @property
    def unseen(self) -> Counter[tuple[int, str]]:
        """How many packets a tap was not offered for a reason, by (tap inode, reason)."""
        return Counter({which: one.packets for which, one in self.absences.items()})

    def add(self, columns: Journeys, scene: Scene) -> Journeys:
        """Count these journeys; return one of each shape."""
        first, counts, _ = groups(columns, scene)
        few = columns.take(first)
        for nth, count in enumerate(counts.tolist()):
            journey = assemble.journey(few, nth, scene)
            self.count(journey, count)
            if self.also:
                self.also(journey, count)
        return few

    def count(self, journey: Journey, times: int = 1) -> None:
        """Count a journey ``times`` times."""
        self.journeys += times
        self.incomplete += 0 if journey.complete else times
        self.ended.count(journey, times)
        places: set[Place] = set()
        offers: Counter[int] = Counter()
        for one in journey.passes:
            for step in one.steps:
                place = (step.netns, step.ifindex, one.direction)
                places.add(place)
                if step.next_ifindex is not None:
                    places.add((step.next_netns, step.next_ifindex, one.direction))
                if step.tap is None:
                    continue
                offers[step.tap] += 0 if step.outcome == "ignored" else 1
                self.offered[step.tap, place] += times
                self.captured[step.tap, place] += times if step.outcome == "captured" else 0
                self.outcomes[step.tap, step.outcome or "unknown"] += times
        for place in places:
            self.passed[place] += times
        for inode, count in offers.items():
            if count > 1:
                self.twice[inode] += times
        for missed in journey.unseen:
            absence = self.absences.setdefault((missed.tap, missed.reason), Absence(journey, missed))
            absence.count(journey, missed, times)

    def places(self) -> list[Place]:
        """Return every device and direction that packets passed, by namespace, ifindex, rx before tx."""
        return sorted(self.passed)

    def inodes(self, scene: Scene) -> list[int]:
        """Return the taps of this summary: all that are known and all that were offered something."""
        return list(dict.fromkeys([*scene.taps, *(inode for inode, _ in self.offered)]))

    def reasons(self, inode: int) -> list[tuple[str, int]]:
        """Return (reason, packets) for why this tap was not offered packets, the most frequent reason first."""
        counts = [(reason, one.packets) for (tap, reason), one in self.absences.items() if tap == inode]
        return sorted(counts, key=lambda one: (-one[1], one[0]))

    def ranked(self, inode: int) -> list[tuple[str, int]]:
        """Return the same, with those that are trivial for all packets last."""
        return sorted(self.reasons(inode), key=lambda one: self.absences[inode, one[0]].is_trivial)
