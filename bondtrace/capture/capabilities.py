# SPDX-License-Identifier: GPL-2.0-or-later
"""The capabilities that a process needs in order to trace (man 7 capabilities); root has all of them.

Invariant: once attached, a trace keeps only those that it still uses. Capabilities belong to a thread: threads that it
starts have at most its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import BondtraceError


class Capability(NamedTuple):
    """One capability: its number (include/uapi/linux/capability.h), its purpose, and what is missing without it."""

    name: str
    number: int
    serves: str
    without: str = ""


BPF = Capability("CAP_BPF", 39, "BPF programs and maps")
PERFMON = Capability("CAP_PERFMON", 38, "attaching to kernel functions")
SYS_ADMIN = Capability(
    "CAP_SYS_ADMIN", 21, "entering other network namespaces", "taps and devices of other network namespaces are unknown"
)
NEEDED = (BPF, PERFMON)
HELPFUL = (
    Capability(
        "CAP_NET_ADMIN",
        12,
        "packet_diag's details of taps, WireGuard's and IPsec's ends",
        "whether a tap has a filter, and what WireGuard and IPsec tunnels run over, is unknown",
    ),
    Capability("CAP_SYS_PTRACE", 19, "looking at other users' processes", "which processes hold a tap is unknown"),
    Capability(
        "CAP_DAC_READ_SEARCH", 2, "listing other users' descriptors in /proc", "which processes hold a tap is unknown"
    ),
    Capability("CAP_SYSLOG", 34, "addresses in /proc/kallsyms", "functions that drop packets are not named"),
    SYS_ADMIN,
)
# What writing a recording may need: it can be in a directory of the user who called sudo, and is given to that user.
_FILES = (0, 1, 3)  # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER

_VERSION_3 = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38


def effective() -> int:
    """Return the calling thread's effective capabilities, one bit each. Source: CapEff in /proc/thread-self/status."""
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return (1 << 64) - 1 if os.geteuid() == 0 else 0


def has(capability: Capability) -> bool:
    """Is it effective? CAP_SYS_ADMIN includes the two that were split from it."""
    mine = effective()
    return bool(mine >> capability.number & 1 or (capability in NEEDED and mine >> SYS_ADMIN.number & 1))


def missing_helpful() -> list[Capability]:
    """Return the missing ones without which a trace shows less."""
    return [one for one in HELPFUL if not has(one)]


def require_rights() -> None:
    """Raise ``BondtraceError`` without the rights to load and attach BPF programs."""
    missing = [one.name for one in NEEDED if not has(one)]
    if missing:
        raise BondtraceError(
            f"tracing needs root, or at least {' and '.join(one.name for one in NEEDED)} (missing: "
            f"{', '.join(missing)}): BPF programs are loaded into the kernel; run it with sudo"
        )


def drop_rights(files: bool) -> None:
    """Drop the calling thread's capabilities except those that an attached trace uses, for itself and for every program
    that it starts.

    :param files: also keep those that writing a recording needs.
    """
    kept = [one.number for one in (*NEEDED, *HELPFUL)]
    _keep((*kept, *_FILES) if files else kept)


def drop_all_rights() -> None:
    """Drop all capabilities: for a thread that answers requests from the network."""
    _keep(())


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _keep(numbers: Iterable[int]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION_3, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low, then high
    if libc.capget(ctypes.byref(header), sets) == 0:
        mask = sum(1 << number for number in set(numbers))
        for half in (0, 1):
            word = mask >> 32 * half & 0xFFFFFFFF
            sets[3 * half] &= word
            sets[3 * half + 1] &= word
            sets[3 * half + 2] = 0
        if libc.capset(ctypes.byref(header), sets) == 0 and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            return
    raise BondtraceError(f"cannot give up capabilities: {os.strerror(ctypes.get_errno())}")


__all__ = [
    "HELPFUL",
    "NEEDED",
    "Capability",
    "drop_all_rights",
    "drop_rights",
    "effective",
    "has",
    "missing_helpful",
    "require_rights",
]
