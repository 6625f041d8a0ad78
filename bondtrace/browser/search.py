# SPDX-License-Identifier: GPL-2.0-or-later
"""A selection of the journeys that are kept, and its counts; it goes through the chunks one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np

from ..analysis import names
from ..analysis.eras import Era
from ..analysis.filtering import NO_CONTENTS
from ..analysis.select import Criteria, Selection
from ..format.wire import Array
from ..reporters.as_if import Counts
from ..stats.summary import Summary
from .listing import Listing
from .store import Chunk, Store, Trace


@dataclass(frozen=True)
class Tally:
    """What was counted of one trace: of all of it where there is no ``selection``."""

    trace: Trace
    summary: Summary
    selection: Optional[Selection] = None
    counts: Optional[Counts] = None


class Search:
    """The journeys that fulfil the criteria, so far: ``listing``."""

    def __init__(self, store: Store, criteria: Criteria, era: Optional[Era] = None) -> None:
        self.criteria, self.listing = criteria, Listing()
        self._store, self._era = store, era
        self._tallies: dict[Trace, Tally] = {}
        self._done = 0  # chunks

    def go_on(self) -> bool:
        """Look at one chunk; return whether there was any.

        :raises BondtraceError: where the criteria cannot be asked of a trace.
        """
        if self._done == len(self._store.chunks):
            return False
        chunk = self._store.chunks[self._done]
        self.listing.add(chunk, self._places(chunk))
        self._done += 1
        return True

    @property
    def share(self) -> float:
        """How much of what is kept has been looked at, from 0 to 1."""
        return self._done / len(self._store.chunks) if self._store.chunks else 1.0

    def tallies(self) -> list[Tally]:
        """Return the counts by trace, of those that have been begun."""
        begun = list(dict.fromkeys(chunk.trace for chunk in self._store.chunks)) or self._store.traces[:1]
        return [self._tally(trace) for trace in begun]

    @cached_property
    def unknown_names(self) -> list[str]:
        """A sentence for each name among the criteria that a trace does not have; to be asked once all is read."""
        tallies = self.tallies() if self.criteria else []
        return [sentence for one in tallies for sentence in names.unknown(self.criteria, one.trace.scene)]

    def _places(self, chunk: Chunk) -> Array:
        """Return the places of those of a chunk that are selected."""
        if not self.criteria:
            return np.arange(len(chunk))
        tally, scene = self._tally(chunk.trace), chunk.trace.scene
        assert tally.selection is not None
        contents = chunk.trace.pipeline.payloads
        selected = tally.selection.take(
            self._store.journeys(chunk), scene, NO_CONTENTS if contents is None else contents
        )
        tally.summary.add(selected, scene)
        return np.searchsorted(chunk.numbers, selected.numbers)

    def _tally(self, trace: Trace) -> Tally:
        if not self.criteria:
            return Tally(trace, trace.pipeline.summary, None, trace.counts)
        if trace not in self._tallies:
            counts = Counts(trace.scene, self._era) if self._era else None
            summary = Summary(also=counts.count if counts else None)
            self._tallies[trace] = Tally(trace, summary, Selection(self.criteria), counts)
        return self._tallies[trace]
