# SPDX-License-Identifier: GPL-2.0-or-later
"""Pipes of bytes: standard input and output, where a path is ``-``, and named pipes.

Invariant: waiting for a pipe's writer ends when it is asked to, within ``TICK_S``. A file that is called ``-`` is named
by its directory and name (``/tmp/-``). Nothing but a pipe of the caller's is opened as a named pipe, even by root.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, TextIO

from .files import caller_uid

STDIO = Path("-")
STDIN_NAME, STDOUT_NAME = "standard input", "standard output"
TICK_S = 0.1
_CHUNK_BYTES = 1 << 20


class Unusable(Exception):
    """Bytes cannot be read or written there; the text says why."""


def input_name(path: Path) -> str:
    """Return the name of a file to read, for people."""
    return STDIN_NAME if path == STDIO else str(path)


class InputPipe:
    """Standard input.

    :param wait: is called while nothing comes; false ends the input there.
    :raises Unusable: where it is a terminal or closed.
    """

    def __init__(self, wait: Callable[[], bool] = lambda: True) -> None:
        self._descriptor, self._wait = _usable(sys.stdin, STDIN_NAME), wait
        self._read = bytearray()
        self._taken_bytes = 0

    def __enter__(self) -> InputPipe:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """It is not ours to close."""

    def tell(self) -> int:
        """Return how many bytes were taken."""
        return self._taken_bytes

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes; fewer only at the end."""
        while len(self._read) < size and self._more():
            pass
        found = bytes(self._read[:size])
        del self._read[:size]
        self._taken_bytes += len(found)
        return found

    def _more(self) -> bool:
        """Wait for bytes; return false at the end."""
        while not select.select([self._descriptor], [], [], TICK_S)[0]:
            if not self._wait():
                return False
        try:
            came = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:  # another reader of the pipe was faster
            return True
        self._read += came
        return bool(came)


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write all of ``data``, however little the file takes at once, and although it may not be one that waits."""
    view = memoryview(data)
    while view:
        written = file.write(view)
        if written is None:
            select.select([], [file], [])
        else:
            view = view[written:]


def output_descriptor() -> int:
    """Return a new descriptor of standard output.

    :raises Unusable: where it is a terminal or closed.
    """
    return os.dup(_usable(sys.stdout, STDOUT_NAME))


def open_fifo(path: Path) -> BinaryIO:
    """Open a named pipe for writing, once somebody reads it.

    :raises Unusable: where it is anything else; under sudo, where it does not belong to the user who called sudo.
    """
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        one, caller = os.fstat(found), caller_uid()
        if not stat.S_ISFIFO(one.st_mode):
            raise Unusable(f"{path} is no named pipe: `mkfifo` makes one")
        if caller not in (None, one.st_uid):
            raise Unusable(f"{path} does not belong to the user who called sudo: name a pipe of your own")
        return open(f"/proc/self/fd/{found}", "wb")
    finally:
        os.close(found)


def _usable(stream: Optional[TextIO], name: str) -> int:
    try:
        descriptor = stream.fileno() if stream else -1
    except (OSError, ValueError):
        descriptor = -1
    if descriptor < 0:
        raise Unusable(f"{name} is closed")
    if os.isatty(descriptor):
        raise Unusable(f"{name} is a terminal")
    return descriptor
