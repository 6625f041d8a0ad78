# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: one file, a compressed Arrow IPC stream, that any Arrow reader opens (docs/recording.md).

The same stream may go through a pipe: ``-`` is standard output to a recorder, and standard input to a reader.

Invariant: every batch that was written is complete on disk, whatever ends the writer; reading a file that was cut off
yields every complete batch, and then reports that it was.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Optional, Union

from ..errors import BondtraceError, UsageError, exists_already
from ..util import files, pipes
from .arrow_ipc import END_OF_STREAM, Damaged, Field, Message, read_message, read_schema, schema_message
from .batch import SCHEMA, Batch, decode, encode, require_columns
from .events import Event
from .wire import EMPTY, Passes, concatenate

FORMAT = 2
HOLD_S = 1.0  # how long passes may wait for others before they are written
PIPE_HOLD_S = 0.2  # the same where somebody may be looking on
HOLD_PASSES = 1 << 14


class Recorder:
    """A writer of recordings.

    Where nothing is written, no new file is left behind, and an older one stays as it was. Passes wait up to ``HOLD_S``
    for others, as large batches compress better; ``PIPE_HOLD_S`` on standard output, where a reader that goes away
    raises ``BrokenPipeError``.

    :raises UsageError: where the file exists and ``force`` is not set; where standard output is a terminal.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        self._schema = schema_message(SCHEMA)
        self.path = path
        self._new = None if path == pipes.STDIO else _create(path, force)
        self._file = os.fdopen(self._new.descriptor if self._new else _standard_output(), "wb", buffering=0)
        self._hold_s = HOLD_S if self._new else PIPE_HOLD_S
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
        """Append passes and events. Events are written at once, with the passes that waited before them.

        :raises BondtraceError: where writing fails.
        """
        now_s = time.monotonic()
        if len(passes):
            self._since_s = self._since_s if self._waiting else now_s
            self._waiting.append(passes)
            self.passes += len(passes)
        many = sum(len(one) for one in self._waiting) >= HOLD_PASSES
        if events or many or (self._waiting and now_s - self._since_s >= self._hold_s):
            self._write(events)

    def flush(self) -> None:
        """Write the passes that wait."""
        self._write([])

    def _write(self, events: list[Event]) -> None:
        passes, self._waiting = concatenate(self._waiting), []
        if not len(passes) and not events:
            return
        message = encode(passes, [json.dumps(one, separators=(",", ":")) for one in events])
        self._put(message if self.bytes else self._schema + message)
        if self._new:
            self._new.take_name(force=True)  # not before there is something to replace an older recording by

    def close(self) -> None:
        """Write what waits, and end the stream. A file that was not closed can be read, and is reported as cut off."""
        if self._file.closed:
            return
        try:
            if not self._failed:
                self.flush()
            if self.bytes and not self._failed:
                self._put(END_OF_STREAM)
        finally:
            self._file.close()
            if self._new and not self.bytes:
                self._new.remove()
            if self._new:
                self._new.close()

    def _put(self, data: bytes) -> None:
        try:
            pipes.write_all(self._file, data)
        except OSError as error:
            self._failed = True
            if not self._new:
                self._fail_piped(error)
            with suppress(OSError):
                self._file.truncate(self.bytes)  # part of a batch is of no use
            kept = "what was written before is whole" if self.bytes else "nothing was written"
            raise BondtraceError(f"cannot write to {self.path}: {error.strerror}; {kept}") from None
        self.bytes += len(data)

    def _fail_piped(self, error: OSError) -> NoReturn:
        if error.errno == errno.EPIPE:
            raise error
        raise BondtraceError(f"cannot write to {pipes.STDOUT_NAME}: {error.strerror}") from None


def _create(path: Path, force: bool) -> files.NewFile:
    """Create the file. With ``force`` an existing one is not touched: the new one is written beside it."""
    try:
        return files.NewFile(path, aside=force and os.path.lexists(path))
    except FileExistsError:
        raise exists_already(path) from None
    except files.SpecialFile as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise BondtraceError(f"cannot create {path}: {error.strerror}; name another file") from None


def _standard_output() -> int:
    """Return a descriptor of standard output."""
    try:
        return pipes.output_descriptor()
    except pipes.Unusable as error:
        raise UsageError(
            f"a recording is no text, and {error}: pipe it (`| bondtrace show -`), or name a file instead of -"
        ) from None


def _columns(message: Message) -> tuple[Field, ...]:
    """Return the columns of a recording from its first message.

    :raises Damaged: where they are not a recording's.
    """
    found = read_schema(message)
    require_columns(found)
    return found


# What reading bytes that are not a batch may raise.
_DAMAGES = (*(Damaged, ValueError, IndexError, TypeError, KeyError), *(OverflowError, RecursionError, MemoryError))


class Recording:
    """A reader of a recording. After ``batches()`` has ended, ``cut_off`` says whether the file was cut off.

    Standard input can be read once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = pipes.input_name(path)
        self.cut_off = False
        self.position = 0  # number of bytes that were read

    def batches(self, wait: Optional[Callable[[], bool]] = None) -> Iterator[Batch]:
        """Yield every complete batch, in order.

        :param wait: called at the end of a file that was not closed: true to look for more, after yielding an empty
            batch. The caller has to sleep in it. Of a pipe: called while nothing comes; false ends it there.
        :raises BondtraceError: for a file that is not a recording.
        """
        with self._open(wait) as file:
            fields: Optional[tuple[Field, ...]] = None
            while True:
                try:
                    message = read_message(file)
                    if message is None:
                        return
                    if fields is None:
                        fields = _columns(message)
                    else:
                        yield decode(message, fields)
                    self.position = file.tell()
                except EOFError:
                    if isinstance(file, pipes.InputPipe) or wait is None or not wait():
                        self._end(is_arrow=fields is not None, is_empty=not file.tell())
                        return
                    file.seek(self.position)
                    yield Batch(EMPTY, [], 0)
                except OSError as error:
                    raise BondtraceError(f"cannot read {self._name}: {error.strerror}") from None
                except _DAMAGES as error:
                    fact = str(error) if fields is None else f"a batch is malformed ({error})"
                    raise self._no_recording(fact) from None

    def _end(self, is_arrow: bool, is_empty: bool) -> None:
        """Note that the file is cut off; ``BondtraceError`` where not even a stream had begun."""
        if is_empty and self.path == pipes.STDIO:
            raise BondtraceError(f"nothing came from {self._name}: the command that was to write to it may say why")
        if not is_arrow:
            raise self._no_recording("it is not an Arrow stream") from None
        self.cut_off = True

    def _open(self, wait: Optional[Callable[[], bool]]) -> Union[BinaryIO, pipes.InputPipe]:
        try:
            if self.path == pipes.STDIO:
                return pipes.InputPipe(wait or (lambda: True))
            return open(self.path, "rb")
        except pipes.Unusable as error:
            raise UsageError(
                f"{error}: pipe a recording into it (`bondtrace record -o - | ...`), or name a file instead of -"
            ) from None
        except OSError as error:
            raise BondtraceError(f"cannot read {self._name}: {error.strerror}") from None

    def _no_recording(self, why: str) -> BondtraceError:
        return BondtraceError(f"{self._name} is not a bondtrace recording: {why}; `bondtrace record -o FILE` makes one")
