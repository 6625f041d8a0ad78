# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters of tc that had packets dropped, as the kernel side has read them (bpf/tc.c)."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from .bpf_map import Map
from .maps import read_numbered, text_of

_KIND_BYTES = 16  # IFNAMSIZ: of a kind's name
#: struct tc_filter (bpf/tc.c)
FILTER = np.dtype(
    [
        ("chain", "<u4"),
        ("priority", "<u2"),
        ("protocol", "<u2"),
        ("actions", "<u4"),
        ("unused", "<u4"),
        ("kind", f"V{_KIND_BYTES}"),
        ("action_kinds", f"V{4 * _KIND_BYTES}"),
    ]
)


class TcFilter(NamedTuple):
    """A filter: its ``kind`` ("flower"), the Ethernet type that it is for, its priority, the number of its chain, and
    the kinds of its first actions ("gact"); ``actions_left`` counts the others."""

    kind: str
    protocol: int
    priority: int
    chain: int
    actions: tuple[str, ...]
    actions_left: int


def read(table: Map, numbers: Collection[int]) -> dict[int, TcFilter]:
    """Return the filters of these numbers, as far as they are known.

    :param table: ``struct tc_filter`` by number.
    """
    return read_numbered(table, numbers, FILTER, _filter)


def _filter(one: Any) -> TcFilter:
    kinds, actions = bytes(one["action_kinds"]), int(one["actions"])
    told = [text_of(kinds[place : place + _KIND_BYTES]) for place in range(0, len(kinds), _KIND_BYTES)][:actions]
    protocol = int.from_bytes(int(one["protocol"]).to_bytes(2, sys.byteorder), "big")
    return TcFilter(
        text_of(one["kind"]), protocol, int(one["priority"]), int(one["chain"]), tuple(told), actions - len(told)
    )
