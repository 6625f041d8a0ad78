# SPDX-License-Identifier: GPL-2.0-or-later
"""The link layer: Ethernet, VLAN tags, IEEE 802.3 with LLC and SNAP; and what decodes each Ethernet type."""

from __future__ import annotations

from struct import Struct

from ...model import Tag
from ..ethertypes import VLAN_TYPES
from .arp import decode_arp
from .control import (
    decode_eapol,
    decode_lldp,
    decode_loopback,
    decode_mpls,
    decode_pppoe_discovery,
    decode_pppoe_session,
    decode_ptp,
    decode_slow,
    decode_stp,
)
from .frame import TWO_U8, TWO_U16, Decoder, Frame
from .ip import decode_ipv4, decode_ipv6
from .names import CISCO, OSI
from .tunnels import decode_macsec

#: What decodes the payload of an Ethernet type; of the other types only the name is shown (names.py).
ETHERTYPE_DECODERS: dict[int, Decoder] = {
    0x0800: decode_ipv4,
    0x0806: decode_arp,
    0x8035: decode_arp,
    0x86DD: decode_ipv6,
    0x8809: decode_slow,
    0x8847: decode_mpls,
    0x8848: decode_mpls,
    0x8863: decode_pppoe_discovery,
    0x8864: decode_pppoe_session,
    0x888E: decode_eapol,
    0x88CC: decode_lldp,
    0x88E5: decode_macsec,
    0x88F7: decode_ptp,
    0x9000: decode_loopback,
}
_ADDRESSED = frozenset({0x0800, 0x0806, 0x8035, 0x86DD})  # have addresses of their own

_ETH_P_802_3_MIN = 0x0600  # below: a length (include/uapi/linux/if_ether.h)
_ETH_P_802_3 = 0x0001  # the kernel's numbers for frames without an Ethernet type
_ETH_P_802_2 = 0x0004
_VLAN_TYPES = frozenset({*VLAN_TYPES, 0x9100})
_SNAP = Struct("!3sH")


def decode_ethernet(frame: Frame) -> None:
    """Decode a frame that begins with an Ethernet header."""
    frame.link = True
    data = frame.data
    if len(data) < 14:
        frame.set_ethertype(frame.ethertype)
        if frame.ethertype not in _ADDRESSED:
            frame.use_link_addresses()
        raise IndexError
    decode_tagged(frame, data[12] << 8 | data[13], 14)


def decode_tagged(frame: Frame, kind: int, off: int) -> None:
    """Decode VLAN tags, where ``kind`` is the type of one, and what follows them."""
    while kind in _VLAN_TYPES:
        if len(frame.data) < off + 4:
            frame.set_ethertype(kind)
            frame.use_link_addresses()
            raise IndexError
        tpid, (tci, kind) = kind, TWO_U16.unpack_from(frame.data, off)
        frame.tags += (tag(tci, tpid, True),)
        off += 4
    if kind < _ETH_P_802_3_MIN and off > 0:
        _llc(frame, off, kind)
    else:
        _payload(frame, kind, off)


def tag(tci: int, tpid: int | None, in_frame: bool) -> Tag:
    """Return the tag of this TCI (IEEE 802.1Q: priority, drop eligible indicator, id)."""
    return Tag(tci & 0xFFF, tpid, in_frame, tci >> 13, bool(tci >> 12 & 1))


def _payload(frame: Frame, kind: int, off: int) -> None:
    frame.set_ethertype(kind)
    if kind not in _ADDRESSED:
        frame.use_link_addresses()
    decode = ETHERTYPE_DECODERS.get(kind)
    if decode is not None:
        decode(frame, off)


def _llc(frame: Frame, off: int, length: int) -> None:
    """Decode IEEE 802.3: a length, then LLC, then perhaps SNAP. The Ethernet type is the kernel's number."""
    frame.use_link_addresses()
    frame.ethertype, frame.protocol = _ETH_P_802_2, "LLC"
    frame.clip(off + length)
    data = frame.data
    dsap, ssap = TWO_U8.unpack_from(data, off)
    if dsap == ssap == 0xFF:
        frame.ethertype, frame.protocol = _ETH_P_802_3, "IPX"
    elif dsap == ssap == 0xAA:
        _snap(frame, off + 3)
    elif dsap == ssap == 0x42:
        decode_stp(frame, off + 3)
    elif dsap == ssap == 0xFE:
        frame.protocol = "OSI"
        frame.info = OSI.get(data[off + 3], f"network layer 0x{data[off + 3]:02x}")
    else:
        frame.info = f"dsap 0x{dsap:02x} ssap 0x{ssap:02x}"


def _snap(frame: Frame, off: int) -> None:
    frame.protocol = "SNAP"
    high, pid = _SNAP.unpack_from(frame.data, off)
    oui: str = high.hex(":")
    if oui == "00:00:00" and pid >= _ETH_P_802_3_MIN:
        frame.src = frame.dst = ""
        _payload(frame, pid, off + 5)
    elif (oui, pid) == ("00:00:0c", 0x010B):
        decode_stp(frame, off + 5)
        frame.protocol = "PVST+"
    elif oui == "00:00:0c" and pid in CISCO:
        frame.protocol = CISCO[pid]
    else:
        frame.info = f"oui {oui} protocol 0x{pid:04x}"
