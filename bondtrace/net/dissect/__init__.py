# SPDX-License-Identifier: GPL-2.0-or-later
"""Names a packet in one line, from the first bytes of it that the kernel side copied.

Where a protocol's decoder is:

- ``link``: Ethernet, VLAN tags, LLC, SNAP; ``ETHERTYPE_DECODERS`` has the decoder of each Ethernet type.
- ``arp``: ARP, RARP.
- ``control``: STP, LACP and the marker protocol, LLDP, Ethernet's loopback test, EAPOL, PTP, MPLS, PPPoE.
- ``ip``: IPv4, IPv6, extension headers, fragments; ``IP_DECODERS`` has the decoder of each IP protocol.
- ``icmp``: ICMP, ICMPv6, IGMP.
- ``transport``: TCP, UDP, SCTP, GRE, ESP, AH, VRRP, OSPF.
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

from ...model import Packet
from .frame import Frame, Malformed
from .link import ARPHRD_BARE, ARPHRD_ETHERNET, decode_ethernet, decode_tagged

__all__ = ["describe", "one_line"]


def describe(data: bytes, *, wire_len: int, ethertype: int = 0, vlan_tci: int | None = None, arphrd: int = 1) -> Packet:
    """Describe the packet whose first bytes, from its link-layer header, are ``data``.

    ``wire_len`` is its length in bytes with that header. ``ethertype`` is ``skb->protocol`` in host order, for when
    ``data`` holds no link-layer header or too little of it. ``vlan_tci`` is the tag that the device took out of the
    bytes; it is the outermost. ``arphrd`` is ``net_device->type``. Nothing is decoded for types other than Ethernet,
    loopback and those without a header.
    """
    vlan = () if vlan_tci is None else (vlan_tci & 0xFFF,)
    end = wire_len if wire_len > len(data) else len(data)  # max() takes three times as long
    frame = Frame(data, end, ethertype, vlan)
    truncated = False
    try:
        if arphrd in ARPHRD_ETHERNET:
            decode_ethernet(frame)
        elif arphrd in ARPHRD_BARE:
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
        frame.vlan,
        truncated,
        "fragment" if frame.fragment else frame.message,
    )


def _marked(info: str, mark: str) -> str:
    return f"{info.rstrip()} {mark}" if info else mark


def one_line(packet: Packet) -> str:
    """Return the packet's line for a person: "vlan 100 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes".

    The ids of several tags are joined by a point, outermost first; an address that is not known is "?".
    """
    words = []
    if packet.vlan:
        words.append("vlan " + ".".join(map(str, packet.vlan)))
    words.append(packet.protocol)
    if packet.src or packet.dst:
        words.append(f"{packet.src or '?'} > {packet.dst or '?'}")
    if packet.info:
        words.append(packet.info)
    return f"{' '.join(words)}, {packet.length} bytes"
