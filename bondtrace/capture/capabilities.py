# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process must be allowed in order to trace: capabilities (man 7 capabilities), of which root has all.

What it keeps true: once attached, a trace keeps only what it still uses. Capabilities are a thread's: those that a
thread starts have at most its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import BondtraceError


class Capability(NamedTuple):
    """One capability: its number (include/uapi/linux/capability.h), what it is for, and what is not told without."""

    name: str
    number: int
    serves: str
    without: str = ""


BPF = Capability("CAP_BPF", 39, "BPF programs and maps")
PERFMON = Capability("CAP_PERFMON", 38, "attaching to kernel functions")
SYS_ADMIN = Capability(
    "CAP_SYS_ADMIN",
    21,
    "entering other network namespaces",
    "taps and devices of other network namespaces are not known",
)
NEEDED = (BPF, PERFMON)
HELPFUL = (
    Capability("CAP_NET_ADMIN", 12, "what packet_diag tells of taps", "whether a tap has a filter is not known"),
    Capability("CAP_SYS_PTRACE", 19, "looking at other users' processes", "who holds a tap is not known"),
    Capability("CAP_DAC_READ_SEARCH", 2, "listing other users' descriptors in /proc", "who holds a tap is not known"),
    Capability("CAP_SYSLOG", 34, "addresses in /proc/kallsyms", "functions that drop packets are not named"),
    SYS_ADMIN,
)
# What writing a recording may take: in a directory of the caller's under sudo, and given to that user.
_FILES = (0, 1, 3)  # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER

_VERSION_3 = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38


def effective() -> int:
    """The calling thread's effective capabilities, a bit each; source: CapEff in /proc/thread-self/status."""
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return (1 << 64) - 1 if os.geteuid() == 0 else 0


def has(capability: Capability) -> bool:
    """Is it effective? CAP_SYS_ADMIN stands for the two that were split from it."""
    mine = effective()
    return bool(mine >> capability.number & 1 or (capability in NEEDED and mine >> SYS_ADMIN.number & 1))


def missing_helpful() -> list[Capability]:
    """Those without which a trace tells less."""
    return [one for one in HELPFUL if not has(one)]


def require_rights() -> None:
    """``BondtraceError`` without the rights to load and attach BPF programs."""
    missing = [one.name for one in NEEDED if not has(one)]
    if missing:
        raise BondtraceError(
            f"tracing needs root, or at least {' and '.join(one.name for one in NEEDED)} (missing: "
            f"{', '.join(missing)}): BPF programs are loaded into the kernel; run it with sudo"
        )


def drop_rights(files: bool) -> None:
    """Keep of the calling thread's capabilities those that an attached trace uses, for ``files`` also what writing
    takes, and let no program that it may start have more."""
    kept = [one.number for one in (*NEEDED, *HELPFUL)]
    _keep((*kept, *_FILES) if files else kept)


def drop_all_rights() -> None:
    """Keep none: for a thread that answers strangers."""
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
