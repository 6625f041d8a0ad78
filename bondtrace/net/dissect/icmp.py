# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of IP itself: ICMP, ICMPv6, IGMP."""

from __future__ import annotations

from .frame import ANY_IPV4, TWO_U8, TWO_U16, U16, U32, Frame, ipv4_address, ipv6_address
from .names import ICMP, ICMP_EXCEEDED, ICMP_REDIRECT, ICMP_UNREACHABLE, ICMPV6, ICMPV6_UNREACHABLE, IGMP

_UNREACHABLE, _REDIRECT, _EXCEEDED, _PARAMETER_PROBLEM = 3, 5, 11, 12
_QUERIES = frozenset({0, 8, 13, 14, 17, 18})  # have an id and a sequence number
_FRAGMENTATION_NEEDED = 4  # a code of _UNREACHABLE

_UNREACHABLE_V6, _TOO_BIG_V6, _EXCEEDED_V6, _PARAMETER_PROBLEM_V6 = 1, 2, 3, 4
_ECHOES_V6 = (128, 129)
_ROUTER_ADVERTISEMENT_V6, _MLDV2_REPORT = 134, 143
# Messages with an address behind eight bytes, and the word for it.
_WITH_ADDRESS_V6 = {130: "group", 131: "group", 132: "group", 135: "target", 136: "target", 137: "to"}

_IGMP_QUERY, _IGMP_V3_REPORT = 0x11, 0x22


def decode_icmp(frame: Frame, off: int, end: int) -> None:
    """Decode ICMP (RFC 792)."""
    data = frame.data
    kind, code = TWO_U8.unpack_from(data, off)
    if kind == _UNREACHABLE:
        _unreachable(frame, ICMP_UNREACHABLE, code)
        if code == _FRAGMENTATION_NEEDED:
            frame.info += f" mtu {U16.unpack_from(data, off + 6)[0]}"
        return
    frame.message = ICMP.get(kind, "")
    frame.info += frame.message or f"type {kind} code {code}"
    if kind in _QUERIES:
        frame.info += _id_and_seq(data, off + 4)
    elif kind == _REDIRECT:
        gateway = ipv4_address(data, off + 4)
        _add_code(frame, ICMP_REDIRECT, code)
        frame.info += f" to {gateway}"
    elif kind == _EXCEEDED:
        _add_code(frame, ICMP_EXCEEDED, code)
    elif kind == _PARAMETER_PROBLEM:
        frame.info += f" at byte {data[off + 4]}" if code == 0 else f" code {code}"


def decode_icmpv6(frame: Frame, off: int, end: int) -> None:
    """Decode ICMPv6 (RFC 4443): errors, echoes, neighbor discovery (RFC 4861), MLD (RFC 2710, 3810)."""
    data = frame.data
    kind, code = TWO_U8.unpack_from(data, off)
    if kind == _UNREACHABLE_V6:
        _unreachable(frame, ICMPV6_UNREACHABLE, code)
        return
    frame.message = ICMPV6.get(kind, "")
    frame.info += frame.message or f"type {kind} code {code}"
    if kind in _ECHOES_V6:
        frame.info += _id_and_seq(data, off + 4)
    elif kind == _TOO_BIG_V6:
        frame.info += f" mtu {U32.unpack_from(data, off + 4)[0]}"
    elif kind == _EXCEEDED_V6:
        _add_code(frame, ICMP_EXCEEDED, code)
    elif kind == _PARAMETER_PROBLEM_V6:
        frame.info += f" code {code} at byte {U32.unpack_from(data, off + 4)[0]}"
    elif kind == _ROUTER_ADVERTISEMENT_V6:
        frame.info += f" hop limit {data[off + 4]} lifetime {U16.unpack_from(data, off + 6)[0]}"
    elif kind in _WITH_ADDRESS_V6:
        frame.info += f" {_WITH_ADDRESS_V6[kind]} {ipv6_address(data, off + 8)}"
    elif kind == _MLDV2_REPORT:
        frame.info += f" records {U16.unpack_from(data, off + 6)[0]}"


def decode_igmp(frame: Frame, off: int, end: int) -> None:
    """Decode IGMP (RFC 1112, 2236, 3376)."""
    kind = frame.data[off]
    frame.message = IGMP.get(kind, "")
    frame.info += frame.message or f"type 0x{kind:02x}"
    if kind == _IGMP_V3_REPORT:
        frame.info += f" records {U16.unpack_from(frame.data, off + 6)[0]}"
        return
    group = ipv4_address(frame.data, off + 4)
    if kind == _IGMP_QUERY and group == ANY_IPV4:
        frame.message += " general"
        frame.info += " general"
    else:
        frame.info += f" {group}"


def _unreachable(frame: Frame, names: dict[int, str], code: int) -> None:
    frame.message = names.get(code, "unreachable")
    frame.info += frame.message if code in names else f"unreachable code {code}"


def _add_code(frame: Frame, names: dict[int, str], code: int) -> None:
    """Append a code's name to the message and to the info; one without a name to the info only, as a number."""
    if code in names:
        frame.message += f" {names[code]}"
        frame.info += f" {names[code]}"
    else:
        frame.info += f" code {code}"


def _id_and_seq(data: bytes, off: int) -> str:
    identifier, seq = TWO_U16.unpack_from(data, off)
    return f" id {identifier} seq {seq}"
