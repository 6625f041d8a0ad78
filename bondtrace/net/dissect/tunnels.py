# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that carry packets: VXLAN, Geneve, GRE, IP in IP, WireGuard, IPsec, MACsec.

A decoder says which tunnel it is, and where the inner packet begins (``Carried``); ``describe`` then describes that
one. A tunnel over UDP is known by its port, which is only likely; so its header has to be one of that tunnel, too.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from .frame import INNER_ETHERNET, TWO_U8, TWO_U16, U32, Carried, Frame
from .names import ETHERTYPES, WIREGUARD, ip_protocol_name

_TWO_U32 = Struct("!II")
_WIREGUARD_TYPE, _WIREGUARD_DATA = Struct("<I"), Struct("<IQ")
_IPV4, _IPV6 = 0x0800, 0x86DD
_IP_IN_IP = {4: _IPV4, 41: _IPV6}
_INNER = frozenset({_IPV4, _IPV6, INNER_ETHERNET})
_ERSPAN = 0x88BE
_VXLAN_VNI, _VXLAN_FLAGS = 0x08, 0x88  # "the VNI is valid"; and the flag of the group policy extension
_WIREGUARD_BYTES = {1: 148, 2: 92, 3: 64}
_WIREGUARD_DATA_MIN = 32


def _tunnel(frame: Frame, name: str, off: int = 0, kind: int = 0) -> None:
    frame.carried = Carried(frame.carried.ports, name, off, kind if kind in _INNER else 0)


# --- over UDP: frame, offset of UDP's payload, its length ----------------------------------------------


def _decode_vxlan(frame: Frame, off: int, size: int) -> None:
    """Decode VXLAN (RFC 7348)."""
    if size < 8:
        return
    flags = frame.data[off]
    if not flags & _VXLAN_VNI or flags & ~_VXLAN_FLAGS:
        return
    vni = U32.unpack_from(frame.data, off + 4)[0] >> 8
    frame.info += f" vni {vni}"
    _tunnel(frame, f"VXLAN vni {vni}", off + 8, INNER_ETHERNET)


def _decode_geneve(frame: Frame, off: int, size: int) -> None:
    """Decode Geneve (RFC 8926)."""
    if size < 8:
        return
    first, kind = frame.data[off], TWO_U16.unpack_from(frame.data, off)[1]
    if first >> 6 or kind not in _INNER:
        return
    vni = U32.unpack_from(frame.data, off + 4)[0] >> 8
    frame.info += f" vni {vni}"
    _tunnel(frame, f"Geneve vni {vni}", off + 8 + (first & 0x3F) * 4, kind)


def _decode_wireguard(frame: Frame, off: int, size: int) -> None:
    """Decode the head of a WireGuard message (wireguard.com/protocol); its numbers are little-endian."""
    if size < _WIREGUARD_DATA_MIN:
        return
    (kind,) = _WIREGUARD_TYPE.unpack_from(frame.data, off)  # with three bytes that are 0
    if kind != 4 and size != _WIREGUARD_BYTES.get(kind):
        return
    frame.info += f" {WIREGUARD[kind]}"
    if kind == 4:
        _tunnel(frame, "WireGuard")
        receiver, counter = _WIREGUARD_DATA.unpack_from(frame.data, off + 4)
        frame.info += f" receiver 0x{receiver:08x} counter {counter}"


def _decode_nat_traversal(frame: Frame, off: int, size: int) -> None:
    """Decode ESP in UDP (RFC 3948): not a keepalive, and no zeros, which precede IKE."""
    if size >= 8 and U32.unpack_from(frame.data, off)[0]:
        frame.info += " "
        decode_esp(frame, off, off + size)


#: What decodes a tunnel over UDP, by its port.
UDP_TUNNELS: dict[int, Callable[[Frame, int, int], None]] = {
    4500: _decode_nat_traversal,
    4789: _decode_vxlan,
    6081: _decode_geneve,
    8472: _decode_vxlan,
    51820: _decode_wireguard,
}


# --- over IP, over Ethernet ----------------------------------------------------------------------------


def decode_gre(frame: Frame, off: int, end: int) -> None:
    """Decode GRE (RFC 2784, 2890): what it carries, and its key."""
    flags, protocol = TWO_U16.unpack_from(frame.data, off)
    name = ETHERTYPES.get(protocol, f"0x{protocol:04x}")
    frame.info += f"v{flags & 7} {name}"
    off += 8 if flags & 0x8000 else 4  # a checksum
    words = "GRE"
    if flags & 0x2000:
        key = f"key 0x{U32.unpack_from(frame.data, off)[0]:x}"
        frame.info += f" {key}"
        words += f" {key}"
        off += 4
    if flags & 0x1000:  # a sequence number
        off += 4
    if protocol == _ERSPAN:  # type II has a sequence number, and a header of its own
        _tunnel(frame, words.replace("GRE", "ERSPAN"), off + (8 if flags & 0x1000 else 0), INNER_ETHERNET)
    elif not flags & 7:
        _tunnel(frame, words, off, protocol)


def decode_ipv4_inside(frame: Frame, off: int, end: int) -> None:
    """Note an IPv4 packet that is the whole payload (RFC 2003)."""
    _tunnel(frame, ip_protocol_name(4), off, _IPV4)


def decode_ipv6_inside(frame: Frame, off: int, end: int) -> None:
    """Note an IPv6 packet that is the whole payload (RFC 2473, 4213)."""
    _tunnel(frame, ip_protocol_name(41), off, _IPV6)


def decode_esp(frame: Frame, off: int, end: int) -> None:
    """Decode what ESP (RFC 4303) leaves in clear."""
    spi, seq = _TWO_U32.unpack_from(frame.data, off)
    frame.info += f"spi 0x{spi:08x} seq {seq}"
    _tunnel(frame, f"ESP spi 0x{spi:08x}")


def decode_ah(frame: Frame, off: int, end: int) -> None:
    """Decode an IPsec authentication header (RFC 4302), and name what it protects."""
    following, size = TWO_U8.unpack_from(frame.data, off)
    frame.info += f"{ip_protocol_name(following)} "
    spi, seq = _TWO_U32.unpack_from(frame.data, off + 4)
    frame.info += f"spi 0x{spi:08x} seq {seq}"
    _tunnel(frame, f"AH spi 0x{spi:08x}", off + (size + 2) * 4, _IP_IN_IP.get(following, 0))


def decode_macsec(frame: Frame, off: int) -> None:
    """Decode the beginning of MACsec's tag (IEEE 802.1AE)."""
    frame.info += f"an {frame.data[off] & 3}"
    frame.info += f" pn {U32.unpack_from(frame.data, off + 2)[0]}"
    _tunnel(frame, "MACsec")
