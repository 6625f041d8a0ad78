# SPDX-License-Identifier: GPL-2.0-or-later
"""New files, created safely even by root.

Invariant: a new file can be read by its owner only (mode 0600), it is never created through a symbolic link or in place
of something that exists, and under sudo it belongs to the user who called it. That holds whatever others do meanwhile
to the directories of its path: its directory is opened once, link by link, and everything done to the file is done in
that directory. Where a file must not be taken for complete too early, it is first written as ``.NAME.PID.partial``
beside its name.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Optional

_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
_LINKS = 40  # the kernel's own limit


class SpecialFile(Exception):
    """The name belongs to something that is not a regular file; the text says what it is, and what to do."""


class NewFile:
    """A new file, whose ``descriptor``, open for writing, belongs to the caller.

    :param path: its name.
    :param aside: write it beside ``path`` until ``take_name``.
    :raises FileExistsError: where something has the name already, even a dangling symbolic link.
    :raises SpecialFile: with ``aside``, where that is a symbolic link, a directory, a device or a pipe: those are not
        overwritten.
    """

    def __init__(self, path: Path, aside: bool = False) -> None:
        self.path, self.name = path, aside_of(path) if aside else path.name
        if path.name in ("", ".."):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._directory = open_directory(path.parent)
        try:
            if aside:
                self._refuse_special()
            self.descriptor = self._make()
        except BaseException:
            self.close()
            raise

    def _refuse_special(self) -> None:
        mode = self._mode()
        if mode is not None and not stat.S_ISREG(mode):
            raise SpecialFile(f"{self.path} is {_kind(mode)}, not a regular file; name another file")

    def _mode(self) -> Optional[int]:
        """Return the mode of what has the name; ``None`` where nothing has it."""
        with suppress(FileNotFoundError):
            return os.stat(self.path.name, dir_fd=self._directory, follow_symlinks=False).st_mode
        return None

    def _make(self) -> int:
        descriptor = os.open(
            self.name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=self._directory,
        )
        os.fchmod(descriptor, 0o600)
        give_to_caller(descriptor)
        return descriptor

    def take_name(self, force: bool) -> None:
        """Rename the file to ``path``.

        :raises FileExistsError: where something else has that name and ``force`` is not set.
        """
        if self.name == self.path.name:
            return
        if force or not self._linked():
            os.replace(self.name, self.path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self.name = self.path.name

    def _linked(self) -> bool:
        """Take a free name in one step; return false where this file system has no links."""
        try:
            os.link(
                self.name, self.path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory, follow_symlinks=False
            )
        except FileExistsError:
            raise
        except OSError:
            if self._mode() is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path)) from None
            return False
        os.unlink(self.name, dir_fd=self._directory)
        return True

    def remove(self) -> None:
        """Remove the file."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._directory)

    def close(self) -> None:
        """Close the directory: the name cannot be changed any more."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def open_directory(path: Path) -> int:
    """Return a descriptor of the directory.

    Each part of the path is opened before it is checked, so what is checked is what is followed.

    :raises PermissionError: where the path contains a symbolic link that another user may have planted: one in a sticky
        directory that all may write to, and owned neither by us nor by that directory's owner. That is the rule of the
        kernel's own fs.protected_symlinks, which may be off.
    """
    here, links = os.open(".", _PATH | os.O_DIRECTORY), 0
    parts = list(reversed(path.parts))
    try:
        while parts:
            part = parts.pop()
            found = _opened(part, here)
            try:
                target = _target(found, here)
                if target is None:
                    here, found = found, here
                    continue
            finally:
                os.close(found)
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            parts += reversed(target.parts)
    except BaseException:
        os.close(here)
        raise
    return here


def _opened(name: str, around: int) -> int:
    """Open a part of a path without following it, except for links in /proc (another process's root), which only the
    kernel can follow."""
    found = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=around)
    one = os.fstat(found)
    if stat.S_ISLNK(one.st_mode) and one.st_dev == os.stat("/proc").st_dev:
        os.close(found)
        return os.open(name, _PATH, dir_fd=around)
    return found


def _target(link: int, around: int) -> Optional[Path]:
    """Return where a symbolic link leads; ``None`` for anything else.

    :raises PermissionError: for a link that must not be followed.
    """
    one, directory = os.fstat(link), os.fstat(around)
    if not stat.S_ISLNK(one.st_mode):
        return None
    shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
    if shared and one.st_uid not in (os.geteuid(), directory.st_uid):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return Path(os.readlink("", dir_fd=link))


def make_directory(path: Path) -> None:
    """Create a directory with the owner that a new file would have; one that exists is left as it is."""
    around = open_directory(path.parent)
    try:
        os.mkdir(path.name, dir_fd=around)
        made = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=around)
        try:
            give_to_caller(made)
        finally:
            os.close(made)
    except FileExistsError:
        pass
    finally:
        os.close(around)


def give_to_caller(descriptor: int) -> None:
    """Give a new file or directory to the user who called sudo, if one did."""
    uid = caller_uid()
    if uid is not None:
        os.fchown(descriptor, uid, _identity("SUDO_GID"))


def caller_uid() -> Optional[int]:
    """Return the number of the user who called sudo; ``None`` where none did."""
    uid = _identity("SUDO_UID") if os.geteuid() == 0 else -1
    return uid if uid >= 0 else None


def _identity(name: str) -> int:
    """Return a user or group number from the environment variable that sudo sets; -1, which changes nothing, where it
    has none."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and int(value) < (1 << 32) - 1 else -1


def aside_of(path: Path) -> str:
    """Return the name of a file until it is complete and may be called ``path``."""
    return f".{path.name[:200]}.{os.getpid()}.partial"


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_it, name in kinds if is_it(mode)), "a device")
