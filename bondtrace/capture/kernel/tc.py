# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters of tc that had packets dropped, as the kernel side has read them (bpf/tc.c)."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, NamedTuple

from .maps import read_numbered, text_of

_KIND_BYTES = 16  # IFNAMSIZ: of a kind's name


class TcFilter(NamedTuple):
    """A filter: its ``kind`` ("flower"), the Ethernet type that it is for, its priority, the number of its chain, and
    the kinds of its first actions ("gact"); ``actions_left`` counts the others."""

    kind: str
    protocol: int
    priority: int
    chain: int
    actions: tuple[str, ...]
    actions_left: int


def read(table: Any, numbers: Collection[int]) -> dict[int, TcFilter]:
    """Return the filters of these numbers, as far as they are known.

    :param table: ``struct tc_filter`` by number.
    """
    return read_numbered(table, numbers, _filter)


def _filter(one: Any) -> TcFilter:
    kinds = bytes(one.action_kinds)
    told = [text_of(kinds[place : place + _KIND_BYTES]) for place in range(0, len(kinds), _KIND_BYTES)][: one.actions]
    protocol = int.from_bytes(int(one.protocol).to_bytes(2, sys.byteorder), "big")
    return TcFilter(
        text_of(one.kind), protocol, int(one.priority), int(one.chain), tuple(told), int(one.actions) - len(told)
    )
