# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of IP itself: ICMP, ICMPv6, IGMP."""

from __future__ import annotations

from .frame import ANY_IPV4, TWO_U8, TWO_U16, U16, U32, Frame, ipv4_address, ipv6_address
from .names import ICMP, ICMP_EXCEEDED, ICMP_REDIRECT, ICMP_UNREACHABLE, ICMPV6, ICMPV6_UNREACHABLE, IGMP

_ICMP_QUERIES = frozenset({0, 8, 13, 14, 17, 18})
_ICMPV6_NAMED = {130: "group", 131: "group", 132: "group", 135: "target", 136: "target", 137: "to"}


def decode_icmp(frame: Frame, off: int, end: int) -> None:
    """Decodes ICMP (RFC 792)."""
    data = frame.data
    kind, code = TWO_U8.unpack_from(data, off)
    if kind == 3:
        frame.info += ICMP_UNREACHABLE.get(code, f"unreachable code {code}")
        if code == 4:
            frame.info += f" mtu {U16.unpack_from(data, off + 6)[0]}"
        return
    frame.info += ICMP.get(kind, f"type {kind} code {code}")
    if kind in _ICMP_QUERIES:
        frame.info += _id_and_seq(data, off + 4)
    elif kind == 5:
        frame.info += f" {ICMP_REDIRECT.get(code, f'code {code}')} to {ipv4_address(data, off + 4)}"
    elif kind == 11:
        frame.info += f" {ICMP_EXCEEDED.get(code, f'code {code}')}"
    elif kind == 12:
        frame.info += f" at byte {data[off + 4]}" if code == 0 else f" code {code}"


def decode_icmpv6(frame: Frame, off: int, end: int) -> None:
    """Decodes ICMPv6 (RFC 4443): errors, echoes, neighbor discovery (RFC 4861), MLD (RFC 2710, 3810)."""
    data = frame.data
    kind, code = TWO_U8.unpack_from(data, off)
    if kind == 1:
        frame.info += ICMPV6_UNREACHABLE.get(code, f"unreachable code {code}")
        return
    frame.info += ICMPV6.get(kind, f"type {kind} code {code}")
    if kind in (128, 129):
        frame.info += _id_and_seq(data, off + 4)
    elif kind == 2:
        frame.info += f" mtu {U32.unpack_from(data, off + 4)[0]}"
    elif kind == 3:
        frame.info += f" {ICMP_EXCEEDED.get(code, f'code {code}')}"
    elif kind == 4:
        frame.info += f" code {code} at byte {U32.unpack_from(data, off + 4)[0]}"
    elif kind == 134:
        frame.info += f" hop limit {data[off + 4]} lifetime {U16.unpack_from(data, off + 6)[0]}"
    elif kind in _ICMPV6_NAMED:
        frame.info += f" {_ICMPV6_NAMED[kind]} {ipv6_address(data, off + 8)}"
    elif kind == 143:
        frame.info += f" records {U16.unpack_from(data, off + 6)[0]}"


def decode_igmp(frame: Frame, off: int, end: int) -> None:
    """Decodes IGMP (RFC 1112, 2236, 3376)."""
    kind = frame.data[off]
    frame.info += IGMP.get(kind, f"type 0x{kind:02x}")
    if kind == 0x22:
        frame.info += f" records {U16.unpack_from(frame.data, off + 6)[0]}"
        return
    group = ipv4_address(frame.data, off + 4)
    frame.info += " general" if kind == 0x11 and group == ANY_IPV4 else f" {group}"


def _id_and_seq(data: bytes, off: int) -> str:
    identifier, seq = TWO_U16.unpack_from(data, off)
    return f" id {identifier} seq {seq}"
