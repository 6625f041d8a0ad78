# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps compiled programs, so that the next start of the same trace need not compile them.

Invariants: what is kept is used only where everything that decides on it is the same: the C text (with the kernel's
offsets and the plan in it), the compiler's options, bcc, the kernel, bondtrace. It becomes part of the kernel, so it is
read only where nobody but its owner, or root, can have written it. Without a directory to write to nothing is kept, and
nothing else changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import stat
import tempfile
from pathlib import Path
from typing import Optional

from ...util.cache import programs_directory
from ...version import __version__
from . import compiler, source
from .programs import Programs

_KEPT_MAX = 64  # some 100 kB each
_BYTES_MAX = 16 << 20


def compiled(text: str) -> Programs:
    """Return the programs of this C text: kept from an earlier start, or compiled now, and kept.

    :raises BondtraceError: where they do not compile.
    """
    file = programs_directory() / key(text)
    kept = _read(file)
    if kept is not None:
        return kept
    made = compiler.compile_programs(text)
    _keep(file, made.to_bytes())
    return made


def key(text: str) -> str:
    """Return the name under which the programs of this text are kept: a digest of all that they depend on."""
    digest, kernel = hashlib.sha256(), os.uname()
    headers = sorted(path for path in (source.bpf_dir() / "include").rglob("*") if path.is_file())
    facts = [
        __version__,
        *compiler.OPTIONS,
        *_bcc(),
        kernel.sysname,
        kernel.release,
        kernel.version,
        kernel.machine,
        text,
    ]
    for fact in (*facts, *(f"{path.name} {path.read_text()}" for path in headers)):
        data = fact.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _bcc() -> tuple[str, ...]:
    """Return what tells one bcc from another, without loading it, which takes a tenth of a second."""
    try:
        found = importlib.util.find_spec("bcc")
    except (ImportError, ValueError):
        return ()
    if found is None or not found.origin:
        return ()
    there = [Path(found.origin), *sorted(Path(found.origin).parent.glob("version.py"))]
    return (*map(str, there), *(f"{one.st_size} {one.st_mtime_ns}" for one in map(os.stat, there)))


def _read(file: Path) -> Optional[Programs]:
    """Return what is kept in a file; ``None`` where there is nothing that can be trusted and read."""
    with contextlib.suppress(OSError, ValueError):
        if not _is_ours(os.lstat(file.parent)):
            return None
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            about = os.fstat(descriptor)
            if stat.S_ISREG(about.st_mode) and _is_ours(about) and about.st_size <= _BYTES_MAX:
                kept = Programs.from_bytes(stream.read())
                with contextlib.suppress(OSError):  # it may be another's, or in an image that cannot be written
                    os.utime(descriptor)
                return kept
    return None


def _is_ours(about: os.stat_result) -> bool:
    """Can only this user, or root, have written it?"""
    return about.st_uid in (0, os.geteuid()) and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(file: Path, data: bytes) -> None:
    """Write a file at once and whole, and delete those that have not been used for longest."""
    with contextlib.suppress(OSError):
        above = next(one for one in file.parents if one.exists())
        if above.stat().st_uid != os.geteuid():  # root does not write into a user's home, nor anybody elsewhere
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(data)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
        others = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in others[_KEPT_MAX:]:
            old.unlink()
