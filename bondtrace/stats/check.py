# SPDX-License-Identifier: GPL-2.0-or-later
"""A tap's capture files against what a recording says of that tap: which packets the files have and lack, and whether
the two agree.

The recording says of every packet what the tap did with it, or why it was not offered it. What it calls captured must
be in the files, and what is in the files must be called captured.

Invariant: memory does not grow with the recording or the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np

from ..analysis import assemble
from ..analysis.alike import groups
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys
from ..analysis.watched import OPEN
from ..format.wire import OUTCOMES, RECORD_LATE, STEP_TAP, Array
from ..model import Journey
from .comparable import Side, of_records
from .held import Capture, Held
from .matching import AHEAD_NS, BEHIND_NS, NEAR_NS, pair

CAPTURED, GONE, UNKNOWN = "captured", "closed", "unknown"
_CAPTURED = next(number for number, name in OUTCOMES.items() if name == CAPTURED)
_OFFERED = ("full", "filtered", UNKNOWN, "ignored")


class Span(NamedTuple):
    """The time in which everything was traced, ns since the Unix epoch."""

    begin_ns: int
    end_ns: int


class Found(NamedTuple):
    """What was found of a packet, for a list. ``what`` is "has"; "lacks" for what the tap did not capture (``reason``);
    "missing": captured, and not in the file; "contradicted": in the file, and the recording says ``reason`` of it;
    "untold": in the file, and not in the recording; "outside": in the file, when nothing was recorded. ``which`` is the
    packet of the capture (``Capture.place_of``), ``None`` where there is none; ``journey`` likewise."""

    what: str
    time_ns: int
    which: Optional[int] = None
    journey: Optional[int] = None
    reason: str = ""


@dataclass
class Tally:
    """The counts of one capture.

    Of the recording's packets: ``has`` (``twice``: of these more than once), and ``lacks``, by what became of them or
    why the tap was not offered them. Of what it calls captured: ``found`` in the file; ``missing`` between packets that
    the file has; ``unread``: before its first or after its last. Of the file's packets: ``outside`` the traced time;
    ``contradicted``, by what the recording says instead; ``open``: the recording says that it does not know;
    ``untold``: not in the recording. ``examples`` has a journey's number for each of these words and reasons.
    """

    has: int = 0
    twice: int = 0
    lacks: Counter[str] = field(default_factory=Counter)
    found: int = 0
    missing: int = 0
    unread: int = 0
    outside: int = 0
    contradicted: Counter[str] = field(default_factory=Counter)
    open: int = 0
    untold: int = 0
    examples: dict[str, int] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        """How many of the file's packets the recording does not call captured."""
        return sum(self.contradicted.values()) + self.untold


class Check:
    """The comparison of one capture, while the recording is read. ``tell`` is given every packet, if it is there."""

    def __init__(
        self, capture: Capture, span: Span, scene: Scene, tell: Optional[Callable[[Found], None]] = None
    ) -> None:
        self.capture, self.span, self.tally = capture, span, Tally()
        self._scene, self.tell, self._held = scene, tell, Held(capture)
        self._instead: dict[int, tuple[int, str]] = {}  # by packet of the file: the journey that has it, and its word
        self._since = 0  # captured ones that are not in the file, since the last that is

    @property
    def packets(self) -> int:
        """How many packets of the files were read."""
        return self._held.read

    # --- the recording's packets ---

    def count(self, journey: Journey, times: int) -> None:
        """Count what the recording says of so many packets like this."""
        word = word_of(journey, self.capture.inode)
        if word != CAPTURED:
            self.tally.lacks[word] += times
            self.tally.examples.setdefault(word, journey.id)

    def show(self, journey: Journey) -> None:
        """Tell that the file lacks the packet, where the recording says so."""
        word = word_of(journey, self.capture.inode)
        if word != CAPTURED and self.tell:
            self.tell(Found("lacks", journey.wall_ns, None, journey.id, word))

    def add(self, columns: Journeys) -> None:
        """Compare the packets of these journeys, which come in the order in which they began."""
        if not len(columns):
            return
        offset_ns = self._scene.wall_offset_ns
        first_ns, last_ns = (int(columns.begins_ns[at]) + offset_ns for at in (0, -1))
        said, journey, nth = _deliveries(columns, self.capture, offset_ns)
        until_ns = max(last_ns, int(said.times_ns.max(initial=0))) + AHEAD_NS
        for old in self._held.read_until(until_ns, first_ns - BEHIND_NS):
            self._give_up(old)
        places = pair(said, self._held.side)
        self._take(said, journey, nth, places)
        gone = np.zeros(len(self._held.side), bool)
        gone[places[places >= 0]] = True
        self._held.drop(gone)
        self._look_elsewhere(columns, offset_ns)
        self._give_up(self._held.drop(self._held.side.times_ns < last_ns - BEHIND_NS))

    def end(self) -> None:
        """Decide what is left: the recording was read."""
        self._give_up(self._held.drop(np.ones(len(self._held.side), bool)))
        while not self._held.is_over:
            for rest in self._held.read_until(1 << 62, 1 << 62):
                self._give_up(rest)
        if self.tally.found:
            self.tally.unread += self._since
        else:
            self.tally.missing, self.tally.unread = self.tally.missing + self.tally.unread + self._since, 0
        self._since = 0

    def _take(self, said: Side, journey: Array, nth: Array, places: Array) -> None:
        """Count what was found of the packets that the recording calls captured."""
        is_found, tally = places >= 0, self.tally
        hits = np.flatnonzero(is_found)
        tally.has += int((nth[hits] == 0).sum())
        tally.twice += int((nth[hits] == 1).sum())
        if len(hits):
            before = int(hits[0])
            between = int(hits[-1]) + 1 - len(hits) - before
            tally.missing += between + ((before + self._since) if tally.found else 0)
            tally.unread += 0 if tally.found else before + self._since
            self._since = len(said) - int(hits[-1]) - 1
        else:
            self._since += len(said)
        tally.found += len(hits)
        if not is_found.all():
            tally.examples.setdefault("missing", int(journey[~is_found][0]))
        for at in range(len(said)) if self.tell else ():
            which = int(self._held.side.which[places[at]]) if is_found[at] else None
            self._told("has" if is_found[at] else "missing", int(said.times_ns[at]), which, int(journey[at]))

    # --- the file's packets ---

    def _look_elsewhere(self, columns: Journeys, offset_ns: int) -> None:
        """Look for packets of the file that were not called captured among all that was recorded."""
        side = self._held.side
        records = columns.passes.records
        times_ns = records["time_ns"].astype(np.int64) + offset_ns
        asked = np.flatnonzero((side.times_ns <= times_ns.max() + NEAR_NS) & (side.times_ns >= self.span.begin_ns))
        asked = np.array([at for at in asked.tolist() if int(side.which[at]) not in self._instead], np.int64)
        if not len(asked):
            return
        some = of_records(records, times_ns, np.arange(len(records)), self.capture.link)
        some = some.take(np.isin(some.lengths, side.lengths[asked]))
        words: dict[int, str] = {}  # by group of journeys that are alike
        places = pair(some, side.take(asked))
        hits = np.flatnonzero(places >= 0)
        if not len(hits):
            return
        group_of, of_pass = groups(columns, self._scene)[2], columns.of_pass
        for at in hits.tolist():
            place = int(of_pass[some.which[at]])
            group = int(group_of[place])
            if group not in words:
                words[group] = word_of(assemble.journey(columns, place, self._scene), self.capture.inode)
            which = int(side.which[asked[places[at]]])
            self._instead[which] = int(columns.numbers[place]), words[group]

    def _give_up(self, side: Side) -> None:
        """Count packets of the file that the recording does not call captured."""
        is_outside = (side.times_ns < self.span.begin_ns) | (side.times_ns > self.span.end_ns)
        inside = side.which[~is_outside].tolist()
        self.tally.outside += int(is_outside.sum())
        self.tally.untold += len(inside)
        for which in inside:
            if which not in self._instead:
                continue
            journey, word = self._instead[which]
            self.tally.untold -= 1
            if _is_open(word):
                self.tally.open += 1
            else:
                self.tally.contradicted[word] += 1
                self.tally.examples.setdefault(_instead_of(word), journey)
        for at in range(len(side)) if self.tell else ():
            self._tell_given_up(int(side.times_ns[at]), int(side.which[at]), bool(is_outside[at]))
        for which in side.which.tolist() if self._instead else ():
            self._instead.pop(which, None)

    def _tell_given_up(self, time_ns: int, which: int, is_outside: bool) -> None:
        journey, word = self._instead.get(which, (None, ""))
        what = "untold" if journey is None else "open" if _is_open(word) else "contradicted"
        self._told("outside" if is_outside else what, time_ns, which, journey, word)

    def _told(
        self, what: str, time_ns: int, which: Optional[int], journey: Optional[int] = None, reason: str = ""
    ) -> None:
        if self.tell:
            self.tell(Found(what, time_ns, which, journey, reason))


def word_of(journey: Journey, inode: int) -> str:
    """Return what became of a packet at a tap: "captured", another outcome, or the reason why it was not offered it;
    "closed" where the tap was not there (any more)."""
    outcomes = {step.outcome or UNKNOWN for one in journey.passes for step in one.steps if step.tap == inode}
    if CAPTURED in outcomes:
        return CAPTURED
    reason = next((one.reason for one in journey.unseen if one.tap == inode), None)
    return reason or next((word for word in _OFFERED if word in outcomes), GONE)


def _is_open(word: str) -> bool:
    """Does the recording say that it does not know?"""
    return word in OPEN or word == UNKNOWN


def _instead_of(word: str) -> str:
    """Return the key in ``Tally.examples`` of what the recording says instead of captured."""
    return f"not {word}"


def _deliveries(columns: Journeys, capture: Capture, offset_ns: int) -> tuple[Side, Array, Array]:
    """Return what a tap captured in these journeys: the packets, the number of the journey of each, and how many of
    that journey it had captured before."""
    passes = columns.passes
    owner = passes.of_step
    steps = passes.steps
    is_mine = (steps["arg"] == capture.inode) & (steps["kind"] == STEP_TAP) & (steps["result"] == _CAPTURED)
    mine = np.flatnonzero(is_mine)
    mine = mine[passes.records["kind"][owner[mine]] != RECORD_LATE]  # of these nothing but the step is known
    rows = owner[mine]
    records = passes.records.take(rows)
    times_ns = records["time_ns"].astype(np.int64) + steps["t_ns"][mine].astype(np.int64) + offset_ns
    place = columns.of_pass[rows]
    nth = np.arange(len(place)) - np.searchsorted(place, place)
    side = of_records(records, times_ns, np.arange(len(records)), capture.link)
    return side, columns.numbers[place[side.which]], nth[side.which]
