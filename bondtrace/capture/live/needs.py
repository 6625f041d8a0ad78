# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows what stages are needed for: attaches them when a device comes, or a module is loaded, that calls their
functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Optional

from ...format.events import Event, stage_event
from ..kernel.plan import Plan, Stage
from ..kernel.stage_specs import Need, needs
from ..kernel.symbols import Symbol
from .clock import Every
from .handlers import loading_of, stage_object

LOOK_EVERY_NS = 1_000_000_000  # modules are loaded without a notification

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


class NeedFollower:
    """The stages of a plan that are not always needed, and for each that was attached which loading of its module that
    was. None is detached: where the need is gone nothing calls its functions.

    :param attach: attaches to a stage, by its name.
    :param loading: ``loading_of``.
    """

    def __init__(self, plan: Plan, attach: Callable[[str], Stage], loading: Loading = loading_of) -> None:
        self._attach, self._loading = attach, loading
        self._needs = {name: one for name, one in needs().items() if plan.stage(name)}
        waiting = {stage.name for stage in plan.waiting}
        self._attached = {
            one.name: self._loadings(one) for one in plan.stages if one.name in self._needs.keys() - waiting
        }
        self._look = Every(LOOK_EVERY_NS)

    def is_due(self, time_ns: int) -> bool:
        """Is it time to look whether a module has been loaded?"""
        return self._look.is_due(time_ns)

    def follow(self, kinds: Collection[str], time_ns: int) -> tuple[list[Event], list[str]]:
        """Attach the stages that devices of these kinds, or modules that are loaded, need, and again those whose module
        was reloaded; return events and notes."""
        self._look.restart(time_ns)
        events, notes = [], []
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

    def _loadings(self, stage: Stage) -> dict[str, Optional[int]]:
        return {probe.module: self._loading(probe.module) for probe in stage.probes if probe.module}
