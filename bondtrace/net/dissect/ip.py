# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv4 and IPv6, IPv6's extension headers, fragments; and what decodes each IP protocol."""

from __future__ import annotations

from struct import Struct

from .frame import TWO_U8, Frame, IpDecoder, Malformed, ipv4_address, ipv6_address
from .icmp import decode_icmp, decode_icmpv6, decode_igmp
from .names import ip_protocol_name
from .transport import decode_only_ports, decode_ospf, decode_sctp, decode_tcp, decode_udp, decode_vrrp
from .tunnels import decode_ah, decode_esp, decode_gre, decode_ipv4_inside, decode_ipv6_inside

#: What decodes an IP protocol; of the other protocols only the name is shown (names.py).
IP_DECODERS: dict[int, IpDecoder] = {
    1: decode_icmp,
    2: decode_igmp,
    4: decode_ipv4_inside,
    6: decode_tcp,
    17: decode_udp,
    33: decode_only_ports,  # DCCP
    41: decode_ipv6_inside,
    47: decode_gre,
    50: decode_esp,
    51: decode_ah,
    58: decode_icmpv6,
    89: decode_ospf,
    112: decode_vrrp,
    132: decode_sctp,
    136: decode_only_ports,  # UDP-Lite
}

_IPV4 = Struct("!BxHHHxBxx")
_IPV6 = Struct("!IHBx")
_FRAGMENT = Struct("!HI")
_HOP_BY_HOP, _ROUTING, _FRAGMENT_HEADER, _NO_NEXT_HEADER, _DESTINATION = 0, 43, 44, 59, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT_HEADER, _DESTINATION})  # before the payload's header


def decode_ipv4(frame: Frame, off: int) -> None:
    """Decode an IPv4 packet (RFC 791)."""
    data = frame.data
    first, total, identifier, fragment, protocol = _IPV4.unpack_from(data, off)
    header = (first & 0xF) * 4
    if first >> 4 != 4 or header < 20 or 0 < total < header:
        raise Malformed
    frame.protocol = ip_protocol_name(protocol)
    frame.src = ipv4_address(data, off + 12)
    frame.dst = ipv4_address(data, off + 16)
    end = frame.end
    if total:  # 0: longer than the field can say (the kernel's BIG TCP); the frame's end is the packet's
        end = off + total
        frame.clip(end)
    if fragment & 0x3FFF and not _first_fragment(frame, (fragment & 0x1FFF) * 8, identifier):
        return
    _ip_payload(frame, off + header, end, protocol)


def decode_ipv6(frame: Frame, off: int) -> None:
    """Decode an IPv6 packet (RFC 8200)."""
    data = frame.data
    first, payload, following = _IPV6.unpack_from(data, off)
    if first >> 28 != 6:
        raise Malformed
    if following not in _EXTENSIONS:
        frame.protocol = ip_protocol_name(following)
    frame.src = ipv6_address(data, off + 8)
    frame.dst = ipv6_address(data, off + 24)
    end = frame.end
    if payload or following == _NO_NEXT_HEADER:  # else a jumbogram, or the kernel's BIG TCP
        end = off + 40 + payload
        frame.clip(end)
    _ipv6_extensions(frame, off + 40, end, following)


def _ipv6_extensions(frame: Frame, off: int, end: int, following: int) -> None:
    while following in _EXTENSIONS:
        here, (following, size) = following, TWO_U8.unpack_from(frame.data, off)
        if here == _FRAGMENT_HEADER:
            fragment, identifier = _FRAGMENT.unpack_from(frame.data, off + 2)
            off += 8
            if fragment & 0xFFF9 and not _first_fragment(frame, fragment & 0xFFF8, identifier):
                if following not in _EXTENSIONS:
                    frame.protocol = ip_protocol_name(following)
                return
        else:
            off += (size + 1) * 8
    frame.protocol = ip_protocol_name(following)
    _ip_payload(frame, off, end, following)


def _first_fragment(frame: Frame, offset_bytes: int, identifier: int) -> bool:
    """Say which fragment this is; return whether it is the first, which has the protocol's header."""
    frame.fragment = True
    frame.info = f"fragment offset {offset_bytes} id {identifier}"
    if offset_bytes == 0:
        frame.info += ", "
    return offset_bytes == 0


def _ip_payload(frame: Frame, off: int, end: int, protocol: int) -> None:
    decode = IP_DECODERS.get(protocol)
    if decode is not None:
        decode(frame, off, end)
    elif frame.info:
        frame.info = frame.info.removesuffix(", ")
