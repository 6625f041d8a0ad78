# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that an export writes.

Invariant: only its owner can read it (packets and command lines are in it), it gets its name only when it is complete,
an existing file is overwritten only if that was asked for, and a failure leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, TextIO, cast

from ..errors import BondtraceError, UsageError, exists_already
from ..format.trace_set import TraceSet
from ..util import files
from ..util.pipes import STDIO

STDOUT = STDIO


class Output:
    """The file being written, or standard output for the path ``-``. Write to ``binary`` or to ``text``, not to both.

    :raises UsageError: if the file exists and ``force`` is not set.
    :raises BondtraceError: if it cannot be created.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        self.path, self._force = path, force
        self._new: Optional[files.NewFile] = None
        self._whole = False
        self._text: Optional[io.TextIOWrapper] = None
        if path == STDOUT:
            self.binary: BinaryIO = sys.stdout.buffer
        else:
            self._refuse_existing()
            self._new = _create(path)
            self.binary = cast(BinaryIO, os.fdopen(self._new.descriptor, "wb"))

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.path) and not self._force:
            raise exists_already(self.path)

    @property
    def text(self) -> TextIO:
        """Text as UTF-8; what UTF-8 cannot hold is escaped."""
        if self._text is None:
            self._text = io.TextIOWrapper(self.binary, "utf-8", "backslashreplace", newline="")
        return self._text

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._new is None:
            self._release()
            return
        try:
            if kind is None:
                self._finish(self._new)
        finally:
            self._end(self._new)

    def _finish(self, new: files.NewFile) -> None:
        try:
            stream = self._text or self.binary
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            new.take_name(self._force)
        except FileExistsError:
            raise exists_already(self.path) from None
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self._whole = True

    def _end(self, new: files.NewFile) -> None:
        """Close the file; remove it if it was not finished."""
        with suppress(OSError):
            (self._text or self.binary).close()
        if not self._whole:
            new.remove()
        new.close()

    def _release(self) -> None:
        """Flush standard output and leave it open: it is not ours."""
        if self._text is not None:
            self._text.flush()
            self._text.detach()
        self.binary.flush()


def refuse_overwriting(path: Path, sources: Iterable[TraceSet]) -> None:
    """Refuse to write to a file that is to be read.

    :raises UsageError: which says so.
    """
    read = (file for source in sources if not source.is_piped for file in source.paths)
    if path != STDOUT and path.exists() and any(file.exists() and path.samefile(file) for file in read):
        raise UsageError(f"{path} is the recording itself; name another file to write")


def cannot_write(path: Path, error: OSError) -> BondtraceError:
    """Return the error for a file that cannot be written."""
    return BondtraceError(f"cannot write {path}: {error.strerror or error}; name another file")


def _create(path: Path) -> files.NewFile:
    try:
        return files.NewFile(path, aside=True)
    except files.SpecialFile as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise cannot_write(path, error) from None
