# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that an export writes.

What it keeps true: only its owner reads it (packets and command lines are in it), an existing file is not
overwritten unless that is asked for and not before the new one is whole, and what failed leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, TextIO, Union, cast

from ..errors import BondtraceError, UsageError

STDOUT = Path("-")


class Output:
    """A file to be, or standard output for the path ``-``. ``binary`` and ``text`` write to it; use one of them. With
    ``beside`` it is under its name only when it is whole.

    ``UsageError`` when the file exists and ``force`` is not set, ``BondtraceError`` when it cannot be made.
    """

    def __init__(self, path: Path, force: bool = False, beside: bool = False) -> None:
        self.path = path
        self._place = path
        self._text: Optional[io.TextIOWrapper] = None
        if path == STDOUT:
            self.binary: BinaryIO = sys.stdout.buffer
        else:
            exists = os.path.lexists(path)
            if exists and not force:
                raise _exists(path)
            self._place = _beside(path) if exists or beside else path
            self.binary = cast(BinaryIO, os.fdopen(_create(self._place, path), "wb"))

    @property
    def text(self) -> TextIO:
        """UTF-8; what is no text is written as escapes."""
        if self._text is None:
            self._text = io.TextIOWrapper(self.binary, "utf-8", "backslashreplace", newline="")
        return self._text

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self.path == STDOUT:
            self._release()
            return
        try:
            if kind is None:
                self._finish()
        finally:
            self._abandon()

    def _finish(self) -> None:
        try:
            (self._text or self.binary).close()
            if self._place != self.path:
                os.replace(self._place, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self._place = STDOUT

    def _abandon(self) -> None:
        """Leave nothing of what was not finished."""
        if self._place == STDOUT:
            return
        try:
            (self._text or self.binary).close()
        except OSError:
            pass
        self._place.unlink(missing_ok=True)

    def _release(self) -> None:
        """Standard output stays open: it is not ours."""
        if self._text is not None:
            self._text.flush()
            self._text.detach()
        self.binary.flush()


def cannot_write(path: Path, error: OSError) -> BondtraceError:
    """The error of a file that could not be written."""
    return BondtraceError(f"cannot write {path}: {error.strerror or error}; name another file")


def _create(place: Path, path: Path) -> int:
    """A new file for its owner alone, never through a symbolic link; under sudo it is the caller's."""
    try:
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise cannot_write(path, error) from None
    give_to_caller(fd)
    return fd


def give_to_caller(file: Union[int, Path]) -> None:
    """Under sudo, a new file or directory is that of the user who called it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        os.chown(file, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "-1")))


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already; name another file, or --force to overwrite it")


def _beside(path: Path) -> Path:
    """Where the successor of an existing file is written until it is whole."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UsageError(f"{path} is no regular file; name another one, or - for standard output")
    return path.with_name(f".{path.name}.{os.getpid()}.partial")
