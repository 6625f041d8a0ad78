# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the rx_handlers in use, and names the functions that steps give by address."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Optional

import numpy as np

from ...format.events import Event, stage_event, symbol_event
from ...format.wire import FUNC_NF_HOOK, RECORD_RX, STEP_DROP, STEP_HANDLER, Array, Passes
from ..kernel.plan import Stage
from ..kernel.symbols import Addresses, read_kallsyms

Attach = Callable[[str], Stage]


def loading_of(module: str) -> Optional[int]:
    """Return a number that differs each time a module is loaded; ``None`` for the kernel itself and where sysfs
    does not show it. Source: kernfs numbers its directories in turn."""
    if module:
        with suppress(OSError):
            return os.stat(f"/sys/module/{module}").st_ino
    return None


def stage_object(stage: Stage) -> Event:
    """Return a stage as it is in events."""
    return {
        "name": stage.name,
        "tells": stage.tells,
        "without": stage.without,
        "missing": stage.missing,
        "probes": [f"{probe.mechanism} {probe.symbol}" for probe in stage.probes],
        **({"when": stage.when} if stage.when else {}),
    }


class HandlerFollower:
    """The rx_handlers that were attached, or could not be, and for each which loading of its module that was.

    :param modules: the module of each function that was attached at the start ("": the kernel).
    :param attach: attaches to one more function.
    :param loading: ``loading_of``.
    """

    def __init__(
        self, modules: Mapping[str, str], attach: Attach, loading: Callable[[str], Optional[int]] = loading_of
    ) -> None:
        self._attach, self._loading_of = attach, loading
        self._tried = {function: (module, loading(module)) for function, module in modules.items()}

    def follow(self, in_use: set[str], time_ns: int) -> tuple[list[Event], list[str]]:
        """Attach to handlers in use that were not tried yet or whose module was reloaded; return events and notes."""
        events = [self.attach(function, time_ns) for function in sorted(in_use - self._tried.keys())]
        notes = []
        for function in sorted(in_use):
            module, loading = self._tried[function]
            if self._loading_of(module) != loading:
                events.append(self.attach(function, time_ns))
                notes.append(f"module {self._tried[function][0]} was reloaded: {function} is attached again")
        return events, notes

    def knows(self, function: str) -> bool:
        """Was it attached, or tried?"""
        return function in self._tried

    def attach(self, function: str, time_ns: int) -> Event:
        """Attach to one more rx_handler (its module, or a device that uses it, came after the start); return the event
        of its stage."""
        stage = self._attach(function)
        before, _ = self._tried.get(function, ("", None))
        module = next((probe.module for probe in stage.probes), before)
        self._tried[function] = module, self._loading_of(module)
        return stage_event(time_ns, {**stage_object(stage), "handler": True})


class FunctionNames:
    """Names the functions that steps and counts give by address, each once.

    :param read: reads the kernel's symbols.
    """

    def __init__(self, read: Callable[[], Addresses] = lambda: Addresses(read_kallsyms())) -> None:
        self._read = read
        self._addresses: Optional[Addresses] = None
        self._named: set[int] = set()

    def follow(self, passes: Passes, counts: Optional[Array], time_ns: int) -> tuple[list[Event], list[str]]:
        """Return the events that name what is new in these, and the names of the rx_handlers among them."""
        steps, records = passes.steps, passes.records
        handlers = set(np.unique(records["sender"][records["kind"] == RECORD_RX]).tolist()) - {0}
        by_step = np.unique(steps["skb_low"][np.isin(steps["kind"], (STEP_DROP, STEP_HANDLER))]).tolist()
        hooked = (steps["kind"] == STEP_DROP) & (steps["func"] == FUNC_NF_HOOK)
        by_step += np.unique(steps["orig_ifindex"][hooked]).tolist() if hooked.any() else []
        new = (handlers | set(by_step) | (set() if counts is None else _counted(counts))) - self._named
        if not new:
            return [], []
        self._named |= new
        addresses = self._addresses
        if addresses is None or not all(map(addresses.stays, new)):  # modules may have been loaded since
            addresses = self._addresses = self._read()
        names = {address: name for address in sorted(new) if (name := addresses.name(address)) is not None}
        events = [symbol_event(time_ns, address, name) for address, name in names.items()]
        return events, [name for address, name in names.items() if address in handlers]


def _counted(counts: Array) -> set[int]:
    """Return the functions that are counted by address."""
    keys = counts["key"]
    return set(np.unique(keys["arg"][np.isin(keys["kind"], (STEP_DROP, STEP_HANDLER))]).tolist()) - {0}
