# SPDX-License-Identifier: GPL-2.0-or-later
"""Values from untrusted sources: names of processes, devices and hosts, and JSON from files.

This is the one place where text is made harmless.

Invariant: what is returned here contains no character that a terminal, a browser or a line-by-line reader would act on
(control characters, line ends, marks of writing direction, bytes that are not UTF-8), and has the type and size that
was asked for; anything else is rejected with ``ValueError``.
"""

from __future__ import annotations

import re
from typing import Any

#: A name that needs no quotes in a shell, and no escapes in a line of words.
PLAIN_NAME = re.compile(r"[\w.@+-]+", re.ASCII)
NUMBER_END = 1 << 63  # the end of what a column of signed 64 bits can hold, here and in Parquet
_DEPTH_MAX = 8


def printable(text: str) -> str:
    """Return the text with every unprintable character as ``\\xNN``, the bytes of its UTF-8. Printable text stays as
    it is."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in raw(char)) for char in text)


def raw(text: str) -> bytes:
    """Return the bytes that a text was read from: UTF-8, and unchanged those that were not."""
    return b"".join(
        char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass") for char in text
    )


def number(value: Any) -> int:
    """Return a whole number that is not negative and fits 63 bits."""
    if type(value) is not int or not 0 <= value < NUMBER_END:
        raise ValueError(f"{shown(value)} instead of a whole number from 0 up")
    return value


def integer(value: Any) -> int:
    """Return a whole number that fits 64 bits with its sign."""
    if type(value) is not int or not -NUMBER_END <= value < NUMBER_END:
        raise ValueError(f"{shown(value)} instead of a difference of times")
    return value


def text(value: Any) -> str:
    """Return a text, made printable."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} instead of a text")
    return printable(value)


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} instead of an object")
    return value


def items(value: Any) -> list[Any]:
    """Return a JSON list."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{shown(value)} instead of a list")
    return list(value)


def clean(value: Any, depth: int = _DEPTH_MAX) -> Any:
    """Return a JSON value with every text in it printable. Objects and lists may be nested ``depth`` deep; numbers must
    be whole and fit 64 bits."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (dict, list)) and not depth:
        raise ValueError("it is nested too deep")
    if isinstance(value, dict):
        return {printable(str(key)): clean(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(one, depth - 1) for one in value]
    if isinstance(value, float) or (isinstance(value, int) and not -NUMBER_END <= value < NUMBER_END):
        raise ValueError(f"{shown(value)} instead of a whole number of 64 bits")
    return value


def shown(value: Any) -> str:
    """Return a value as an error message shows it, always short."""
    if isinstance(value, int) and not -NUMBER_END <= value < NUMBER_END:
        return "a number of more than 64 bits"
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else "a list"
    text = printable(repr(value))
    return text if len(text) <= 40 else text[:37] + "..."
