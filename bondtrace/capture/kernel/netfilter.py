# SPDX-License-Identifier: GPL-2.0-or-later
"""Netfilter: where the fields are from which the kernel side reads a chain's names, and the chains that it has read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from .bpf_map import Map
from .btf import Btf, BtfError, read_kernel_btf
from .maps import read_numbered, text_of, word

# The structs of bpf/netfilter.c.
LAYOUT = np.dtype(
    [
        ("hook_begin", "<u8"),
        ("hook_bytes", "<u8"),
        ("hook_list_begin", "<u8"),
        ("hook_list_bytes", "<u8"),
        ("chain_begin", "<u8"),
        ("chain_bytes", "<u8"),
        ("pktinfo_skb", "<u4"),
        ("pktinfo_state", "<u4"),
        ("chain_name", "<u4"),
        ("chain_table", "<u4"),
        ("table_name", "<u4"),
        ("table_family", "<u4"),
        ("table_family_mask", "<u4"),
        ("xt_table_name", "<u4"),
    ]
)
CHAIN = np.dtype(
    [("func", "u1"), ("family", "u1"), ("hook", "u1"), ("unused", "u1", 5), ("table", "V64"), ("name", "V64")]
)
# Fields of LAYOUT, by module: struct and field of each place.
_X_TABLES = {"xt_table_name": ("xt_table", "name")}
WANTED = {
    "nf_tables": {
        "pktinfo_skb": ("nft_pktinfo", "skb"),
        "pktinfo_state": ("nft_pktinfo", "state"),
        "chain_name": ("nft_chain", "name"),
        "chain_table": ("nft_chain", "table"),
        "table_name": ("nft_table", "name"),
        "table_family": ("nft_table", "family"),
    },
    "ip_tables": _X_TABLES,
    "ip6_tables": _X_TABLES,
    "ebtables": _X_TABLES,
    "arp_tables": _X_TABLES,
}


class Chain(NamedTuple):
    """A chain that had a packet dropped: the function that walked it (``wire.FUNCTIONS``), the family of its table and
    the hook by the kernel's numbers, and names; ``name`` is "" where the hook names it."""

    func: int
    family: int
    hook: int
    table: str
    name: str


def places(types: Btf, module: str) -> dict[str, int]:
    """Return the fields of ``struct netfilter_layout`` that this module's types tell, the others left out.

    :raises BtfError: where they lack one.
    """
    wanted = WANTED[module]
    structs = types.find_many({struct for struct, _ in wanted.values()})
    found = {}
    for name, (struct, path) in wanted.items():
        field = types.field(structs[struct], path) if struct in structs else None
        if field is None:
            raise BtfError(f"no type information about struct {struct}, field {path}")
        found[name] = field.offset
        if name == "table_family":
            found["table_family_mask"] = ((1 << field.bits) - 1) << field.shift if field.bits else 0xFFFF
    return found


def module_places(module: str, base: Btf) -> dict[str, int]:
    """Return these of the running kernel, of whose types some modules' structs are a part.

    :raises BtfError: likewise, and where this kernel has no types of modules (before 5.11).
    """
    try:
        types = read_kernel_btf(module, base)
    except BtfError:
        try:
            return places(base, module)
        except BtfError:
            pass
        raise
    return places(types, module)


class Chains:
    """The maps of bpf/netfilter.c.

    :param layout: the array with the one ``struct netfilter_layout``.
    :param chains: ``struct chain`` by number.
    """

    def __init__(self, layout: Map, chains: Map) -> None:
        self._layout, self._chains = layout, chains

    def set_places(self, found: dict[str, int]) -> None:
        """Tell the kernel side where these fields are; what it was told before stays."""
        one = np.frombuffer(self._layout.get(word(0)) or b"", LAYOUT).copy()
        for name, offset in found.items():
            one[name] = offset
        self._layout.set(word(0), one.tobytes())

    def set_functions(self, found: Mapping[str, Optional[tuple[int, int]]]) -> None:
        """Tell the kernel side the addresses and lengths of functions, by their names in the layout: "hook"
        (nf_hook_slow), "hook_list", "chain" (nft_do_chain, which may free packets itself)."""
        for name, place in found.items():
            begin, length = place or (0, 0)
            self.set_places({f"{name}_begin": begin, f"{name}_bytes": length})

    def read(self, numbers: Collection[int]) -> dict[int, Chain]:
        """Return the chains of these numbers, as far as they are known."""
        return read_numbered(self._chains, numbers, CHAIN, _chain)


def _chain(one: Any) -> Chain:
    table, name = text_of(one["table"]), text_of(one["name"])
    return Chain(int(one["func"]), int(one["family"]), int(one["hook"]), table, name)
