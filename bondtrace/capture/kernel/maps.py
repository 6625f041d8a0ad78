# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF maps that this side writes and reads: which devices are traced, and what was counted."""

from __future__ import annotations

import contextlib
import ctypes
from collections import Counter
from collections.abc import Callable, Collection, Set
from typing import Any, TypeVar

import numpy as np

from ...format.wire import COUNT, COUNT_KEY, COUNTERS, Array
from ...net.topology import Family, key_number
from . import source

T = TypeVar("T")
_SEVERAL, _FOLLOW_LOWER, _FOLLOW_UPPER = (1 << 64) - 1, 1, 2  # bpf/pass.c


def read_numbered(table: Any, numbers: Collection[int], make: Callable[[Any], T]) -> dict[int, T]:
    """Return what a table by number has under these, as far as it has them.

    :param make: makes something of a value.
    """
    found = {}
    for number in numbers:
        with contextlib.suppress(KeyError):
            found[number] = make(table[ctypes.c_uint32(number)])
    return found


def text_of(raw: Any) -> str:
    """Return a string of C, which ends at a zero byte or with its array."""
    return bytes(raw).partition(b"\0")[0].decode("utf-8", "replace")


class DeviceMaps:
    """The traced devices (bpf/pass.c: ``devices``, and ``places``, the array in front of it)."""

    def __init__(self, devices: Any, places: Any) -> None:
        self._table, self._places = devices, places
        self._devices: Set[int] = set()

    def set(self, devices: Family) -> None:
        """Trace these devices, and at once what joins them, below those that are ``below`` and on
        top of those that are ``above``."""
        wanted = {
            key_number(key): _FOLLOW_LOWER * (key in devices.below) | _FOLLOW_UPPER * (key in devices.above)
            for key in devices.all
        }
        there = {int(key.value): int(value.value) for key, value in self._table.items()}
        # What has joined since the last time stays: its notification may not have been read yet.
        joined = there.keys() - self._devices - wanted.keys() if wanted else set()
        gone = there.keys() - joined - wanted.keys()
        for key, follow in wanted.items() - there.items():
            self._table[ctypes.c_uint64(key)] = ctypes.c_ubyte(follow)
        self._set_places(wanted.keys() | joined, gone)
        for key in gone:
            with contextlib.suppress(KeyError):
                del self._table[ctypes.c_uint64(key)]
        self._devices = wanted.keys() | joined

    def _set_places(self, devices: Set[int], gone: Set[int]) -> None:
        places: dict[int, int] = {key % source.DEVICE_PLACES: 0 for key in gone}
        for key in devices:
            place = key % source.DEVICE_PLACES
            places[place] = _SEVERAL if places.get(place) else key
        for place, device in places.items():
            self._places[ctypes.c_int(place)] = ctypes.c_uint64(device)


class CountMaps:
    """What the kernel side counts (bpf/count.c: ``counts``, and ``recents``, what is not in it yet).

    :param maps: the compiled programs' maps by name; bcc looks for the host's CPUs where one is asked for.
    """

    def __init__(self, maps: Any) -> None:
        self._maps = maps
        self._counted: Counter[bytes] = Counter()

    def read(self) -> Array:
        """Return what has been counted so far, shape (n,) of ``wire.COUNT``, summed over the CPUs; exact when no packet
        comes, and never less than before."""
        before = self._recent()
        found = Counter({bytes(key): sum(values) for key, values in self._maps["counts"].items()})
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
            (int(place.value), cpu): (bytes(one.key), int(one.count))
            for place, values in self._maps["recents"].items()
            for cpu, one in enumerate(values)
            if one.count
        }


def read_counters(table: Any) -> dict[str, list[int]]:
    """Return every counter of bpf/wire.h by name, a value for each CPU."""
    return {name: [int(value) for value in table[ctypes.c_int(i)]] for i, name in enumerate(COUNTERS)}
