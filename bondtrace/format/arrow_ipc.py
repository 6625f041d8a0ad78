# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrow IPC streams of numbers, bytes, strings, lists and structs: only what a recording needs.

The small Arrow libraries do not write compressed bodies and are not safe with hostile files; the large one is a hundred
times the size of bondtrace. So the messages' heads are built with FlatBuffers' own library, and the bodies are numpy
buffers.

Invariant: what is read is checked before it is used: no offset leaves its buffer, no length asks for more than
``BATCH_BYTES_MAX``.

Source: the Arrow columnar format, "IPC Streaming Format" (format/Message.fbs, Schema.fbs), metadata version 5.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Protocol

import numpy as np

from ..errors import missing_package

BATCH_BYTES_MAX = 128 << 20  # for a batch's buffers, unpacked
ROWS_MAX = 1 << 20  # for a batch; a recorder writes about 100,000 at most

Array = np.ndarray[Any, Any]

_CONTINUATION = b"\xff\xff\xff\xff"
END_OF_STREAM = _CONTINUATION + bytes(4)
_HEAD_BYTES_MAX = 16 << 20
_SCHEMA, _RECORD_BATCH = 1, 3
_VERSION_5 = 4
_ZSTD = 1
_INT, _BINARY, _UTF8, _LIST, _STRUCT, _FIXED = 2, 4, 5, 12, 13, 15  # union Type
_FIXED_BYTES_MAX = 1 << 16
_WORTH_PACKING_BYTES = 64
_ZSTD_LEVEL = 2


class Damaged(Exception):
    """The bytes are not a valid Arrow stream of the kind that is read here."""


@dataclass(frozen=True)
class Field:
    """A column: ``kind`` is a numpy name ("uint32", "V80" for 80 bytes), "binary", "string", "list" or "struct"."""

    name: str
    kind: str
    nullable: bool = False
    children: tuple[Field, ...] = ()


class Node(NamedTuple):
    """The number of values and of nulls that a field has in a batch."""

    length: int
    nulls: int


def _libraries() -> tuple[Any, Any]:
    try:
        import flatbuffers
        import zstandard
    except ImportError as error:
        raise missing_package("a recording", str(error.name), debian=f"python3-{error.name}") from None
    return flatbuffers, zstandard


# --- writing -------------------------------------------------------------------------------------------


def schema_message(fields: tuple[Field, ...]) -> bytes:
    """Return the first message of a stream."""
    flatbuffers, _ = _libraries()
    builder = flatbuffers.Builder(4096)
    vector = _vector(builder, [_build_field(builder, one) for one in fields])
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    return _message(builder, _SCHEMA, builder.EndObject(), 0)


def _build_field(builder: Any, field: Field) -> int:
    children = _vector(builder, [_build_field(builder, one) for one in field.children])
    name = builder.CreateString(field.name)
    kinds = {"binary": _BINARY, "string": _UTF8, "list": _LIST, "struct": _STRUCT}
    kind = kinds.get(field.kind, _FIXED if field.kind.startswith("V") else _INT)
    builder.StartObject(2)
    if kind == _INT:
        number = np.dtype(field.kind)
        builder.PrependInt32Slot(0, number.itemsize * 8, 0)
        builder.PrependBoolSlot(1, number.kind == "i", False)
    elif kind == _FIXED:
        builder.PrependInt32Slot(0, np.dtype(field.kind).itemsize, 0)
    type_ = builder.EndObject()
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependBoolSlot(1, field.nullable, False)
    builder.PrependUint8Slot(2, kind, 0)
    builder.PrependUOffsetTRelativeSlot(3, type_, 0)
    builder.PrependUOffsetTRelativeSlot(5, children, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _message(builder: Any, kind: int, header: int, body_bytes: int) -> bytes:
    builder.StartObject(5)
    builder.PrependInt16Slot(0, _VERSION_5, 0)
    builder.PrependUint8Slot(1, kind, 0)
    builder.PrependUOffsetTRelativeSlot(2, header, 0)
    builder.PrependInt64Slot(3, body_bytes, 0)
    builder.Finish(builder.EndObject())
    head = bytes(builder.Output())
    head += bytes(-len(head) % 8)
    return _CONTINUATION + struct.pack("<i", len(head)) + head


def batch_message(rows: int, nodes: list[Node], buffers: list[Array]) -> bytes:
    """Return a record batch, each buffer packed by Zstandard where that makes it smaller.

    :param buffers: in the order of the fields, depth first (validity, offsets, data); an empty array for a validity
        that is not needed.
    """
    flatbuffers, zstandard = _libraries()
    packer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    places, parts, at = [], [], 0
    for buffer in buffers:
        packed = _packed(packer, buffer)
        places.append((at, len(packed)))
        parts += [packed, bytes(-len(packed) % 8)]
        at += len(packed) + len(parts[-1])
    builder = flatbuffers.Builder(4096)
    builder.StartObject(2)
    builder.PrependInt8Slot(0, _ZSTD, 0)
    compression = builder.EndObject()
    ends = [_pairs(builder, pairs) for pairs in (nodes, places)]
    builder.StartObject(5)
    builder.PrependInt64Slot(0, rows, 0)
    builder.PrependUOffsetTRelativeSlot(1, ends[0], 0)
    builder.PrependUOffsetTRelativeSlot(2, ends[1], 0)
    builder.PrependUOffsetTRelativeSlot(3, compression, 0)
    return b"".join([_message(builder, _RECORD_BATCH, builder.EndObject(), at), *parts])


def _pairs(builder: Any, pairs: Any) -> int:
    """Build a vector of structs of two 64-bit numbers."""
    builder.StartVector(16, len(pairs), 8)
    for first, second in reversed(pairs):
        builder.Prep(8, 16)
        builder.PrependInt64(second)
        builder.PrependInt64(first)
    return int(builder.EndVector())


def _packed(packer: Any, buffer: Array) -> bytes:
    raw = buffer.tobytes()
    if not raw:
        return b""
    if len(raw) > _WORTH_PACKING_BYTES:
        packed = packer.compress(raw)
        if len(packed) < len(raw):
            return struct.pack("<q", len(raw)) + bytes(packed)
    return struct.pack("<q", -1) + raw


# --- reading -------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """One message of a stream: its ``kind`` (1 schema, 3 record batch), the ``table`` that is its header, and its
    ``body``, the bytes of its buffers."""

    kind: int
    table: Any
    body: bytes


class Readable(Protocol):
    """What a stream is read from."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes; fewer only at the end."""


def read_message(file: Readable) -> Optional[Message]:
    """Return the next message; ``None`` at the end-of-stream mark.

    :raises EOFError: where the file ends within the message.
    :raises Damaged: where it is not such a message.
    """
    mark = _exactly(file, 8)
    if mark[:4] != _CONTINUATION:
        raise Damaged("it is not an Arrow stream")
    head_bytes = struct.unpack("<i", mark[4:])[0]
    if head_bytes == 0:
        return None
    if not 8 <= head_bytes <= _HEAD_BYTES_MAX:
        raise Damaged("it is not an Arrow stream")
    head = _exactly(file, head_bytes)
    kind, table, body_bytes = _head(head)
    if not 0 <= body_bytes <= BATCH_BYTES_MAX:
        raise Damaged(f"a message body of {body_bytes} bytes")
    return Message(kind, table, _exactly(file, body_bytes))


def _exactly(file: Readable, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


class _Table:
    """A FlatBuffers table. Every access is checked to be within its bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._slots = at - self._number("<i", at)
        self._slots_bytes = self._number("<H", self._slots)

    def _number(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise Damaged("an offset leaves the message head")
        return int(struct.unpack_from(form, self._data, at)[0])

    def _place(self, slot: int) -> int:
        entry = 4 + 2 * slot
        offset = self._number("<H", self._slots + entry) if entry + 2 <= self._slots_bytes else 0
        return self._at + offset if offset else 0

    def number(self, slot: int, form: str) -> int:
        """Return a scalar; 0 where it is left out."""
        place = self._place(slot)
        return self._number(form, place) if place else 0

    def table(self, slot: int) -> Optional[_Table]:
        """Return a table; ``None`` where it is left out."""
        place = self._place(slot)
        return _Table(self._data, place + self._number("<I", place)) if place else None

    def _vector(self, slot: int, item_bytes: int) -> tuple[int, int]:
        place = self._place(slot)
        if not place:
            return 0, 0
        begin = place + self._number("<I", place)
        count = self._number("<I", begin)
        if count * item_bytes > len(self._data) - begin - 4:
            raise Damaged("a vector leaves the message head")
        return begin + 4, count

    def tables(self, slot: int) -> list[_Table]:
        """Return a vector of tables."""
        begin, count = self._vector(slot, 4)
        return [_Table(self._data, at + self._number("<I", at)) for at in range(begin, begin + 4 * count, 4)]

    def text(self, slot: int) -> str:
        """Return a string."""
        begin, count = self._vector(slot, 1)
        return self._data[begin : begin + count].decode("utf-8", "replace")

    def pairs(self, slot: int) -> list[tuple[int, int]]:
        """Return a vector of structs of two 64-bit numbers."""
        begin, count = self._vector(slot, 16)
        return [(first, second) for first, second in struct.iter_unpack("<qq", self._data[begin : begin + 16 * count])]


def _head(head: bytes) -> tuple[int, _Table, int]:
    root = struct.unpack_from("<I", head)[0]
    message = _Table(head, root)
    table = message.table(2)
    if table is None:
        raise Damaged("a message without a header")
    return message.number(1, "<B"), table, message.number(3, "<q")


def read_schema(message: Message, depth_max: int = 4) -> tuple[Field, ...]:
    """Return the fields of a schema message.

    :raises Damaged: for another message, a big-endian stream, or types nested deeper than ``depth_max``.
    """
    if message.kind != _SCHEMA:
        raise Damaged("it does not begin with a schema")
    if message.table.number(0, "<h"):
        raise Damaged("it is big-endian")
    return tuple(_read_field(one, depth_max) for one in message.table.tables(1))


def _read_field(table: _Table, depth_max: int) -> Field:
    name, kind, type_ = table.text(0), table.number(2, "<B"), table.table(3)
    if depth_max == 0:
        raise Damaged("its types are nested too deep")
    kinds = {_BINARY: "binary", _UTF8: "string", _LIST: "list", _STRUCT: "struct"}
    if kind == _INT and type_ is not None and type_.number(0, "<i") in (8, 16, 32, 64):
        kinds[_INT] = ("int" if type_.number(1, "<B") else "uint") + str(type_.number(0, "<i"))
    if kind == _FIXED and type_ is not None and 0 < type_.number(0, "<i") <= _FIXED_BYTES_MAX:
        kinds[_FIXED] = f"V{type_.number(0, '<i')}"
    if kind not in kinds or table.table(4) is not None:
        kinds[kind] = f"type {kind}"  # which no column here has
    return Field(
        name,
        kinds[kind],
        bool(table.number(1, "<B")),
        tuple(_read_field(one, depth_max - 1) for one in table.tables(5)),
    )


class Body:
    """The buffers of a record batch, read one after another in the order of the fields."""

    def __init__(self, message: Message) -> None:
        if message.kind != _RECORD_BATCH:
            raise Damaged(f"a message of kind {message.kind} instead of a record batch")
        table = message.table
        self.rows = table.number(0, "<q")
        self._nodes = iter([Node(*pair) for pair in table.pairs(1)])
        self._places = iter(table.pairs(2))
        compression = table.table(3)
        if compression is not None and compression.number(0, "<b") != _ZSTD:
            raise Damaged("its batches are compressed by LZ4, not Zstandard")
        self._packed = compression is not None
        if self._packed:
            self._zstandard = _libraries()[1]
            self._unpacker = self._zstandard.ZstdDecompressor()
        self._body, self._left = message.body, BATCH_BYTES_MAX
        if not 0 <= self.rows <= ROWS_MAX:
            raise Damaged(f"a batch of {self.rows} rows")

    def node(self) -> Node:
        """Return the next field's length and nulls."""
        node = next(self._nodes, None)
        if node is None or not 0 <= node.length <= BATCH_BYTES_MAX:
            raise Damaged("a batch has no such column")
        return node

    def buffer(self, dtype: str, count: int) -> Array:
        """Return the first ``count`` values of the next buffer, which must have that many."""
        place = next(self._places, None)
        if place is None:
            raise Damaged("a batch has too few buffers")
        begin, size = place
        if begin < 0 or size < 0 or begin + size > len(self._body):
            raise Damaged("a buffer leaves the message body")
        data = self._unpacked(self._body[begin : begin + size]) if self._packed else self._body[begin : begin + size]
        if count * np.dtype(dtype).itemsize > len(data):
            raise Damaged("a buffer is too short")
        return np.frombuffer(data, dtype, count)

    def nulls(self, node: Node) -> Optional[Array]:
        """Return which values of a column are null according to the next buffer, its validity: shape (length,) of
        bool; ``None`` where none is."""
        if not node.nulls:
            self.skip()
            return None
        bits = self.buffer("u1", (node.length + 7) // 8)
        null: Array = np.unpackbits(bits, count=node.length, bitorder="little") == 0
        return null

    def skip(self) -> None:
        """Skip a buffer."""
        if next(self._places, None) is None:
            raise Damaged("a batch has too few buffers")

    def _unpacked(self, data: bytes) -> bytes:
        if not data:
            return data
        if len(data) < 8:
            raise Damaged("a packed buffer without its length")
        size = struct.unpack_from("<q", data)[0]
        if size == -1:
            return data[8:]
        if not 0 <= size <= self._left:
            raise Damaged(f"a buffer of {size} bytes")
        self._left -= size
        zstandard = self._zstandard
        try:
            if zstandard.frame_content_size(data[8:]) == size:  # decompress() allocates what this says
                raw = self._unpacker.decompress(data[8:])
            else:
                raw = self._unpacker.stream_reader(io.BytesIO(data[8:])).read(size)
        except zstandard.ZstdError as error:
            raise Damaged(f"a packed buffer does not open: {error}") from None
        if len(raw) != size:
            raise Damaged("a packed buffer is shorter than it says")
        return bytes(raw)

    def ranges(self, rows: int) -> Array:
        """Return the next buffer as the offsets of a list, string or binary: shape (rows + 1,) of int64, ascending,
        none negative."""
        if rows == 0:
            self.skip()
            return np.zeros(1, np.int64)
        offsets = self.buffer("<i4", rows + 1).astype(np.int64)
        if offsets[0] < 0 or (np.diff(offsets) < 0).any():
            raise Damaged("offsets out of order")
        return offsets
