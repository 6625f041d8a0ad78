# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows what stages are needed for: attaches them when a device comes, a module is loaded, or a tap opens that needs
them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Optional

import numpy as np

from ...format.events import Event, stage_event
from ...format.wire import (
    FUNC_PACKET_RCV,
    FUNC_PACKET_RCV_SPKT,
    FUNC_TPACKET_RCV,
    OUTCOME_FULL,
    OUTCOME_UNKNOWN,
    STEP_FANOUT,
    STEP_TAP,
    Array,
    Passes,
)
from ...model import Tap
from ..kernel.plan import Plan, Stage
from ..kernel.stage_specs import FULL_RING, IN_GROUP, WITHOUT_RING, Need, needs
from ..kernel.symbols import Symbol
from .clock import Every
from .handlers import loading_of, stage_object

LOOK_EVERY_NS = 1_000_000_000  # modules are loaded without a notification
LOOKED_AT = 8_192  # steps of a batch, its last ones: what goes on shows in them
KEEP_NS = 10_000_000_000  # a stage is detached when its need has been gone for so long

Loading = Callable[[str], Optional[int]]


def needed(
    kinds: Collection[str],
    symbols: Mapping[str, Symbol],
    loading: Loading = loading_of,
    among: Optional[Mapping[str, Need]] = None,
) -> list[str]:
    """Return the names of the stages that are needed where there are devices of these kinds and these symbols.

    :param among: the needs that are asked for, by the stage's name; all where not given.
    """
    asked = needs() if among is None else among
    return [name for name, one in asked.items() if one.is_there(kinds, lambda of: loading(of) is not None, symbols)]


class TapNeeds:
    """Which sorts of taps there are, as far as stages depend on it: by what was read of taps, and by what packets show
    of taps that no list has."""

    def __init__(self) -> None:
        self._seen_ns: dict[str, int] = {}  # by sort: when packets last showed such a tap
        self._known: set[str] = set()
        self._full: set[int] = set()  # inodes of rings that were full

    def notice(self, passes: Passes, counts: Optional[Array], known: Mapping[int, Tap], time_ns: int) -> None:
        """Note what these passes, counts and taps show."""
        self._known = {WITHOUT_RING for tap in known.values() if tap.buffer != "ring"}
        self._known |= {IN_GROUP for tap in known.values() if tap.fanout_id is not None}
        self._take(passes.steps[-LOOKED_AT:], time_ns)
        if counts is not None:
            self._take(counts["key"], time_ns)
        self._full &= known.keys()
        self._known |= {FULL_RING} if self._full else set()

    def _take(self, steps: Array, time_ns: int) -> None:
        """Note what these steps, or keys of counts, show."""
        kinds, functions, results = steps["kind"], steps["func"], steps["result"]
        is_tap = kinds == STEP_TAP
        is_full = is_tap & (functions == FUNC_TPACKET_RCV) & ((results == OUTCOME_FULL) | (results == OUTCOME_UNKNOWN))
        self._full |= set(np.unique(steps["arg"][is_full]).tolist())
        shown = {
            WITHOUT_RING: is_tap & ((functions == FUNC_PACKET_RCV) | (functions == FUNC_PACKET_RCV_SPKT)),
            IN_GROUP: kinds == STEP_FANOUT,
            FULL_RING: is_full,
        }
        self._seen_ns.update((sort, time_ns) for sort, steps in shown.items() if steps.any())

    def at(self, time_ns: int) -> set[str]:
        """Return the sorts that there are now, or were a moment ago."""
        return self._known | {sort for sort, seen_ns in self._seen_ns.items() if time_ns - seen_ns < KEEP_NS}


class NeedFollower:
    """The stages of a plan that are not always needed, and for each that was attached which loading of its module that
    was. Those that taps need are detached when the need is gone; of the others nothing calls the functions then.

    :param attach: attaches to a stage, by its name; ``detach`` detaches it.
    :param loading: ``loading_of``.
    """

    def __init__(
        self,
        plan: Plan,
        attach: Callable[[str], Stage],
        loading: Loading = loading_of,
        detach: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._attach, self._detach, self._loading = attach, detach, loading
        self._needs = {name: one for name, one in needs().items() if plan.stage(name)}
        waiting = {stage.name for stage in plan.waiting}
        self._attached = {
            one.name: self._loadings(one) for one in plan.stages if one.name in self._needs.keys() - waiting
        }
        self._of_taps = {name: one.taps for name, one in self._needs.items() if one.taps and name in waiting}
        self._needed_ns: dict[str, int] = {}  # of those that taps need and that are attached: when they last were
        self._taps = TapNeeds()
        self._look = Every(LOOK_EVERY_NS)

    def notice(self, passes: Passes, counts: Optional[Array], known: Mapping[int, Tap], time_ns: int) -> None:
        """Note what these passes, counts and taps show."""
        self._taps.notice(passes, counts, known, time_ns)

    def is_due(self, time_ns: int) -> bool:
        """Is it time to look whether a module has been loaded, or does a tap need a stage now?"""
        if self._look.is_due(time_ns):
            return True
        there = self._taps.at(time_ns)
        return any(taps in there and name not in self._needed_ns for name, taps in self._of_taps.items())

    def follow(self, kinds: Collection[str], time_ns: int) -> tuple[list[Event], list[str]]:
        """Attach the stages that devices of these kinds, modules that are loaded, or taps need, and again those whose
        module was reloaded; return events and notes."""
        self._look.restart(time_ns)
        events, notes = self._follow_taps(time_ns), []
        for name in needed(kinds, {}, self._loading, self._needs):  # what is built in was attached at the start
            before = self._attached.get(name)
            if before is not None and before == {module: self._loading(module) for module in before}:
                continue
            stage = self._attach(name)
            modules = self._loadings(stage) or before or {}  # what cannot be attached is tried once for each loading
            self._attached[name] = {module: self._loading(module) for module in modules}
            events.append(stage_event(time_ns, stage_object(stage)))
            if before:
                notes.append(f"module {', '.join(before)} was reloaded: {name} is attached again")
        return events, notes

    def _follow_taps(self, time_ns: int) -> list[Event]:
        there, events = self._taps.at(time_ns), []
        for name, taps in self._of_taps.items():
            if taps in there:
                if name not in self._needed_ns:
                    events.append(stage_event(time_ns, stage_object(self._attach(name))))
                self._needed_ns[name] = time_ns
            elif time_ns - self._needed_ns.get(name, time_ns) >= KEEP_NS:
                del self._needed_ns[name]
                self._detach(name)
        return events

    def _loadings(self, stage: Stage) -> dict[str, Optional[int]]:
        return {probe.module: self._loading(probe.module) for probe in stage.probes if probe.module}
