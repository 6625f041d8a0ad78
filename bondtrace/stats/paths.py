# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths that packets took, and a picture of them: which device, which taps, which rx_handler came after which.

A path is a sequence of nodes, from where the packet came from to where the trace of it ends. Journeys are counted by
shape (``Paths.count`` is for ``Summary.also``), so memory grows only with the number of different paths.

Invariant: every packet is in exactly one path; in the picture's graph, which has no cycle, as many packets leave a stop
as came to it, except those whose path ends there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..model import Journey, Pass, Step
from .summary import Place

#: What became of a packet at the taps of one round, the most informative first.
_TELLING = ("full", "captured", "filtered", "ignored", "unknown")


class Node(NamedTuple):
    """A stop on the way.

    ``kind`` is "source" (``what`` is "received", "sent" or "unknown"), "device", "taps" (``result`` is the most
    informative outcome there), "rx_handler" or "vlan" (``what`` is the kernel's function, ``result`` its verdict),
    "protocol" (``what`` is the function), "drop" (``what`` is the function, ``result`` the kernel's reason),
    "by-design" (a drop by which nobody lost anything), or "end" (``what`` is "driver": the packet was sent, the last
    that is known; "nothing": what came after is not known).
    Protocol handlers and drops belong to a namespace: their ``place`` has no ifindex and direction.
    """

    kind: str
    place: Place
    what: str = ""
    result: str = ""


Path = tuple[Node, ...]
NOWHERE: Place = (0, 0, "")


class Stop(NamedTuple):
    """A node of the picture. ``turn`` is 0, or counts up where a node has to occur again."""

    node: Node
    turn: int


@dataclass
class Picture:
    """The ``stops`` of some paths, and for each of these paths its places among the stops."""

    stops: list[Stop] = field(default_factory=list)
    ways: list[list[int]] = field(default_factory=list)


@dataclass
class Paths:
    """How many packets took each path, and the first journey that did."""

    paths: Counter[Path] = field(default_factory=Counter)
    examples: dict[Path, Journey] = field(default_factory=dict)

    def count(self, journey: Journey, times: int = 1, way: Path = ()) -> bool:
        """Count a journey ``times`` times; return whether it is the first on its path.

        :param way: its ``path``, where somebody has it already.
        """
        way = way or path(journey)
        self.paths[way] += times
        return self.examples.setdefault(way, journey) is journey

    def most_common(self) -> list[tuple[Path, int]]:
        """Return (path, packets), the most frequent first, in a fixed order."""
        return sorted(self.paths.items(), key=lambda one: (-one[1], one[0]))


def path(journey: Journey) -> Path:
    """Return the nodes that a journey visited. Its passes follow one another in the order in which they began; but taps
    that a received packet was only shown to (a VRF's) come before the protocol handler that showed it to them.

    Times do not matter, as journeys of the same shape are counted as one.
    """
    sources = {"rx": "received", "tx": "sent"}
    told = bool(journey.passes[0].steps) and journey.passes[0].steps[0].kind == "enter"
    nodes = [Node("source", NOWHERE, sources[journey.direction] if told else "unknown")]
    shown: list[Node] = []
    for one in reversed(journey.passes):
        if one.shown:
            shown = [*_nodes(one), *shown]
            continue
        nodes[1:1] = _with_shown(list(_nodes(one)), shown)
        shown = []
    last = next((one for one in reversed(journey.passes) if not one.shown), journey.passes[-1])
    return (*nodes, *_end(nodes[-1], last.direction))


def _with_shown(nodes: list[Node], shown: list[Node]) -> list[Node]:
    """Return the nodes of a pass with those that it was shown at."""
    place = next((place for place, node in enumerate(nodes) if node.kind == "protocol"), len(nodes))
    return [*nodes[:place], *shown, *nodes[place:]]


def _nodes(one: Pass) -> Iterator[Node]:
    outcomes = _outcomes_by_round(one.steps)
    entered: set[tuple[int, int, int]] = set()
    for step in one.steps:
        place: Place = (step.netns, step.ifindex, one.direction)
        key = (step.round, step.netns, step.ifindex)
        if key not in entered:
            entered.add(key)
            yield Node("device", place)
        if step.kind in ("tap", "fanout"):
            if key in outcomes:
                yield Node("taps", place, "", outcomes.pop(key))
        elif step.kind in ("rx_handler", "vlan"):
            yield Node(step.kind, place, step.function or "", step.verdict or "")
        elif step.kind == "protocol":
            yield Node("protocol", (step.netns, 0, ""), step.function or "")
        elif step.kind == "drop":
            kind = "by-design" if step.harmless else "drop"
            yield Node(kind, (step.netns, 0, ""), step.function or "", step.reason or "")
        if step.next_ifindex is not None and (step.round + 1, step.next_netns, step.next_ifindex) not in entered:
            entered.add((step.round + 1, step.next_netns, step.next_ifindex))
            yield Node("device", (step.next_netns, step.next_ifindex, one.direction))


def _outcomes_by_round(steps: Iterable[Step]) -> dict[tuple[int, int, int], str]:
    """Return by (round, netns, ifindex) the most informative outcome of the taps there; for a fanout group alone
    "unknown"."""
    found: dict[tuple[int, int, int], set[str]] = {}
    for step in steps:
        if step.kind in ("tap", "fanout"):
            found.setdefault((step.round, step.netns, step.ifindex), set()).add(step.outcome or "unknown")
    return {key: next(one for one in _TELLING if one in outcomes) for key, outcomes in found.items()}


def _end(last: Node, direction: str) -> Iterator[Node]:
    if last.kind in ("protocol", "drop", "by-design") or last.result == "CONSUMED":
        return
    yield Node("end", NOWHERE, "driver" if direction == "tx" else "nothing")


def picture(paths: Iterable[Path]) -> Picture:
    """Return a picture of paths, the most important first: those behind do not change where those before go."""
    stops: dict[Stop, int] = {}
    onward: dict[int, set[int]] = {}
    ways = []
    for one in paths:
        way: list[int] = []
        for node in one:
            turn = 0
            while way and _leads(onward, stops.get(Stop(node, turn), -1), way[-1]):
                turn += 1
            here = stops.setdefault(Stop(node, turn), len(stops))
            if way:
                onward.setdefault(way[-1], set()).add(here)
            way.append(here)
        ways.append(way)
    return Picture(list(stops), ways)


def _leads(onward: dict[int, set[int]], first: int, second: int) -> bool:
    """Is there a way from the first stop (-1: none, as it is not there yet) to the second?"""
    if first < 0:
        return False
    open_, seen = [first], {first}
    while open_:
        here = open_.pop()
        if here == second:
            return True
        more = onward.get(here, set()) - seen
        seen |= more
        open_ += more
    return False
