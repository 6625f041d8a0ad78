# SPDX-License-Identifier: GPL-2.0-or-later
"""New files, as root may make them.

What it keeps true: a new file is its owner's alone (mode 0600), it is never made through a symbolic link or in the
place of something that is there, and under sudo it belongs to the user who called it. That holds whatever others do to
the directories on its way meanwhile: its directory is opened once, link by link, and all that is done to the file is
done in that directory. A file is written beside its name, as ``.NAME.PID.partial``, where it must not be taken for
whole before it is.
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
    """What has the name is no regular file; the text says what it is, and what to do."""


class NewFile:
    """A new file: ``descriptor``, open for writing, belongs to the caller. It is called ``path``, or lies beside that
    until ``take_name``. ``FileExistsError`` where something has the name, be it a dangling symbolic link; ``aside``:
    ``SpecialFile`` where that is a symbolic link, a directory, a device or a pipe: those are not overwritten."""

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
            raise SpecialFile(f"{self.path} is {_kind(mode)}, no regular file; name another file")

    def _mode(self) -> Optional[int]:
        """Of what has the name, if there is something."""
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
        """Be called ``path`` from now on. ``FileExistsError`` where something else is, and ``force`` is not set."""
        if self.name == self.path.name:
            return
        if force or not self._linked():
            os.replace(self.name, self.path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self.name = self.path.name

    def _linked(self) -> bool:
        """Take a name that nobody has, in one step; false where this file system has no links."""
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
        """Leave nothing of it."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._directory)

    def close(self) -> None:
        """No more is done to its name."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def open_directory(path: Path) -> int:
    """A descriptor of the directory. ``PermissionError`` where the way leads over a symbolic link that another user may
    have planted: one in a sticky directory that all may write to, neither ours nor that directory's owner's. That is
    the rule of the kernel's own fs.protected_symlinks, which may be off. What is judged is what is followed: each part
    of the way is opened before it is looked at."""
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
    """A part of a way itself, link or not; but for links in /proc (another process's root), that only the kernel can
    follow."""
    found = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=around)
    one = os.fstat(found)
    if stat.S_ISLNK(one.st_mode) and one.st_dev == os.stat("/proc").st_dev:
        os.close(found)
        return os.open(name, _PATH, dir_fd=around)
    return found


def _target(link: int, around: int) -> Optional[Path]:
    """Where it leads, if it is a symbolic link; ``PermissionError`` if it is not to be followed."""
    one, directory = os.fstat(link), os.fstat(around)
    if not stat.S_ISLNK(one.st_mode):
        return None
    shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
    if shared and one.st_uid not in (os.geteuid(), directory.st_uid):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return Path(os.readlink("", dir_fd=link))


def make_directory(path: Path) -> None:
    """A new directory, which belongs to whom a new file would; one that is there is left as it is."""
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
    """Under sudo, a new file or directory is that of the user who called it."""
    if os.geteuid() != 0:
        return
    uid, gid = (_identity(name) for name in ("SUDO_UID", "SUDO_GID"))
    if uid >= 0:
        os.fchown(descriptor, uid, gid)


def _identity(name: str) -> int:
    """A user or group as sudo names them; -1, which changes nothing, for none."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and int(value) < (1 << 32) - 1 else -1


def aside_of(path: Path) -> str:
    """What a file is called until it is whole and may be called ``path``."""
    return f".{path.name[:200]}.{os.getpid()}.partial"


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_it, name in kinds if is_it(mode)), "a device")
