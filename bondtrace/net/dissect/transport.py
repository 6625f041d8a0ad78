# SPDX-License-Identifier: GPL-2.0-or-later
"""What IP carries beside its own messages: TCP, UDP, SCTP and others, tunnels, IPsec, and routers' protocols."""

from __future__ import annotations

from struct import Struct

from .frame import TWO_U8, TWO_U16, U16, U32, Frame, Malformed, ipv4_address
from .names import ETHERTYPES, OSPF, SCTP, TCP_FLAGS, UDP_USES, ip_protocol_name

_TCP = Struct("!IIBBH")
_TWO_U32 = Struct("!II")
_VRRP = Struct("!BBB")


def decode_tcp(frame: Frame, off: int, end: int) -> None:
    """Decode the header of TCP (RFC 9293)."""
    frame.info += _two_ports(frame.data, off)
    seq, ack, header, flags, window = _TCP.unpack_from(frame.data, off + 4)
    length = end - off - (header >> 4) * 4
    if header < 0x50 or length < 0:
        raise Malformed
    answers = f" ack {ack}" if flags & 0x10 else ""
    frame.info += f" [{TCP_FLAGS[flags]}] seq {seq}{answers} win {window} len {length}"


def decode_udp(frame: Frame, off: int, end: int) -> None:
    """Decode the header of UDP (RFC 768), and name its use by its ports."""
    source, destination = TWO_U16.unpack_from(frame.data, off)
    frame.info += f"{source} > {destination}"
    size: int = U16.unpack_from(frame.data, off + 4)[0] or end - off  # 0: a jumbogram
    if size < 8:
        raise Malformed
    frame.info += f" len {size - 8}"
    use = UDP_USES.get(destination) or UDP_USES.get(source)
    if use:
        frame.info += f" ({use})"


def decode_only_ports(frame: Frame, off: int, end: int) -> None:
    """Decode what begins with two ports: DCCP (RFC 4340), UDP-Lite (RFC 3828)."""
    frame.info += _two_ports(frame.data, off)


def decode_sctp(frame: Frame, off: int, end: int) -> None:
    """Decode the ports and the first chunk's type of SCTP (RFC 9260)."""
    frame.info += _two_ports(frame.data, off)
    if end > off + 12:
        chunk = frame.data[off + 12]
        frame.info += f" [{SCTP.get(chunk, f'chunk {chunk}')}]"


def decode_gre(frame: Frame, off: int, end: int) -> None:
    """Decode GRE (RFC 2784, 2890): what it carries, and its key."""
    flags, protocol = TWO_U16.unpack_from(frame.data, off)
    name = ETHERTYPES.get(protocol, f"0x{protocol:04x}")
    frame.info += f"v{flags & 7} {name}"
    if flags & 0x2000:  # a key, after the checksum
        key_at = off + (8 if flags & 0x8000 else 4)
        frame.info += f" key 0x{U32.unpack_from(frame.data, key_at)[0]:x}"


def decode_esp(frame: Frame, off: int, end: int) -> None:
    """Decode what ESP (RFC 4303) leaves in clear."""
    frame.info += _spi_and_seq(frame.data, off)


def decode_ah(frame: Frame, off: int, end: int) -> None:
    """Decode an IPsec authentication header (RFC 4302), and name what it protects."""
    frame.info += f"{ip_protocol_name(frame.data[off])} "
    frame.info += _spi_and_seq(frame.data, off + 4)


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


def _two_ports(data: bytes, off: int) -> str:
    source, destination = TWO_U16.unpack_from(data, off)
    return f"{source} > {destination}"


def _spi_and_seq(data: bytes, off: int) -> str:
    spi, seq = _TWO_U32.unpack_from(data, off)
    return f"spi 0x{spi:08x} seq {seq}"
