# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that an export writes.

What it keeps true: only its owner reads it (packets and command lines are in it), it has its name only when it is
whole, an existing file is not overwritten unless that is asked for, and what failed leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, TextIO, cast

from ..errors import BondtraceError, UsageError, exists_already
from ..util import files

STDOUT = Path("-")


class Output:
    """A file to be, or standard output for the path ``-``. ``binary`` and ``text`` write to it; use one of them.

    ``UsageError`` when the file exists and ``force`` is not set, ``BondtraceError`` when it cannot be made.
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
        """UTF-8; what is no text is written as escapes."""
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
        """Leave nothing of what was not finished."""
        with suppress(OSError):
            (self._text or self.binary).close()
        if not self._whole:
            new.remove()
        new.close()

    def _release(self) -> None:
        """Standard output stays open: it is not ours."""
        if self._text is not None:
            self._text.flush()
            self._text.detach()
        self.binary.flush()


def cannot_write(path: Path, error: OSError) -> BondtraceError:
    """The error of a file that could not be written."""
    return BondtraceError(f"cannot write {path}: {error.strerror or error}; name another file")


def _create(path: Path) -> files.NewFile:
    try:
        return files.NewFile(path, aside=True)
    except files.SpecialFile as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise cannot_write(path, error) from None
