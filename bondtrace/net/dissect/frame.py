# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame that is being described, and the readers of its bytes.

A decoder appends to a ``Frame`` as it goes and reads past the end freely: the ``struct.error`` or ``IndexError`` of
that ends the description, in one place (``describe``).
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct
from typing import NamedTuple

from ...model import Tag
from .names import ETHERTYPES

U16, U32 = Struct("!H"), Struct("!I")
TWO_U8, TWO_U16 = Struct("!BB"), Struct("!HH")
_4S, _6S, _16S = Struct("!4s"), Struct("!6s"), Struct("!16s")

ANY_IPV4 = inet_ntoa(bytes(4))
_TEXT_CHARS = 40


class Malformed(Exception):
    """The packet contradicts itself."""


class Carried(NamedTuple):
    """What a packet carries: ``ports``, or the ``name`` of a tunnel and where the packet in it begins (``off``), which
    is one of the Ethernet type ``kind``; ``INNER_ETHERNET`` for a whole frame, 0 where it cannot be read."""

    ports: tuple[int, int] | None = None
    name: str = ""
    off: int = 0
    kind: int = 0


INNER_ETHERNET = 0x6558  # ETH_P_TEB
NOTHING = Carried()


class Frame:
    """A packet that is being described.

    ``data`` is what was captured of it, ``end`` where it ends on the wire (an offset into ``data``, or beyond it);
    ``link`` is whether an Ethernet header comes first, ``fragment`` whether IP says that this is a part of a packet.
    The others are what ``Packet`` has; ``protocol`` is empty until ``set_ethertype``.
    """

    __slots__ = (
        "carried",
        "data",
        "dst",
        "end",
        "ethertype",
        "fragment",
        "info",
        "link",
        "message",
        "protocol",
        "src",
        "tags",
    )

    def __init__(self, data: bytes, end: int, ethertype: int, tags: tuple[Tag, ...]) -> None:
        self.data = data
        self.end = end
        self.ethertype = ethertype
        self.protocol = ""
        self.src = ""
        self.dst = ""
        self.info = ""
        self.message = ""
        self.tags = tags
        self.carried = NOTHING
        self.link = False
        self.fragment = False

    def clip(self, end: int) -> None:
        """Take off what follows ``end``: it is padding, which must not be read."""
        if end < self.end:
            self.end = end
            self.data = self.data[:end]

    def set_ethertype(self, kind: int) -> None:
        """Set the Ethernet type, and the protocol to its name."""
        self.ethertype = kind
        self.protocol = ETHERTYPES.get(kind) or (f"0x{kind:04x}" if kind else "unknown")

    def use_link_addresses(self) -> None:
        """Use the MAC addresses as source and destination, where there are any."""
        if self.link:
            self.dst = mac_address(self.data, 0)
            self.src = mac_address(self.data, 6)


#: Decodes the payload of an Ethernet type: frame, offset.
Decoder = Callable[[Frame, int], None]
#: Decodes the payload of IP: frame, offset, end of the packet according to the IP header.
IpDecoder = Callable[[Frame, int, int], None]

# --- small readers; each raises struct.error or IndexError past the end --------------------------------


def ipv4_address(data: bytes, off: int) -> str:
    """Read an IPv4 address."""
    return inet_ntoa(_4S.unpack_from(data, off)[0])


def ipv6_address(data: bytes, off: int) -> str:
    """Read an IPv6 address."""
    return inet_ntop(AF_INET6, _16S.unpack_from(data, off)[0])


def mac_address(data: bytes, off: int) -> str:
    """Read a MAC address."""
    address: bytes = _6S.unpack_from(data, off)[0]
    return address.hex(":")


def take(data: bytes, off: int, size: int) -> bytes:
    """Read ``size`` bytes; ``IndexError`` where there are fewer."""
    if off + size > len(data):
        raise IndexError
    return data[off : off + size]


def text(data: bytes, off: int, size: int) -> str:
    """Read a name of ``size`` bytes, as printable ASCII of at most ``_TEXT_CHARS`` characters."""
    shown = ""
    for byte in take(data, off, min(size, _TEXT_CHARS)):
        shown += chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}"
    if len(shown) <= _TEXT_CHARS and size <= _TEXT_CHARS:
        return shown
    kept = shown[: _TEXT_CHARS - 3]
    escape = kept.rfind("\\", -3)  # do not cut one in half
    return (kept[:escape] if escape >= 0 else kept) + "..."
