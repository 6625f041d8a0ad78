# SPDX-License-Identifier: GPL-2.0-or-later
"""Names who had packets dropped: chains of netfilter and filters of tc, which steps give by number, each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import numpy as np

from ...format.events import Event, chain_event, tc_filter_event
from ...format.wire import FUNC_CHAINS, FUNC_TC, FUNCTIONS, STEP_DROP, Array, Passes
from ...net.netfilter import TOOLS, family_name, hook_name
from ..kernel.netfilter import Chain
from ..kernel.tc import TcFilter

T = TypeVar("T")
Read = Callable[[Collection[int]], Mapping[int, T]]


class DeciderNames:
    """The chains and filters that were named.

    :param chains: returns the chains of these numbers, as far as they are known; ``filters`` likewise.
    """

    def __init__(self, chains: Read[Chain], filters: Read[TcFilter]) -> None:
        self._chains, self._filters = chains, filters
        self._named: set[tuple[str, int]] = set()

    def follow(self, passes: Passes, time_ns: int) -> list[Event]:
        """Return the events that name what is new in these."""
        steps = passes.steps
        drops = steps[steps["kind"] == STEP_DROP]
        if not len(drops):
            return []
        chains = self._new("chain", drops, FUNC_CHAINS, self._chains)
        filters = self._new("filter", drops, (FUNC_TC,), self._filters)
        return [
            *(chain_event(time_ns, number, *_told(chain)) for number, chain in chains),
            *(_filter_event(time_ns, number, one) for number, one in filters),
        ]

    def _new(self, what: str, drops: Array, functions: Collection[int], read: Read[T]) -> list[tuple[int, T]]:
        numbers = np.unique(drops["orig_ifindex"][np.isin(drops["func"], list(functions))]).tolist()
        new = [number for number in numbers if (what, number) not in self._named]
        self._named.update((what, number) for number in new)
        return sorted(read(new).items()) if new else []


def _told(chain: Chain) -> tuple[str, str, str, str]:
    """Return (family or tool, table, chain, hook) as people know them."""
    function = FUNCTIONS.get(chain.func, "")
    if function in TOOLS:
        tool, family = TOOLS[function]
        hook = hook_name(family, chain.hook)
        return tool, chain.table, hook.upper(), hook
    family = family_name(chain.family)
    return family, chain.table, chain.name, hook_name(family, chain.hook)


def _filter_event(time_ns: int, number: int, one: TcFilter) -> Event:
    actions = list(one.actions)
    return tc_filter_event(time_ns, number, one.kind, one.protocol, one.priority, one.chain, actions, one.actions_left)
