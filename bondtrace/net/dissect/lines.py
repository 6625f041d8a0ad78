# SPDX-License-Identifier: GPL-2.0-or-later
"""A described packet in words."""

from __future__ import annotations

from collections.abc import Sequence

from ...model import Packet, Tag
from ..ethertypes import ETH_P_8021AD, ETH_P_8021Q

_PLAIN = (ETH_P_8021Q, None)
_TPIDS = {ETH_P_8021AD: "802.1ad"}  # as ip writes it


def one_line(packet: Packet) -> str:
    """Return the packet's line for a person: "vlan 100 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes".

    An address that is not known is "?". What a tunnel's packet carries follows behind "carrying".
    """
    carried = f" carrying {described(packet.inner)}" if packet.inner else ""
    return f"{described(packet)}{carried}, {packet.length} bytes{_segments(packet)}"


def _segments(packet: Packet) -> str:
    """Return for how many packets on the wire it stands, where that is more than one."""
    if packet.segments is None:
        return ""
    return f" in {packet.segments or 'several'} segments" if packet.segments != 1 else ""


def described(packet: Packet) -> str:
    """Return the line without the length and without what the packet carries."""
    words = []
    if packet.tags:
        words.append(tag_words(packet.tags))
    words.append(packet.protocol)
    if packet.src or packet.dst:
        words.append(f"{packet.src or '?'} > {packet.dst or '?'}")
    if packet.info:
        words.append(packet.info)
    return " ".join(words)


def tag_words(tags: Sequence[Tag], where: bool = True) -> str:
    """Return tags in words, outermost first: "vlan 100", "vlan 100.7" (802.1Q both), "802.1ad 100, vlan 7"; with the
    tag's Ethernet type where that has no name, and its priority (``p``) and drop eligibility (``DEI``) if set.

    :param where: add "(in frame)" where the outermost lay in the frame's bytes; without, it lay beside them.
    """
    words: list[str] = []
    plain = False
    for tag in tags:
        if plain and tag.tpid in _PLAIN and not _more(tag):
            words[-1] += f".{tag.id}"
            continue
        plain = tag.tpid in _PLAIN and not _more(tag)
        words.append(f"{_name(tag)} {tag.id}{_more(tag)}")
    text = ", ".join(words)
    return f"{text} (in frame)" if where and tags and tags[0].in_frame else text


def _name(tag: Tag) -> str:
    return "vlan" if tag.tpid in _PLAIN else _TPIDS.get(tag.tpid) or f"0x{tag.tpid:04x}"


def _more(tag: Tag) -> str:
    priority = f" p {tag.priority}" if tag.priority else ""
    return f"{priority}{' DEI' if tag.drop_eligible else ''}"
