# SPDX-License-Identifier: GPL-2.0-or-later
"""What Ethernet types beside IP and ARP carry: protocols between neighbours on a link, and MPLS and PPPoE."""

from __future__ import annotations

from struct import Struct

from .frame import TWO_U8, U16, U32, Frame, Malformed, ipv4_address, ipv6_address, mac_address, text
from .names import EAP, EAPOL, PPP, PPPOE, PTP, SLOW, STP_VERSIONS

_BRIDGE = Struct("!H6s")
_LACP_INFO = Struct("!BBH6sHHHB")
_MARKER = Struct("!H6sI")
_SKIP_FUNCTION = Struct("<HH")
_PPPOE_HEAD = Struct("!xBH")


def decode_stp(frame: Frame, off: int) -> None:
    """Decode a BPDU of the spanning tree protocols (IEEE 802.1D, 802.1Q)."""
    frame.protocol = "STP"
    data = frame.data
    version, kind = TWO_U8.unpack_from(data, off + 2)
    name = STP_VERSIONS.get(version, f"version {version}")
    if kind == 0x80:
        frame.info = f"{name} topology change notification"
        return
    frame.info = name
    if kind not in (0x00, 0x02):
        frame.info += f" type 0x{kind:02x}"
        return
    frame.info += f" root {_bridge_id(data, off + 5)}"
    frame.info += f" cost {U32.unpack_from(data, off + 13)[0]}"
    frame.info += f" bridge {_bridge_id(data, off + 17)}"
    frame.info += f" port 0x{U16.unpack_from(data, off + 25)[0]:04x}"


def _bridge_id(data: bytes, off: int) -> str:
    priority, address = _BRIDGE.unpack_from(data, off)
    return f"{priority:04x}.{address.hex(':')}"


def decode_slow(frame: Frame, off: int) -> None:
    """Decode the slow protocols (IEEE 802.3 Annex 57A): LACP and the marker protocol; name OAM and ESMC."""
    data = frame.data
    subtype, version = TWO_U8.unpack_from(data, off)
    if subtype == 1:
        frame.protocol = "LACP"
        frame.info = f"v{version}"
        frame.info += f" actor {_lacp_information(data, off + 2, 1)},"
        frame.info += f" partner {_lacp_information(data, off + 22, 2)}"
    elif subtype == 2:
        frame.protocol = "Marker"
        _marker(frame, off)
    else:
        frame.protocol = SLOW.get(subtype, "Slow")
        frame.info = "" if subtype in SLOW else f"subtype {subtype}"


def _lacp_information(data: bytes, off: int, kind: int) -> str:
    tlv, size, priority, system, key, _, port, state = _LACP_INFO.unpack_from(data, off)
    if tlv != kind or size != 20:
        raise Malformed
    return f"{priority} {system.hex(':')} key {key} port {port} state {_lacp_state(state)}"


def _lacp_state(state: int) -> str:
    """Return a letter for each bit that is set.

    The bits: Activity, short Timeout, aGgregation, Synchronization, Collecting, Distributing, deFaulted, Expired.
    """
    return "".join(c for bit, c in enumerate("ATGSCDFE") if state >> bit & 1) or "none"


def _marker(frame: Frame, off: int) -> None:
    kind = frame.data[off + 2]
    frame.info = {1: "request", 2: "response"}.get(kind, f"type {kind}")
    port, system, transaction = _MARKER.unpack_from(frame.data, off + 4)
    frame.info += f" port {port} system {system.hex(':')} transaction {transaction}"


def decode_lldp(frame: Frame, off: int) -> None:
    """Decode the three TLVs that every LLDPDU begins with (IEEE 802.1AB): chassis, port, time to live."""
    data = frame.data
    for kind, word in ((1, "chassis"), (2, " port")):
        size = _lldp_tlv(data, off, kind)
        if size < 2:
            raise Malformed
        frame.info += f"{word} {_lldp_id(data, off + 2, size, kind)}"
        off += 2 + size
    if _lldp_tlv(data, off, 3) < 2:
        raise Malformed
    frame.info += f" ttl {U16.unpack_from(data, off + 2)[0]}"


def _lldp_tlv(data: bytes, off: int, kind: int) -> int:
    """Return the size of the TLV at ``off``, which has to be of ``kind``."""
    head: int = U16.unpack_from(data, off)[0]
    if head >> 9 != kind:
        raise Malformed
    return head & 0x1FF


def _lldp_id(data: bytes, off: int, size: int, kind: int) -> str:
    subtype = data[off]
    mac, address = (4, 5) if kind == 1 else (3, 4)
    if subtype == mac and size == 7:
        return mac_address(data, off + 1)
    if subtype == address and size == 6 and data[off + 1] == 1:
        return ipv4_address(data, off + 2)
    if subtype == address and size == 18 and data[off + 1] == 2:
        return ipv6_address(data, off + 2)
    return text(data, off + 1, size - 1)


def decode_loopback(frame: Frame, off: int) -> None:
    """Decode Ethernet's configuration test; its numbers are little-endian.

    Switches send it to themselves as a keepalive (a reply). Bonding's modes balance-tlb and balance-alb send it to
    themselves, all zero, for switches to learn from: a frame that looks like that is shown as such.
    """
    own = frame.link and frame.src == frame.dst
    frame.info = "to its own address " if own else ""
    skip, function = _SKIP_FUNCTION.unpack_from(frame.data, off)
    frame.info += {1: "reply", 2: "forward"}.get(function, f"function {function}")
    if own and skip == function == 0:
        frame.info += " (as bonding's learning packets)"


def decode_eapol(frame: Frame, off: int) -> None:
    """Decode EAP over LAN (IEEE 802.1X), and the head of the EAP packet in it."""
    version, kind = TWO_U8.unpack_from(frame.data, off)
    frame.info = f"v{version} {EAPOL.get(kind, f'type {kind}')}"
    if kind == 0:
        code, identifier = TWO_U8.unpack_from(frame.data, off + 4)
        frame.info += f" {EAP.get(code, f'code {code}')} id {identifier}"


def decode_ptp(frame: Frame, off: int) -> None:
    """Decode the header of the Precision Time Protocol (IEEE 1588)."""
    kind, version = TWO_U8.unpack_from(frame.data, off)
    frame.info = f"v{version & 0xF} {PTP.get(kind & 0xF, f'type {kind & 0xF}')}"
    frame.info += f" domain {frame.data[off + 4]}"
    frame.info += f" seq {U16.unpack_from(frame.data, off + 30)[0]}"


def decode_mpls(frame: Frame, off: int) -> None:
    """Decode the label stack (RFC 3032); the packet does not say what is below it."""
    bottom = False
    while not bottom:
        entry: int = U32.unpack_from(frame.data, off)[0]
        bottom = bool(entry & 0x100)
        comma = ", " if frame.info else ""
        frame.info += f"{comma}label {entry >> 12} tc {entry >> 9 & 7} ttl {entry & 0xFF}"
        off += 4


def decode_pppoe_discovery(frame: Frame, off: int) -> None:
    """Decode the discovery stage of PPPoE (RFC 2516)."""
    code, session = _PPPOE_HEAD.unpack_from(frame.data, off)
    frame.info = f"{PPPOE.get(code, f'code 0x{code:02x}')} session 0x{session:04x}"


def decode_pppoe_session(frame: Frame, off: int) -> None:
    """Decode the session stage of PPPoE, and name what PPP carries."""
    frame.info = f"session 0x{U16.unpack_from(frame.data, off + 2)[0]:04x}"
    protocol: int = U16.unpack_from(frame.data, off + 6)[0]
    frame.info += f" {PPP.get(protocol, f'protocol 0x{protocol:04x}')}"
