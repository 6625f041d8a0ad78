# SPDX-License-Identifier: GPL-2.0-or-later
"""Which journeys of a trace somebody asks for: ``Criteria`` say it, a ``Selection`` applies them to one trace.

All that is asked must hold; of several values of one criterion any. Times and packet filters are looked at in columns.
What the steps and the answers of a journey decide is asked of one journey of each group (``alike``), and holds for all
of that group; so a million journeys take seconds, and what is selected is what would be shown.

Invariant: what cannot be decided (a filter that reads bytes which were not kept) is not selected, and is counted.

Example::

    criteria = Criteria(taps=("tcpdump",), outcomes=("full",), slower_ns=1_000_000)
    found = criteria.mask(journeys, scene)     # of analysis.stitch.Journeys, with the scene as it is by then
    some = journeys.take(np.flatnonzero(found.selected))
"""

from __future__ import annotations

import shlex
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from ..format.wire import Array, Passes
from ..model import Journey
from ..net.classic_bpf import ACCEPT, BLIND
from ..net.pcap import Filter
from ..util.untrusted import printable
from . import assemble, filtering
from .alike import groups
from .filtering import FOREIGN, NO_CONTENTS, Contents
from .moments import Moment
from .scene import Scene
from .stitch import Journeys
from .tap_names import answers_to

ANY = ""
"""As a reason of ``Criteria.dropped``: for any reason."""


class Found(NamedTuple):
    """Which journeys are ``selected``; and of which others, that fulfil all else, the filter cannot be decided: too few
    bytes were kept (``cut``), or their device has a link layer that it is not for (``foreign``). Each of shape (n,) of
    bool; no journey is in two."""

    selected: Array
    cut: Array
    foreign: Array


@dataclass(frozen=True)
class Criteria:
    """What is asked for; what is empty or ``None`` is not. Strings are as people write and see them:

    - ``taps``: name, inode or pid: the packet was offered to such a tap. With ``outcomes`` this is what such a tap did;
      with ``unseen`` such a tap was not offered it, for one of these reasons (``why_unseen.REASONS``).
    - ``outcomes``: what a tap did with it (``model.OUTCOMES``).
    - ``dropped``: the kernel dropped it, or a copy of it, for one of these reasons (``ANY``: whatever it was).
    - ``devices``: it passed one of these. ``paths``: it passed all devices of one of these, in this order; it may have
      passed others in between.
    - ``slower_ns``: it took longer. ``since``, ``until``: it began at or after the one, and before the other.
    - ``packet_filter``: the filter accepts it as it was in one of its passes.
    """

    taps: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ()
    slower_ns: Optional[int] = None
    since: Optional[Moment] = None
    until: Optional[Moment] = None
    packet_filter: Optional[Filter] = None

    def __bool__(self) -> bool:
        return self != Criteria()

    def mask(self, journeys: Journeys, scene: Scene, contents: Contents = NO_CONTENTS) -> Found:
        """Return which of these journeys fulfil all criteria.

        :param contents: more of the packets' bytes than the records hold.
        :raises BondtraceError: where ``since`` or ``until`` is asked of a trace whose start is not known.
        """
        places = self._by_times(journeys, scene)
        if self._asks_of_steps:
            places = places.compress(self._by_groups(journeys.take(places), scene))
        found = Found(*(np.zeros(len(journeys), bool) for _ in Found._fields))
        if self.packet_filter is None:
            found.selected[places] = True
        elif len(places):
            judged = _by_filter(self.packet_filter, journeys.take(places), contents)
            for column, values in zip(found, judged):
                column[places] = values
        return found

    def holds_for(self, journey: Journey, scene: Scene) -> bool:
        """Does a journey fulfil what is asked of its steps and answers: all but times and the filter?"""
        return (
            self._taps_hold(journey, scene)
            and (not self.dropped or self._is_dropped(journey))
            and (not self.devices or not set(self.devices).isdisjoint(visited(journey)))
            and (not self.paths or any(_in_order(path, visited(journey)) for path in self.paths))
        )

    @property
    def words(self) -> str:
        """What is asked for, as options of the command line: "--tap tcpdump --filter 'icmp or arp'"."""
        options = [
            *(("--tap", one) for one in self.taps),
            *(("--unseen", one) for one in self.unseen),
            *(("--outcome", one) for one in self.outcomes),
            *((f"--dropped={one}",) if one else ("--dropped",) for one in self.dropped),
            *(("--dev", one) for one in self.devices),
            *(("--path", ">".join(one)) for one in self.paths),
            *([] if self.slower_ns is None else [("--slower", _span_words(self.slower_ns))]),
            *([("--since", self.since.words)] if self.since else []),
            *([("--until", self.until.words)] if self.until else []),
            *([("--filter", self.packet_filter.expression)] if self.packet_filter else []),
        ]
        return printable(shlex.join(word for option in options for word in option))

    # --- in columns ---

    def _by_times(self, journeys: Journeys, scene: Scene) -> Array:
        """Return the places of the journeys that began in time and took long enough."""
        is_in = np.ones(len(journeys), bool)
        if self.since and len(journeys):
            is_in &= journeys.begins_ns.astype(np.int64) >= self.since.monotonic_ns(scene)
        if self.until and len(journeys):
            is_in &= journeys.begins_ns.astype(np.int64) < self.until.monotonic_ns(scene)
        places = np.flatnonzero(is_in)
        if self.slower_ns is not None and len(places):
            places = places.compress(durations_ns(journeys.take(places)) > self.slower_ns)
        return places

    # --- by groups ---

    @property
    def _asks_of_steps(self) -> bool:
        return bool(self.taps or self.unseen or self.outcomes or self.dropped or self.devices or self.paths)

    def _by_groups(self, journeys: Journeys, scene: Scene) -> Array:
        """Return for each journey whether its group fulfils what is asked of steps and answers."""
        first, _, which = groups(journeys, scene)
        few = journeys.take(first)
        holds = [self.holds_for(assemble.journey(few, place, scene), scene) for place in range(len(few))]
        found: Array = np.array(holds, bool).take(which)
        return found

    def _taps_hold(self, journey: Journey, scene: Scene) -> bool:
        """Does it hold what is asked of taps: what they did, why they were not offered it, that they were?"""
        steps = [step for one in journey.passes for step in one.steps if step.tap is not None]
        if self.outcomes and not any(
            step.outcome in self.outcomes and self._means(step.tap, journey, scene) for step in steps
        ):
            return False
        if self.unseen and not any(
            one.reason in self.unseen and self._means(one.tap, journey, scene) for one in journey.unseen
        ):
            return False
        is_plain = self.taps and not self.outcomes and not self.unseen
        return not is_plain or any(self._means(step.tap, journey, scene) for step in steps)

    def _means(self, inode: Optional[int], journey: Journey, scene: Scene) -> bool:
        """Is it one of ``taps``, or any where none is named?"""
        if not self.taps or inode is None:
            return not self.taps
        tap = scene.tap(inode, journey.time_ns)
        return any(answers_to(name, inode, tap) for name in self.taps)

    def _is_dropped(self, journey: Journey) -> bool:
        drops = [step for one in journey.passes for step in one.steps if step.kind == "drop"]
        return any(reason in (ANY, step.reason) for step in drops for reason in self.dropped)


class Selection:
    """Criteria, applied to one trace, and what was counted.

    ``asked``: of how many journeys it was decided; ``selected``, ``cut``, ``foreign``: how many these are (``Found``).
    ``ended_early``: as many were selected as were wanted, so of those behind the last of these it was not decided.
    ``begun_ns``: when the last journey of the trace began so far, whether it was asked about or not.
    """

    def __init__(self, criteria: Criteria) -> None:
        self.criteria = criteria
        self.asked = self.selected = self.cut = self.foreign = self.begun_ns = 0
        self.ended_early = False

    def reached(self, journeys: Journeys) -> None:
        """Note that the trace has come to these journeys."""
        self.begun_ns = int(journeys.begins_ns[-1]) if len(journeys) else self.begun_ns

    def take(
        self, journeys: Journeys, scene: Scene, contents: Contents = NO_CONTENTS, most: Optional[int] = None
    ) -> Journeys:
        """Return those of these journeys that are selected, at most so many; those behind them are not decided of."""
        found = self.criteria.mask(journeys, scene, contents)
        places = np.flatnonzero(found.selected)
        end = len(journeys)
        if most is not None and len(places) >= most:
            places = places[:most]
            end = int(places[-1]) + 1 if most else 0
            self.ended_early = True
        self.asked += end
        self.selected += len(places)
        self.cut += int(np.count_nonzero(found.cut[:end]))
        self.foreign += int(np.count_nonzero(found.foreign[:end]))
        return journeys.take(places)

    def lines(self, scene: Scene) -> list[str]:
        """Return what is to be said of the selection: how many of how many; what could not be decided, and why."""
        of = f"{'the first ' if self.ended_early else ''}{self.asked:,}"
        lines = [f"selected: {self.selected:,} of {of} journeys by {self.criteria.words}"]
        if self.cut:
            lines.append(
                f"{self.cut:,} packets have too few bytes kept for this filter: record with --snaplen (not selected)"
            )
        if self.foreign:
            lines.append(f"{self.foreign:,} packets are of link layers that a filter cannot read here (not selected)")
        if self.criteria.packet_filter and scene.start.get("privacy"):
            lines.append(
                "this recording was made with --privacy: a filter sees its pseudonyms and not the real addresses"
            )
        return lines

    def object(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {
            "by": self.criteria.words,
            "selected": self.selected,
            "of": self.asked,
            "ended_early": self.ended_early,
            "undecided": self.cut + self.foreign,
        }


def durations_ns(journeys: Journeys) -> Array:
    """Return how long each journey took, as ``Journey.duration_ns``; shape (n,) of int64."""
    passes = journeys.passes
    begins_ns = passes.records["time_ns"].astype(np.int64)
    ends_ns = begins_ns + np.maximum(passes.records["duration_ns"], _last_steps_ns(passes))
    firsts = journeys.offsets[:-1]
    found: Array = np.maximum.reduceat(ends_ns, firsts) - np.minimum.reduceat(begins_ns, firsts)
    return found


def _last_steps_ns(passes: Passes) -> Array:
    """Return for each pass when its last step was, since its begin; 0 without one."""
    found = np.zeros(len(passes), np.int64)
    some = np.flatnonzero(np.diff(passes.offsets))
    if len(some):
        found[some] = np.maximum.reduceat(passes.steps["t_ns"], passes.offsets[some])
    return found


def visited(journey: Journey) -> list[str]:
    """Return the names of the devices that a packet passed, in order. Of passes at the same time only is told after
    which begins of passes a step came, as only that is in a shape."""
    begins_ns = [one.time_ns - journey.time_ns for one in journey.passes]
    told = [(place, step) for place, one in enumerate(journey.passes) for step in one.steps]
    told.sort(key=lambda of: (bisect_left(begins_ns, of[1].t_ns), of[0]))
    pairs = ((step.dev, step.next_dev if step.next_ifindex is not None else None) for _, step in told)
    return [name for pair in pairs for name in pair if name]


def _in_order(path: Collection[str], names: list[str]) -> bool:
    """Do these devices occur among the names, in this order?"""
    rest = iter(names)
    return all(device in rest for device in path)


def _by_filter(wanted: Filter, journeys: Journeys, contents: Contents) -> Found:
    """Return of which journeys the filter accepts a pass, and of which others it cannot be decided."""
    verdicts = filtering.verdicts(journeys.passes, wanted, contents)
    matches, cut, foreign = (
        np.logical_or.reduceat(verdicts == verdict, journeys.offsets[:-1]) for verdict in (ACCEPT, BLIND, FOREIGN)
    )
    return Found(matches, cut & ~matches, foreign & ~cut & ~matches)


def _span_words(span_ns: int) -> str:
    unit, size = next(
        (unit, size)
        for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1))
        if span_ns % size == 0
    )
    return f"{span_ns // size}{unit}"
