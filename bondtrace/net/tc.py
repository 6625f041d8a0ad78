# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters of tc, as ``tc filter show`` prints them."""

from __future__ import annotations

from collections.abc import Sequence

# Source: include/uapi/linux/if_ether.h; the names are those of iproute2's lib/ll_proto.c.
_PROTOCOLS = {0x0003: "all", 0x0800: "ip", 0x0806: "arp", 0x8100: "802.1Q", 0x86DD: "ipv6", 0x88A8: "802.1ad"}


def filter_phrase(kind: str, protocol: int, priority: int, chain: int, actions: Sequence[str], left: int = 0) -> str:
    """Return how people are told of a filter: "filter protocol ip pref 1 u32 chain 0, action gact".

    :param actions: the kinds of its actions, without the last ``left`` of them.
    """
    place = f"filter protocol {_PROTOCOLS.get(protocol, f'[{protocol}]')} pref {priority} {kind} chain {chain}"
    more = [f"{left} more"] if left > 0 else []
    named = ", ".join([*actions, *more])
    return f"{place}, action{'s' if len(actions) + len(more) > 1 else ''} {named}" if named else place
