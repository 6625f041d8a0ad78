# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a capture and a recording agree, given what the recording cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..analysis import fanout
from ..analysis.history import LAST_NS
from ..analysis.scene import Scene
from .check import Check

_UNBOUND_OFFERS = 4  # of one packet, on as many devices, to a tap of all devices
_CLOCK_MOVED = "the time of day moved"  # as capture.live.clock notes it


class Doubt(NamedTuple):
    """Why packets of a file may rightly not be in the recording. ``of_all``: and why what it says of the others may
    differ from the file, too."""

    words: str
    of_all: bool = False


@dataclass(frozen=True)
class Agreement:
    """What a capture and a recording do not agree on, in packets: ``missing`` (captured, and not in the file),
    ``contradicted`` and ``untold`` (``check.Found``). ``excused``: how many more of the latter two there are, that the
    recording cannot know, or that may be among what it lost, or that a fanout group put together of fragments."""

    missing: int = 0
    contradicted: int = 0
    untold: int = 0
    excused: int = 0

    @property
    def agrees(self) -> bool:
        """Do they agree?"""
        return not (self.missing or self.contradicted or self.untold)


def doubts(scene: Scene, missing_parts: str) -> list[Doubt]:
    """Return why packets may be missing in a recording, besides losses."""
    found = []
    if scene.start.get("filter"):
        found.append(Doubt("the trace had a filter"))
    directions = scene.start.get("directions") or ()
    if len(directions) == 1:
        found.append(Doubt(f"only packets of one direction were traced ({next(iter(directions))})", True))
    return [*found, *([Doubt(missing_parts, True)] if missing_parts else [])]


def moved_clock(scene: Scene) -> bool:
    """Did the time of day move during the trace, so that times in a file are not those of the recording?"""
    return any(words.startswith(_CLOCK_MOVED) for _, words in scene.notes)


def agreement(check: Check, scene: Scene, why: Sequence[Doubt]) -> Agreement:
    """Return what they do not agree on."""
    tally = check.tally
    contradicted, untold = sum(tally.contradicted.values()), tally.untold
    excused = (untold if why else 0) + (contradicted if any(one.of_all for one in why) else 0)
    contradicted = 0 if any(one.of_all for one in why) else contradicted
    untold = 0 if why else untold
    missing = tally.missing
    if _joins_fragments(scene, check.capture.inode):
        excused, untold, missing = excused + untold, 0, 0
    if contradicted + untold <= _lost(scene, check.capture.inode):
        excused, contradicted, untold = excused + contradicted + untold, 0, 0
    return Agreement(missing, contradicted, untold, excused)


def _joins_fragments(scene: Scene, inode: int) -> bool:
    """Is the tap given datagrams that its fanout group put together? A recording has the fragments."""
    tap = scene.tap(inode, LAST_NS)
    return tap is not None and fanout.has_flag(tap, fanout.DEFRAG)


def _lost(scene: Scene, inode: int) -> int:
    """Return how many packets of a tap's file may not be told because their records were lost."""
    tap = scene.tap(inode, LAST_NS)
    offers = 1 if tap is not None and tap.ifindex > 0 else _UNBOUND_OFFERS
    return offers * sum(scene.losses().values())
