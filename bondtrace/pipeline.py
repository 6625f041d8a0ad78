# SPDX-License-Identifier: GPL-2.0-or-later
"""From batches to journeys: one loop for the live kernel and for recordings.

    source -> scene (events), recorder (as it came), stitcher -> journeys -> summary, reporter
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from . import assemble
from .errors import BondtraceError
from .model import Journey
from .recording import Batch
from .scene import Scene
from .stitch import Journeys, Stitcher
from .summary import Summary
from .wire import RECORD_LATE, RECORD_RX, RECORD_TX, Passes


@dataclass
class Pipeline:
    """``show`` is given each journey (``None``: only count); ``count`` ends after so many journeys."""

    show: Optional[Callable[[Journey], None]] = None
    directions: tuple[str, ...] = ("rx", "tx")
    count: Optional[int] = None
    keep: Optional[Callable[[Batch], None]] = None
    scene: Scene = field(default_factory=Scene)
    summary: Summary = field(default_factory=Summary)

    def run(self, batches: Iterable[Batch], stop: Callable[[], None] = lambda: None) -> None:
        """Take every batch; once ``count`` is reached ``stop`` is called, and what follows tells only of
        the surroundings (the losses at the end)."""
        stitcher = Stitcher(self.scene.related)
        enough = False
        for batch in batches:
            self._keep(batch)
            if not enough:
                passes = self.scene.take_hooks(batch.passes)
                self._tell(stitcher.add(_only(passes, self.directions), batch.now_ns))
            if self.count is not None and not enough and self.summary.journeys >= self.count:
                enough = True
                stop()
        if not enough:
            self._tell(stitcher.flush())

    def _keep(self, batch: Batch) -> None:
        for event in batch.events:
            try:
                self.scene.apply(event)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise BondtraceError(f"the recording is damaged: an event {str(event.get('kind'))!r} does not hold "
                                     f"together ({error!r})") from None
        if self.keep:
            self.keep(batch)

    def _tell(self, journeys: Journeys) -> None:
        if self.count is not None and self.summary.journeys + len(journeys) > self.count:
            journeys = _first(journeys, self.count - self.summary.journeys)
        self.summary.add(journeys, self.scene)
        if self.show:
            for journey in assemble.journeys(journeys, self.scene):
                self.show(journey)


def _first(journeys: Journeys, count: int) -> Journeys:
    offsets = journeys.offsets[: count + 1]
    return Journeys(journeys.passes.take(np.arange(offsets[-1])), offsets, journeys.first_id)


def _only(passes: Passes, directions: tuple[str, ...]) -> Passes:
    """The passes of these directions."""
    if directions == ("rx", "tx"):
        return passes
    kinds = {"rx": (RECORD_RX, RECORD_LATE), "tx": (RECORD_TX,)}
    return passes.take(np.isin(passes.records["kind"], [kind for one in directions for kind in kinds[one]]))
