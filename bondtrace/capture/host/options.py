# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads options of a tap that no dump shows, from the socket itself.

The tap's own file descriptor is borrowed from its process for a moment (pidfd_getfd, Linux 5.6; needs the right
to trace that process), read with getsockopt and closed. Where that is not allowed, the options stay unknown.

Invariant: nothing is changed, and no counter is read that reading would clear.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from ...model import Tap

SOL_PACKET = 263
PACKET_ORIGDEV = 9
PACKET_FANOUT = 18
PACKET_IGNORE_OUTGOING = 23
_SYS_PIDFD_GETFD = 438  # the same on every architecture


class _Options(NamedTuple):
    """What a socket says of itself; ``None``: an older kernel has no such option. ``fanout`` is 0 without a group."""

    ignore_outgoing: int | None
    origdev: int | None
    fanout: int | None


def with_all_options(taps: Iterable[Tap]) -> list[Tap]:
    """Return the taps with ``ignore_outgoing``, ``origdev`` and the flags of ``fanout_type``, as far as these can be
    read. A process's descriptors are listed once, however many taps it has."""
    wanted = list(taps)
    inodes: dict[int, set[int]] = {}
    for tap in wanted:
        for process in tap.processes:
            inodes.setdefault(process.pid, set()).add(tap.inode)
    learnt: dict[int, _Options] = {}
    for pid, mine in inodes.items():
        learnt.update(_of_process(pid, mine - learnt.keys()))
    return [_with(tap, learnt[tap.inode]) if tap.inode in learnt else tap for tap in wanted]


def _with(tap: Tap, said: _Options) -> Tap:
    """Return a tap with its options. ``packet_getsockopt`` has the group's id in bits 0 to 15, then its type, and its
    flags from bit 24; packet_diag leaves the flags out. A group that it joined or left meanwhile is not that of the
    dump."""
    is_same = said.fanout is not None and tap.fanout_type is not None and said.fanout & 0xFFFF == tap.fanout_id
    return replace(
        tap,
        ignore_outgoing=None if said.ignore_outgoing is None else bool(said.ignore_outgoing),
        origdev=None if said.origdev is None else bool(said.origdev),
        fanout_type=(said.fanout or 0) >> 16 & 0xFFFF if is_same else tap.fanout_type,
    )


def _of_process(pid: int, inodes: set[int]) -> dict[int, _Options]:
    """Return {inode: its options} of these sockets of a process, as far as they can be borrowed."""
    if not inodes or not hasattr(os, "pidfd_open"):
        return {}
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return {}
    found = {}
    try:
        for inode, number in _descriptors(pid, inodes).items():
            fd = _borrow(pidfd, number, inode)
            if fd is not None:
                with socket.socket(fileno=fd) as borrowed:
                    asked = (PACKET_IGNORE_OUTGOING, PACKET_ORIGDEV, PACKET_FANOUT)
                    found[inode] = _Options(*(_option(borrowed, number) for number in asked))
    finally:
        os.close(pidfd)
    return found


def _option(borrowed: socket.socket, number: int) -> int | None:
    try:
        return borrowed.getsockopt(SOL_PACKET, number)
    except OSError:
        return None  # an older kernel


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _borrow(pidfd: int, number: int, inode: int) -> int | None:
    """Return a duplicate of the process's descriptor of this socket, or ``None``."""
    fd = int(_libc().syscall(_SYS_PIDFD_GETFD, pidfd, number, 0))
    if fd >= 0 and os.fstat(fd).st_ino != inode:  # it was closed meanwhile and its number reused
        os.close(fd)
        return None
    return fd if fd >= 0 else None


def _descriptors(pid: int, inodes: set[int]) -> dict[int, int]:
    """Return {inode: a descriptor of it} in a process."""
    found = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target in wanted:
                found[wanted[target]] = int(entry.name)
    except OSError:
        pass
    return found
