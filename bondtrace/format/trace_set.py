# SPDX-License-Identifier: GPL-2.0-or-later
"""Several files as traces: the parts of one trace are put together again, and traces are ordered by time.

Invariant: memory does not grow with the files; each is read batch by batch, and before that only its first batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ..errors import UsageError
from ..util.pipes import STDIO, input_name
from ..util.untrusted import printable
from .batch import Batch
from .events import Event
from .recording import Recording

SUFFIX = ".arrows"
_NUMBER_END = 1 << 63


@dataclass
class TraceSet:
    """One trace: a file, or the parts of one in order. After ``batches()`` has ended, ``cut_off`` lists the files that
    were cut off. ``missing`` lists the gaps between its parts."""

    paths: list[Path]
    numbers: list[int]
    begin_ns: int
    cut_off: list[Path] = field(default_factory=list)
    done_bytes: int = 0

    @property
    def name(self) -> str:
        """Its name for people, printable: its file, or the first and the last."""
        first = input_name(self.paths[0])
        name = first if len(self.paths) == 1 else f"{first} to {self.paths[-1].name}"
        return printable(name)

    @property
    def is_piped(self) -> bool:
        """Does it come from standard input?"""
        return self.paths == [STDIO]

    @property
    def size_bytes(self) -> int:
        """The size of all its files together."""
        return sum(path.stat().st_size for path in self.paths)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The parts that are missing in between: the first and the last number of each gap."""
        return [(before + 1, after - 1) for before, after in zip(self.numbers, self.numbers[1:]) if after > before + 1]

    @property
    def missing_words(self) -> str:
        """The missing parts as a sentence; "" where none is missing."""
        if not self.missing:
            return ""
        count = sum(last - first + 1 for first, last in self.missing)
        return f"{count} parts between these are missing, the first of them part {self.missing[0][0]}"

    def batches(self, wait: Optional[Callable[[], bool]] = None) -> Iterator[Batch]:
        """Yield every complete batch. Events that a part repeats are left out where the part before was read."""
        self.cut_off.clear()  # a reading says so itself
        before: Optional[int] = None
        read_bytes = 0
        for path, number in zip(self.paths, self.numbers):
            recording = Recording(path)
            follows = before is not None and number == before + 1
            for batch in recording.batches(wait):
                events = [one for one in batch.events if not (follows and one.get("again"))]
                yield batch._replace(events=events)
                self.done_bytes = read_bytes + recording.position
            read_bytes += recording.position
            before = number
            if recording.cut_off:
                self.cut_off.append(path)


def gather(paths: tuple[Path, ...]) -> list[TraceSet]:
    """Return the traces in these files, and in the recordings of these directories; ``-`` is standard input.

    :raises UsageError: for a directory without recordings, where a part was given twice, or for ``-`` beside others.
    :raises BondtraceError: for a file that is not a recording.
    """
    require_one_input(paths)
    if STDIO in paths:
        return [TraceSet([STDIO], [1], 0)]
    files = [one for path in paths for one in (_inside(path) if path.is_dir() else [path])]
    files = list(dict.fromkeys(files))
    traces: dict[str, list[tuple[int, int, Path]]] = {}
    for path in files:
        start = _start(path) if len(files) > 1 else {}
        name = str(start.get("trace") or path)
        begin_ns = _whole(start.get("time_ns")) + _whole(start.get("wall_offset_ns"))
        traces.setdefault(name, []).append((_whole(start.get("part"), 1), begin_ns, path))
    found = []
    for parts in traces.values():
        parts.sort()
        if len({number for number, _, _ in parts}) < len(parts):
            twice = [str(path) for _, _, path in parts]
            raise UsageError(f"the same part of a trace was given twice: {', '.join(twice)}")
        found.append(TraceSet([path for _, _, path in parts], [number for number, _, _ in parts], parts[0][1]))
    return sorted(found, key=lambda one: (one.begin_ns, one.paths))


def require_one_input(paths: Sequence[Path]) -> None:
    """Raise ``UsageError`` where standard input is given twice, or beside files."""
    if STDIO in paths and len(paths) > 1:
        raise UsageError("- is standard input, which is one recording: give it once, and no file beside it")


def _inside(directory: Path) -> list[Path]:
    found = sorted(directory.glob(f"*{SUFFIX}"))
    if not found:
        raise UsageError(f"{directory} holds no recording (no file that ends in {SUFFIX})")
    return found


def _start(path: Path) -> Event:
    """Return the event that begins a recording; an empty one where there is none."""
    first = next(Recording(path).batches(), None)
    return next((one for one in first.events if one.get("kind") == "start"), {}) if first else {}


def _whole(value: object, default: int = 0) -> int:
    return value if type(value) is int and abs(value) < _NUMBER_END else default
