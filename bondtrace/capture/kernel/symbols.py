# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the functions to probe among the kernel's symbols.

Compilers rename functions: ``__netif_receive_skb_core.constprop.0`` is the whole function with an
argument specialised, ``foo.isra.0`` one with its arguments rearranged, ``foo.part.0`` and ``foo.cold`` are
pieces of it and ``__pfx_foo`` is padding before it. Only the first two are the function, and the arguments of
``.isra`` are not where the source says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

KALLSYMS = Path("/proc/kallsyms")

_WHOLE = re.compile(r"(\.constprop\.\d+|\.llvm\.\d+)*")


@dataclass(frozen=True)
class Symbol:
    """A function as kallsyms lists it; ``module`` is empty for the kernel itself."""

    name: str
    module: str = ""


def find(kallsyms: bytes, wanted: Iterable[str]) -> dict[str, Symbol]:
    """Return the symbol of each wanted function, preferably of the exact name; absent where there is none."""
    found = {}
    for name in wanted:
        symbol = _best(name, _candidates(kallsyms, name))
        if symbol:
            found[name] = symbol
    return found


def _candidates(kallsyms: bytes, name: str) -> list[Symbol]:
    """Return all text symbols called ``name`` or ``name.something``."""
    needle, result, at = b" " + name.encode(), [], 0
    while (at := kallsyms.find(needle, at)) >= 0:
        line_begin = kallsyms.rfind(b"\n", 0, at) + 1
        line_end = kallsyms.find(b"\n", at)
        line = kallsyms[line_begin : line_end if line_end >= 0 else len(kallsyms)].decode("ascii", "replace")
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
    whole = [symbol for symbol in candidates if _WHOLE.fullmatch(symbol.name[len(name) :])]
    return whole[0] if whole else None


def place(kallsyms: bytes, name: str) -> Optional[tuple[int, int]]:
    """Return the address of a function and how many bytes there are up to the next symbol of the kernel itself, or of
    its module; ``None`` where there is no such function, or the list hides addresses."""
    at = max(kallsyms.find(b" " + name.encode() + end) for end in (b"\n", b"\t"))
    begins = kallsyms.rfind(b"\n", 0, max(at, 0)) + 1
    found = re.match(rb"([0-9a-f]{16}) [tTwW] [^\s]+(\t\[\w+\])?\n", kallsyms[begins : begins + _LINE_BYTES_MAX])
    if at < 0 or found is None:
        return None
    first, last, tag = begins, begins + _NEXT_BYTES, found[2] or b""
    if tag:  # a module's symbols stand together, but not in order
        first, last = kallsyms.rfind(b"\n", 0, kallsyms.find(tag)) + 1, kallsyms.rfind(tag) + len(tag)
    lines = re.findall(rb"^([0-9a-f]{16}) .*" + re.escape(tag) + rb"$", kallsyms[first:last], re.MULTILINE)
    begin, listed = int(found[1], 16), (int(one, 16) for one in lines)
    end = min((address for address in listed if address > begin), default=0)
    return (begin, end - begin) if end else None


def read_kallsyms(path: Path = KALLSYMS) -> bytes:
    """Return the kernel's symbol list; empty where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Addresses:
    """The functions by address. Only the low half of an address is known: the kernel's text and its
    modules are within 2 GiB on x86-64, and elsewhere two functions hardly ever share a low half.

    The list has 100,000 lines and more, and a trace waits meanwhile: it is read in columns, and a name only when it is
    needed. Source of its format: s_show() in kernel/kallsyms.c (16 digits, a space, the type, a space, the name).
    """

    def __init__(self, kallsyms: bytes) -> None:
        text = np.frombuffer(kallsyms + b"\n" * _LINE_BYTES_MIN, np.uint8)  # so that the last lines are also complete
        begins = np.append(0, np.flatnonzero(text[: len(kallsyms)] == ord("\n")) + 1)
        begins = begins[(text[begins + _DIGITS] == ord(" ")) & np.isin(text[begins + _DIGITS + 1], _FUNCTIONS)]
        digits = text[begins[:, None] + np.arange(_DIGITS // 2, _DIGITS)].astype(np.int64)
        digits -= np.where(digits >= ord("a"), ord("a") - 10, ord("0"))
        low = digits @ (16 ** np.arange(_DIGITS // 2 - 1, -1, -1))
        order = np.argsort(low, kind="stable")
        self._kallsyms, self._begins, self._lines = kallsyms, low[order], begins[order]
        self._kernel = _low_of(b"_stext", kallsyms), _low_of(b"_etext", kallsyms)

    def stays(self, low: int) -> bool:
        """Is this address in the kernel itself, where nothing comes and goes as modules do?"""
        return 0 < self._kernel[0] <= low < self._kernel[1]

    def name(self, low: int) -> Optional[str]:
        """Return the function that this address is in, without its suffix; ``None`` where the list does not show it."""
        place = int(np.searchsorted(self._begins, low, side="right")) - 1
        if place < 0 or not self._begins[place]:
            return None  # all addresses read as 0 without the right to see them
        words = self._kallsyms[self._lines[place] : self._lines[place] + _LINE_BYTES_MAX].split(None, 3)
        return words[2].decode("ascii", "replace").partition(".")[0] if len(words) > 2 else None


def _low_of(name: bytes, kallsyms: bytes) -> int:
    """Return the low half of a symbol's address, 0 where there is none."""
    at = kallsyms.find(b" " + name + b"\n")
    line = re.fullmatch(rb"[0-9a-f]{8}([0-9a-f]{8}) [A-Za-z]", kallsyms[kallsyms.rfind(b"\n", 0, max(at, 0)) + 1 : at])
    return int(line[1], 16) if line else 0


_DIGITS = 16
_FUNCTIONS = np.frombuffer(b"tTwW", np.uint8)
_LINE_BYTES_MIN = _DIGITS + 2
_NEXT_BYTES = 4096
_LINE_BYTES_MAX = 1024  # KSYM_NAME_LEN is 512
