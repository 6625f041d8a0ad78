# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrow streams: what is written is what pyarrow reads, what it writes is read, and nothing else is believed."""

import io
import struct

import numpy as np
import pyarrow as pa
import pytest

from bondtrace.format.arrow_ipc import (
    BATCH_BYTES_MAX,
    END_OF_STREAM,
    Body,
    Damaged,
    Field,
    Node,
    batch_message,
    read_message,
    read_schema,
    schema_message,
)

FIELDS = (
    Field("number", "uint32"),
    Field("signed", "int64", nullable=True),
    Field("bytes", "V3"),
    Field("text", "string", nullable=True),
    Field("list", "list", False, (Field("item", "struct", False, (Field("x", "uint16"),)),)),
)
NOTHING = np.zeros(0, np.uint8)
LONG = np.arange(1000, dtype=np.uint32) // 100


def batch():
    """Two rows of these fields."""
    nodes = [Node(2, 0), Node(2, 1), Node(2, 0), Node(2, 1), Node(2, 0), Node(3, 0), Node(3, 0)]
    buffers = [
        *(NOTHING, np.array([7, 1 << 31], np.uint32)),
        *(np.array([0b10], np.uint8), np.array([0, -5], np.int64)),
        *(NOTHING, np.frombuffer(b"abcdef", np.uint8)),
        *(np.array([0b01], np.uint8), np.array([0, 2, 2], np.int32), np.frombuffer("µ".encode(), np.uint8)),
        *(NOTHING, np.array([0, 2, 3], np.int32), NOTHING, NOTHING, np.array([4, 5, 6], np.uint16)),
    ]
    return batch_message(2, nodes, buffers)


def test_pyarrow_reads_what_is_written():
    stream = schema_message(FIELDS) + batch() + END_OF_STREAM

    table = pa.ipc.open_stream(stream).read_all()

    assert table.schema == pa.schema(
        [
            pa.field("number", pa.uint32(), nullable=False),
            pa.field("signed", pa.int64()),
            pa.field("bytes", pa.binary(3), nullable=False),
            pa.field("text", pa.string()),
            pa.field(
                "list",
                pa.list_(pa.field("item", pa.struct([pa.field("x", pa.uint16(), nullable=False)]), nullable=False)),
                nullable=False,
            ),
        ]
    )
    assert table.to_pylist() == [
        {"number": 7, "signed": None, "bytes": b"abc", "text": "µ", "list": [{"x": 4}, {"x": 5}]},
        {"number": 1 << 31, "signed": -5, "bytes": b"def", "text": None, "list": [{"x": 6}]},
    ]


def test_what_was_written_is_read():
    file = io.BytesIO(schema_message(FIELDS) + batch() + END_OF_STREAM)

    assert read_schema(read_message(file)) == FIELDS
    body = Body(read_message(file))
    assert (body.rows, body.node()) == (2, Node(2, 0))
    assert body.nulls(Node(2, 0)) is None
    assert body.buffer("<u4", 2).tolist() == [7, 1 << 31]
    assert body.nulls(body.node()).tolist() == [True, False]
    assert read_message(file) is None


@pytest.mark.parametrize("options", [None, pa.ipc.IpcWriteOptions(compression="zstd")], ids=["plain", "zstd"])
def test_what_pyarrow_writes_is_read(options):
    sink = io.BytesIO()
    table = pa.table({"n": pa.array(LONG), "t": ["a", "bc", ""] + [""] * 997})
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    file = io.BytesIO(sink.getvalue())

    assert [(one.name, one.kind) for one in read_schema(read_message(file))] == [("n", "uint32"), ("t", "string")]
    body = Body(read_message(file))
    assert body.nulls(body.node()) is None and body.buffer("<u4", 1000).tolist() == LONG.tolist()
    assert body.nulls(body.node()) is None and body.ranges(1000)[:4].tolist() == [0, 1, 3, 3]


def test_what_packs_well_is_packed():
    assert len(batch_message(1000, [Node(1000, 0)], [NOTHING, LONG])) < LONG.nbytes // 4


@pytest.mark.parametrize("kind", [pa.float64(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_types_of_no_column_here_are_named_by_their_number(kind):
    sink = io.BytesIO()
    pa.ipc.new_stream(sink, pa.schema([("x", kind)])).close()

    (field,) = read_schema(read_message(io.BytesIO(sink.getvalue())))

    assert field.name == "x" and field.kind.startswith("type ")


@pytest.mark.parametrize("keep", [0, 3, 8, 40, -1])
def test_a_message_that_stops_short_is_told(keep):
    before = schema_message(FIELDS)
    file = io.BytesIO(before + batch()[:keep])
    read_message(file)

    with pytest.raises(EOFError):
        read_message(file)


@pytest.mark.parametrize(
    "data, why",
    [
        (b"\0" * 8, "it is not an Arrow stream"),
        (b"\xff" * 4 + struct.pack("<i", -1), "it is not an Arrow stream"),
        (b"\xff" * 4 + struct.pack("<i", 1 << 30), "it is not an Arrow stream"),
        (b"\xff" * 4 + struct.pack("<i", 8) + b"\xff" * 8, "an offset leaves the message head"),
    ],
)
def test_what_is_no_message_is_refused(data, why):
    with pytest.raises(Damaged, match=f"^{why}$"):
        read_message(io.BytesIO(data))


def body_of(*buffers, rows=2):
    """The body of a batch with these buffers."""
    return Body(read_message(io.BytesIO(batch_message(rows, [Node(rows, 0)], list(buffers)))))


def test_a_schema_and_a_batch_are_told_apart():
    with pytest.raises(Damaged, match=r"^it does not begin with a schema$"):
        read_schema(read_message(io.BytesIO(batch())))
    with pytest.raises(Damaged, match=r"^a message of kind 1 instead of a record batch$"):
        Body(read_message(io.BytesIO(schema_message(FIELDS))))


def test_no_more_is_taken_than_there_is():
    body = body_of(LONG[:2])
    with pytest.raises(Damaged, match=r"^a buffer is too short$"):
        body.buffer("<u4", 3)
    with pytest.raises(Damaged, match=r"^a batch has too few buffers$"):
        body.buffer("<u4", 1)
    with pytest.raises(Damaged, match=r"^a batch has too few buffers$"):
        body.skip()
    body.node()
    with pytest.raises(Damaged, match=r"^a batch has no such column$"):
        body.node()


@pytest.mark.parametrize("offsets", [[-1, 0, 1], [0, 2, 1]])
def test_offsets_are_in_order(offsets):
    with pytest.raises(Damaged, match=r"^offsets out of order$"):
        body_of(np.array(offsets, np.int32)).ranges(2)


@pytest.mark.parametrize("rows", [-1, 1 << 40])
def test_a_batch_of_impossible_length_is_refused(rows):
    with pytest.raises(Damaged, match=f"^a batch of {rows} rows$"):
        body_of(rows=rows)


def test_a_buffer_that_says_it_is_longer_than_a_batch_may_be_is_refused():
    message = batch_message(1000, [Node(1000, 0)], [LONG])
    lying = message.replace(struct.pack("<q", LONG.nbytes), struct.pack("<q", BATCH_BYTES_MAX + 1))
    assert lying != message

    with pytest.raises(Damaged, match=f"^a buffer of {BATCH_BYTES_MAX + 1} bytes$"):
        Body(read_message(io.BytesIO(lying))).buffer("<u4", 1)


def test_a_packed_buffer_that_does_not_open_is_refused():
    message = batch_message(1000, [Node(1000, 0)], [LONG])
    place = message.index(struct.pack("<q", LONG.nbytes)) + 8
    spoilt = message[:place] + b"\0" * 8 + message[place + 8 :]

    with pytest.raises(Damaged, match=r"^a packed buffer does not open: "):
        Body(read_message(io.BytesIO(spoilt))).buffer("<u4", 1)
