# SPDX-License-Identifier: GPL-2.0-or-later
"""Parquet: the rows of ``rows``, as one file or as a dataset partitioned by host and day.

Row groups are written while reading. The key ``bondtrace`` of a file's metadata lists, as JSON, the recordings in it
and what each had lost by its end.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Optional
from urllib.parse import quote

from ..analysis.scene import Scene
from ..errors import BondtraceError, missing_package
from ..format.wire import Array
from ..model import Journey
from ..reporters.json_lines import trust_object
from ..util.files import make_directory
from . import TIME_END_NS, Exporter
from .output import Output, cannot_write
from .rows import COLUMNS, Origin, Row, origin, rows

GROUP_ROWS = 50_000
_STEM_CHARS = 60
_OF_DATASETS = tuple((name, kind) for name, kind in COLUMNS if name != "host")  # the host is in the directory's name


class Table:
    """One Parquet file."""

    def __init__(self, stream: BinaryIO, columns: tuple[tuple[str, str], ...] = COLUMNS) -> None:
        self._pa, parquet = _pyarrow()
        self._schema = _schema(self._pa, columns)
        self._writer = parquet.ParquetWriter(stream, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._recordings: list[dict[str, Any]] = []

    def add(self, more: Iterator[Row]) -> None:
        """Add rows, and write them once they fill a group."""
        self._rows.extend(more)
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def told(self, recording: dict[str, Any]) -> None:
        """Keep for the metadata what is known about a recording at its end."""
        self._recordings.append(recording)

    def close(self) -> None:
        """Write what is left, and the metadata."""
        self._flush()
        self._writer.add_key_value_metadata({"bondtrace": json.dumps(self._recordings)})
        self._writer.close()

    def release(self) -> None:
        """Make the writer give up its file before that is closed; after ``close`` do nothing."""
        with suppress(Exception):
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


class _ParquetExporter(Exporter):
    """What a file and a dataset have in common."""

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self._origin: Optional[Origin] = None

    def write(self, journey: Journey, records: Array) -> None:
        self._origin = self._origin or origin(self.scene, str(self.source))
        self._table(journey, self._origin).add(rows(journey, self.scene, self._origin))

    def _table(self, journey: Journey, source: Origin) -> Table:
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        source = self._origin or origin(self.scene, str(self.source))
        return {
            "host": source.host,
            "kernel": source.kernel,
            "recording": source.recording,
            "trust": trust_object(self.scene),
        }


class ParquetExporter(_ParquetExporter):
    """All recordings in one file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._only = Table(stream)

    def _table(self, journey: Journey, source: Origin) -> Table:
        return self._only

    def end(self) -> None:
        self._only.told(self._facts())

    def close(self) -> None:
        self._only.close()

    def release(self) -> None:
        self._only.release()


class DatasetExporter(_ParquetExporter):
    """A file per recording and day, in directories ``host=NAME/day=YYYY-MM-DD``.

    A recording without a journey is a file without rows, of the day on which its trace started: this host did record.
    The files get their names when ``stack`` ends, which is when all of them are complete.
    """

    def __init__(self, path: Path, force: bool, stack: ExitStack) -> None:
        _pyarrow()
        self._path, self._force, self._stack = path, force, stack
        self._tables: dict[Path, Table] = {}
        self._of_recording: dict[str, Table] = {}

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self._of_recording = {}

    def _table(self, journey: Journey, source: Origin) -> Table:
        return self._of_day(journey.wall_ns, source)

    def _of_day(self, wall_ns: int, source: Origin) -> Table:
        day = time.strftime("%Y-%m-%d", time.gmtime(wall_ns // 1_000_000_000))
        if day not in self._of_recording:
            self._of_recording[day] = self._open(self._path / f"host={_partition(source.host)}" / f"day={day}")
        return self._of_recording[day]

    @property
    def _start_ns(self) -> int:
        """When the trace started, since the Unix epoch."""
        return int(self.scene.start.get("time_ns", 0) + self.scene.wall_offset_ns)

    def _open(self, directory: Path) -> Table:
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", self.source.stem)[:_STEM_CHARS]
        path = directory / f"{stem}-{max(self._start_ns, 0):019d}.parquet"
        if path in self._tables:
            raise BondtraceError(
                f"{self.source} is the same recording as one before it (host and start are the same); name it once"
            )
        _make_directory(directory)
        output = self._stack.enter_context(Output(path, self._force))
        self._tables[path] = Table(output.binary, _OF_DATASETS)
        return self._tables[path]

    def end(self) -> None:
        if not self._of_recording and self.scene.start and 0 <= self._start_ns < TIME_END_NS:
            self._of_day(self._start_ns, origin(self.scene, str(self.source)))
        for table in self._of_recording.values():
            table.told(self._facts())

    def close(self) -> None:
        for table in self._tables.values():
            table.close()

    def release(self) -> None:
        for table in self._tables.values():
            table.release()


def _partition(value: str) -> str:
    """Return a value in a directory's name as Hive writes it: ASCII escaped, other letters as they are.

    Spark reads an escape as one character, not as a byte of UTF-8.
    """
    return "".join(quote(char, safe="") if char.isascii() else char for char in value)


def _make_directory(path: Path) -> None:
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for place, one in enumerate(reversed(missing)):
        try:
            make_directory(one)
        except OSError as error:
            for made in missing[len(missing) - place :]:
                with suppress(OSError):
                    made.rmdir()
            raise cannot_write(one, error) from None


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_package("Parquet", "pyarrow", "parquet") from None
    return pyarrow, pyarrow.parquet


def _schema(pa: Any, columns: tuple[tuple[str, str], ...]) -> Any:
    types = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "timestamp": pa.timestamp("ns", tz="UTC"),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns])
