# SPDX-License-Identifier: GPL-2.0-or-later
"""A journey's passes and steps in the order of their times, for those who tell it line by line.

A pass that is a branch of another begins in the middle of that one, whose further steps come after. So steps are not
told pass by pass.

Invariant: the times of what is told never decrease, and every step is told once, but for what a later one says, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ..analysis.branches import in_order
from ..model import Journey, Pass, Step


@dataclass(frozen=True)
class Line:
    """One thing to tell of pass ``one``, the journey's ``place``-th; ``depth`` is how many branches it is on.

    ``kind`` is "begin" (not of the first pass), "back" (the steps after it are of this pass again, although those
    before were not of a branch of it), "step" (with ``step``), "nothing" (no step followed its beginning) or "lost"
    (steps of it were lost).
    """

    kind: str
    one: Pass
    place: int
    depth: int
    step: Optional[Step] = None


def outline(journey: Journey) -> Iterator[Line]:
    """Yield what is to be told, in order."""
    depths = _depths(journey.passes)
    left = [len(one.steps) for one in journey.passes]
    told = [False] * len(journey.passes)
    current: list[int] = []  # by depth, the pass of which the last line was
    for place, step in in_order(journey.passes):
        one, depth = journey.passes[place], depths[place]
        here = current[depth : depth + 1] == [place]
        if not told[place] or not here:
            if place or told[place]:
                yield Line("back" if told[place] else "begin", one, place, depth)
            told[place] = True
        current = [*current[:depth], *[-1] * (depth - len(current)), place]
        left[place] -= 1
        yield from _lines(one, place, depth, step, not left[place])
    for place, one in enumerate(journey.passes):
        if not one.steps:
            yield from _empty(one, place, depths[place])


def _lines(one: Pass, place: int, depth: int, step: Step, last: bool) -> Iterator[Line]:
    if step.kind == "local" and any(later.kind == "socket" for later in one.steps[one.steps.index(step) :]):
        pass  # the socket says it
    elif step.kind != "enter":
        yield Line("step", one, place, depth, step)
    elif len(one.steps) == 1:
        yield Line("nothing", one, place, depth, step)
    if last and one.steps_lost:
        yield Line("lost", one, place, depth)


def _empty(one: Pass, place: int, depth: int) -> Iterator[Line]:
    """Yield what there is to tell of a pass without a single step."""
    if place:
        yield Line("begin", one, place, depth)
    yield Line("nothing", one, place, depth)
    if one.steps_lost:
        yield Line("lost", one, place, depth)


def _depths(passes: tuple[Pass, ...]) -> list[int]:
    return [sum(1 for _ in _ancestors(one, passes)) for one in passes]


def _ancestors(one: Pass, passes: tuple[Pass, ...]) -> Iterator[Pass]:
    """Yield the pass that this one is a branch of, and so on; a mirror may come before what it is a branch of."""
    for _ in passes:
        if one.parent is None:
            return
        one = passes[one.parent]
        yield one
