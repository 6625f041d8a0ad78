# SPDX-License-Identifier: GPL-2.0-or-later
"""A minimal netlink client: dumps, requests and notifications over ``socket.AF_NETLINK``.

Invariant: a dump is complete (``NLM_F_DUMP_INTR`` restarts it), an error of the kernel is an ``OSError``, and a
truncated datagram is never taken for a complete one. The layouts are those of ``include/uapi/linux/netlink.h``;
numbers are in host byte order unless noted otherwise.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_XFRM = 6
NETLINK_GENERIC = 16
NETLINK_LISTEN_ALL_NSID = 8

NLM_F_REQUEST = 0x1
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_NLA_TYPE_MASK = 0x3FFF
_SO_RCVBUFFORCE = 33
_SOL_NETLINK = 270
_RECEIVE_BYTES = 256 * 1024
_RCVBUF_BYTES = 4 * 1024 * 1024
_DUMP_TRIES = 16


class Message(NamedTuple):
    """One netlink message: ``payload`` is what follows ``struct nlmsghdr``, without padding."""

    type: int
    flags: int
    sequence: int
    payload: bytes


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram, in order.

    Raises ``OSError`` (EBADMSG) when a header gives a length beyond the end of the datagram.
    """
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise OSError(errno.EBADMSG, "netlink message is cut short")
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += _aligned(length)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes in ``data`` from ``offset`` on, by type (without the flag bits).

    Pass a nested attribute's value to this function again. Of a type that occurs more than once
    the last is kept. A cut or malformed attribute ends the walk: what came before it is returned.
    """
    return dict(attribute_list(data, offset))


def attribute_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes in ``data`` likewise, in order, also those whose type occurs more than once (an array)."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & _NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def attribute(kind: int, value: bytes) -> bytes:
    """Return ``value`` as one attribute of type ``kind``, with its header and padding."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_aligned(length) - length)


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """Return one message to the kernel (port id 0) with its header and padding."""
    length = _HEADER.size + len(payload)
    padding = b"\0" * (_aligned(length) - length)
    return _HEADER.pack(length, kind, flags, sequence, 0) + payload + padding


def number(value: Optional[bytes], signed: bool = False) -> Optional[int]:
    """Return an integer attribute of 1, 2, 4 or 8 bytes in host order; ``None`` for anything else."""
    if value is None or len(value) not in (1, 2, 4, 8):
        return None
    return int.from_bytes(value, "little" if _LITTLE else "big", signed=signed)


def text(value: Optional[bytes]) -> Optional[str]:
    """Return a NUL-terminated string; bytes that are not UTF-8 become surrogate escapes."""
    if value is None:
        return None
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


_LITTLE = struct.pack("=H", 1) == b"\1\0"


def raise_error(message: Message) -> None:
    """Raise the ``OSError`` that an NLMSG_ERROR or NLMSG_DONE carries; code 0 (an ack) is no error."""
    code = number(message.payload[:4], signed=True) or 0
    if code < 0:
        raise OSError(-code, os.strerror(-code))


class Netlink:
    """A netlink socket of the network namespace in which it was created.

    ``groups`` is the old bit mask of multicast groups (``RTMGRP_*``). ``elsewhere``: also receive what concerns those
    other namespaces that this one has an id for (CAP_NET_BROADCAST). Raises ``OSError`` when the
    kernel lacks the protocol. It keeps its namespace alive while it is open: close it.
    """

    def __init__(self, protocol: int, groups: int = 0, elsewhere: bool = False) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._grow()
            if elsewhere:
                self._socket.setsockopt(_SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
            self._socket.bind((0, groups))
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; harmless when it is already closed."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the file descriptor, for poll."""
        return self._socket.fileno()

    def dump(self, kind: int, payload: bytes) -> list[Message]:
        """Return every message of a dump of type ``kind``, complete and consistent.

        A dump that the kernel marks as interrupted is restarted. On a host that changes so fast
        that 16 tries were interrupted the last one is returned: it may lack or repeat an entry.
        Raises ``OSError`` with the kernel's error.
        """
        answer: list[Message] = []
        for _ in range(_DUMP_TRIES):
            answer, interrupted = self._collect(self._send(kind, NLM_F_DUMP, payload))
            if not interrupted:
                break
        return answer

    def request(self, kind: int, payload: bytes) -> Message:
        """Return the kernel's one answer to a request. Raises ``OSError`` with its error."""
        sequence = self._send(kind, 0, payload)
        while True:
            for answer in messages(self.receive()):
                if answer.sequence != sequence:
                    continue
                if answer.type == NLMSG_ERROR:
                    raise_error(answer)
                return answer

    def receive(self, wait: bool = True) -> bytes:
        """Return one datagram. Raises ``BlockingIOError`` when there is none and ``wait`` is false,
        ``OSError`` with ENOBUFS when notifications were lost, EMSGSIZE when one was cut off."""
        return self.receive_from(wait)[0]

    def receive_from(self, wait: bool = True) -> tuple[bytes, bool]:
        """Return one datagram likewise, and whether it came from another namespace (``elsewhere``)."""
        flags = 0 if wait else socket.MSG_DONTWAIT
        length, more, got, _ = self._socket.recvmsg_into([self._buffer], socket.CMSG_SPACE(4), flags)
        if got & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        is_tagged = any((level, kind) == (_SOL_NETLINK, NETLINK_LISTEN_ALL_NSID) for level, kind, _ in more)
        return bytes(memoryview(self._buffer)[:length]), is_tagged

    def _grow(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RCVBUF_BYTES)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RCVBUF_BYTES)

    def _send(self, kind: int, flags: int, payload: bytes) -> int:
        self._sequence += 1
        data = message(kind, NLM_F_REQUEST | flags, self._sequence, payload)
        self._socket.sendto(data, (0, 0))
        return self._sequence

    def _collect(self, sequence: int) -> tuple[list[Message], bool]:
        answer: list[Message] = []
        interrupted = False
        while True:
            for part in messages(self.receive()):
                if part.sequence != sequence:
                    continue
                interrupted |= bool(part.flags & NLM_F_DUMP_INTR)
                if part.type in (NLMSG_DONE, NLMSG_ERROR):
                    raise_error(part)
                    return answer, interrupted
                if part.type not in (NLMSG_NOOP, NLMSG_OVERRUN):
                    answer.append(part)
