# SPDX-License-Identifier: GPL-2.0-or-later
"""Values over time, and the times at which anything changed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Generic, Optional, TypeVar

T = TypeVar("T")

#: A time after all that is known: things are as they were last.
LAST_NS = 1 << 62


class History(Generic[T]):
    """The values of one thing over time; ``None`` where it was gone. Times are CLOCK_MONOTONIC, in ns."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: list[Optional[T]] = []

    def put(self, time_ns: int, value: Optional[T]) -> None:
        """Add a value. Times ascend; the first value holds for all times before it, too."""
        self._times.append(time_ns)
        self._values.append(value)

    def at(self, time_ns: int) -> Optional[T]:
        """Return the value then; before the first, the first."""
        place = bisect_right(self._times, time_ns) - 1
        return self._values[max(place, 0)] if self._values else None

    def first_since(self, time_ns: int) -> Optional[T]:
        """Return the first value put at or after that time; ``None`` where there was none."""
        later = range(bisect_left(self._times, time_ns), len(self._times))
        return next((value for value in map(self._values.__getitem__, later) if value is not None), None)

    def until(self, time_ns: int) -> list[T]:
        """Return the values put until then, in order; the first holds for all times before it, too."""
        count = max(bisect_right(self._times, time_ns), 1)
        return [value for value in self._values[:count] if value is not None]

    def last_known(self) -> Optional[T]:
        """Return the newest value that is not ``None``: the name of what is gone."""
        return next((value for value in reversed(self._values) if value is not None), None)

    @property
    def first_ns(self) -> int:
        """When its first value was put."""
        return self._times[0]

    @property
    def gone_ns(self) -> Optional[int]:
        """When it went, if it has."""
        return self._times[-1] if self._values and self._values[-1] is None else None


class Changes:
    """The times from which on an answer may differ from before.

    Invariant: between two of them, and while nothing new was learned, an answer stays what it is (``state``).
    """

    def __init__(self) -> None:
        self._times: set[int] = set()
        self._in_order: list[int] = []  # the same, where none was added since
        self._learned = 0

    def add(self, *times_ns: int) -> None:
        """Add such times."""
        self._times.update(times_ns)

    def learn(self) -> None:
        """Note that something is known now which may change answers of any time."""
        self._learned += 1

    @property
    def in_order(self) -> list[int]:
        """The times, ascending, without duplicates."""
        if len(self._in_order) != len(self._times):
            self._in_order = sorted(self._times)
        return self._in_order

    def state(self, time_ns: int) -> tuple[int, int]:
        """Return a key that is equal for times and calls with the same answers."""
        return bisect_right(self.in_order, time_ns), self._learned
