# SPDX-License-Identifier: GPL-2.0-or-later
"""Names a packet in one line, from the first bytes of it that the kernel side copied.

What it keeps true:

- It never raises, whatever the bytes: a packet is what somebody else sent.
- It never guesses. What lay beyond the captured bytes is said to be missing (``truncated``, and the
  info ends in "[truncated]", after what could still be read); what the packet itself contradicts or ends
  too early for is marked "[malformed]". What is told by looks (a use by its port number) stands in
  round brackets.
- Cutting bytes off takes words from the end and changes none; cutting off what is not spoken of
  (the payload) changes nothing.
- Everything it returns is printable ASCII: names from the wire are escaped and kept short.

Decoders append to a ``_Frame`` as they go and read past the end freely: the ``struct.error`` or
``IndexError`` of that ends the description, in one place (``describe``).
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct
from struct import error as StructError

from ...model import Packet

_ARPHRD_ETHERNET = frozenset({1, 772})  # ARPHRD_ETHER, ARPHRD_LOOPBACK
# PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE: the network header comes first.
_ARPHRD_BARE = frozenset({512, 519, 768, 769, 776, 778, 823, 65534})

_ETH_P_802_3_MIN = 0x0600  # below: a length (include/uapi/linux/if_ether.h)
_ETH_P_802_3 = 0x0001  # the kernel's numbers for frames without an Ethernet type
_ETH_P_802_2 = 0x0004
_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_TEXT_CHARS = 40
_ANY = inet_ntoa(bytes(4))

_H, _I = Struct("!H"), Struct("!I")
_BB, _HH, _II = Struct("!BB"), Struct("!HH"), Struct("!II")
_4S, _6S, _16S = Struct("!4s"), Struct("!6s"), Struct("!16s")
_IPV4 = Struct("!BxHHHxBxx")
_IPV6 = Struct("!IHBx")
_TCP = Struct("!IIBBH")
_ARP = Struct("!HHBBH")
_LACP_INFO = Struct("!BBH6sHHHB")
_BRIDGE = Struct("!H6s")
_BBB = Struct("!BBB")
_FRAGMENT = Struct("!HI")
_SKIP_FUNCTION = Struct("<HH")
_PPPOE_HEAD = Struct("!xBH")
_MARKER = Struct("!H6sI")
_SNAP = Struct("!3sH")


class _Malformed(Exception):
    """The packet contradicts itself."""


class _Frame:
    """A packet being described. ``data`` is what was captured of it, ``end`` where it ends on the wire
    (an offset into ``data``, or beyond); ``link`` says that an Ethernet header comes first."""

    __slots__ = ("data", "dst", "end", "ethertype", "info", "link", "protocol", "src", "vlan")

    def __init__(self, data: bytes, end: int, ethertype: int, vlan: tuple[int, ...]) -> None:
        self.data = data
        self.end = end
        self.ethertype = ethertype
        self.protocol = _ethertype_name(ethertype)
        self.src = ""
        self.dst = ""
        self.info = ""
        self.vlan = vlan
        self.link = False

    def clip(self, end: int) -> None:
        """What follows ``end`` is padding: not to be read."""
        if end < self.end:
            self.end = end
            self.data = self.data[:end]


_Decoder = Callable[[_Frame, int], None]
_IpDecoder = Callable[[_Frame, int, int], None]  # frame, offset, end by the IP header's own word


def describe(data: bytes, *, wire_len: int, ethertype: int = 0, vlan_tci: int | None = None, arphrd: int = 1) -> Packet:
    """The packet whose first bytes, from its link-layer header, are ``data``.

    ``wire_len`` is its length in bytes with that header. ``ethertype`` is ``skb->protocol`` in host
    order, for when ``data`` holds no link-layer header or too little of it. ``vlan_tci`` is the tag that
    the device took out of the bytes; it is the outermost. ``arphrd`` is ``net_device->type``.
    Of a type other than Ethernet, loopback and those without a header nothing is decoded.
    """
    vlan = () if vlan_tci is None else (vlan_tci & 0xFFF,)
    frame = _Frame(bytes(data), max(wire_len, len(data)), ethertype, vlan)
    truncated = False
    try:
        if arphrd in _ARPHRD_ETHERNET:
            _ethernet(frame)
        elif arphrd in _ARPHRD_BARE:
            _tags_then_payload(frame, ethertype, 0)
        else:
            frame.info = f"link type {arphrd}, not decoded"
    except (StructError, IndexError):
        truncated = frame.end > len(frame.data)
        frame.info = _marked(frame.info, "[truncated]" if truncated else "[malformed]")
    except _Malformed:
        frame.info = _marked(frame.info, "[malformed]")
    return Packet(wire_len, frame.ethertype, frame.protocol, frame.src, frame.dst, frame.info, frame.vlan, truncated)


def _marked(info: str, mark: str) -> str:
    return f"{info.rstrip()} {mark}" if info else mark


def one_line(packet: Packet) -> str:
    """For a person: "vlan 100 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes". The ids of
    several tags are joined by a point, outermost first; an address that is not known is "?"."""
    words = []
    if packet.vlan:
        words.append("vlan " + ".".join(map(str, packet.vlan)))
    words.append(packet.protocol)
    if packet.src or packet.dst:
        words.append(f"{packet.src or '?'} > {packet.dst or '?'}")
    if packet.info:
        words.append(packet.info)
    return f"{' '.join(words)}, {packet.length} bytes"


# --- small readers; each raises struct.error or IndexError past the end --------------------------------


def _ipv4_address(data: bytes, off: int) -> str:
    return inet_ntoa(_4S.unpack_from(data, off)[0])


def _ipv6_address(data: bytes, off: int) -> str:
    return inet_ntop(AF_INET6, _16S.unpack_from(data, off)[0])


def _mac(data: bytes, off: int) -> str:
    mac: bytes = _6S.unpack_from(data, off)[0]
    return mac.hex(":")


def _take(data: bytes, off: int, size: int) -> bytes:
    if off + size > len(data):
        raise IndexError
    return data[off : off + size]


def _text(data: bytes, off: int, size: int) -> str:
    """A name of ``size`` bytes, as printable ASCII of at most ``_TEXT_CHARS`` characters."""
    shown = ""
    for byte in _take(data, off, min(size, _TEXT_CHARS)):
        shown += chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}"
    if len(shown) <= _TEXT_CHARS and size <= _TEXT_CHARS:
        return shown
    kept = shown[: _TEXT_CHARS - 3]
    escape = kept.rfind("\\", -3)  # do not cut one in half
    return (kept[:escape] if escape >= 0 else kept) + "..."


# --- the link layer ------------------------------------------------------------------------------------


def _ethernet(frame: _Frame) -> None:
    frame.link = True
    data = frame.data
    if len(data) < 14:
        if frame.ethertype not in _ADDRESSED:
            _link_addresses(frame)
        raise IndexError
    _tags_then_payload(frame, data[12] << 8 | data[13], 14)


def _link_addresses(frame: _Frame) -> None:
    """Source and destination are the MAC addresses, where there are any."""
    if frame.link:
        frame.dst = _mac(frame.data, 0)
        frame.src = _mac(frame.data, 6)


def _tags_then_payload(frame: _Frame, kind: int, off: int) -> None:
    while kind in _VLAN_TYPES:
        if len(frame.data) < off + 4:
            _known_type(frame, kind)
            _link_addresses(frame)
            raise IndexError
        tci, kind = _HH.unpack_from(frame.data, off)
        frame.vlan += (tci & 0xFFF,)
        off += 4
    if kind < _ETH_P_802_3_MIN and off > 0:
        _llc(frame, off, kind)
    else:
        _payload(frame, kind, off)


def _known_type(frame: _Frame, kind: int) -> None:
    frame.ethertype = kind
    frame.protocol = _ethertype_name(kind)


def _payload(frame: _Frame, kind: int, off: int) -> None:
    _known_type(frame, kind)
    if kind not in _ADDRESSED:
        _link_addresses(frame)
    decode = _ETHERTYPE_DECODERS.get(kind)
    if decode is not None:
        decode(frame, off)


def _llc(frame: _Frame, off: int, length: int) -> None:
    """IEEE 802.3: a length, then LLC, then perhaps SNAP. The Ethernet type is the kernel's number."""
    _link_addresses(frame)
    frame.ethertype, frame.protocol = _ETH_P_802_2, "LLC"
    frame.clip(off + length)
    data = frame.data
    dsap, ssap = _BB.unpack_from(data, off)
    if dsap == ssap == 0xFF:
        frame.ethertype, frame.protocol = _ETH_P_802_3, "IPX"
    elif dsap == ssap == 0xAA:
        _snap(frame, off + 3)
    elif dsap == ssap == 0x42:
        _stp(frame, off + 3)
    elif dsap == ssap == 0xFE:
        frame.protocol = "OSI"
        frame.info = _OSI.get(data[off + 3], f"network layer 0x{data[off + 3]:02x}")
    else:
        frame.info = f"dsap 0x{dsap:02x} ssap 0x{ssap:02x}"


def _snap(frame: _Frame, off: int) -> None:
    frame.protocol = "SNAP"
    high, pid = _SNAP.unpack_from(frame.data, off)
    oui: str = high.hex(":")
    if oui == "00:00:00" and pid >= _ETH_P_802_3_MIN:
        frame.src = frame.dst = ""
        _payload(frame, pid, off + 5)
    elif (oui, pid) == ("00:00:0c", 0x010B):
        _stp(frame, off + 5)
        frame.protocol = "PVST+"
    elif oui == "00:00:0c" and pid in _CISCO:
        frame.protocol = _CISCO[pid]
    else:
        frame.info = f"oui {oui} protocol 0x{pid:04x}"


def _stp(frame: _Frame, off: int) -> None:
    frame.protocol = "STP"
    data = frame.data
    version, kind = _BB.unpack_from(data, off + 2)
    name = {0: "STP", 2: "RSTP", 3: "MSTP"}.get(version, f"version {version}")
    if kind == 0x80:
        frame.info = f"{name} topology change notification"
        return
    frame.info = name
    if kind not in (0x00, 0x02):
        frame.info += f" type 0x{kind:02x}"
        return
    frame.info += f" root {_bridge_id(data, off + 5)}"
    frame.info += f" cost {_I.unpack_from(data, off + 13)[0]}"
    frame.info += f" bridge {_bridge_id(data, off + 17)}"
    frame.info += f" port 0x{_H.unpack_from(data, off + 25)[0]:04x}"


def _bridge_id(data: bytes, off: int) -> str:
    priority, mac = _BRIDGE.unpack_from(data, off)
    return f"{priority:04x}.{mac.hex(':')}"


# --- payloads of an Ethernet type ----------------------------------------------------------------------


def _arp(frame: _Frame, off: int) -> None:
    data = frame.data
    hardware, protocol, hardware_size, protocol_size, operation = _ARP.unpack_from(data, off)
    if protocol != 0x0800 or protocol_size != 4:
        _link_addresses(frame)
        frame.info = f"{_ARP_OPERATIONS.get(operation, f'operation {operation}')} hardware {hardware}"
        frame.info += f" protocol 0x{protocol:04x}"
        return
    if operation == 1:
        frame.info = "who-has"
    elif operation != 2:
        frame.info = _ARP_OPERATIONS.get(operation, f"operation {operation}")
    sender = _take(data, off + 8, hardware_size).hex(":")
    frame.src = _ipv4_address(data, off + 8 + hardware_size)
    if operation == 2:
        frame.info = f"{frame.src} is-at {sender}"
    target = _take(data, off + 12 + hardware_size, hardware_size).hex(":")
    frame.dst = _ipv4_address(data, off + 12 + 2 * hardware_size)
    if operation == 1:
        frame.info += _arp_question(frame)
    elif operation in (3, 8):  # it knows the hardware address and asks for the other
        frame.info += f" who-is {target} tell {sender}"
    elif operation in (4, 9):
        frame.info += f" {target} is {frame.dst}" if operation == 4 else f" {sender} is {frame.src}"
    if operation in (1, 2) and frame.src == frame.dst:
        frame.info += " (gratuitous)"


def _arp_question(frame: _Frame) -> str:
    return f" {frame.dst} (probe)" if frame.src == _ANY else f" {frame.dst} tell {frame.src}"


def _slow(frame: _Frame, off: int) -> None:
    """Slow protocols (IEEE 802.3 Annex 57A): LACP, the marker protocol, OAM."""
    data = frame.data
    subtype, version = _BB.unpack_from(data, off)
    if subtype == 1:
        frame.protocol = "LACP"
        frame.info = f"v{version}"
        frame.info += f" actor {_lacp_information(data, off + 2, 1)},"
        frame.info += f" partner {_lacp_information(data, off + 22, 2)}"
    elif subtype == 2:
        frame.protocol = "Marker"
        _marker(frame, off)
    else:
        frame.protocol = _SLOW.get(subtype, "Slow")
        frame.info = "" if subtype in _SLOW else f"subtype {subtype}"


def _lacp_information(data: bytes, off: int, kind: int) -> str:
    tlv, size, priority, system, key, _, port, state = _LACP_INFO.unpack_from(data, off)
    if tlv != kind or size != 20:
        raise _Malformed
    return f"{priority} {system.hex(':')} key {key} port {port} state {_lacp_state(state)}"


def _lacp_state(state: int) -> str:
    """Activity, short Timeout, aGgregation, Synchronization, Collecting, Distributing, deFaulted, Expired."""
    return "".join(c for bit, c in enumerate("ATGSCDFE") if state >> bit & 1) or "none"


def _marker(frame: _Frame, off: int) -> None:
    kind = frame.data[off + 2]
    frame.info = {1: "request", 2: "response"}.get(kind, f"type {kind}")
    port, system, transaction = _MARKER.unpack_from(frame.data, off + 4)
    frame.info += f" port {port} system {system.hex(':')} transaction {transaction}"


def _lldp(frame: _Frame, off: int) -> None:
    """The three TLVs that every LLDPDU begins with (IEEE 802.1AB): chassis, port, time to live."""
    data = frame.data
    for kind, word in ((1, "chassis"), (2, " port")):
        size = _lldp_tlv(data, off, kind)
        if size < 2:
            raise _Malformed
        frame.info += f"{word} {_lldp_id(data, off + 2, size, kind)}"
        off += 2 + size
    if _lldp_tlv(data, off, 3) < 2:
        raise _Malformed
    frame.info += f" ttl {_H.unpack_from(data, off + 2)[0]}"


def _lldp_tlv(data: bytes, off: int, kind: int) -> int:
    """The size of the TLV at ``off``, which has to be of ``kind``."""
    head: int = _H.unpack_from(data, off)[0]
    if head >> 9 != kind:
        raise _Malformed
    return head & 0x1FF


def _lldp_id(data: bytes, off: int, size: int, kind: int) -> str:
    subtype = data[off]
    mac, address = (4, 5) if kind == 1 else (3, 4)
    if subtype == mac and size == 7:
        return _mac(data, off + 1)
    if subtype == address and size == 6 and data[off + 1] == 1:
        return _ipv4_address(data, off + 2)
    if subtype == address and size == 18 and data[off + 1] == 2:
        return _ipv6_address(data, off + 2)
    return _text(data, off + 1, size - 1)


def _loopback(frame: _Frame, off: int) -> None:
    """Ethernet's configuration test (its numbers are little-endian). Switches send it to themselves as a
    keepalive (a reply); bonding's balance-tlb and -alb send it to themselves, all zero, for switches to
    learn from: what fits that is said to, no more."""
    own = frame.link and frame.src == frame.dst
    frame.info = "to its own address " if own else ""
    skip, function = _SKIP_FUNCTION.unpack_from(frame.data, off)
    frame.info += {1: "reply", 2: "forward"}.get(function, f"function {function}")
    if own and skip == function == 0:
        frame.info += " (as bonding's learning packets)"


def _eapol(frame: _Frame, off: int) -> None:
    version, kind = _BB.unpack_from(frame.data, off)
    frame.info = f"v{version} {_EAPOL.get(kind, f'type {kind}')}"
    if kind == 0:
        code, identifier = _BB.unpack_from(frame.data, off + 4)
        frame.info += f" {_EAP.get(code, f'code {code}')} id {identifier}"


def _ptp(frame: _Frame, off: int) -> None:
    kind, version = _BB.unpack_from(frame.data, off)
    frame.info = f"v{version & 0xF} {_PTP.get(kind & 0xF, f'type {kind & 0xF}')}"
    frame.info += f" domain {frame.data[off + 4]}"
    frame.info += f" seq {_H.unpack_from(frame.data, off + 30)[0]}"


def _mpls(frame: _Frame, off: int) -> None:
    """The label stack; what is below it the packet does not say."""
    bottom = False
    while not bottom:
        entry: int = _I.unpack_from(frame.data, off)[0]
        bottom = bool(entry & 0x100)
        comma = ", " if frame.info else ""
        frame.info += f"{comma}label {entry >> 12} tc {entry >> 9 & 7} ttl {entry & 0xFF}"
        off += 4


def _pppoe_discovery(frame: _Frame, off: int) -> None:
    code, session = _PPPOE_HEAD.unpack_from(frame.data, off)
    frame.info = f"{_PPPOE.get(code, f'code 0x{code:02x}')} session 0x{session:04x}"


def _pppoe_session(frame: _Frame, off: int) -> None:
    frame.info = f"session 0x{_H.unpack_from(frame.data, off + 2)[0]:04x}"
    protocol: int = _H.unpack_from(frame.data, off + 6)[0]
    frame.info += f" {_PPP.get(protocol, f'protocol 0x{protocol:04x}')}"


# --- IP ------------------------------------------------------------------------------------------------


def _ipv4(frame: _Frame, off: int) -> None:
    data = frame.data
    first, total, identifier, fragment, protocol = _IPV4.unpack_from(data, off)
    header = (first & 0xF) * 4
    if first >> 4 != 4 or header < 20 or 0 < total < header:
        raise _Malformed
    frame.protocol = _ip_protocol_name(protocol)
    frame.src = inet_ntoa(_4S.unpack_from(data, off + 12)[0])
    frame.dst = inet_ntoa(_4S.unpack_from(data, off + 16)[0])
    end = frame.end
    if total:  # 0: longer than the field can say (the kernel's BIG TCP); the frame's end is the packet's
        end = off + total
        frame.clip(end)
    if fragment & 0x3FFF and not _first_fragment(frame, (fragment & 0x1FFF) * 8, identifier):
        return
    _ip_payload(frame, off + header, end, protocol)


def _ip_payload(frame: _Frame, off: int, end: int, protocol: int) -> None:
    decode = _IP_DECODERS.get(protocol)
    if decode is not None:
        decode(frame, off, end)
    elif frame.info:
        frame.info = frame.info.removesuffix(", ")


def _first_fragment(frame: _Frame, offset_bytes: int, identifier: int) -> bool:
    """Says which fragment this is; whether the protocol's header is in it."""
    frame.info = f"fragment offset {offset_bytes} id {identifier}"
    if offset_bytes == 0:
        frame.info += ", "
    return offset_bytes == 0


def _ipv6(frame: _Frame, off: int) -> None:
    data = frame.data
    first, payload, following = _IPV6.unpack_from(data, off)
    if first >> 28 != 6:
        raise _Malformed
    if following not in _EXTENSIONS:
        frame.protocol = _ip_protocol_name(following)
    frame.src = _ipv6_address(data, off + 8)
    frame.dst = _ipv6_address(data, off + 24)
    end = frame.end
    if payload or following == 59:  # else a jumbogram, or the kernel's BIG TCP
        end = off + 40 + payload
        frame.clip(end)
    _ipv6_extensions(frame, off + 40, end, following)


def _ipv6_extensions(frame: _Frame, off: int, end: int, following: int) -> None:
    while following in _EXTENSIONS:
        here, (following, size) = following, _BB.unpack_from(frame.data, off)
        if here == 44:
            fragment, identifier = _FRAGMENT.unpack_from(frame.data, off + 2)
            off += 8
            if fragment & 0xFFF9 and not _first_fragment(frame, fragment & 0xFFF8, identifier):
                if following not in _EXTENSIONS:
                    frame.protocol = _ip_protocol_name(following)
                return
        else:
            off += (size + 1) * 8
    frame.protocol = _ip_protocol_name(following)
    _ip_payload(frame, off, end, following)


# --- payloads of IP ------------------------------------------------------------------------------------


def _id_and_seq(data: bytes, off: int) -> str:
    identifier, seq = _HH.unpack_from(data, off)
    return f" id {identifier} seq {seq}"


def _two_ports(data: bytes, off: int) -> str:
    source, destination = _HH.unpack_from(data, off)
    return f"{source} > {destination}"


def _spi_and_seq(data: bytes, off: int) -> str:
    spi, seq = _II.unpack_from(data, off)
    return f"spi 0x{spi:08x} seq {seq}"


def _icmp(frame: _Frame, off: int, end: int) -> None:
    data = frame.data
    kind, code = _BB.unpack_from(data, off)
    if kind == 3:
        frame.info += _ICMP_UNREACHABLE.get(code, f"unreachable code {code}")
        if code == 4:
            frame.info += f" mtu {_H.unpack_from(data, off + 6)[0]}"
        return
    frame.info += _ICMP.get(kind, f"type {kind} code {code}")
    if kind in _ICMP_QUERIES:
        frame.info += _id_and_seq(data, off + 4)
    elif kind == 5:
        frame.info += f" {_ICMP_REDIRECT.get(code, f'code {code}')} to {_ipv4_address(data, off + 4)}"
    elif kind == 11:
        frame.info += f" {_ICMP_EXCEEDED.get(code, f'code {code}')}"
    elif kind == 12:
        frame.info += f" at byte {data[off + 4]}" if code == 0 else f" code {code}"


def _icmpv6(frame: _Frame, off: int, end: int) -> None:
    data = frame.data
    kind, code = _BB.unpack_from(data, off)
    if kind == 1:
        frame.info += _ICMPV6_UNREACHABLE.get(code, f"unreachable code {code}")
        return
    frame.info += _ICMPV6.get(kind, f"type {kind} code {code}")
    if kind in (128, 129):
        frame.info += _id_and_seq(data, off + 4)
    elif kind == 2:
        frame.info += f" mtu {_I.unpack_from(data, off + 4)[0]}"
    elif kind == 3:
        frame.info += f" {_ICMP_EXCEEDED.get(code, f'code {code}')}"
    elif kind == 4:
        frame.info += f" code {code} at byte {_I.unpack_from(data, off + 4)[0]}"
    elif kind == 134:
        frame.info += f" hop limit {data[off + 4]} lifetime {_H.unpack_from(data, off + 6)[0]}"
    elif kind in _ICMPV6_NAMED:
        frame.info += f" {_ICMPV6_NAMED[kind]} {_ipv6_address(data, off + 8)}"
    elif kind == 143:
        frame.info += f" records {_H.unpack_from(data, off + 6)[0]}"


def _tcp(frame: _Frame, off: int, end: int) -> None:
    frame.info += _two_ports(frame.data, off)
    seq, ack, header, flags, window = _TCP.unpack_from(frame.data, off + 4)
    length = end - off - (header >> 4) * 4
    if header < 0x50 or length < 0:
        raise _Malformed
    answers = f" ack {ack}" if flags & 0x10 else ""
    frame.info += f" [{_TCP_FLAGS[flags]}] seq {seq}{answers} win {window} len {length}"


def _udp(frame: _Frame, off: int, end: int) -> None:
    source, destination = _HH.unpack_from(frame.data, off)
    frame.info += f"{source} > {destination}"
    size: int = _H.unpack_from(frame.data, off + 4)[0] or end - off  # 0: a jumbogram
    if size < 8:
        raise _Malformed
    frame.info += f" len {size - 8}"
    use = _UDP_USES.get(destination) or _UDP_USES.get(source)
    if use:
        frame.info += f" ({use})"


def _only_ports(frame: _Frame, off: int, end: int) -> None:
    frame.info += _two_ports(frame.data, off)


def _sctp(frame: _Frame, off: int, end: int) -> None:
    frame.info += _two_ports(frame.data, off)
    if end > off + 12:
        chunk = frame.data[off + 12]
        frame.info += f" [{_SCTP.get(chunk, f'chunk {chunk}')}]"


def _igmp(frame: _Frame, off: int, end: int) -> None:
    kind = frame.data[off]
    frame.info += _IGMP.get(kind, f"type 0x{kind:02x}")
    if kind == 0x22:
        frame.info += f" records {_H.unpack_from(frame.data, off + 6)[0]}"
        return
    group = _ipv4_address(frame.data, off + 4)
    frame.info += " general" if kind == 0x11 and group == _ANY else f" {group}"


def _gre(frame: _Frame, off: int, end: int) -> None:
    flags, protocol = _HH.unpack_from(frame.data, off)
    name = _ETHERTYPES.get(protocol, f"0x{protocol:04x}")
    frame.info += f"v{flags & 7} {name}"
    if flags & 0x2000:  # a key, after the checksum
        key_at = off + (8 if flags & 0x8000 else 4)
        frame.info += f" key 0x{_I.unpack_from(frame.data, key_at)[0]:x}"


def _esp(frame: _Frame, off: int, end: int) -> None:
    frame.info += _spi_and_seq(frame.data, off)


def _ah(frame: _Frame, off: int, end: int) -> None:
    frame.info += f"{_ip_protocol_name(frame.data[off])} "
    frame.info += _spi_and_seq(frame.data, off + 4)


def _vrrp(frame: _Frame, off: int, end: int) -> None:
    first, router, priority = _BBB.unpack_from(frame.data, off)
    kind = "advertisement" if first & 0xF == 1 else f"type {first & 0xF}"
    frame.info += f"v{first >> 4} {kind} router {router} priority {priority}"


def _ospf(frame: _Frame, off: int, end: int) -> None:
    version, kind = _BB.unpack_from(frame.data, off)
    frame.info += f"v{version} {_OSPF.get(kind, f'type {kind}')}"
    frame.info += f" router {_ipv4_address(frame.data, off + 4)}"


# --- names ---------------------------------------------------------------------------------------------


def _ethertype_name(kind: int) -> str:
    name = _ETHERTYPES.get(kind)
    if name is not None:
        return name
    return f"0x{kind:04x}" if kind else "unknown"


def _ip_protocol_name(protocol: int) -> str:
    return _IP_PROTOCOLS.get(protocol) or f"IP-{protocol}"


_ADDRESSED = frozenset({0x0800, 0x0806, 0x8035, 0x86DD})  # have addresses of their own
_EXTENSIONS = frozenset({0, 43, 44, 60})  # IPv6 headers before the payload's

_ETHERTYPES = {
    0x0800: "IPv4", 0x0806: "ARP", 0x0842: "WoL", 0x22F0: "AVTP", 0x4305: "BATMAN", 0x6558: "Ethernet",
    0x8035: "RARP", 0x809B: "AppleTalk", 0x8100: "VLAN", 0x8137: "IPX", 0x86DD: "IPv6", 0x8809: "Slow",
    0x880B: "PPP", 0x8847: "MPLS", 0x8848: "MPLS", 0x8863: "PPPoE", 0x8864: "PPPoE", 0x888E: "EAPOL",
    0x8892: "PROFINET", 0x88A2: "AoE", 0x88A4: "EtherCAT", 0x88A8: "VLAN", 0x88BE: "ERSPAN", 0x88CC: "LLDP",
    0x88E3: "MRP", 0x88E5: "MACsec", 0x88F5: "MVRP", 0x88F7: "PTP", 0x88FB: "PRP", 0x8902: "CFM",
    0x8906: "FCoE", 0x8914: "FIP", 0x8915: "RoCE", 0x892F: "HSR", 0x894F: "NSH", 0x9000: "Loopback",
    0x9100: "VLAN",
}  # fmt: skip
_IP_PROTOCOLS = {
    0: "IPv6-hop-by-hop", 1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPv6-in-IP",
    43: "IPv6-routing", 44: "IPv6-fragment", 46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPv6",
    59: "IPv6-no-next-header", 60: "IPv6-destination", 88: "EIGRP", 89: "OSPF", 103: "PIM", 112: "VRRP",
    115: "L2TP", 132: "SCTP", 135: "IPv6-mobility", 136: "UDP-Lite", 137: "MPLS-in-IP",
    143: "Ethernet-in-IP",
}  # fmt: skip
_UDP_USES = {
    53: "DNS", 67: "DHCP", 68: "DHCP", 69: "TFTP", 123: "NTP", 137: "NetBIOS", 138: "NetBIOS", 161: "SNMP",
    162: "SNMP", 319: "PTP", 320: "PTP", 500: "IKE", 514: "syslog", 546: "DHCPv6", 547: "DHCPv6",
    1812: "RADIUS", 1813: "RADIUS", 1900: "SSDP", 2055: "NetFlow", 3784: "BFD", 4500: "IPsec NAT-T",
    4789: "VXLAN", 5353: "mDNS", 5355: "LLMNR", 6081: "Geneve", 6343: "sFlow", 51820: "WireGuard",
}  # fmt: skip
_TCP_FLAGS = tuple("".join(c for bit, c in enumerate("FSRP.UEW") if flags >> bit & 1) or "none" for flags in range(256))
_ARP_OPERATIONS = {
    1: "request", 2: "reply", 3: "reverse request", 4: "reverse reply",
    8: "inverse request", 9: "inverse reply",
}  # fmt: skip
_SLOW = {3: "OAM", 10: "ESMC"}
_OSI = {0x81: "CLNP", 0x82: "ES-IS", 0x83: "IS-IS"}
_CISCO = {0x0111: "UDLD", 0x2000: "CDP", 0x2003: "VTP", 0x2004: "DTP"}
_EAPOL = {0: "EAP", 1: "start", 2: "logoff", 3: "key", 4: "alert", 5: "MKA"}
_EAP = {1: "request", 2: "response", 3: "success", 4: "failure"}
_PTP = {
    0: "Sync", 1: "Delay_Req", 2: "Pdelay_Req", 3: "Pdelay_Resp", 8: "Follow_Up", 9: "Delay_Resp",
    10: "Pdelay_Resp_Follow_Up", 11: "Announce", 12: "Signaling", 13: "Management",
}  # fmt: skip
_PPPOE = {0x09: "PADI", 0x07: "PADO", 0x19: "PADR", 0x65: "PADS", 0xA7: "PADT"}
_PPP = {
    0x0021: "IPv4", 0x0057: "IPv6", 0x8021: "IPCP", 0x8057: "IPV6CP", 0xC021: "LCP", 0xC023: "PAP",
    0xC223: "CHAP",
}  # fmt: skip
_ICMP = {
    0: "echo reply", 4: "source quench", 5: "redirect", 8: "echo request", 9: "router advertisement",
    10: "router solicitation", 11: "time exceeded", 12: "parameter problem", 13: "timestamp request",
    14: "timestamp reply", 17: "address mask request", 18: "address mask reply",
}  # fmt: skip
_ICMP_QUERIES = frozenset({0, 8, 13, 14, 17, 18})
_ICMP_UNREACHABLE = {
    0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    4: "fragmentation needed", 5: "source route failed", 6: "net unknown", 7: "host unknown",
    8: "source host isolated", 9: "net prohibited", 10: "host prohibited", 11: "net unreachable for TOS",
    12: "host unreachable for TOS", 13: "administratively prohibited", 14: "host precedence violation",
    15: "precedence cutoff",
}  # fmt: skip
_ICMP_REDIRECT = {0: "net", 1: "host", 2: "net for TOS", 3: "host for TOS"}
_ICMP_EXCEEDED = {0: "in transit", 1: "in reassembly"}
_ICMPV6_UNREACHABLE = {
    0: "no route", 1: "administratively prohibited", 2: "beyond scope of source", 3: "address unreachable",
    4: "port unreachable", 5: "source address failed policy", 6: "reject route",
}  # fmt: skip
_ICMPV6 = {
    2: "packet too big", 3: "time exceeded", 4: "parameter problem", 128: "echo request", 129: "echo reply",
    130: "MLD query", 131: "MLD report", 132: "MLD done", 133: "router solicitation",
    134: "router advertisement", 135: "neighbor solicitation", 136: "neighbor advertisement", 137: "redirect",
    143: "MLDv2 report",
}  # fmt: skip
_ICMPV6_NAMED = {130: "group", 131: "group", 132: "group", 135: "target", 136: "target", 137: "to"}
_IGMP = {
    0x11: "query", 0x12: "v1 report", 0x16: "v2 report", 0x17: "leave", 0x22: "v3 report",
}  # fmt: skip
_SCTP = {
    0: "DATA", 1: "INIT", 2: "INIT ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT ACK", 6: "ABORT",
    7: "SHUTDOWN", 8: "SHUTDOWN ACK", 9: "ERROR", 10: "COOKIE ECHO", 11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE", 192: "FORWARD TSN",
}  # fmt: skip
_OSPF = {1: "hello", 2: "database description", 3: "LS request", 4: "LS update", 5: "LS acknowledgment"}

_ETHERTYPE_DECODERS: dict[int, _Decoder] = {
    0x0800: _ipv4, 0x0806: _arp, 0x8035: _arp, 0x86DD: _ipv6, 0x8809: _slow, 0x8847: _mpls, 0x8848: _mpls,
    0x8863: _pppoe_discovery, 0x8864: _pppoe_session, 0x888E: _eapol, 0x88CC: _lldp, 0x88F7: _ptp,
    0x9000: _loopback,
}  # fmt: skip
_IP_DECODERS: dict[int, _IpDecoder] = {
    1: _icmp, 2: _igmp, 6: _tcp, 17: _udp, 33: _only_ports, 47: _gre, 50: _esp, 51: _ah, 58: _icmpv6,
    89: _ospf, 112: _vrrp, 132: _sctp, 136: _only_ports,
}  # fmt: skip
