# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings for other programs: ``bondtrace.open()`` returns a ``Trace`` with journeys, counts and columns.

Invariant: the results are those of ``show`` and ``summary``, every iteration starts from the beginning and takes the
memory of one batch, nothing is read before it is asked for, and every error is a ``BondtraceError``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

from .analysis.scene import Scene
from .analysis.select import Criteria, Selection
from .analysis.stitch import Journeys
from .errors import UsageError, missing_package
from .format.events import Event
from .format.recording import Recording
from .format.trace_set import TraceSet, gather
from .format.wire import Passes
from .model import Device, Journey, Tap
from .pipeline import Pipeline
from .stats.summary import Summary
from .util.pipes import STDIO


class Trace:
    """One trace. It can be used as a context manager, although there is nothing to close."""

    def __init__(self, files: TraceSet) -> None:
        self._files = files
        self._read: Optional[tuple[int, Pipeline]] = None

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @property
    def paths(self) -> list[Path]:
        """Its files, in order."""
        return list(self._files.paths)

    @property
    def host(self) -> str:
        """The name of the host that was traced; "" where the beginning of the recording is missing."""
        return str(self.scene().start.get("host", ""))

    @property
    def kernel(self) -> str:
        """The release of its kernel; "" where the beginning of the recording is missing."""
        return str(self.scene().start.get("kernel", ""))

    @property
    def whole(self) -> bool:
        """Is it complete: no file cut off, no part missing in between?"""
        self._whole()
        return not self._files.cut_off and not self._files.missing

    def journeys(
        self, directions: tuple[str, ...] = ("rx", "tx"), criteria: Optional[Criteria] = None
    ) -> Iterator[Journey]:
        """Yield every journey, in the order in which they began, as objects (``bondtrace.model``).

        :param criteria: only those that fulfil these (``bondtrace.analysis.select``).
        """
        waiting: list[Journey] = []
        selection = Selection(criteria) if criteria else None
        pipeline = Pipeline(show=waiting.append, directions=directions, selection=selection)
        for _ in pipeline.batch_by_batch(self._files.batches()):
            yield from waiting
            waiting.clear()

    def columns(
        self, directions: tuple[str, ...] = ("rx", "tx"), criteria: Optional[Criteria] = None
    ) -> Iterator[Journeys]:
        """Yield the journeys in columns, some thousand at a time; ``criteria`` as for ``journeys``.

        ``passes.records`` and ``passes.steps`` are numpy structured arrays (``bondtrace.format.wire.RECORD`` and
        ``STEP``); journey ``i`` has the passes ``offsets[i]:offsets[i + 1]`` and the number ``numbers[i]``. Times are
        nanoseconds of CLOCK_MONOTONIC.
        """
        waiting: list[Journeys] = []
        selection = Selection(criteria) if criteria else None
        pipeline = Pipeline(columns=waiting.append, directions=directions, selection=selection)
        for _ in pipeline.batch_by_batch(self._files.batches()):
            yield from (one for one in waiting if len(one))
            waiting.clear()

    def passes(self) -> Iterator[Passes]:
        """Yield the passes as the kernel side sent them, unstitched, one batch at a time."""
        for batch in self._files.batches():
            if len(batch.passes):
                yield batch.passes

    def events(self) -> Iterator[Event]:
        """Yield the events (docs/recording.md, "Events"), as dictionaries."""
        for batch in self._files.batches():
            yield from batch.events

    def summary(self) -> Summary:
        """Return the counts that ``bondtrace summary`` shows; taps by inode, places as (netns, ifindex, direction)."""
        return self._whole().summary

    def scene(self) -> Scene:
        """Return the surroundings: devices, taps, names and losses, with their changes over time."""
        return self._whole().scene

    def taps(self) -> dict[int, Tap]:
        """Return every tap as it was last, by inode."""
        found = {inode: history.last_known() for inode, history in self.scene().taps.items()}
        return {inode: tap for inode, tap in found.items() if tap is not None}

    def devices(self) -> dict[tuple[int, int], Device]:
        """Return every device as it was last, by (netns, ifindex)."""
        found = {key: history.last_known() for key, history in self.scene().devices.items()}
        return {key: device for key, device in found.items() if device is not None}

    def losses(self) -> dict[str, int]:
        """Return what was lost, by kind; empty where nothing was lost."""
        return self.scene().losses()

    def arrow(self) -> Any:
        """Return a ``pyarrow.RecordBatchReader`` of the recording's own columns (docs/recording.md).

        :raises bondtrace.errors.BondtraceError: where pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise missing_package("arrow()", "pyarrow", "parquet") from None
        first = self.paths[0]
        next(Recording(first).batches(), None)  # is it one?
        with pa.memory_map(str(first)) as file:
            schema = pa.ipc.open_stream(file).schema
        return pa.RecordBatchReader.from_batches(schema, (one for path in self.paths for one in _batches(pa, path)))

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the same for any program that takes an Arrow C stream, such as ``polars.DataFrame(trace)``."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def _whole(self) -> Pipeline:
        """Return the pipeline as it is at the end of the trace; read again only where the files have grown."""
        try:
            size_bytes = self._files.size_bytes
        except OSError:
            size_bytes = -1  # reading says why
        if self._read is None or self._read[0] != size_bytes:
            pipeline = Pipeline()
            self._files.cut_off.clear()
            pipeline.run(self._files.batches())
            self._read = size_bytes, pipeline
        return self._read[1]


def _batches(pa: Any, path: Path) -> Iterator[Any]:
    """Yield the record batches of a file. Each is read by bondtrace first, which trusts none of its bytes and knows
    where a file was cut off."""
    with pa.memory_map(str(path)) as file:
        stream = None
        for _ in Recording(path).batches():
            stream = stream or pa.ipc.open_stream(file)
            yield stream.read_next_batch()


def open_trace(*paths: Union[str, os.PathLike[str]]) -> Trace:
    """Return the trace in these files or directories: ``bondtrace.open``.

    :raises UsageError: where there is not exactly one trace, or a directory holds no recording.
    :raises BondtraceError: for a file that is not a recording.
    """
    if STDIO in map(Path, paths):
        raise UsageError(
            "bondtrace.open() reads files, as often as is asked for; - can be read once: save it to a file"
        )
    found = gather(tuple(Path(path) for path in paths))
    if len(found) != 1:
        names = ", ".join(one.name for one in found[:3])
        raise UsageError(f"bondtrace.open() takes one trace, not {len(found)}: {names or 'no files were given'}")
    return Trace(found[0])
