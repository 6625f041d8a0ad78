# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page selects by, and counts again where something is selected: the kinds of journeys, and when they were.

Lists are named once and otherwise given by their place, as there can be thousands of taps.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Optional, TypeVar

from ...analysis import names, telling
from ...analysis.history import LAST_NS
from ...analysis.watched import cells_known
from ...analysis.why_unseen import REASONS
from ...format.events import event_time_ns
from ...model import OUTCOMES
from ...stats.ended import Drop
from ...stats.kinds import FATES, Absent, Kind
from ...stats.paths import Path
from ...stats.report_data import ReportData
from ...stats.summary import Place
from ...util.untrusted import printable
from ..table import drop_object, place_name

T = TypeVar("T")

NAMED_MAX = 5000  # names of each sort that can be chosen


def names_object(data: ReportData) -> dict[str, Any]:
    """Return the names that an option of the page can have."""
    scene = data.scene
    return {
        "taps": [printable(name) for name in names.taps(scene)[:NAMED_MAX]],
        "devices": [printable(name) for name in names.devices(scene)[:NAMED_MAX]],
        "drop_reasons": [printable(name) for name in names.drop_reasons(scene)[:NAMED_MAX]],
        "reasons": list(REASONS),
        "outcomes": list(OUTCOMES),
        "no_news": telling.COUNTED,
    }


def clock_object(data: ReportData) -> Optional[dict[str, Any]]:
    """Return what times of day mean: when the trace began, since 1970 in s and ns, and how far its local time was ahead
    of UTC in s (``None`` where that changed); and the begin of the timeline, in ns after that of the trace. ``None``
    where the trace's begin is not known."""
    scene, timeline = data.scene, data.timeline
    if not scene.start:
        return None
    begin_ns = event_time_ns(scene.start)
    wall_s, rest_ns = divmod(begin_ns + scene.wall_offset_ns, 1_000_000_000)
    last_s = (timeline.last_ns + scene.wall_offset_ns) // 1_000_000_000 if timeline.used else wall_s
    ahead = _ahead_s(wall_s)
    return {
        "begin_s": wall_s,
        "begin_rest_ns": rest_ns,
        "ahead_s": ahead if ahead == _ahead_s(last_s) else None,
        "first_ns": (timeline.begin_ns or begin_ns) - begin_ns,
    }


def _ahead_s(wall_s: int) -> Optional[int]:
    try:
        ahead = datetime.fromtimestamp(wall_s).astimezone().utcoffset()
    except (OverflowError, ValueError, OSError):
        return None
    return None if ahead is None else int(ahead.total_seconds())


def timeline_object(data: ReportData) -> dict[str, Any]:
    """Return how many journeys of each kind began when and how long they took."""
    timeline = data.timeline
    kinds, when, long, counts = timeline.columns()
    return {
        "width_ns": timeline.width_ns,
        "bins": timeline.used,
        "edges_ns": timeline.edges_ns(),
        "kind": kinds.tolist(),
        "when": when.tolist(),
        "long": long.tolist(),
        "journeys": counts.tolist(),
    }


def kinds_object(data: ReportData, paths: Mapping[Path, int]) -> dict[str, Any]:
    """Return the kinds of journeys; ``paths`` are the places of the paths among those of the page."""
    scene, kinds, packets = data.scene, data.kinds, data.timeline.by_kind(len(data.kinds.numbers))
    listed = _Listed(data, paths)
    each = [
        {"packets": count, "example": example.id, **listed.kind_object(kind)}
        for kind, count, example in zip(kinds.numbers, packets.tolist(), kinds.examples)
    ]
    return {
        "fates": list(FATES),
        "taps": [{"inode": str(tap.inode), "names": [printable(name) for name in tap.names]} for tap in kinds.taps],
        "cells_known": {str(one): cells_known(scene.tap(one, LAST_NS), scene) for one in data.summary.inodes(scene)},
        "begun": [place_name(place, data.summary.places(), scene) for place in listed.begun],
        "devices": [printable(name) for name in listed.devices],
        "drops": [drop_object(drop, harmless, scene) for drop, harmless in listed.drops],
        "absences": [_absences_object(one) for one in kinds.absences],
        "list": each,
    }


class _Listed:
    """What kinds name, each with its place in the list of its sort."""

    def __init__(self, data: ReportData, paths: Mapping[Path, int]) -> None:
        self.paths = paths
        self.places = {place: nth for nth, place in enumerate(data.summary.places())}
        self.absences = data.kinds.absences
        self.begun: dict[Place, int] = {}
        self.devices: dict[str, int] = {}
        self.drops: dict[tuple[Drop, Optional[str]], int] = {}

    def kind_object(self, kind: Kind) -> dict[str, Any]:
        """Return a kind without what is counted of it."""
        told: dict[str, Any] = {
            "began": place_in(self.begun, kind.began),
            "fate": FATES.index(kind.fate),
            "is_lost": kind.is_lost,
            "is_complete": kind.is_complete,
        }
        if kind.is_rest:
            return {**told, "is_rest": True}
        return {
            **told,
            "path": self.paths[kind.path],
            "visited": [place_in(self.devices, name) for name in kind.visited],
            "passed": [self.places[place] for place in kind.passed],
            "offers": [[tap, self.places[place], *counts] for tap, place, *counts in kind.offers],
            "outcomes": kind.outcomes,
            "twice": kind.twice,
            "absent": self.absences[kind.absent],
            "drops": [[place_in(self.drops, (drop, why)), count] for drop, why, count in kind.drops],
        }


def place_in(listed: dict[T, int], one: T) -> int:
    """Return the place of one among those that are listed; it is added where it is not."""
    return listed.setdefault(one, len(listed))


def _absences_object(absent: tuple[Absent, ...]) -> list[dict[str, Any]]:
    """Return the taps that were not offered a packet, those with the same answer together."""
    taps: dict[tuple[str, bool, str], list[int]] = {}
    for one in absent:
        taps.setdefault((one.reason, one.trivial, one.detail), []).append(one.tap)
    return [
        {"reason": reason, "trivial": trivial, "detail": printable(detail), "taps": several}
        for (reason, trivial, detail), several in taps.items()
    ]
