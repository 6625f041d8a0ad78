# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the functions to probe among the kernel's symbols.

Compilers rename functions: ``__netif_receive_skb_core.constprop.0`` is the whole function with an
argument specialised, ``foo.isra.0`` one with its arguments rearranged, ``foo.part.0`` and ``foo.cold`` are
pieces of it and ``__pfx_foo`` is padding before it. Only the first two are the function, and of ``.isra``
the arguments are not where the source says.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

KALLSYMS = Path("/proc/kallsyms")

_WHOLE = re.compile(r"(\.constprop\.\d+|\.llvm\.\d+)*")


@dataclass(frozen=True)
class Symbol:
    """A function as kallsyms lists it; ``module`` is empty for the kernel itself."""

    name: str
    module: str = ""


def find(kallsyms: bytes, wanted: Iterable[str]) -> dict[str, Symbol]:
    """For each wanted function its symbol, the exact name first; absent where there is none."""
    found = {}
    for name in wanted:
        symbol = _best(name, _candidates(kallsyms, name))
        if symbol:
            found[name] = symbol
    return found


def _candidates(kallsyms: bytes, name: str) -> list[Symbol]:
    """All text symbols called ``name`` or ``name.something``."""
    needle, result, at = b" " + name.encode(), [], 0
    while (at := kallsyms.find(needle, at)) >= 0:
        line_begin = kallsyms.rfind(b"\n", 0, at) + 1
        line_end = kallsyms.find(b"\n", at)
        line = kallsyms[line_begin: line_end if line_end >= 0 else len(kallsyms)].decode("ascii", "replace")
        at += len(needle)
        fields = line.split()
        if len(fields) < 3 or fields[1] not in "tTwW":
            continue
        if fields[2] == name or fields[2].startswith(name + "."):
            result.append(Symbol(fields[2], fields[3].strip("[]") if len(fields) > 3 else ""))
    return result


def _best(name: str, candidates: list[Symbol]) -> Optional[Symbol]:
    exact = [symbol for symbol in candidates if symbol.name == name]
    if exact:
        return exact[0]
    whole = [symbol for symbol in candidates if _WHOLE.fullmatch(symbol.name[len(name):])]
    return whole[0] if whole else None


def read_kallsyms(path: Path = KALLSYMS) -> bytes:
    """The kernel's symbol list; empty where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Addresses:
    """Names the functions that addresses lie in. Only the low half of an address is told: the kernel's text and its
    modules lie within 2 GiB on x86-64, and elsewhere two functions hardly ever share a low half."""

    def __init__(self, kallsyms: bytes) -> None:
        lines = [line.split() for line in kallsyms.splitlines()]
        functions = [(int(words[0], 16) & 0xFFFFFFFF, words[2]) for words in lines
                     if len(words) > 2 and words[1] in b"tTwW"]
        functions.sort(key=lambda function: function[0])
        self._begins = [begin for begin, _ in functions]
        self._names = [name for _, name in functions]

    def name(self, low: int) -> Optional[str]:
        """The function that this address lies in, without its suffix; ``None`` where the list does not tell."""
        place = bisect_right(self._begins, low) - 1
        if place < 0 or not self._begins[place]:
            return None  # all addresses read as 0 without the right to see them
        return self._names[place].decode("ascii", "replace").partition(".")[0]
