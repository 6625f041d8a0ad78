# SPDX-License-Identifier: GPL-2.0-or-later
"""What IP carries beside its own messages: TCP, UDP, SCTP and others, and routers' protocols."""

from __future__ import annotations

from struct import Struct

from .frame import TWO_U8, TWO_U16, U16, Carried, Frame, Malformed, ipv4_address
from .names import OSPF, SCTP, TCP_FLAGS, UDP_USES
from .tunnels import UDP_TUNNELS

_TCP = Struct("!IIBBH")
_VRRP = Struct("!BBB")


def decode_tcp(frame: Frame, off: int, end: int) -> None:
    """Decode the header of TCP (RFC 9293)."""
    _ports(frame, off)
    seq, ack, header, flags, window = _TCP.unpack_from(frame.data, off + 4)
    length = end - off - (header >> 4) * 4
    if header < 0x50 or length < 0:
        raise Malformed
    answers = f" ack {ack}" if flags & 0x10 else ""
    frame.info += f" [{TCP_FLAGS[flags]}] seq {seq}{answers} win {window} len {length}"


def decode_udp(frame: Frame, off: int, end: int) -> None:
    """Decode the header of UDP (RFC 768), and name its use by its ports."""
    source, destination = _ports(frame, off)
    size: int = U16.unpack_from(frame.data, off + 4)[0] or end - off  # 0: a jumbogram
    if size < 8:
        raise Malformed
    frame.info += f" len {size - 8}"
    port = destination if destination in UDP_USES else source
    if port in UDP_USES:
        frame.info += f" ({UDP_USES[port]})"
        if port in UDP_TUNNELS:
            UDP_TUNNELS[port](frame, off + 8, size - 8)


def decode_only_ports(frame: Frame, off: int, end: int) -> None:
    """Decode what begins with two ports: DCCP (RFC 4340), UDP-Lite (RFC 3828)."""
    _ports(frame, off)


def decode_sctp(frame: Frame, off: int, end: int) -> None:
    """Decode the ports and the first chunk's type of SCTP (RFC 9260)."""
    _ports(frame, off)
    if end > off + 12:
        chunk = frame.data[off + 12]
        frame.info += f" [{SCTP.get(chunk, f'chunk {chunk}')}]"


def decode_vrrp(frame: Frame, off: int, end: int) -> None:
    """Decode the beginning of VRRP (RFC 3768, 9568)."""
    first, router, priority = _VRRP.unpack_from(frame.data, off)
    kind = "advertisement" if first & 0xF == 1 else f"type {first & 0xF}"
    frame.info += f"v{first >> 4} {kind} router {router} priority {priority}"


def decode_ospf(frame: Frame, off: int, end: int) -> None:
    """Decode the common header of OSPF (RFC 2328, 5340)."""
    version, kind = TWO_U8.unpack_from(frame.data, off)
    frame.info += f"v{version} {OSPF.get(kind, f'type {kind}')}"
    frame.info += f" router {ipv4_address(frame.data, off + 4)}"


def _ports(frame: Frame, off: int) -> tuple[int, int]:
    source, destination = ports = TWO_U16.unpack_from(frame.data, off)
    frame.carried = Carried(ports)
    frame.info += f"{source} > {destination}"
    return source, destination
