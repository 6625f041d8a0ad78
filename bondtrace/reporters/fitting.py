# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables that fit the width of what they are written to: what tells least is written shorter, or left out and named.

Only tables for people are fitted: ``github`` and ``tsv`` have every column at its full width.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Optional, TextIO

from tabulate import tabulate

FORMATS = ("simple", "plain", "github", "tsv")
WIDTH = 120
"""Where the output is no terminal."""

_FITTED = ("simple", "plain")


@dataclass(frozen=True)
class Column:
    """One column.

    ``words`` are its heading, which may be written below one another; ``group`` stands above columns of the same one.
    ``tells``: of columns with this the one that has the least is left out first; ``None``: it never is. ``least`` is
    the width down to which its cells may be cut; 0: they are never. ``wraps``: they are written on several lines
    instead. ``right``: its cells stand at the right.
    """

    words: tuple[str, ...]
    group: str = ""
    tells: Optional[tuple[int, int]] = None
    least: int = 0
    wraps: bool = False
    right: bool = False

    @property
    def name(self) -> str:
        """Its heading in one line."""
        group = self.group if self.group.startswith("(") else f"({self.group})"
        return " ".join(self.words) + (f" {group}" if self.group else "")


def width_of(stream: TextIO) -> int:
    """Return how many columns a table may have: COLUMNS, else those of the terminal, ``WIDTH`` where there is none."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked[:6]) > 0:
        return int(asked[:6])
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError, AttributeError):
        return WIDTH


def drawn(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    form: str,
    width: int,
    whole: str = "--format tsv and --json have all",
) -> str:
    """Return a table; below it, where columns were left out, which.

    :param rows: one or more cells each; those that are missing are empty.
    :param form: one of ``FORMATS`` but tsv.
    :param whole: says where a table is that has all columns.
    """
    cells = [[*row, *[""] * (len(columns) - len(row))] for row in rows]
    if form not in _FITTED:
        escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        return _table([one.name for one in columns], escaped, form, columns)
    each = [[line for row in cells for line in row[place].splitlines()] for place in range(len(columns))]
    longest = [max(lines, key=len, default="") for lines in each]
    for fit in _fits(columns, longest, width):
        if fit.width(columns, longest) <= width:
            break
    told = fit.table(columns, cells, form)
    left_out = [one.name for place, one in enumerate(columns) if place not in fit.kept]
    note = f"(too narrow for: {', '.join(left_out)}; {whole})"
    return "\n".join([told, *(textwrap.wrap(note, width, break_long_words=False) if left_out else [])])


@dataclass(frozen=True)
class _Fit:
    """How a table may be written: the places of the columns that are ``kept``, the ``sizes`` of those whose cells are
    cut, and whether headings are written below one another."""

    kept: tuple[int, ...]
    sizes: Mapping[int, int]
    is_narrow: bool

    def table(self, columns: Sequence[Column], cells: Sequence[Sequence[str]], form: str) -> str:
        """Return the table."""
        fitted = [[self._cell(columns[place], row[place], place) for place in self.kept] for row in cells]
        return _with_groups([columns[place] for place in self.kept], fitted, form, self.is_narrow)

    def width(self, columns: Sequence[Column], longest: Sequence[str]) -> int:
        """Return how wide the table is whose longest cells these are."""
        return max((len(line.rstrip()) for line in self.table(columns, [longest], "simple").splitlines()), default=0)

    def _cell(self, column: Column, text: str, place: int) -> str:
        size = self.sizes.get(place, 0)
        if not size:
            return text
        if not column.wraps:
            return shortened(text, size)
        parts = (textwrap.wrap(line, size, break_on_hyphens=False) for line in text.splitlines())
        return "\n".join(part for several in parts for part in several)


def _fits(columns: Sequence[Column], longest: Sequence[str], width: int) -> Iterator[_Fit]:
    """Yield ever narrower ones: first the headings, then without columns that tell nothing, then with cut cells, then
    without further columns."""
    kept = tuple(range(len(columns)))
    yield _Fit(kept, {}, False)
    yield _Fit(kept, {}, True)
    order = sorted((one.tells, -place) for place, one in enumerate(columns) if one.tells is not None)
    for place in (-place for (weight, _), place in order if weight == 0):
        kept = tuple(one for one in kept if one != place)
        yield _Fit(kept, {}, True)
    yield _cut(_Fit(kept, {}, True), columns, longest, width)
    for place in (-place for (weight, _), place in order if weight):
        kept = tuple(one for one in kept if one != place)
        yield _cut(_Fit(kept, {}, True), columns, longest, width)


def _cut(fit: _Fit, columns: Sequence[Column], longest: Sequence[str], width: int) -> _Fit:
    """Return one whose cells are cut as short as is needed, as far as they may be: always the longest."""
    sizes = {place: len(longest[place]) for place in fit.kept if columns[place].least}
    over = fit.width(columns, longest) - width
    while over > 0 and any(sizes[place] > columns[place].least for place in sizes):
        place = max(sizes, key=lambda place: (sizes[place] > columns[place].least, sizes[place]))
        sizes[place] -= 1
        over -= 1
    return replace(fit, sizes=sizes)


def shortened(text: str, size: int) -> str:
    """Return a text of at most ``size`` characters: what is in brackets at its end, an inode, is kept."""
    if len(text) <= size:
        return text
    mark = re.search(r" \[\d+\]$", text)
    end = mark[0] if mark and len(mark[0]) <= size // 2 else ""
    return f"{text[: size - len(end) - 1].rstrip()}…{end}"


def _with_groups(columns: Sequence[Column], cells: list[list[str]], form: str, is_narrow: bool) -> str:
    """Return the table with a line of the groups above it, where there are any: each name begins above the first of its
    columns, and is cut where the next group begins."""
    if is_narrow:
        rule, told = _narrow(columns, cells, form)
    else:
        headers = [" ".join(one.words) for one in columns]
        rule, told = _table(headers, cells, "simple", columns).splitlines()[1], _table(headers, cells, form, columns)
    if not any(one.group for one in columns):
        return told
    begins = [match.start() for match in re.finditer("-+", rule)]
    line = ""
    for group, members in groupby(range(len(columns)), key=lambda place: columns[place].group):
        its = list(members)
        room = (begins[its[-1] + 1] - 2 if its[-1] + 1 < len(begins) else len(rule)) - begins[its[0]]
        line = line.ljust(begins[its[0]]) + shortened(group, max(room, 1))
    return f"{line.rstrip()}\n{told}"


def _narrow(columns: Sequence[Column], cells: list[list[str]], form: str) -> tuple[str, str]:
    """Return (the line below the headings, the table) with headings of several lines, and no room left around them."""
    height = max(len(one.words) for one in columns)
    heads = [[one.words[at] if at < len(one.words) else "" for one in columns] for at in range(height)]
    rule, *lines, _ = _table((), [*heads, *cells], "simple", columns).splitlines()
    return rule, "\n".join([*lines[:height], *([rule] if form == "simple" else []), *lines[height:]])


def _table(headers: Sequence[str], cells: Sequence[Sequence[str]], form: str, columns: Sequence[Column]) -> str:
    sides = (
        ["right" if one.right else "left" for one in columns] if any(one.right for one in columns) and cells else None
    )
    return str(tabulate(cells, headers=headers, tablefmt=form, disable_numparse=True, colalign=sides))
