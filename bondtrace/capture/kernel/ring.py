# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the kernel's BPF ring buffer in blocks, without a callback for each record.

Layout (kernel/bpf/ringbuf.c): a page with the consumer's position, writable; a page with the
producer's position; the data, mapped twice in a row so that a block never has to be split. bondtrace's
records are whole slots of 256 bytes, so the data is an array of slots.

The kernel writes a record's bytes, then its header, and, before that, the producer's position; it takes room again once
the consumer's position has passed it. They are read, and written, in the opposite order, with a barrier between each
two.

Invariant: reading stops before a record that is still being written (its busy bit is set).
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Optional

import numpy as np

from ...format.wire import SLOT_BYTES, SLOT_CONTINUES, Array
from . import barrier

_BUSY = 1 << 31


class Ring:
    """The ring behind a map's file descriptor; ``size_bytes`` is a power of two, whole pages. ``fence`` is a barrier;
    that of this machine where it is not given."""

    def __init__(self, fd: int, size_bytes: int, fence: Optional[barrier.Barrier] = None) -> None:
        self._fence = fence or barrier.make()
        page = mmap.PAGESIZE
        self._size = size_bytes
        self._consumer_page = mmap.mmap(fd, page, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer_pages = mmap.mmap(
            fd, page + 2 * size_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=page
        )
        self._consumer = ctypes.c_uint64.from_buffer(self._consumer_page)
        self._producer = np.frombuffer(self._producer_pages, "<u8", count=1)
        self._slots = np.frombuffer(self._producer_pages, np.uint8, offset=page).reshape(-1, SLOT_BYTES)

    def read(self, slots_max: int = 1 << 16) -> Array:
        """Return the slots that are ready, at most ``slots_max``, as a copy of shape (n, 256), and free their space."""
        begin = self._consumer.value
        ready = min((int(self._producer[0]) - begin) // SLOT_BYTES, slots_max)
        if ready <= 0:
            return self._slots[:0].copy()
        first = (begin & (self._size - 1)) // SLOT_BYTES
        self._fence()
        # Headers before data: a copy loads its bytes in any order, and records are finished meanwhile.
        whole = _whole(self._slots[first : first + ready])
        self._fence()
        block = self._slots[first : first + whole].copy()
        self._fence()
        self._consumer.value = begin + len(block) * SLOT_BYTES
        return block

    def close(self) -> None:
        """Unmap the ring. The arrays that were read stay valid: they are copies."""
        del self._consumer, self._producer, self._slots
        self._consumer_page.close()
        self._producer_pages.close()


def _whole(block: Array) -> int:
    """Return how many slots at the front of a block are complete, finished records."""
    headers = block.view("<u4")[:, 0].copy()
    starts = headers != SLOT_CONTINUES
    busy = np.flatnonzero(starts & (headers >= _BUSY))
    end = int(busy[0]) if len(busy) else len(block)
    if end == 0:
        return 0
    last = int(np.flatnonzero(starts[:end])[-1])
    needs = (int(headers[last]) + 8 + SLOT_BYTES - 1) // SLOT_BYTES
    return end if last + needs <= end else last
