# SPDX-License-Identifier: GPL-2.0-or-later
"""A batch, and its form in a recording: one message of an Arrow IPC stream (docs/recording.md).

A row is a pass as the kernel sent it, unstitched, or an event (``kind`` 0, JSON in ``event``).
"""

from __future__ import annotations

import json
from typing import NamedTuple, Optional

import numpy as np

from .arrow_ipc import Body, Damaged, Field, Message, Node, batch_message
from .events import Event
from .wire import EMPTY, PACKET_BYTES, RECORD, STEP, Array, Passes, columns, structures

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
_KINDS = dict(_NUMBERS)
# Null where they equal the low half of the pass's skb, as they nearly always do.
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
    """What a source delivered at one time: passes, events, and the time (CLOCK_MONOTONIC) up to which nothing is
    outstanding. ``counts``, shape (n,) of ``wire.COUNT``, is all that was counted so far, where a source counts in the
    kernel and has just read the counts."""

    passes: Passes
    events: list[Event]
    now_ns: int
    counts: Optional[Array] = None


def encode(passes: Passes, events: list[str]) -> bytes:
    """Return one batch as a message of the stream: the events (JSON texts) first, then the passes."""
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
    """Add a column to ``nodes`` and ``buffers``, null where it has its ``usual`` value."""
    told = np.ones(len(column), bool) if usual is None else column != usual
    nulls = len(told) - int(np.count_nonzero(told))
    nodes.append(Node(len(column), nulls))
    buffers += [
        np.packbits(told, bitorder="little") if nulls else _NOTHING,
        np.where(told, column, np.uint32(0)) if nulls else column,
    ]


def _only_captured(packets: Array, sizes: Array) -> Array:
    """Return packets, shape (n, 80), with zeros after the first ``sizes`` bytes of each."""
    short = np.flatnonzero(np.bincount(sizes, minlength=PACKET_BYTES)[:PACKET_BYTES])
    packets = packets.copy() if len(short) else packets
    for size in short:
        packets[np.flatnonzero(sizes == size), size:] = 0
    return packets


def _list_offsets(first: Array, second: Array) -> Array:
    offsets = np.zeros(len(first) + len(second) + 1, np.int32)
    np.cumsum(np.concatenate([first, second]), out=offsets[1:])
    return offsets


# --- reading -------------------------------------------------------------------------------------------


def require_columns(found: tuple[Field, ...]) -> None:
    """Check that a recording's columns are those that a batch has, or had in an older format.

    :raises Damaged: where they are not.
    """
    by_name = {one.name: one for one in found}
    for wanted in SCHEMA:
        if wanted.name not in by_name and wanted.name in _SINCE_THE_FIRST:
            continue
        if wanted.name not in by_name:
            raise Damaged(f"it has no column {wanted.name!r}")
        older = Field(wanted.name, _OTHERWISE.get(wanted.name, wanted.kind), children=wanted.children)
        if not (_alike(wanted, by_name[wanted.name]) or _alike(older, by_name[wanted.name])):
            raise Damaged(f"its column {wanted.name!r} has another type")


def _alike(wanted: Field, found: Field) -> bool:
    """Are they of the same type? The names of a struct's fields belong to its type."""
    return (
        wanted.kind == found.kind
        and len(wanted.children) == len(found.children)
        and all(
            _alike(ours, theirs) and (wanted.kind != "struct" or ours.name == theirs.name)
            for ours, theirs in zip(wanted.children, found.children)
        )
    )


def decode(message: Message, fields: tuple[Field, ...]) -> Batch:
    """Return the batch of a message with these columns.

    :raises Damaged: where it is malformed.
    """
    columns = _Columns(Body(message))
    for field in fields:
        columns.read(field)
    columns.fill()
    passes, events = columns.passes(), columns.events()
    ends_ns = passes.records["time_ns"] + passes.records["duration_ns"]
    times_ns = [int(event.get("time_ns", 0)) for event in events]
    return Batch(passes, events, max([int(ends_ns.max()) if len(passes) else 0, *times_ns]))


class _Columns:
    """The columns of a message, read one by one in the order in which they are in it.

    ``_nulls`` says for columns with nulls which values are null.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._found: dict[str, Array] = {}
        self._nulls: dict[str, Array] = {}
        self._steps: dict[str, Array] = {name: np.zeros(0, kind) for name, kind in _STEP_NUMBERS}
        self._offsets: Array = np.zeros(body.rows + 1, np.int64)
        self._texts, self._text_offsets = b"", np.zeros(1, np.int64)

    def read(self, field: Field) -> None:
        """Read the next column."""
        body = self._body
        node = body.node()
        if node.length != body.rows:
            raise Damaged(f"its column {field.name!r} is of another length")
        if field.kind == "binary" and field.name == "packet":
            self._found["packet"], self._found["captured"] = _read_packets(body)
        elif field.name in _KINDS:
            column = _read_numbers(body, field.name, node, field.kind, body.rows, self._nulls)
            self._found.setdefault(field.name, column)  # format 1 has the packets' sizes in the column packet
        elif field.name == "steps":
            self._steps, self._offsets = _read_steps(body, self._nulls)
        elif field.name == "event":
            self._texts, self._text_offsets = _read_texts(body)
        else:
            _pass_over(field, body)

    def fill(self) -> None:
        """Replace what is null because it follows from another column."""
        skb = self._found["skb"]
        _fill(self._found, "last_skb", self._nulls, skb)
        of_steps = np.repeat(skb, np.diff(self._offsets)) if "skb_low" in self._nulls else None
        _fill(self._steps, "skb_low", self._nulls, of_steps)

    def passes(self) -> Passes:
        """Return the rows that are passes."""
        rows, steps = self._body.rows, self._steps
        if (self._found["time_ns"] >> np.uint64(62)).any():
            raise Damaged("a pass at an impossible time")
        if not rows:
            return EMPTY
        packets = _whole_packets(self._found["packet"], self._found.get("captured"))
        found = {**self._found, "steps": np.diff(self._offsets), "packet": packets}
        records = structures(RECORD, rows, found)
        passes = Passes(records, structures(STEP, len(steps["kind"]), steps), self._offsets)
        return passes.take(self._found["kind"] != 0)

    def events(self) -> list[Event]:
        """Return the rows that are events."""
        is_event = self._found["kind"] == 0
        begins, ends = self._text_offsets[:-1][is_event], self._text_offsets[1:][is_event]
        return [_event(self._texts[begin:end]) for begin, end in zip(begins, ends)]


def _read_numbers(body: Body, name: str, node: Node, kind: str, count: int, nulls: dict[str, Array]) -> Array:
    """Read a column of ``count`` numbers; where it has nulls, and may have them, put these into ``nulls``."""
    is_null = body.nulls(node)
    if is_null is not None and name in _OF_THE_SKB:
        nulls[name] = is_null[:count]
    return body.buffer(kind, count)


def _fill(columns: dict[str, Array], name: str, nulls: dict[str, Array], skb: Optional[Array]) -> None:
    """Replace nulls by the low half of the skb's address."""
    if name in nulls and skb is not None:
        columns[name] = np.where(nulls[name], skb.astype(np.uint32), columns[name])


def _read_packets(body: Body) -> tuple[Array, Array]:
    """Read packets of format 1, which have different sizes, as those of format 2: shape (n, 80), and how many of these
    bytes are each packet's own."""
    body.skip()
    offsets = body.ranges(body.rows)
    content = body.buffer("u1", int(offsets[-1]))
    sizes = np.diff(offsets)
    if body.rows and int(sizes.max()) > PACKET_BYTES:
        raise Damaged("packet too long")
    # 80 bytes from the beginning of every packet, whichever packet they belong to.
    padded = np.concatenate([content, np.zeros(PACKET_BYTES, np.uint8)])
    return np.lib.stride_tricks.sliding_window_view(padded, PACKET_BYTES)[offsets[:-1]], sizes


def _whole_packets(packets: Array, sizes: Optional[Array]) -> Array:
    """Return packets as a reader may use them, with zeros after what was captured, shape (n, 80)."""
    if sizes is None:
        raise Damaged("it has no column 'captured'")
    if int(sizes.max()) > PACKET_BYTES:
        raise Damaged("packet too long")
    return _only_captured(packets.view(np.uint8).reshape(-1, PACKET_BYTES), sizes)


def _read_steps(body: Body, nulls: dict[str, Array]) -> tuple[dict[str, Array], Array]:
    """Read the steps' columns, and where those of each pass begin."""
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
    """Read the texts, joined, and where each begins."""
    body.skip()
    offsets = body.ranges(body.rows)
    return body.buffer("u1", int(offsets[-1])).tobytes(), offsets


def _pass_over(field: Field, body: Body) -> None:
    """Skip a column that this version does not know."""
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
