# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: one file, a compressed Arrow IPC stream, that any Arrow reader opens (docs/recording.md).

A row is a pass as the kernel sent it, unstitched, or an event (``kind`` 0, JSON in ``event``). What it keeps true:
every batch that was written is whole on disk whatever ends the writer, and reading gives every whole batch
of a file that was cut off, and then says that it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Optional

import numpy as np

from ..errors import BondtraceError
from ..util import files
from .arrow_ipc import (
    END_OF_STREAM,
    Body,
    Damaged,
    Field,
    Message,
    Node,
    batch_message,
    read_message,
    read_schema,
    schema_message,
)
from .events import Event
from .wire import EMPTY, PACKET_BYTES, RECORD, STEP, Array, Passes, columns, concatenate, structures

FORMAT = 2
HOLD_S = 1.0  # at most so long passes wait for company before they are written
HOLD_PASSES = 1 << 14

# Column names with their types; all but steps and event are fields of RECORD.
_NUMBERS = (
    ("kind", "uint8"),
    ("time_ns", "uint64"),
    ("skb", "uint64"),
    ("netns", "uint32"),
    ("ifindex", "uint32"),
    ("len", "uint32"),
    ("cpu", "uint16"),
    ("protocol", "uint16"),
    ("vlan_tci", "uint16"),
    ("flags", "uint8"),
    ("steps_lost", "uint16"),
    ("seq", "uint32"),
    ("parent", "uint32"),
    ("duration_ns", "uint32"),
    ("arphrd", "uint16"),
    ("pkt_type", "uint8"),
    ("last_skb", "uint32"),
    ("frame", "uint32"),
    ("sender", "uint32"),
    ("head", "uint32"),
    ("captured", "uint8"),
    ("packet", f"V{PACKET_BYTES}"),
)
# Null where they are the low half of the pass's skb, as they nearly always are.
_OF_THE_SKB = {"last_skb", "skb_low"}
_SINCE_THE_FIRST = {"head", "captured"}  # columns that an older recording may lack
_OTHERWISE = {"last_skb": "uint64", "packet": "binary"}  # their types in format 1
_STEP_NUMBERS = (
    ("t_ns", "uint32"),
    ("ifindex", "uint32"),
    ("orig_ifindex", "uint32"),
    ("arg", "uint32"),
    ("kind", "uint8"),
    ("round", "uint8"),
    ("result", "uint8"),
    ("func", "uint8"),
    ("skb_low", "uint32"),
)
SCHEMA = (
    *(Field(name, kind, name in _OF_THE_SKB) for name, kind in _NUMBERS),
    Field(
        "steps",
        "list",
        children=(
            Field(
                "item", "struct", children=tuple(Field(name, kind, name in _OF_THE_SKB) for name, kind in _STEP_NUMBERS)
            ),
        ),
    ),
    Field("event", "string", nullable=True),
)


class Batch(NamedTuple):
    """What came at one time: passes, events, and up to when (CLOCK_MONOTONIC) nothing is outstanding. ``counts``, shape
    (n,) of ``wire.COUNT``: all that was counted so far, where a source counts in the kernel and has asked again."""

    passes: Passes
    events: list[Event]
    now_ns: int
    counts: Optional[Array] = None


class Recorder:
    """Writes a recording. ``UsageError`` when the file exists and ``force`` is not set. Where nothing gets written, no
    new file is left behind, and an older one stays as it was. Passes wait up to ``HOLD_S`` for company: a batch of
    many packs better."""

    def __init__(self, path: Path, force: bool = False) -> None:
        self._schema = schema_message(SCHEMA)
        self.path = path
        self._new = _create(path, force)
        self._file = os.fdopen(self._new.descriptor, "wb", buffering=0)
        self._waiting: list[Passes] = []
        self._since_s = 0.0
        self.bytes = 0
        self.passes = 0
        self._failed = False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def write(self, passes: Passes, events: list[Event]) -> None:
        """Append; what tells of the surroundings is written at once, with the passes that waited before it.
        ``BondtraceError`` when the disk does not take it."""
        now_s = time.monotonic()
        if len(passes):
            self._since_s = self._since_s if self._waiting else now_s
            self._waiting.append(passes)
            self.passes += len(passes)
        many = sum(len(one) for one in self._waiting) >= HOLD_PASSES
        if events or many or (self._waiting and now_s - self._since_s >= HOLD_S):
            self._write(events)

    def flush(self) -> None:
        """Write what waits."""
        self._write([])

    def _write(self, events: list[Event]) -> None:
        passes, self._waiting = concatenate(self._waiting), []
        if not len(passes) and not events:
            return
        message = encode(passes, [json.dumps(one, separators=(",", ":")) for one in events])
        self._put(message if self.bytes else self._schema + message)
        self._new.take_name(force=True)  # not before there is something to put in the place of an older recording
        self.bytes = self._file.tell()

    def close(self) -> None:
        """Write what waited, and end the stream. Without it the file reads as well, and is said to be cut off."""
        if self._file.closed:
            return
        try:
            if not self._failed:
                self.flush()
            if self.bytes and not self._failed:
                self._put(END_OF_STREAM)
        finally:
            self._file.close()
            if not self.bytes:
                self._new.remove()
            self._new.close()

    def _put(self, data: bytes) -> None:
        begin = self._file.tell()
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self._failed = True
            with suppress(OSError):
                self._file.truncate(begin)  # a batch that is there in part would only be in the way
            kept = "what was written before is whole" if self.bytes else "nothing was written"
            raise BondtraceError(f"cannot write to {self.path}: {error.strerror}; {kept}") from None


def encode(passes: Passes, events: list[str]) -> bytes:
    """One batch as a message of the stream: the events (JSON texts) first, then the passes."""
    extra, rows = len(events), len(events) + len(passes)
    records = columns(passes.records, *(name for name, _ in _NUMBERS))
    records["captured"] = np.minimum(records["captured"], PACKET_BYTES)
    records["packet"] = _only_captured(records["packet"], records["captured"]).view(f"V{PACKET_BYTES}")[:, 0]
    skb_low = records["skb"].astype(np.uint32)
    nodes: list[Node] = []
    buffers: list[Array] = []
    for name, kind in _NUMBERS:
        column = records[name]
        if extra:
            column = np.concatenate([np.zeros(extra, kind), column.astype(kind, copy=False)])
        _put(
            column,
            np.concatenate([np.zeros(extra, np.uint32), skb_low]) if name in _OF_THE_SKB else None,
            nodes,
            buffers,
        )
    nodes += [Node(rows, 0), Node(len(passes.steps), 0)]
    counts = np.diff(passes.offsets)
    buffers += [_NOTHING, _list_offsets(np.zeros(extra, np.int64), counts), _NOTHING]
    for name, column in columns(passes.steps, *(name for name, _ in _STEP_NUMBERS)).items():
        _put(column, np.repeat(skb_low, counts) if name in _OF_THE_SKB else None, nodes, buffers)
    texts = [one.encode() for one in events]
    sizes = np.array([len(one) for one in texts], np.int64)
    buffers += [
        np.packbits(np.arange(rows) < extra, bitorder="little"),
        _list_offsets(sizes, np.zeros(len(passes), np.int64)),
        np.frombuffer(b"".join(texts), np.uint8),
    ]
    return batch_message(rows, [*nodes, Node(rows, len(passes))], buffers)


_NOTHING = np.zeros(0, np.uint8)


def _put(column: Array, usual: Optional[Array], nodes: list[Node], buffers: list[Array]) -> None:
    """Add a column, null where it is as usual."""
    told = np.ones(len(column), bool) if usual is None else column != usual
    nulls = len(told) - int(np.count_nonzero(told))
    nodes.append(Node(len(column), nulls))
    buffers += [
        np.packbits(told, bitorder="little") if nulls else _NOTHING,
        np.where(told, column, np.uint32(0)) if nulls else column,
    ]


def _only_captured(packets: Array, sizes: Array) -> Array:
    """Packets, shape (n, 80), with zeros behind so many of their bytes."""
    short = np.flatnonzero(np.bincount(sizes, minlength=PACKET_BYTES)[:PACKET_BYTES])
    packets = packets.copy() if len(short) else packets
    for size in short:
        packets[np.flatnonzero(sizes == size), size:] = 0
    return packets


def _list_offsets(first: Array, second: Array) -> Array:
    offsets = np.zeros(len(first) + len(second) + 1, np.int32)
    np.cumsum(np.concatenate([first, second]), out=offsets[1:])
    return offsets


def _create(path: Path, force: bool) -> files.NewFile:
    """With ``force`` an existing file is not touched: the new one lies beside it."""
    try:
        return files.NewFile(path, aside=force and os.path.lexists(path))
    except FileExistsError:
        raise files.exists(path) from None
    except OSError as error:
        raise BondtraceError(f"cannot create {path}: {error.strerror}; name another file") from None


class Recording:
    """Reads a recording. After ``batches()`` has ended, ``cut_off`` says whether the file stops short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_off = False
        self.position = 0  # bytes that were read

    def batches(self, wait: Callable[[], bool] = lambda: False) -> Iterator[Batch]:
        """Every whole batch, in order. ``BondtraceError`` for a file that is no recording.

        :param wait: asked at the end of a file that was not closed: true to look again for more, which gives a batch
            of nothing in between. It is for the caller to sleep in it.
        """
        with self._open() as file:
            fields = None
            while True:
                try:
                    message = read_message(file)
                    if message is None:
                        return
                    if fields is None:
                        fields = self._fields(message)
                        continue
                    yield _batch(message, fields)
                    self.position = file.tell()
                except EOFError:
                    if wait():
                        yield Batch(EMPTY, [], 0)
                        continue
                    if fields is None:
                        raise self._no_recording("it is not an Arrow stream") from None
                    self.cut_off = True
                    return
                except OSError as error:
                    raise BondtraceError(f"cannot read {self.path}: {error.strerror}") from None
                except (
                    Damaged,
                    ValueError,
                    IndexError,
                    TypeError,
                    KeyError,
                    OverflowError,
                    RecursionError,
                    MemoryError,
                ) as error:
                    raise self._no_recording(
                        str(error) if fields is None else f"a batch does not hold together ({error})"
                    ) from None

    def _fields(self, message: Message) -> tuple[Field, ...]:
        found = read_schema(message)
        by_name = {one.name: one for one in found}
        for wanted in SCHEMA:
            if wanted.name not in by_name and wanted.name in _SINCE_THE_FIRST:
                continue
            if wanted.name not in by_name:
                raise Damaged(f"it has no column {wanted.name!r}")
            older = Field(wanted.name, _OTHERWISE.get(wanted.name, wanted.kind), children=wanted.children)
            if not (_alike(wanted, by_name[wanted.name]) or _alike(older, by_name[wanted.name])):
                raise Damaged(f"its column {wanted.name!r} has another type")
        return found

    def _open(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise BondtraceError(f"cannot read {self.path}: {error.strerror}") from None

    def _no_recording(self, why: str) -> BondtraceError:
        return BondtraceError(f"{self.path} is no bondtrace recording: {why}; `bondtrace record -o FILE` makes one")


def _alike(wanted: Field, found: Field) -> bool:
    """The same type; the names of a struct's fields belong to it."""
    return (
        wanted.kind == found.kind
        and len(wanted.children) == len(found.children)
        and all(
            _alike(ours, theirs) and (wanted.kind != "struct" or ours.name == theirs.name)
            for ours, theirs in zip(wanted.children, found.children)
        )
    )


def _batch(message: Message, fields: tuple[Field, ...]) -> Batch:
    body = Body(message)
    found: dict[str, Array] = {}
    nulls: dict[str, Array] = {}
    steps: dict[str, Array] = {name: np.zeros(0, kind) for name, kind in _STEP_NUMBERS}
    numbers, offsets, texts = dict(_NUMBERS), np.zeros(body.rows + 1, np.int64), (b"", np.zeros(1))
    for field in fields:
        node = body.node()
        if node.length != body.rows:
            raise Damaged(f"its column {field.name!r} is of another length")
        if field.kind == "binary" and field.name == "packet":
            found["packet"], found["captured"] = _read_packets(body)
        elif field.name in numbers:
            column = _read_numbers(body, field.name, node, field.kind, body.rows, nulls)
            found.setdefault(field.name, column)  # the sizes of format 1's packets are those of the column packet
        elif field.name == "steps":
            steps, offsets = _read_steps(body, nulls)
        elif field.name == "event":
            texts = _read_texts(body)
        else:
            _pass_over(field, body)
    counts = np.diff(offsets)
    _fill(found, "last_skb", nulls, found["skb"])
    _fill(steps, "skb_low", nulls, np.repeat(found["skb"], counts) if "skb_low" in nulls else None)
    kind = found["kind"]
    if (found["time_ns"] >> np.uint64(62)).any():
        raise Damaged("a pass at an impossible time")
    passes = EMPTY
    if body.rows:
        found |= {"steps": counts, "packet": _whole_packets(found["packet"], found.get("captured"))}
        passes = Passes(structures(RECORD, body.rows, found), structures(STEP, len(steps["kind"]), steps), offsets)
        passes = passes.take(kind != 0)
    events = [_event(texts[0][begin:end]) for begin, end in zip(texts[1][:-1][kind == 0], texts[1][1:][kind == 0])]
    times = [int(event.get("time_ns", 0)) for event in events]
    now_ns = max([int((passes.records["time_ns"] + passes.records["duration_ns"]).max()) if len(passes) else 0, *times])
    return Batch(passes, events, now_ns)


def _read_numbers(body: Body, name: str, node: Node, kind: str, count: int, nulls: dict[str, Array]) -> Array:
    """A column of so many numbers; where it has nulls, and may, these are put into ``nulls``."""
    is_null = body.nulls(node)
    if is_null is not None and name in _OF_THE_SKB:
        nulls[name] = is_null[:count]
    return body.buffer(kind, count)


def _fill(columns: dict[str, Array], name: str, nulls: dict[str, Array], skb: Optional[Array]) -> None:
    """What is null is the low half of the skb's address."""
    if name in nulls and skb is not None:
        columns[name] = np.where(nulls[name], skb.astype(np.uint32), columns[name])


def _read_packets(body: Body) -> tuple[Array, Array]:
    """Packets of format 1, of a size each, as those of format 2: shape (n,) of 80 bytes, and how many are theirs."""
    body.skip()
    offsets = body.ranges(body.rows)
    content = body.buffer("u1", int(offsets[-1]))
    sizes = np.diff(offsets)
    if body.rows and int(sizes.max()) > PACKET_BYTES:
        raise Damaged("packet too long")
    # From every packet's begin on 80 bytes, whosoever they are.
    padded = np.concatenate([content, np.zeros(PACKET_BYTES, np.uint8)])
    return np.lib.stride_tricks.sliding_window_view(padded, PACKET_BYTES)[offsets[:-1]], sizes


def _whole_packets(packets: Array, sizes: Optional[Array]) -> Array:
    """Packets as a reader may use them, shape (n, 80)."""
    if sizes is None:
        raise Damaged("it has no column 'captured'")
    if int(sizes.max()) > PACKET_BYTES:
        raise Damaged("packet too long")
    return _only_captured(packets.view(np.uint8).reshape(-1, PACKET_BYTES), sizes)


def _read_steps(body: Body, nulls: dict[str, Array]) -> tuple[dict[str, Array], Array]:
    """The steps' columns, and where those of each pass begin."""
    body.skip()
    offsets = body.ranges(body.rows)
    first, total = int(offsets[0]), int(offsets[-1])
    if body.node().length < total:
        raise Damaged("a list of more steps than there are")
    body.skip()
    found = {}
    for name, kind in _STEP_NUMBERS:
        node = body.node()
        if node.length < total:
            raise Damaged(f"its column {name!r} of the steps is of another length")
        found[name] = _read_numbers(body, name, node, kind, total, nulls)[first:]
    nulls |= {"skb_low": nulls["skb_low"][first:]} if "skb_low" in nulls else {}
    return found, offsets - first


def _read_texts(body: Body) -> tuple[bytes, Array]:
    """The texts one after another, and where each begins."""
    body.skip()
    offsets = body.ranges(body.rows)
    return body.buffer("u1", int(offsets[-1])).tobytes(), offsets


def _pass_over(field: Field, body: Body) -> None:
    """A column that this version does not know."""
    buffers = {"binary": 3, "string": 3, "list": 2, "struct": 1}
    if field.kind.startswith("type"):
        raise Damaged(f"its column {field.name!r} is of an unknown type")
    for _ in range(buffers.get(field.kind, 2)):
        body.skip()
    for child in field.children:
        body.node()
        _pass_over(child, body)


def _event(text: bytes) -> Event:
    event = json.loads(text or b"{}")
    if not isinstance(event, dict):
        raise Damaged("an event is not an object")
    return event
