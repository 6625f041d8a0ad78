# SPDX-License-Identifier: GPL-2.0-or-later
"""From batches to journeys: one loop for the live kernel and for recordings.

source -> scene (events), recorder (as it came), stitcher -> journeys -> selection -> summary, reporter
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from .analysis import assemble
from .analysis.filtering import NO_CONTENTS
from .analysis.scene import Scene
from .analysis.select import Selection
from .analysis.stitch import REST_NS, Journeys, Stitcher
from .errors import BondtraceError
from .format.batch import Batch
from .format.events import NAMES, Event, event_time_ns
from .format.payload import Payloads
from .format.wire import EMPTY, RECORD_HOOK, RECORD_TX, Passes
from .model import Journey
from .stats import kernel_counts
from .stats.kernel_counts import KernelCounts
from .stats.summary import Summary

# Kinds of events: those that a scene keeps by their time or for all times, so that it can take them before the packets
# of their batch; and those that change no answer from their time on.
_KEPT = (*NAMES, "socket", "ip-settings", "route")  # no sets: a hostile event's kind may be a list
_LEARNED_FIRST, _OF_NO_MOMENT = (*_KEPT, "tap", "tap-gone"), (*_KEPT, "bytes")


@dataclass
class Pipeline:
    """The loop from batches to journeys.

    ``show`` is called with each journey (``None``: only count), ``columns`` with the same ones in columns; after
    ``count`` journeys it ends. Where there is a ``selection``, all of this is about the journeys that it selects.
    ``keep`` is called with each batch. ``payloads`` takes the packets' bytes, where they were kept and are wanted.
    Where the kernel counts, ``counted`` and ``summary`` are what it has counted so far. Without ``stitching`` there are
    no journeys and no counts, which is enough for a recorder. ``rest_ns`` is the stitcher's.
    """

    show: Optional[Callable[[Journey], None]] = None
    columns: Optional[Callable[[Journeys], None]] = None
    directions: tuple[str, ...] = ("rx", "tx")
    count: Optional[int] = None
    keep: Optional[Callable[[Batch], None]] = None
    stitching: bool = True
    rest_ns: int = REST_NS
    scene: Scene = field(default_factory=Scene)
    summary: Summary = field(default_factory=Summary)
    payloads: Optional[Payloads] = None
    counted: KernelCounts = field(default_factory=KernelCounts)
    selection: Optional[Selection] = None

    def run(self, batches: Iterable[Batch], stop: Callable[[], None] = lambda: None) -> None:
        """Take every batch. Once ``count`` is reached ``stop`` is called; of later batches only the events are taken
        (the losses at the end)."""
        for _ in self.batch_by_batch(batches, stop):
            pass

    def batch_by_batch(self, batches: Iterable[Batch], stop: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Take every batch as ``run`` does, and yield after each and at the end.

        What ended before a batch's events is shown with the surroundings as they were, live and later alike. So each
        batch is taken in three steps: ``_before`` its events, ``_now``, and ``_after`` them.
        """
        if not self.stitching:
            yield from self._only_keep(batches)
            return
        stitcher = Stitcher(
            self.scene.devices.related,
            strays=lambda: not self.scene.start.get("filter"),
            rest_ns=self.rest_ns,
            tunnels=self.scene.devices.tunnels,
            waiting=self.scene.waiting,
        )
        if self.payloads is None and self.selection and self.selection.criteria.packet_filter:
            self.payloads = Payloads()
        has_enough = False
        for batch in batches:
            events = batch.events if has_enough else self._before(batch, stitcher)
            self._now(batch, events)
            if not has_enough:
                self._after(batch, stitcher)
                has_enough = self.count is not None and self.summary.journeys >= self.count
                if has_enough:
                    stop()
            yield
        if not has_enough:
            self._show(stitcher.flush())
        yield

    def _before(self, batch: Batch, stitcher: Stitcher) -> list[Event]:
        """Show the journeys that ended before the batch's events; return the events that are still to be applied.

        The batch's passes go in first, as they may belong to packets that began long before the events. So do events of
        what was not known at all (``_learn_first``), as the kernel side traces devices that join before this side knows
        them.
        """
        times_ns = self._times_ns(batch.events)
        events = self._learn_first(batch)
        passes = self.scene.take_hooks(batch.passes)
        self._show(stitcher.add(passes, min(times_ns, default=batch.now_ns), later=not times_ns))
        return events

    def _now(self, batch: Batch, events: list[Event]) -> None:
        """Apply the events; hand the batch to ``keep``."""
        self._apply(events)
        if batch.counts is not None:
            self.counted = kernel_counts.of(batch.counts, self.scene, self.directions)
            self.summary = self.counted.summary()
            self.scene.taps.meet(self.counted.inodes)
        if self.keep:
            self.keep(batch._replace(passes=passes_of(batch.passes, self.directions)))

    def _after(self, batch: Batch, stitcher: Stitcher) -> None:
        """Show the journeys that ended after the events."""
        if batch.events:
            self._show(stitcher.add(EMPTY, batch.now_ns))

    def _only_keep(self, batches: Iterable[Batch]) -> Iterator[None]:
        for batch in batches:
            self.scene.meet(passes_of(self.scene.take_hooks(batch.passes), self.directions))
            self._now(batch, batch.events)
            yield

    def _learn_first(self, batch: Batch) -> list[Event]:
        """Apply the events that are needed to show packets which came before them; return the other events.

        Names of functions and chains hold at all times, bytes belong to a pass, how taps and sockets were is kept by
        time (a reading holds since the tap was last hooked in or out), and the first event of a device holds for all
        times before it, too.
        """
        if self.payloads is not None:
            self.payloads.take(batch.events)
        others = []
        for event in batch.events:
            if event.get("kind") in _LEARNED_FIRST or self.scene.is_first_word(event):
                self._apply([event])
            else:
                others.append(event)
        return others

    def _times_ns(self, events: list[Event]) -> list[int]:
        """Return the times of those events that hold from their time on, not for all times."""
        try:
            times_ns = [(event.get("kind"), event_time_ns(event)) for event in events]
        except ValueError as error:
            raise BondtraceError(f"the recording is damaged: an event's time is {error}") from None
        return [time_ns for kind, time_ns in times_ns if kind not in _OF_NO_MOMENT]

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            try:
                self.scene.apply(event)
            except ValueError as error:
                raise BondtraceError(
                    f"the recording is damaged: an event {str(event.get('kind'))[:40]!r} is malformed ({error})"
                ) from None

    def _show(self, journeys: Journeys) -> None:
        if self.selection:
            self.selection.reached(journeys)
        journeys = only(journeys, self.directions)
        most = None if self.count is None else self.count - self.summary.journeys
        if self.selection:
            contents = NO_CONTENTS if self.payloads is None else self.payloads
            journeys = self.selection.take(journeys, self.scene, contents, most)
        elif most is not None:
            journeys = journeys.take(np.arange(min(len(journeys), most)))
        self.scene.meet(self.summary.add(journeys, self.scene).passes)
        if self.columns:
            self.columns(journeys)
        if self.show:
            for journey in assemble.journeys(journeys, self.scene):
                self.show(journey)


def only(journeys: Journeys, directions: tuple[str, ...]) -> Journeys:
    """Return the journeys that began in one of these directions; they keep their numbers."""
    if set(directions) == {"rx", "tx"} or not len(journeys):
        return journeys
    sent = journeys.passes.records["kind"][journeys.offsets[:-1]] == RECORD_TX
    return journeys.take(np.flatnonzero(sent if "tx" in directions else ~sent))


def passes_of(passes: Passes, directions: tuple[str, ...]) -> Passes:
    """Return the records of these directions, for a recording; those of taps being hooked in and out are always
    kept."""
    if set(directions) == {"rx", "tx"}:
        return passes
    sent = passes.records["kind"] == RECORD_TX
    hooks = passes.records["kind"] == RECORD_HOOK
    return passes.take((sent if "tx" in directions else ~sent) | hooks)
