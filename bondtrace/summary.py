# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts over journeys, in columns: which taps were given how many packets, on which device, and what of it.

A packet *passes* a device when a round of it runs with skb->dev there (or it is offered to the transmit
taps there). A tap is *given* it when its receive function was called. What it keeps true: memory does not
grow with the number of journeys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .scene import Scene
from .stitch import Journeys
from .wire import OUTCOMES, RECORD_LATE, RECORD_TX, STEP_HANDLER, STEP_TAP, Array

Place = tuple[int, int, str]
"""(netns, ifindex, direction)."""


@dataclass
class Summary:
    """The counts so far: ``passed`` by place, ``given`` by (tap inode, place), ``outcomes`` by (tap inode,
    outcome), ``twice`` packets offered more than once, by tap inode."""

    journeys: int = 0
    passed: Counter[Place] = field(default_factory=Counter)
    given: Counter[tuple[int, Place]] = field(default_factory=Counter)
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    twice: Counter[int] = field(default_factory=Counter)

    def add(self, columns: Journeys) -> None:
        """Count these journeys."""
        self.journeys += len(columns)
        if not len(columns):
            return
        records, steps = columns.passes.records, columns.passes.steps
        owner = np.repeat(np.arange(len(records)), np.diff(columns.passes.offsets))
        taps = steps["kind"] == STEP_TAP
        self._count_passed(columns, owner)
        self._count_given(columns, owner[taps], steps[taps])

    def _count_passed(self, columns: Journeys, owner: Array) -> None:
        """A device counts once a journey and direction, however many steps it has there."""
        records, steps, of_pass = columns.passes.records, columns.passes.steps, columns.of_pass
        onward = (steps["kind"] == STEP_HANDLER) & (steps["result"] == 1)
        begun = records["kind"] != RECORD_LATE
        rows = np.concatenate([
            _places(of_pass[begun], records[begun], records["ifindex"][begun]),
            _places(of_pass[owner], records[owner], steps["ifindex"]),
            _places(of_pass[owner[onward]], records[owner[onward]], steps["arg"][onward])])
        seen = np.unique(rows, axis=0)
        for place, count in _counted(seen[:, 1:]):
            self.passed[place] += count

    def _count_given(self, columns: Journeys, owner: Array, steps: Array) -> None:
        records, journey = columns.passes.records[owner], columns.of_pass[owner]
        rows = _places(steps["arg"], records, steps["ifindex"])
        for (inode, netns, ifindex, tx), count in _unique_rows(rows):
            self.given[inode, (netns, ifindex, "tx" if tx else "rx")] += count
        for (inode, outcome), count in _unique_rows(np.stack(
                [steps["arg"].astype(np.int64), steps["result"].astype(np.int64)], axis=1)):
            self.outcomes[inode, OUTCOMES.get(outcome, "unknown")] += count
        offers, counts = np.unique(np.stack([journey, steps["arg"]], axis=1), axis=0, return_counts=True)
        for (inode,), count in _unique_rows(offers[counts > 1][:, 1:]):
            self.twice[inode] += count

    def places(self) -> list[Place]:
        """Every device and direction that packets passed, rx before tx, by namespace and ifindex."""
        return sorted(self.passed, key=lambda place: (place[0], place[1], place[2]))

    def inodes(self, scene: Scene) -> list[int]:
        """The taps of this summary: all that are known and all that were given something."""
        return list(dict.fromkeys([*scene.taps, *(inode for inode, _ in self.given)]))


def _places(first: Array, records: Array, ifindex: Array) -> Array:
    """Rows (first, netns, ifindex, is tx), shape (n, 4) of int64."""
    return np.stack([first.astype(np.int64), records["netns"].astype(np.int64), ifindex.astype(np.int64),
                     (records["kind"] == RECORD_TX).astype(np.int64)], axis=1)


def _unique_rows(rows: Array) -> Iterator[tuple[tuple[int, ...], int]]:
    values, counts = np.unique(rows, axis=0, return_counts=True)
    for row, count in zip(values.tolist(), counts.tolist()):
        yield tuple(row), count


def _counted(rows: Array) -> Iterator[tuple[Place, int]]:
    for (netns, ifindex, tx), count in _unique_rows(rows):
        yield (netns, ifindex, "tx" if tx else "rx"), count
