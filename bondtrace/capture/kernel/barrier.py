# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of this process's memory accesses, as the kernel's programs see it on other CPUs.

What is shared with them is read and written in plain accesses. x86-64 keeps the order of loads, and of loads with later
stores; other processors (arm64) may do either in any order: a record's header could be seen before the bytes that it
says are there. Python has no barrier, so the kernel is asked for one.

membarrier(2) promises a caller that in all processes that registered for it, this one included, "all memory accesses to
user-space addresses match program order between entry to and return from the system call". Its private command does
nothing in a process of one thread; the global one, without "expedited", waits for milliseconds.

Source: membarrier(2); kernel/sched/membarrier.c, membarrier_global_expedited() (since 4.16): smp_mb() at its begin and
at its end, unless a single CPU is online.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from ...errors import BondtraceError
from . import bpf

_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1 << 1, 1 << 2
_KEEP_ORDER = frozenset({"x86_64"})

Barrier = Callable[[], None]


def make(machine: str = "") -> Barrier:
    """Return what keeps every access before it apart from every access after it, on this machine.

    :raises BondtraceError: a machine needs it, and its kernel has none.
    """
    if (machine or platform.machine()) in _KEEP_ORDER:
        return _nothing
    try:
        bpf.membarrier(_REGISTER_GLOBAL_EXPEDITED)
    except OSError as error:
        raise BondtraceError(
            f"cannot read packets in order on {platform.machine()}: membarrier(2) is refused ({error.strerror}); "
            "allow it (seccomp), or take a kernel with CONFIG_MEMBARRIER"
        ) from None
    return _membarrier


def _nothing() -> None:
    pass


def _membarrier() -> None:
    bpf.membarrier(_GLOBAL_EXPEDITED)
