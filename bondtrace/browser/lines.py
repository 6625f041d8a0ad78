# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of a screen: pieces of text with a style each, cut, padded and wrapped by the columns of a terminal that they
take."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

Span = tuple[str, str]
"""(style, text); the styles are the keys of ``terminal.STYLES``, "" is none."""
Line = list[Span]

_CODES = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}  # of reporters/text
_COLOURED = re.compile(r"\x1b\[(\d+)m([^\x1b]*)\x1b\[0m")


def width(text: str) -> int:
    """Return how many columns a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return a text of at most so many columns; "…" stands for what was cut."""
    if width(text) <= columns:
        return text
    kept, room = "", columns - 1
    for char in text:
        room -= _width(char)
        if room < 0:
            break
        kept += char
    return f"{kept}…" if columns > 0 else ""


def cut_front(text: str, columns: int) -> str:
    """Return a text of at most so many columns, of which the end is kept."""
    kept = text
    while width(kept) > max(columns - (kept != text), 0):
        kept = kept[1:]
    return kept if kept == text else f"…{kept}"[: max(columns, 0)]


def padded(text: str, columns: int) -> str:
    """Return a text of exactly so many columns."""
    told = cut(text, columns)
    return told + " " * (columns - width(told))


def text_of(line: Iterable[Span]) -> str:
    """Return a line without its styles."""
    return "".join(text for _, text in line)


def fitted(line: Line, columns: int) -> Line:
    """Return a line of exactly so many columns."""
    found: Line = []
    room = columns
    for style, text in line:
        told = cut(text, room)
        found.append((style, told))
        room -= width(told)
        if told != text:
            break
    return [*found, ("", " " * room)] if room > 0 else found


def spans(text: str) -> Line:
    """Return a line of ``reporters.text``, with its colours as styles."""
    found: Line = []
    end = 0
    for match in _COLOURED.finditer(text):
        found += [("", text[end : match.start()]), (_CODES.get(match[1], ""), match[2])]
        end = match.end()
    return [span for span in [*found, ("", text[end:])] if span[1]]


def wrapped(line: Line, columns: int, hang: int = 2) -> list[Line]:
    """Return a line as several of at most so many columns, those after the first indented by ``hang`` more.

    It is broken at spaces; a word that is longer than a line within it.
    """
    styled = [(style, char) for style, text in line for char in text]
    told = text_of(line)
    margin = len(told) - len(told.lstrip(" "))
    indent = min(margin + hang, max(columns - 2, 0) // 2)
    found: list[Line] = []
    while styled:
        room = columns - (indent if found else 0)
        end = _end(styled, max(room, 2), 0 if found else margin)
        found.append([("", " " * indent), *_joined(styled[:end])] if found else list(_joined(styled[:end])))
        while end < len(styled) and styled[end][1] == " ":
            end += 1
        styled = styled[end:]
    return found or [[]]


def _end(styled: Line, room: int, margin: int) -> int:
    """Return how many of these characters go into a line."""
    used, space = 0, 0
    for place, (_, char) in enumerate(styled):
        used += _width(char)
        if char == " " and place > margin:
            space = place
        if used > room:
            return space or max(place, 1)
    return len(styled)


def _joined(styled: Line) -> Iterator[Span]:
    for style, run in groupby(styled, key=lambda span: span[0]):
        yield style, "".join(char for _, char in run)
