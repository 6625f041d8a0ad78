# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys by kind: all that is counted of them, and all that a selection can ask of their steps, is the same.

With how many journeys each kind has (``timeline``) any selection can be counted later, without the journeys.

Invariant: memory does not grow with the number of journeys, nor without bound with that of kinds: what comes when there
is no room for more is of a kind that tells nothing but where it began and what became of it (``Kind.is_rest``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ..analysis import tap_names
from ..analysis.scene import Scene
from ..analysis.select import visited
from ..model import Journey
from .ended import Drop
from .paths import Path, path
from .summary import Place, Summary

KINDS_MAX = 2000
ENTRIES_MAX = 200_000
FATES = ("full", "captured", "offered", "unseen")
"""What the taps did with a packet, the first that holds: a tap had no room for it; a tap captured it; taps were offered
it and none captured it; no tap was offered it."""


class Named(NamedTuple):
    """A tap as it was at some time: its inode, and what it could be called then besides."""

    inode: int
    names: tuple[str, ...]


class Absent(NamedTuple):
    """A tap (its place in ``Kinds.taps``) that was not offered the packet. Of what is ``trivial`` no detail is kept."""

    tap: int
    reason: str
    trivial: bool
    detail: str


class Kind(NamedTuple):
    """What the journeys of a kind have in common; taps are places in ``Kinds.taps``.

    ``visited``: the names of the devices that they passed, in order. ``offers``: (tap, where, how often offered, how
    often captured); ``outcomes``: (tap, outcome, how often); ``twice``: the taps that were offered it more than once.
    ``drops``: (what was dropped, why nobody lost anything by it, how often).
    """

    began: Place
    fate: str
    is_lost: bool
    is_complete: bool
    path: Path = ()
    visited: tuple[str, ...] = ()
    passed: tuple[Place, ...] = ()
    offers: tuple[tuple[int, Place, int, int], ...] = ()
    outcomes: tuple[tuple[int, str, int], ...] = ()
    twice: tuple[int, ...] = ()
    absent: tuple[Absent, ...] = ()
    drops: tuple[tuple[Drop, Optional[str], int], ...] = ()

    @property
    def is_rest(self) -> bool:
        """Is nothing else known of it but where it began, and what became of it?"""
        return not self.path

    def rest(self) -> Kind:
        """Return the kind without what takes room."""
        return Kind(self.began, self.fate, self.is_lost, self.is_complete)


@dataclass
class Kinds:
    """The kinds so far, numbered from 0, with a journey of each, and the taps that they name."""

    kinds_max: int = KINDS_MAX
    entries_max: int = ENTRIES_MAX
    numbers: dict[Kind, int] = field(default_factory=dict)
    examples: list[Journey] = field(default_factory=list)
    taps: dict[Named, int] = field(default_factory=dict)
    absences: dict[tuple[Absent, ...], int] = field(default_factory=dict)
    entries: int = 0

    def number(self, journey: Journey, scene: Scene, way: Path = ()) -> int:
        """Return the number of the kind of a journey, which is new where there was none of it.

        :param way: its ``path``, where somebody has it already.
        """
        kind = self._kind(journey, scene, way or path(journey))
        if kind not in self.numbers:
            room = len(kind.visited) + len(kind.offers) + len(kind.path)
            room += 0 if kind.absent in self.absences else len(kind.absent)
            if len(self.numbers) >= self.kinds_max or self.entries + room > self.entries_max:
                kind = kind.rest()
            else:
                self.entries += room
                self.absences.setdefault(kind.absent, len(self.absences))
        number = self.numbers.setdefault(kind, len(self.numbers))
        if number == len(self.examples):
            self.examples.append(journey)
        return number

    def _kind(self, journey: Journey, scene: Scene, way: Path) -> Kind:
        alone = Summary()
        alone.count(journey)
        numbers = {inode: self._tap(inode, journey, scene) for inode in journey.taps}
        return Kind(
            _began(journey),
            _fate(alone),
            any(harmless is None for _, harmless, _ in alone.ended.drops()),
            journey.complete,
            way,
            tuple(visited(journey)),
            tuple(sorted(alone.passed)),
            tuple(
                (numbers[inode], place, count, alone.captured[inode, place])
                for (inode, place), count in alone.offered.items()
            ),
            tuple((numbers[inode], outcome, count) for (inode, outcome), count in alone.outcomes.items()),
            tuple(numbers[inode] for inode in alone.twice),
            tuple(
                Absent(numbers[one.tap], one.reason, one.trivial, "" if one.trivial else one.detail)
                for one in journey.unseen
            ),
            tuple(alone.ended.drops()),
        )

    def _tap(self, inode: int, journey: Journey, scene: Scene) -> int:
        named = Named(inode, tap_names.names(scene.tap(inode, journey.time_ns)))
        return self.taps.setdefault(named, len(self.taps))


def _began(journey: Journey) -> Place:
    first = journey.passes[0]
    where = (first.steps[0].netns, first.steps[0].ifindex) if first.steps else (first.netns, 0)
    return (*where, journey.direction)


def _fate(alone: Summary) -> str:
    outcomes = {outcome for _, outcome in alone.outcomes}
    if "full" in outcomes or "captured" in outcomes:
        return "full" if "full" in outcomes else "captured"
    return "offered" if outcomes else "unseen"
