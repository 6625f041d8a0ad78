# SPDX-License-Identifier: GPL-2.0-or-later
"""Names the chains that had packets dropped, which steps give by number, each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from ...format.events import Event, chain_event
from ...format.wire import FUNC_CHAINS, FUNCTIONS, STEP_DROP, Passes
from ...net.netfilter import TOOLS, family_name, hook_name
from ..kernel.netfilter import Chain


class ChainNames:
    """The chains that were named.

    :param read: returns the chains of these numbers, as far as they are known.
    """

    def __init__(self, read: Callable[[Collection[int]], Mapping[int, Chain]]) -> None:
        self._read = read
        self._named: set[int] = set()

    def follow(self, passes: Passes, time_ns: int) -> list[Event]:
        """Return the events that name what is new in these."""
        steps = passes.steps
        dropped = (steps["kind"] == STEP_DROP) & np.isin(steps["func"], FUNC_CHAINS)
        if not dropped.any():
            return []
        new = set(np.unique(steps["orig_ifindex"][dropped]).tolist()) - self._named
        self._named |= new
        return [chain_event(time_ns, number, *_told(chain)) for number, chain in sorted(self._read(new).items())]


def _told(chain: Chain) -> tuple[str, str, str, str]:
    """Return (family or tool, table, chain, hook) as people know them."""
    function = FUNCTIONS.get(chain.func, "")
    if function in TOOLS:
        tool, family = TOOLS[function]
        hook = hook_name(family, chain.hook)
        return tool, chain.table, hook.upper(), hook
    family = family_name(chain.family)
    return family, chain.table, chain.name, hook_name(family, chain.hook)
