# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of a recording and of a capture file in one form, so that the two can be compared by their bytes.

A VLAN tag lies in a file's frames where the kernel may have had it beside the bytes, and a tap that comes after the
VLAN device has none: tags are left out on both sides. A file without Ethernet frames (``-i any``) has headers of its
own before the packet, so there only what follows the link layer is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..format.capture_file import Packets
from ..format.wire import PACKET_BYTES, Array
from ..net.arphrd import WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ..net.ethertypes import VLAN_TYPES

ETHERNET, COOKED, COOKED_2 = 1, 113, 276  # LINKTYPE_ETHERNET, _LINUX_SLL, _LINUX_SLL2
_BARE = (12, 14, 101, 228, 229)  # DLT_RAW (two numbers), LINKTYPE_RAW, _IPV4, _IPV6
_HEADERS = {ETHERNET: 14, COOKED: 16, COOKED_2: 20, **dict.fromkeys(_BARE, 0)}
_TAG_BYTES = 4
_TAGS_MAX = 4


@dataclass(frozen=True)
class Side:
    """Packets of one of the two: when they were captured, ns since the Unix epoch; their length in bytes; how many of
    their bytes are there (``PACKET_BYTES`` where that is all that could be compared); these bytes, shape
    (n, PACKET_BYTES), zeros behind them; and ``which`` packets they are: their numbers."""

    times_ns: Array
    lengths: Array
    available: Array
    data: Array
    which: Array

    def __len__(self) -> int:
        return len(self.times_ns)

    def take(self, places: Array) -> Side:
        """Return the packets at these places (an index array or a boolean mask)."""
        return Side(
            self.times_ns[places], self.lengths[places], self.available[places], self.data[places], self.which[places]
        )


def joined(parts: Sequence[Side]) -> Side:
    """Return several as one, ordered by time."""
    whole = Side(
        np.concatenate([one.times_ns for one in parts]),
        np.concatenate([one.lengths for one in parts]),
        np.concatenate([one.available for one in parts]),
        np.concatenate([one.data for one in parts]),
        np.concatenate([one.which for one in parts]),
    )
    return whole.take(np.argsort(whole.times_ns, kind="stable"))


_NO_NUMBERS = np.zeros(0, np.int64)
NOTHING = Side(_NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, np.zeros((0, PACKET_BYTES), np.uint8), _NO_NUMBERS)


def is_comparable(link: int) -> bool:
    """Can files of this link type be compared?"""
    return link in _HEADERS


def require_comparable(link: int, name: str) -> None:
    """Refuse a file of another link type.

    :raises UsageError: which says so.
    """
    if not is_comparable(link):
        raise UsageError(f"{name} has the link type {link}, which cannot be compared with a recording; leave it out")


def of_capture(packets: Packets, link: int) -> Side:
    """Return packets of a file."""
    heads = packets.heads
    if link == COOKED_2:  # its protocol comes first; put it where the other link types have it
        heads = np.concatenate([heads[:, 2:20], heads[:, :2], heads[:, 20:]], axis=1)
    header = _HEADERS[link]
    available = np.minimum(packets.captured, heads.shape[1])
    return _normal(packets.times_ns, packets.lengths, available, heads, packets.numbers, header, link)


def of_records(records: Array, times_ns: Array, which: Array, link: int) -> Side:
    """Return packets of a recording (``wire.RECORD``) as a file of this link type has them. Packets of devices that
    such a file cannot have are left out."""
    parts = []
    for header, kinds in ((14, WITH_ETHERNET_HEADER), (0, WITHOUT_HEADER if link != ETHERNET else ())):
        mine = np.flatnonzero(np.isin(records["arphrd"], kinds))
        some = records.take(mine)
        available = np.minimum(some["captured"].astype(np.int64), PACKET_BYTES)
        data = some["packet"].copy()
        data[np.arange(PACKET_BYTES) >= available[:, None]] = 0
        lengths = some["len"].astype(np.int64)
        parts.append(_normal(times_ns.take(mine), lengths, available, data, which.take(mine), header, link))
    return joined([one for one in parts if len(one)] or [NOTHING])


def _normal(
    times_ns: Array, lengths: Array, available: Array, data: Array, which: Array, header: int, link: int
) -> Side:
    """Return packets without tags, and without a link-layer header of this many bytes where the link type is not
    Ethernet."""
    lengths = lengths.copy()
    if header:
        data, lengths, available = _untagged(data, lengths, available, header)
    if link != ETHERNET:
        data, lengths, available = data[:, header:], lengths - header, np.maximum(available - header, 0)
    kept = np.zeros((len(data), PACKET_BYTES), np.uint8)
    size = min(data.shape[1], PACKET_BYTES)
    kept[:, :size] = data[:, :size]
    is_whole = available >= np.minimum(np.maximum(lengths, 0), PACKET_BYTES)
    available = np.where(is_whole, PACKET_BYTES, np.minimum(available, PACKET_BYTES))
    return Side(times_ns, lengths, available, kept, which)


def _untagged(data: Array, lengths: Array, available: Array, header: int) -> tuple[Array, Array, Array]:
    """Return the packets without the VLAN tags at the end of their link-layer header."""
    for _ in range(_TAGS_MAX):
        kinds = data[:, header - 2].astype(np.int64) << 8 | data[:, header - 1]
        tagged = np.flatnonzero(np.isin(kinds, VLAN_TYPES) & (available >= header + _TAG_BYTES))
        if not len(tagged):
            break
        data = data.copy()
        rows = data[tagged]
        rows[:, header - 2 : -_TAG_BYTES] = rows[:, header + 2 :]
        rows[:, -_TAG_BYTES:] = 0
        data[tagged] = rows
        available, lengths = available.copy(), lengths.copy()
        available[tagged] -= _TAG_BYTES
        lengths[tagged] -= _TAG_BYTES
    return data, lengths, available
