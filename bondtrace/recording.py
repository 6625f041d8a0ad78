# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: one file, an Arrow IPC stream, that any Arrow reader opens (docs/recording.md).

A row is a pass as the kernel sent it, unstitched, or an event (``kind`` 0, JSON in ``event``). What it keeps true:
every batch that was written is whole on disk whatever ends the writer, and reading gives every whole batch
of a file that was cut off, and then says that it was.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from .errors import BondtraceError, UsageError
from .scene import Event
from .wire import EMPTY, PACKET_BYTES, RECORD, STEP, Array, Passes

FORMAT = 1

# Column names with their Arrow types; all but packet, steps and event are fields of RECORD.
_NUMBERS = (("kind", "uint8"), ("time_ns", "uint64"), ("skb", "uint64"), ("netns", "uint32"), ("ifindex", "uint32"),
            ("len", "uint32"), ("cpu", "uint16"), ("protocol", "uint16"), ("vlan_tci", "uint16"), ("flags", "uint8"),
            ("steps_lost", "uint16"), ("seq", "uint32"), ("parent", "uint32"), ("duration_ns", "uint32"),
            ("arphrd", "uint16"), ("pkt_type", "uint8"), ("last_skb", "uint64"), ("frame", "uint32"),
            ("sender", "uint32"), ("head", "uint32"))
_SINCE_THE_FIRST = {"head"}  # columns that an older recording of this format may lack: zeros
_STEP_NUMBERS = (("t_ns", "uint32"), ("ifindex", "uint32"), ("orig_ifindex", "uint32"), ("arg", "uint32"),
                 ("kind", "uint8"), ("round", "uint8"), ("result", "uint8"), ("func", "uint8"), ("skb_low", "uint32"))


class Batch(NamedTuple):
    """What came at one time: passes, events, and up to when (CLOCK_MONOTONIC) nothing is outstanding."""

    passes: Passes
    events: list[Event]
    now_ns: int


def _arrow() -> Any:
    try:
        import nanoarrow
        import nanoarrow.ipc
    except ImportError:
        raise BondtraceError("recordings need the Python package nanoarrow; `pip install nanoarrow`") from None
    return nanoarrow


def _schemas(na: Any) -> tuple[Any, Any]:
    """(step, row)."""
    step = na.struct({name: getattr(na, kind)(nullable=False) for name, kind in _STEP_NUMBERS}, nullable=False)
    columns = {name: getattr(na, kind)(nullable=False) for name, kind in _NUMBERS}
    columns["packet"] = na.binary(nullable=False)
    columns["steps"] = na.list_(step, nullable=False)
    columns["event"] = na.string()
    return step, na.struct(columns, nullable=False)


class Recorder:
    """Writes a recording. ``UsageError`` when the file exists and ``force`` is not set. Where nothing gets written, no
    new file is left behind, and an older one stays as it was."""

    def __init__(self, path: Path, force: bool = False) -> None:
        self._na = _arrow()
        self._step_schema, self._schema = _schemas(self._na)
        self.path = path
        fd, self._place = _create(path, force)
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._writer = self._na.ipc.StreamWriter.from_writable(self._file)
        self.bytes = 0
        self.passes = 0
        self._failed = False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def write(self, passes: Passes, events: list[Event]) -> None:
        """Append one batch. ``BondtraceError`` when the disk does not take it."""
        if not len(passes) and not events:
            return
        array = self._array(passes, [json.dumps(e, separators=(",", ":")) for e in events])
        self._put(lambda: self._writer.write_array(array))
        if self._place != self.path:  # not before there is something to put in the place of an older recording
            os.replace(self._place, self.path)
            self._place = self.path
        self.bytes = self._file.tell()
        self.passes += len(passes)

    def close(self) -> None:
        """End the stream. Without it the file reads as well, and is said to be cut off."""
        if self._file.closed:
            return
        try:
            if self.bytes and not self._failed:
                self._put(self._writer.close)
        finally:
            self._file.close()
            if not self.bytes:
                self._place.unlink(missing_ok=True)

    def _put(self, write: Callable[[], None]) -> None:
        """Let the writer write. It wraps an OSError in an exception of its own."""
        try:
            write()
        except Exception as error:
            self._failed = True
            reason = _first_line(error).rpartition("] ")[2]
            kept = "what was written before is whole" if self.bytes else "nothing was written"
            raise BondtraceError(f"cannot write to {self.path}: {reason}; {kept}") from None

    def _array(self, passes: Passes, events: list[str]) -> Any:
        build, records = self._na.c_array_from_buffers, passes.records
        extra, rows = len(events), len(events) + len(passes)
        children = []
        for name, kind in _NUMBERS:
            column = np.zeros(rows, kind)
            column[extra:] = records[name]
            children.append(build(getattr(self._na, kind)(nullable=False), rows, [None, column]))
        captured = np.minimum(records["captured"].astype(np.int64), PACKET_BYTES)
        packets = records["packet"][np.arange(PACKET_BYTES) < captured[:, None]]
        children.append(build(self._na.binary(nullable=False), rows,
                              [None, _list_offsets(np.zeros(extra, np.int64), captured), packets]))
        children.append(build(self._na.list_(self._step_schema, nullable=False), rows,
                              [None, _list_offsets(np.zeros(extra, np.int64), np.diff(passes.offsets))],
                              children=[self._steps(passes.steps)]))
        text = [event.encode() for event in events]
        sizes = np.array([len(one) for one in text], np.int64)
        children.append(build(self._na.string(), rows, [
            np.packbits(np.arange(rows) < extra, bitorder="little"),
            _list_offsets(sizes, np.zeros(len(passes), np.int64)), b"".join(text)], null_count=len(passes)))
        return build(self._schema, rows, [None], children=children)

    def _steps(self, steps: Array) -> Any:
        build, rows = self._na.c_array_from_buffers, len(steps)
        children = [build(getattr(self._na, kind)(nullable=False), rows, [None, np.ascontiguousarray(steps[name])])
                    for name, kind in _STEP_NUMBERS]
        return build(self._step_schema, rows, [None], children=children)


def _list_offsets(first: Array, second: Array) -> Array:
    offsets = np.zeros(len(first) + len(second) + 1, np.int32)
    np.cumsum(np.concatenate([first, second]), out=offsets[1:])
    return offsets


def _create(path: Path, force: bool) -> tuple[int, Path]:
    """(descriptor, where it is for now). A new file that only its owner reads, never through a symbolic link; under
    sudo it is the caller's. With ``force`` an existing file is not touched: the new one lies beside it."""
    place = _beside(path) if force and os.path.lexists(path) else path
    try:
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; name another file, or --force to overwrite it") from None
    except OSError as error:
        raise BondtraceError(f"cannot create {path}: {error.strerror}; name another file") from None
    os.fchmod(fd, 0o600)
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        os.fchown(fd, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "-1")))
    return fd, place


def _beside(path: Path) -> Path:
    """Where the successor of an existing recording is written until it holds something."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        raise BondtraceError(f"cannot create {path}: it is a symbolic link; name another file")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is a device or a pipe; a recording is written to a file: name another one")
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


class Recording:
    """Reads a recording. After ``batches()`` has ended, ``cut_off`` says whether the file stops short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_off = False

    def batches(self) -> Iterator[Batch]:
        """Every whole batch, in order. ``BondtraceError`` for a file that is no recording."""
        na = _arrow()
        with self._open() as file:
            try:
                stream = na.c_array_stream(na.ipc.InputStream.from_readable(file))
                found = [(child.name, _type(child)) for child in stream.get_schema().children]
            except Exception:
                raise self._no_recording("it is not an Arrow stream") from None
            types = dict(found)
            for wanted in na.c_schema(_schemas(na)[1]).children:
                if wanted.name not in types and wanted.name in _SINCE_THE_FIRST:
                    continue
                if wanted.name not in types:
                    raise self._no_recording(f"it has no column {wanted.name!r}")
                if types[wanted.name] != _type(wanted):
                    raise self._no_recording(f"its column {wanted.name!r} has another type")
            yield from self._read(file, stream, [name for name, _ in found])
            self.cut_off |= not _ends_properly(file)

    def _open(self) -> Any:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise BondtraceError(f"cannot read {self.path}: {error.strerror}") from None

    def _no_recording(self, why: str) -> BondtraceError:
        return BondtraceError(f"{self.path} is no bondtrace recording: {why}; `bondtrace record -o FILE` makes one")

    def _read(self, file: Any, stream: Any, names: list[str]) -> Iterator[Batch]:
        while True:
            try:
                array = stream.get_next()
            except StopIteration:
                return
            except Exception as error:
                if file.tell() < os.fstat(file.fileno()).st_size:
                    raise self._no_recording(f"a batch does not hold together ({_first_line(error)})") from None
                self.cut_off = True
                return
            try:
                batch = _batch(array, names)
            except (ValueError, IndexError, TypeError, KeyError, OverflowError, RuntimeError) as error:
                raise self._no_recording(f"a batch does not hold together ({error})") from None
            yield batch


def _type(schema: Any) -> Any:
    """An Arrow type in a form that compares; the names of a struct's fields belong to it."""
    is_struct = schema.format == "+s"
    return schema.format, [(child.name if is_struct else "", _type(child)) for child in schema.children]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _ends_properly(file: Any) -> bool:
    """The last 8 bytes of a stream that was closed are a continuation mark and a zero length."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    return bool(file.read() == b"\xff\xff\xff\xff\0\0\0\0")


def _numbers(view: Any, kind: str, rows: int) -> Array:
    values = np.frombuffer(view.buffer(1), kind, count=rows + view.offset)[view.offset:]
    return values


def _ranges(view: Any, rows: int, content: int) -> Array:
    """The offsets of a list, string or binary column, checked against its content."""
    offsets = np.frombuffer(view.buffer(1), "<i4", count=rows + 1 + view.offset)[view.offset:].astype(np.int64)
    if offsets[0] < 0 or offsets[-1] > content or (np.diff(offsets) < 0).any():
        raise ValueError("offsets out of order")
    return offsets


def _batch(array: Any, names: list[str]) -> Batch:
    view, rows = array.view(), array.length
    columns = {name: view.child(place) for place, name in enumerate(names)}
    kind = _numbers(columns["kind"], "u1", rows)
    records = np.zeros(rows, RECORD)
    for name, dtype in _NUMBERS:
        if name in columns:
            records[name] = _numbers(columns[name], dtype, rows)
    _fill_packets(records, columns["packet"], rows)
    passes = _passes(records, columns["steps"], rows).take(kind != 0) if rows else EMPTY
    events = _events(columns["event"], np.flatnonzero(kind == 0), rows)
    times = [int(event.get("time_ns", 0)) for event in events]
    now_ns = max([int((passes.records["time_ns"] + passes.records["duration_ns"]).max()) if len(passes) else 0, *times])
    return Batch(passes, events, now_ns)


def _fill_packets(records: Array, view: Any, rows: int) -> None:
    content = np.frombuffer(view.buffer(2), np.uint8)
    offsets = _ranges(view, rows, len(content))
    sizes = np.diff(offsets)
    if rows and int(sizes.max()) > PACKET_BYTES:
        raise ValueError("packet too long")
    records["captured"] = sizes
    place = np.arange(PACKET_BYTES)
    valid = place < sizes[:, None]
    records["packet"][valid] = content[(offsets[:-1, None] + place)[valid]]


def _passes(records: Array, view: Any, rows: int) -> Passes:
    inner = view.child(0)
    offsets = _ranges(view, rows, inner.length)
    steps = np.zeros(int(offsets[-1]), STEP)
    for place, (name, kind) in enumerate(_STEP_NUMBERS):
        child = inner.child(place)
        steps[name] = _numbers(child, kind, inner.length)[: len(steps)]
    records["steps"] = np.diff(offsets)
    return Passes(records, steps[int(offsets[0]):], offsets - offsets[0])


def _events(view: Any, places: Array, rows: int) -> list[Event]:
    content = bytes(view.buffer(2))
    offsets = _ranges(view, rows, len(content))
    events = []
    for place in places:
        event = json.loads(content[offsets[place]: offsets[place + 1]] or "{}")
        if not isinstance(event, dict):
            raise ValueError("an event is not an object")
        events.append(event)
    return events
