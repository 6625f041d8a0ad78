# SPDX-License-Identifier: GPL-2.0-or-later
"""New files, as root may make them.

What it keeps true: a new file is its owner's alone (mode 0600), it is never made through a symbolic link or in the
place of something that is there, and under sudo it belongs to the user who called it. A file is written beside its
name, as ``.NAME.PID.partial``, where it must not be taken for whole before it is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Union

from .errors import UsageError


def create(place: Path) -> int:
    """The descriptor of a new file. ``FileExistsError`` where something is there, be it a dangling symbolic link."""
    _refuse_planted(place)
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    give_to_caller(fd)
    return fd


def _refuse_planted(place: Path) -> None:
    """``PermissionError`` where the way leads over a symbolic link that another user may have planted: one in a sticky
    directory that all may write to, neither ours nor that directory's owner's. That is the rule of the kernel's own
    fs.protected_symlinks, which may be off."""
    for one in Path(os.path.abspath(place)).parents:
        if one.is_symlink():
            link, around = one.lstat(), one.parent.stat()
            shared = around.st_mode & stat.S_ISVTX and around.st_mode & stat.S_IWOTH
            if shared and link.st_uid not in (os.geteuid(), around.st_uid):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(one))


def give_to_caller(file: Union[int, Path]) -> None:
    """Under sudo, a new file or directory is that of the user who called it."""
    if os.geteuid() != 0:
        return
    uid, gid = (_identity(name) for name in ("SUDO_UID", "SUDO_GID"))
    if uid >= 0:
        os.chown(file, uid, gid)


def _identity(name: str) -> int:
    """A user or group as sudo names them; -1, which changes nothing, for none."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and int(value) < (1 << 32) - 1 else -1


def exists(path: Path) -> UsageError:
    """The error of a name that is taken."""
    return UsageError(f"{path} exists already; name another file, or --force to overwrite it")


def beside(path: Path) -> Path:
    """Where what shall be called ``path`` is written until it is whole. ``UsageError`` where a symbolic link, a
    directory, a device or a pipe has that name: those are not overwritten."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UsageError(f"{path} is {_kind(os.lstat(path).st_mode)}, no regular file; name another file")
    return path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"),
             (stat.S_ISSOCK, "a socket"))
    return next((name for is_it, name in kinds if is_it(mode)), "a device")
