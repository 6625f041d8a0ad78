# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the socket itself tells: options of a tap that no dump shows.

The tap's own file descriptor is borrowed from its process for a moment (pidfd_getfd, Linux 5.6; needs the right
to trace that process), asked with getsockopt and closed. Nothing is changed, and no counter is read that
reading would clear. Where that is not allowed, the answer stays unknown.
"""

from __future__ import annotations

import ctypes
import os
import socket
from dataclasses import replace

from ..model import Tap

SOL_PACKET = 263
PACKET_ORIGDEV = 9
PACKET_IGNORE_OUTGOING = 23
_SYS_PIDFD_GETFD = 438  # the same on every architecture


def with_options(tap: Tap) -> Tap:
    """The tap with ``ignore_outgoing`` and ``origdev``, as far as they can be learnt."""
    for process in tap.processes:
        fd = _borrow(process.pid, tap.inode)
        if fd is None:
            continue
        with socket.socket(fileno=fd) as borrowed:
            return replace(tap, ignore_outgoing=_option(borrowed, PACKET_IGNORE_OUTGOING),
                           origdev=_option(borrowed, PACKET_ORIGDEV))
    return tap


def _option(borrowed: socket.socket, number: int) -> bool | None:
    try:
        return bool(borrowed.getsockopt(SOL_PACKET, number))
    except OSError:
        return None  # an older kernel


def _borrow(pid: int, inode: int) -> int | None:
    """A duplicate of the process's descriptor of this socket, or ``None``."""
    number = _descriptor(pid, inode)
    if number is None or not hasattr(os, "pidfd_open"):
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0))
    finally:
        os.close(pidfd)
    if fd >= 0 and os.fstat(fd).st_ino != inode:  # it was closed and its number used again meanwhile
        os.close(fd)
        return None
    return fd if fd >= 0 else None


def _descriptor(pid: int, inode: int) -> int | None:
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(entry.path) == f"socket:[{inode}]":
                    return int(entry.name)
            except OSError:
                continue
    except OSError:
        pass
    return None
