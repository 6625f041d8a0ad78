# SPDX-License-Identifier: GPL-2.0-or-later
"""A tap's capture files, read as far as a recording has come: the packets that are still to be found in it.

Invariant: memory does not grow with the files; of more than ``HELD_MAX`` packets at a time the oldest are given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from ..format.capture_file import CaptureFile
from ..format.wire import Array
from .comparable import ETHERNET, NOTHING, Side, joined, of_capture

HELD_MAX = 1 << 21
_FILE_SHIFT = 40  # ``which`` of a packet: the number of its file, and its number in that


@dataclass(frozen=True)
class Capture:
    """What a tap's process wrote: its files, in order of time, which all have one link type."""

    inode: int
    files: tuple[CaptureFile, ...]
    link: int = ETHERNET

    @property
    def name(self) -> str:
        """Its name for people."""
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0].path.name}{more}"

    @property
    def cut_off(self) -> list[str]:
        """The files that end in the middle of a packet."""
        return [one.path.name for one in self.files if one.cut_off]

    def place_of(self, which: int) -> tuple[str, int]:
        """Return (file, number of the packet in it) of a packet that was read."""
        return self.files[which >> _FILE_SHIFT].path.name, which & (1 << _FILE_SHIFT) - 1


class Held:
    """The packets of a capture that were read and are not decided yet, ordered by time."""

    def __init__(self, capture: Capture) -> None:
        self.read = 0
        self._parts = _sides(capture)
        self._coming: Optional[Side] = next(self._parts, None)
        self.side = NOTHING
        self._until_ns = -1

    @property
    def is_over(self) -> bool:
        """Was everything read?"""
        return self._coming is None

    def read_until(self, time_ns: int, floor_ns: int) -> Iterator[Side]:
        """Read what was captured until then; yield what is older than ``floor_ns`` and so cannot be found any more."""
        parts = [self.side]
        while self._coming is not None and self._until_ns <= time_ns:
            part, self._coming = self._coming, next(self._parts, None)
            self.read += len(part)
            self._until_ns = max(self._until_ns, int(part.times_ns.max()))
            is_old = part.times_ns < floor_ns
            if is_old.any():
                yield part.take(is_old)
                part = part.take(~is_old)
            parts.append(part)
            if sum(map(len, parts)) > HELD_MAX:
                whole = joined(parts)
                yield whole.take(np.arange(len(whole) - HELD_MAX))
                parts = [whole.take(np.arange(len(whole) - HELD_MAX, len(whole)))]
        self.side = joined(parts) if len(parts) > 1 else parts[0]

    def drop(self, gone: Array) -> Side:
        """Take these packets (a mask) out; return them."""
        taken = self.side.take(gone)
        if len(taken):
            self.side = self.side.take(~gone)
        return taken


def _sides(capture: Capture) -> Iterator[Side]:
    for number, file in enumerate(capture.files):
        for packets in file.packets():
            side = of_capture(packets, capture.link)
            yield replace(side, which=side.which | number << _FILE_SHIFT)
