# SPDX-License-Identifier: GPL-2.0-or-later
"""Names a packet in one line, from the first bytes of it that the kernel side copied.

Where a protocol's decoder is:

- ``link``: Ethernet, VLAN tags, LLC, SNAP; ``ETHERTYPE_DECODERS`` has the decoder of each Ethernet type.
- ``arp``: ARP, RARP.
- ``control``: STP, LACP and the marker protocol, LLDP, Ethernet's loopback test, EAPOL, PTP, MPLS, PPPoE.
- ``ip``: IPv4, IPv6, extension headers, fragments; ``IP_DECODERS`` has the decoder of each IP protocol.
- ``icmp``: ICMP, ICMPv6, IGMP.
- ``transport``: TCP, UDP, SCTP, VRRP, OSPF.
- ``tunnels``: VXLAN, Geneve, GRE, IP in IP, WireGuard, ESP, AH, MACsec: the packet inside is described like the outer.
- ``changes``: what differs between a packet and the same one later: what was rewritten, encapsulated, tagged.
- ``names``: the names of numbers.
- ``frame``: the frame that decoders fill, and the readers of its bytes.

Invariants:

- It never raises, whatever the bytes: a packet is what somebody else sent.
- It never guesses. What lay beyond the captured bytes is said to be missing (``truncated``, and the info ends in
  "[truncated]", after what could still be read); what the packet itself contradicts or ends too early for is marked
  "[malformed]". What is only likely (a use by its port number) is in round brackets.
- Cutting bytes off takes words from the end, of the info and of the message, and changes none; cutting off what is not
  described (the payload) changes nothing.
- Everything it returns is printable ASCII: names from the wire are escaped and kept short.
"""

from __future__ import annotations

from struct import error as StructError
from typing import Optional

from ...model import Packet, Tag
from ..arphrd import ARPHRD_ETHER, ARPHRD_NONE, WITH_ETHERNET_HEADER, WITHOUT_HEADER
from .changes import changes
from .frame import INNER_ETHERNET, Frame, Malformed
from .lines import one_line, tag_words
from .link import decode_ethernet, decode_tagged, tag

__all__ = ["changes", "describe", "one_line", "tag_words"]

_INNER_MAX = 2  # packets in a packet


def describe(
    data: bytes,
    *,
    wire_len: int,
    ethertype: int = 0,
    vlan_tci: int | None = None,
    vlan_tpid: int | None = None,
    arphrd: int = 1,
) -> Packet:
    """Describe the packet whose first bytes, from its link-layer header, are ``data``.

    ``wire_len`` is its length in bytes with that header. ``ethertype`` is ``skb->protocol`` in host order, for when
    ``data`` holds no link-layer header or too little of it. ``vlan_tci`` is the tag that lies beside the bytes; it is
    the outermost. ``vlan_tpid`` is that tag's Ethernet type, if it is known. ``arphrd`` is ``net_device->type``.
    Nothing is decoded for types other than Ethernet, loopback and those without a header.
    """
    tags = () if vlan_tci is None else (tag(vlan_tci, vlan_tpid, False),)
    return _describe(data, wire_len, ethertype, tags, arphrd, _INNER_MAX)


def _describe(data: bytes, wire_len: int, ethertype: int, tags: tuple[Tag, ...], arphrd: int, inner_max: int) -> Packet:
    end = wire_len if wire_len > len(data) else len(data)  # max() takes three times as long
    frame = Frame(data, end, ethertype, tags)
    truncated = False
    try:
        if arphrd in WITH_ETHERNET_HEADER:
            decode_ethernet(frame)
        elif arphrd in WITHOUT_HEADER:
            decode_tagged(frame, ethertype, 0)
        else:
            frame.set_ethertype(ethertype)
            frame.info = f"link type {arphrd}, not decoded"
            frame.message = "not decoded"
    except (StructError, IndexError):
        truncated = frame.end > len(frame.data)
        frame.info = _marked(frame.info, "[truncated]" if truncated else "[malformed]")
    except Malformed:
        frame.info = _marked(frame.info, "[malformed]")
    return Packet(
        wire_len,
        frame.ethertype,
        frame.protocol,
        frame.src,
        frame.dst,
        frame.info,
        frame.tags,
        truncated,
        "fragment" if frame.fragment else frame.message,
        frame.carried.ports,
        frame.carried.name,
        _inner(frame, inner_max) if frame.carried.kind else None,
    )


def _inner(frame: Frame, inner_max: int) -> Optional[Packet]:
    """Describe the packet in a tunnel's packet; ``None`` where nothing of it was captured."""
    off, kind = frame.carried.off, frame.carried.kind
    if not inner_max or off >= len(frame.data) or frame.fragment:
        return None
    arphrd = ARPHRD_ETHER if kind == INNER_ETHERNET else ARPHRD_NONE
    ethertype = 0 if kind == INNER_ETHERNET else kind
    return _describe(frame.data[off:], frame.end - off, ethertype, (), arphrd, inner_max - 1)


def _marked(info: str, mark: str) -> str:
    return f"{info.rstrip()} {mark}" if info else mark
