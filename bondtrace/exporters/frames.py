# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a frame as a device saw it: what was captured, with the VLAN tags that it had there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..format.wire import RECORD_LATE, RECORD_VLAN, RECORD_VLAN_AD, Array
from ..net.arphrd import WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ..net.ethertypes import VLAN_TYPES

Bytes = Mapping[tuple[int, int], bytes]
"""More of the packets' bytes than the records hold, by (cpu, seq) of the record."""

LINK_ETHERNET, LINK_RAW, LINK_USER = 1, 101, 147
_TAGS = tuple(kind.to_bytes(2, "big") for kind in VLAN_TYPES)  # 802.1Q, 802.1ad
_ADDRESSES = 12  # bytes before a tag
NONE: Bytes = MappingProxyType({})


class Frame(NamedTuple):
    """A frame: ``data`` are its first bytes, ``length`` is that of the whole in bytes."""

    data: bytes
    length: int


def link_type(record: Array) -> int:
    """Return the LINKTYPE number (tcpdump.org/linktypes.html) of a record's bytes.

    For a device of an unknown type that is 147, "for private use".
    """
    arphrd = int(record["arphrd"])
    if arphrd in WITH_ETHERNET_HEADER or record["kind"] == RECORD_LATE:
        return LINK_ETHERNET
    return LINK_RAW if arphrd in WITHOUT_HEADER else LINK_USER


def frame(record: Array, untagged: int = 0, contents: Bytes = NONE) -> Frame:
    """Return the frame of a record (one of ``wire.RECORD``), without its ``untagged`` outermost VLAN tags.

    A tag that the device stored beside the bytes is put back into them; as 802.1Q where the recording, an older one,
    does not say whether it was 802.1ad.
    """
    data = record["packet"].tobytes()[: int(record["captured"])]
    data = contents.get((int(record["cpu"]), int(record["seq"])), data)
    length = max(int(record["len"]), len(data))
    if link_type(record) != LINK_ETHERNET or len(data) < _ADDRESSES + 2:
        return Frame(data, length)
    if record["flags"] & RECORD_VLAN:
        tag = _TAGS[bool(record["flags"] & RECORD_VLAN_AD)] + int(record["vlan_tci"]).to_bytes(2, "big")
        data, length = data[:_ADDRESSES] + tag + data[_ADDRESSES:], length + 4
    for _ in range(untagged):
        if data[_ADDRESSES : _ADDRESSES + 2] in _TAGS:
            data, length = data[:_ADDRESSES] + data[_ADDRESSES + 4 :], length - 4
    return Frame(data, length)
