# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts by name, for a monitor that polls: what `Summary` counts by inode and ifindex, here by the names of processes
and devices as they were when the packet passed.

Invariant: a count never falls and never moves to another name, whatever is renamed, bound again, closed or opened; the
number of names is bounded, whatever processes call themselves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..analysis.scene import Scene
from ..model import Journey, Step

MAX_NAMES = 256
OTHER = "other"
UNKNOWN = "unknown"

Names = tuple[str, ...]


class Bounded:
    """A filter that admits the first ``limit`` different tuples; in any further one every part becomes "other"."""

    def __init__(self, limit: int) -> None:
        self._limit, self._known = limit, set[Names]()

    def admit(self, names: Names) -> Names:
        """Return the names, or "other" in place of each where the limit is reached."""
        if names not in self._known:
            if len(self._known) >= self._limit:
                return (OTHER,) * len(names)
            self._known.add(names)
        return names


@dataclass
class NamedCounts:
    """The counts so far. A *tap* is (its process, the device to which it is bound, its kind), a *device* (its name, its
    namespace: by name or else inode). ``passed`` is by device and direction, ``outcomes`` by tap, device, direction and
    outcome, ``unseen`` by tap and reason, ``verdicts`` by device, function and verdict, ``drops`` by device, function
    and reason ("" where the kernel gives none)."""

    scene: Scene
    limit: int = MAX_NAMES
    journeys: int = 0
    incomplete: int = 0
    passed: Counter[Names] = field(default_factory=Counter)
    outcomes: Counter[Names] = field(default_factory=Counter)
    unseen: Counter[Names] = field(default_factory=Counter)
    verdicts: Counter[Names] = field(default_factory=Counter)
    drops: Counter[Names] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._taps, self._devices = Bounded(self.limit), Bounded(self.limit)

    def count(self, journey: Journey, times: int = 1) -> None:
        """Count a journey ``times`` times; for ``Summary.also``."""
        self.journeys += times
        self.incomplete += 0 if journey.complete else times
        places: dict[tuple[int, int, str], Names] = {}
        for one in journey.passes:
            for step in one.steps:
                device = self._device(step.netns, step.dev)
                places[step.netns, step.ifindex, one.direction] = (*device, one.direction)
                if step.next_ifindex is not None:
                    onward = self._device(step.next_netns, step.next_dev or f"if{step.next_ifindex}")
                    places[step.next_netns, step.next_ifindex, one.direction] = (*onward, one.direction)
                self._step(step, device, one.direction, journey.time_ns, times)
        for names in places.values():
            self.passed[names] += times
        for missed in journey.unseen:
            self.unseen[(*self._tap(missed.tap, journey.time_ns), missed.reason)] += times

    def _step(self, step: Step, device: Names, direction: str, time_ns: int, times: int) -> None:
        if step.kind == "drop":
            self.drops[(*device, step.function or UNKNOWN, step.reason or "")] += times
        if step.verdict is not None:
            self.verdicts[(*device, step.function or UNKNOWN, step.verdict)] += times
        if step.tap is not None:
            names = (*self._tap(step.tap, time_ns), *device, direction, step.outcome or UNKNOWN)
            self.outcomes[names] += times

    def _device(self, netns: int, name: str) -> Names:
        return self._devices.admit((name, self.scene.namespace_name(netns) or str(netns)))

    def _tap(self, inode: int, time_ns: int) -> Names:
        tap = self.scene.tap(inode, time_ns)
        if tap is None:
            return UNKNOWN, UNKNOWN, UNKNOWN
        comm = tap.processes[0].comm if tap.processes else UNKNOWN
        bound = {0: "any", -1: "gone"}.get(tap.ifindex) or self.scene.device_name(tap.netns, tap.ifindex, time_ns)
        return self._taps.admit((comm, bound, tap.kind))
