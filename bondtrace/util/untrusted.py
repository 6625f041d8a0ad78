# SPDX-License-Identifier: GPL-2.0-or-later
"""What others named and wrote: names of processes, devices, hosts and functions, and the events of recordings.

This is the one place where such text becomes harmless. What it keeps true: what comes out of here holds no character
that a terminal, a browser or a line-by-line reader would obey (control characters, line ends, marks of writing
direction, bytes that are no UTF-8), and an event holds values of the types and sizes that it is documented to hold
(docs/recording.md), or it is refused with ``ValueError``.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..model import Device, Process, Tap

NUMBER_END = 1 << 63  # what a column of signed 64 bits holds, here and in Parquet
_DEPTH_MAX = 8


def printable(text: str) -> str:
    """The text without anything that a terminal would obey: what is not printable as ``\\xNN``, the bytes of its UTF-8.
    Printable text stays as it is."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in raw(char)) for char in text)


def raw(text: str) -> bytes:
    """The bytes that a text was read from: UTF-8, and as they were those that are not."""
    return b"".join(
        char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass") for char in text
    )


def number(value: Any) -> int:
    """A whole number from 0 up that fits 63 bits; ``ValueError`` for anything else."""
    if type(value) is not int or not 0 <= value < NUMBER_END:
        raise ValueError(f"{_shown(value)} where a whole number from 0 up belongs")
    return value


def text(value: Any) -> str:
    """A text, printable; ``ValueError`` for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} where a text belongs")
    return printable(value)


def time_ns(event: dict[str, Any]) -> int:
    """When an event happened (CLOCK_MONOTONIC); 0 where it does not say. ``ValueError`` for what is no time."""
    return number(event.get("time_ns", 0))


def offset_ns(event: dict[str, Any]) -> int:
    """What to add to CLOCK_MONOTONIC for the time since the Unix epoch; 0 where it is not told."""
    value = event.get("wall_offset_ns", 0)
    if type(value) is not int or not -NUMBER_END <= value < NUMBER_END:
        raise ValueError(f"{_shown(value)} where a difference of times belongs")
    return value


def event(value: dict[str, Any]) -> dict[str, Any]:
    """An event with every text in it printable. ``ValueError`` where it is nested deeper than any event is, or a number
    is beyond 63 bits: its kind's own types are checked by who takes it (``Scene.apply``)."""
    result = _clean(value, _DEPTH_MAX)
    assert isinstance(result, dict)
    return result


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (dict, list)) and not depth:
        raise ValueError("it is nested too deep")
    if isinstance(value, dict):
        return {printable(str(key)): _clean(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one, depth - 1) for one in value]
    if isinstance(value, float) or (isinstance(value, int) and not -NUMBER_END <= value < NUMBER_END):
        raise ValueError(f"{_shown(value)} where a whole number of 64 bits belongs")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """An object of JSON; ``ValueError`` for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} where an object belongs")
    return value


def items(value: Any) -> list[Any]:
    """A list of JSON; ``ValueError`` for anything else."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{_shown(value)} where a list belongs")
    return list(value)


def device(value: Any) -> Device:
    """A device from JSON; keys of a newer writer are passed over, ``ValueError`` where a type is another."""
    return Device(**_typed(Device, mapping(value)))


def tap(value: Any) -> Tap:
    """A tap from JSON, likewise."""
    given = mapping(value)
    processes = tuple(Process(**_typed(Process, mapping(one))) for one in items(given.get("processes", ())))
    return Tap(**{**_typed(Tap, {**given, "processes": ()}), "processes": processes})


def stage(value: Any) -> dict[str, Any]:
    """A stage of the probe plan, from JSON: ``name``, ``tells``, ``missing`` and ``without`` are texts."""
    given = mapping(value)
    return {
        **given,
        "name": text(given.get("name")),
        "missing": text(given.get("missing") or ""),
        "tells": text(given.get("tells") or ""),
        "without": text(given.get("without") or ""),
    }


@cache
def _types(kind: type) -> dict[str, tuple[type, ...]]:
    """By field the types that its values may have."""
    hints = get_type_hints(kind)
    return {
        one.name: get_args(hints[one.name])
        if get_origin(hints[one.name]) is Union
        else (get_origin(hints[one.name]) or hints[one.name],)
        for one in fields(kind)
    }


def _typed(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in values.items() if name in _types(kind)}
    for name, value in known.items():
        if type(value) not in _types(kind)[name]:
            raise ValueError(f"{_shown(value)} as {name!r} of a {kind.__name__.lower()}")
    missing = [
        one
        for one in ("netns", "ifindex", "name", "kind", "inode", "protocol", "pid", "comm", "cmdline")
        if one in _types(kind) and one not in known
    ]
    if missing:
        raise ValueError(f"a {kind.__name__.lower()} without {missing[0]!r}")
    return known


def _shown(value: Any) -> str:
    """A value for an error: short whatever it is."""
    if isinstance(value, int) and not -NUMBER_END <= value < NUMBER_END:
        return "a number of more than 64 bits"
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else "a list"
    shown = printable(repr(value))
    return shown if len(shown) <= 40 else shown[:37] + "..."
