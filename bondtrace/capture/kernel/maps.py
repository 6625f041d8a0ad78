# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF maps that this side writes and reads: which devices are traced, and what was counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any, TypeVar

import numpy as np

from ...format.wire import COUNT, COUNT_KEY, COUNTERS, Array
from ...net.topology import Family, key_number
from . import source
from .bpf_map import Map

T = TypeVar("T")
#: struct recent (bpf/count.c)
RECENT = np.dtype([("key", COUNT_KEY), ("unused", "<u4"), ("count", "<u8")])
_SEVERAL, _FOLLOW_LOWER, _FOLLOW_UPPER = (1 << 64) - 1, 1, 2  # bpf/pass.c


def word(number: int, size: int = 4) -> bytes:
    """Return a number as the kernel side has it."""
    return number.to_bytes(size, sys.byteorder)


def number(raw: bytes) -> int:
    """Return the number that these bytes are to the kernel side."""
    return int.from_bytes(raw, sys.byteorder)


def read_numbered(table: Map, numbers: Collection[int], kind: np.dtype[Any], make: Callable[[Any], T]) -> dict[int, T]:
    """Return what a map by number has under these, as far as it has them.

    :param kind: the type of a value.
    :param make: makes something of a value, a scalar of that type.
    """
    found = {one: table.get(word(one)) for one in numbers}
    return {one: make(np.frombuffer(value, kind)[0]) for one, value in found.items() if value is not None}


def text_of(raw: Any) -> str:
    """Return a string of C, which ends at a zero byte or with its array."""
    return bytes(raw).partition(b"\0")[0].decode("utf-8", "replace")


class DeviceMaps:
    """The traced devices (bpf/pass.c: ``devices``, and ``places``, the array in front of it)."""

    def __init__(self, devices: Map, places: Map) -> None:
        self._table, self._places = devices, places
        self._devices: Set[int] = set()

    def set(self, devices: Family) -> None:
        """Trace these devices, and at once what joins them, below those that are ``below`` and on
        top of those that are ``above``."""
        wanted = {
            key_number(key): _FOLLOW_LOWER * (key in devices.below) | _FOLLOW_UPPER * (key in devices.above)
            for key in devices.all
        }
        there = {number(key): number(value) for key, value in self._table.items().items()}
        # What has joined since the last time stays: its notification may not have been read yet.
        joined = there.keys() - self._devices - wanted.keys() if wanted else set()
        gone = there.keys() - joined - wanted.keys()
        for key, follow in wanted.items() - there.items():
            self._table.set(word(key, 8), word(follow, 1))
        self._set_places(wanted.keys() | joined, gone)
        for key in gone:
            self._table.delete(word(key, 8))
        self._devices = wanted.keys() | joined

    def _set_places(self, devices: Set[int], gone: Set[int]) -> None:
        places: dict[int, int] = {key % source.DEVICE_PLACES: 0 for key in gone}
        for key in devices:
            place = key % source.DEVICE_PLACES
            places[place] = _SEVERAL if places.get(place) else key
        for place, device in places.items():
            self._places.set(word(place), word(device, 8))


class CountMaps:
    """What the kernel side counts (bpf/count.c: ``counts``, and ``recents``, what is not in it yet).

    :param maps: the compiled programs' maps by name.
    """

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._maps = maps
        self._counted: Counter[bytes] = Counter()

    def read(self) -> Array:
        """Return what has been counted so far, shape (n,) of ``wire.COUNT``, summed over the CPUs; exact when no packet
        comes, and never less than before."""
        before = self._recent()
        there = self._maps["counts"].items()
        found = Counter({key: int(np.frombuffer(values, "<u8").sum()) for key, values in there.items()})
        for place, (key, count) in self._recent().items():
            if before.get(place, ("", 0))[0] == key:  # else it was being written
                found[key] += count
        found = self._counted = found | self._counted
        counts = np.zeros(len(found), COUNT)
        counts["key"] = np.frombuffer(b"".join(found), COUNT_KEY)
        counts["count"] = list(found.values())
        return counts

    def _recent(self) -> dict[tuple[int, int], tuple[bytes, int]]:
        """Return by place and CPU the key and count of what is not yet in ``counts`` (struct recent, bpf/count.c)."""
        return {
            (number(place), cpu): (one["key"].tobytes(), int(one["count"]))
            for place, values in self._maps["recents"].items().items()
            for cpu, one in enumerate(np.frombuffer(values, RECENT))
            if one["count"]
        }


def read_counters(table: Map) -> dict[str, list[int]]:
    """Return every counter of bpf/wire.h by name, a value for each CPU."""
    return {name: np.frombuffer(table.get(word(i)) or b"", "<u8").tolist() for i, name in enumerate(COUNTERS)}
