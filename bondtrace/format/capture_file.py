# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture files as tcpdump and Wireshark write them: pcap and pcapng, in either byte order, some thousand packets at a
time. Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

Invariant: nothing in a file is trusted. Sizes are checked before anything is read by them, memory does not grow with
the file, and of a file that was cut off every whole packet is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import BondtraceError, UsageError
from ..util.untrusted import printable
from .trace_set import SUFFIX
from .wire import Array

HEAD_BYTES = 128
CAPTURED_MAX = 1 << 18  # MAXIMUM_SNAPLEN of libpcap
_READ_BYTES = 1 << 20
_BLOCK_MAX = 1 << 24
_INTERFACES_MAX = 1 << 12
_TIME_END_NS = 1 << 62

_NANO, _MICRO = 1, 1000
_CLASSIC = {
    magic.to_bytes(4, order): (sign, unit_ns)  # type: ignore[arg-type, unused-ignore]
    for magic, unit_ns in ((0xA1B2C3D4, _MICRO), (0xA1B23C4D, _NANO))
    for order, sign in (("little", "<"), ("big", ">"))
}
_SECTION = b"\n\r\r\n"
_BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd"}
_IDB, _OLD_PACKET, _SIMPLE, _PACKET = 1, 2, 3, 6
_IF_NAME, _IF_TSRESOL, _IF_TSOFFSET = 2, 9, 14


class Interface(NamedTuple):
    """Where the packets of a file were captured: its LINKTYPE (tcpdump.org/linktypes.html), and the device's name where
    the file has it."""

    link: int
    name: str = ""


@dataclass(frozen=True)
class Packets:
    """Consecutive packets of a file: ``numbers`` from 1 on, as Wireshark counts; ``times_ns`` since the Unix epoch;
    ``lengths`` on the wire, and ``captured`` in the file, in bytes; ``heads``, shape (n, HEAD_BYTES), their first
    bytes, and zeros behind them."""

    numbers: Array
    times_ns: Array
    lengths: Array
    captured: Array
    heads: Array

    def __len__(self) -> int:
        return len(self.numbers)


class _Clock(NamedTuple):
    """An interface of pcapng, with the unit of its times."""

    interface: Interface
    per_second: int
    offset_s: int


class _Found(NamedTuple):
    """Where packets lie in a buffer: (begin, captured, length, time in ns) of each."""

    begins: list[int]
    captured: list[int]
    lengths: list[int]
    times_ns: list[int]


def is_capture(path: Path) -> bool:
    """Does this file begin as a capture file does, or as one that was compressed, or is it empty and no recording?"""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError:
        return False
    if not magic:  # tcpdump had not written anything yet
        return path.suffix != SUFFIX
    return magic in _CLASSIC or magic == _SECTION or _unpacker(magic) is not None


class CaptureFile:
    """A reader of a capture file. ``interface`` is known after ``begin``; after ``packets()`` has ended, ``cut_off``
    says whether the file ends in the middle of a packet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.interface: Optional[Interface] = None
        self.cut_off = False
        self._has_packets = False

    def begin(self) -> Optional[Packets]:
        """Return the first packets, ``None`` where there are none.

        :raises BondtraceError: for a file that is no capture file, or is damaged there.
        """
        return next(self.packets(), None)

    def packets(self) -> Iterator[Packets]:
        """Yield every whole packet, in order.

        :raises BondtraceError: for a file that is no capture file, or is damaged.
        :raises UsageError: where its packets are of several interfaces.
        """
        self._has_packets = False
        try:
            with open(self.path, "rb") as file:
                magic = file.read(4)
                if magic in _CLASSIC:
                    yield from self._classic(file, *_CLASSIC[magic])
                elif magic == _SECTION:
                    yield from self._next_generation(file)
                elif magic:
                    raise self._error(_what(magic))
                else:
                    self.cut_off = True
        except OSError as error:
            raise BondtraceError(f"cannot read {self.path}: {error.strerror}") from None

    def _error(self, why: str) -> BondtraceError:
        return BondtraceError(f"{self.path} is not a capture file that can be read: {why}")

    # --- pcap ---

    def _classic(self, file: BinaryIO, order: str, unit_ns: int) -> Iterator[Packets]:
        header = file.read(20)
        if len(header) < 20:
            self.cut_off = True
            return
        self.interface = Interface(struct.unpack(f"{order}I", header[16:])[0] & 0xFFFF)  # the rest is of the FCS
        captured_of = struct.Struct(f"{order}8xI").unpack_from
        rest, number = b"", 1
        while block := file.read(_READ_BYTES):
            data = rest + block
            begins: list[int] = []
            at = 0
            while at + 16 <= len(data):
                [captured] = captured_of(data, at)
                if captured > CAPTURED_MAX:
                    raise self._error(f"its packet {number + len(begins)} would have {captured} bytes: it is damaged")
                if at + 16 + captured > len(data):
                    break
                begins.append(at)
                at += 16 + captured
            rest = data[at:]
            if begins:
                yield _of_classic(data, np.array(begins), order, unit_ns, number)
                number += len(begins)
        self.cut_off = bool(rest)

    # --- pcapng ---

    def _next_generation(self, file: BinaryIO) -> Iterator[Packets]:
        rest, number, order = _SECTION, 1, "<"
        clocks: list[_Clock] = []
        while block := file.read(_READ_BYTES):
            data, at, found = rest + block, 0, _Found([], [], [], [])
            while at + 12 <= len(data):
                if data[at : at + 4] == _SECTION:
                    order, clocks = self._order_of(data[at + 8 : at + 12]), []
                kind, size = struct.unpack_from(f"{order}II", data, at)
                if size < 12 or size % 4 or size > _BLOCK_MAX:
                    raise self._error(f"a block of it would have {size} bytes: it is damaged")
                if at + size > len(data):
                    break
                if kind == _IDB:
                    clocks.append(self._clock(data[at + 8 : at + size - 4], order, len(clocks)))
                elif kind in (_PACKET, _OLD_PACKET, _SIMPLE):
                    self._packet(data, at, at + size - 4, kind, order, clocks, found)
                at += size
            rest = data[at:]
            if found.begins:
                yield _gathered(data, found, number)
                number += len(found.begins)
        self.cut_off = bool(rest)

    def _order_of(self, magic: bytes) -> str:
        if magic not in _BYTE_ORDER:
            raise self._error("a section of it has no byte order: it is damaged")
        return _BYTE_ORDER[magic]

    def _clock(self, body: bytes, order: str, known: int) -> _Clock:
        """Return what an interface description says."""
        if len(body) < 8 or known >= _INTERFACES_MAX:
            raise self._error("a description of an interface is malformed: it is damaged")
        name, per_second, offset_s, at = "", 10**6, 0, 8
        while at + 4 <= len(body):
            code, size = struct.unpack_from(f"{order}HH", body, at)
            value = body[at + 4 : at + 4 + size]
            if code == _IF_NAME:
                name = printable(value.decode("utf-8", "surrogateescape"))[:64]
            elif code == _IF_TSRESOL and size == 1 and value:
                per_second = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == _IF_TSOFFSET and size == 8 and len(value) == 8:
                [offset_s] = struct.unpack(f"{order}q", value)
            at += 4 + size + -size % 4
        clock = _Clock(Interface(struct.unpack_from(f"{order}H", body)[0], name), per_second, offset_s)
        self.interface = self.interface or clock.interface
        return clock

    def _packet(
        self, data: bytes, at: int, end: int, kind: int, order: str, clocks: list[_Clock], found: _Found
    ) -> None:
        """Add the packet of a block to what was found."""
        if kind == _SIMPLE:
            raise self._error("its packets have no times (Simple Packet Blocks)")
        if end - at < 28:
            raise self._error("a packet's block is too short: it is damaged")
        which, high, low, captured, length = struct.unpack_from(f"{order}IIIII", data, at + 8)
        if kind == _OLD_PACKET:
            [which] = struct.unpack_from(f"{order}H", data, at + 8)
        if which >= len(clocks) or captured > min(end - at - 28, CAPTURED_MAX):
            raise self._error("a packet's block contradicts itself: it is damaged")
        clock = clocks[which]
        if clock.interface != self.interface and self._has_packets:
            raise self._several(clock.interface)
        self.interface, self._has_packets = clock.interface, True
        time_ns = (high << 32 | low) * 10**9 // clock.per_second + clock.offset_s * 10**9
        if not 0 <= time_ns < _TIME_END_NS:
            raise self._error("a packet's time is impossible: it is damaged")
        for column, value in zip(found, (at + 28, captured, length, time_ns)):
            column.append(value)

    def _several(self, other: Interface) -> UsageError:
        first = self.interface.name if self.interface else ""
        return UsageError(
            f"{self.path} has packets of several interfaces ({first or '?'}, {other.name or '?'}): check one at "
            f"a time, e.g. after `tshark -r {self.path} -Y 'frame.interface_id == 0' -w one.pcapng`"
        )


def _what(magic: bytes) -> str:
    unpacker = _unpacker(magic)
    return f"it is compressed; `{unpacker}` it first" if unpacker else "it is neither pcap nor pcapng"


def _unpacker(magic: bytes) -> Optional[str]:
    """Return what unpacks a file that begins so; ``None`` where it is not known to be compressed."""
    return next((unpacker for begin, unpacker in _COMPRESSED.items() if magic.startswith(begin)), None)


def _of_classic(data: bytes, begins: Array, order: str, unit_ns: int, number: int) -> Packets:
    """Return the packets whose records begin at these places of a buffer."""
    headers = _rows(data, begins, 16).view(f"{order}u4").astype(np.int64)
    times_ns = headers[:, 0] * 10**9 + headers[:, 1] * unit_ns
    return _packets(data, begins + 16, headers[:, 2], headers[:, 3], times_ns, number)


def _gathered(data: bytes, found: _Found, number: int) -> Packets:
    begins, captured, lengths, times_ns = (np.array(column, np.int64) for column in found)
    return _packets(data, begins, captured, lengths, times_ns, number)


def _packets(data: bytes, begins: Array, captured: Array, lengths: Array, times_ns: Array, number: int) -> Packets:
    heads = _rows(data + bytes(HEAD_BYTES), begins, HEAD_BYTES)
    heads[np.arange(HEAD_BYTES) >= captured[:, None]] = 0
    return Packets(number + np.arange(len(begins)), times_ns, lengths, captured, heads)


def _rows(data: bytes, begins: Array, size: int) -> Array:
    """Return ``size`` bytes from each of these places on, shape (n, size)."""
    return np.ascontiguousarray(sliding_window_view(np.frombuffer(data, np.uint8), size)[begins])
