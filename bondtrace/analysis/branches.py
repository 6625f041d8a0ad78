# SPDX-License-Identifier: GPL-2.0-or-later
"""How the passes of a journey hang together: which followed which, and which are branches of another.

A pass that ran within another (a bridge's flooding, a mirror, routing) is a branch of that one; so is one of a copy,
that is, of a clone that no pass had before. What follows on a branch, by the same skb, is of the same branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from ..format.wire import RECORD_INSIDE_LIST, Array
from ..model import Pass, Step


def in_order(passes: Sequence[Pass]) -> Iterator[tuple[int, Step]]:
    """Yield (the place of its pass, the step) for every step of a journey, in order of time.

    Where times are the same a pass goes on before another one begins: a branch ends before its pass goes on.
    """
    if len(passes) == 1:
        yield from ((0, step) for step in sorted(passes[0].steps, key=lambda step: step.t_ns))
        return
    left = [sorted(one.steps, key=lambda step: step.t_ns)[::-1] for one in passes]
    now = 0
    while True:
        coming = [(steps[-1].t_ns, place != now, place) for place, steps in enumerate(left) if steps]
        if not coming:
            return
        now = min(coming)[2]
        yield now, left[now].pop()


@dataclass(frozen=True)
class Place:
    """Where a pass is in its journey, as places of other passes there: see ``model.Pass``. ``copied``: its skb was a
    clone, which only shared its data with an earlier one's."""

    parent: Optional[int] = None
    follows: Optional[int] = None
    copied: bool = False


FIRST = Place()


def places(records: Array) -> list[Place]:
    """Return the place of every pass of a journey, given their records in the order in which they began."""
    found = [FIRST]
    if len(records) == 1:
        return found
    told = [_Told(record) for record in records]
    for nth in range(1, len(told)):
        found.append(_place(told, nth, found))
    return found


class _Told:
    """What a record tells of how its pass hangs together with others."""

    __slots__ = ("head", "inside", "list_", "nested_in", "own", "skbs")

    def __init__(self, record: Array) -> None:
        cpu = int(record["cpu"])
        self.own = cpu, int(record["seq"])
        self.nested_in = (cpu, int(record["parent"])) if record["parent"] else None
        self.list_ = cpu, int(record["frame"])
        self.inside = bool(record["flags"] & RECORD_INSIDE_LIST)
        self.skbs = int(record["skb"]) & 0xFFFFFFFF, int(record["last_skb"])
        self.head = int(record["head"])


def _place(told: list[_Told], nth: int, found: list[Place]) -> Place:
    one = told[nth]
    earlier = range(nth - 1, -1, -1)
    nested = next((at for at in earlier if told[at].own == one.nested_in), None)
    same = next((at for at in earlier if one.skbs[0] in told[at].skbs), None)
    if same is not None:
        follows, copied = same, False
    elif nested is not None:
        follows, copied = nested, False
    else:
        sharing = [at for at in earlier if one.head and told[at].head == one.head]
        # Of two clones the one is not a copy of the other.
        follows = next((at for at in sharing if not found[at].copied), nth - 1)
        copied = bool(sharing)
    if nested is not None:
        return Place(nested, follows)
    before = told[follows]
    if copied or (one.inside and not before.inside and before.list_ == one.list_):
        return Place(follows, follows, copied)
    return Place(found[follows].parent, follows)
