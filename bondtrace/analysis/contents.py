# SPDX-License-Identifier: GPL-2.0-or-later
"""What a received packet is to the receive path, step by step: skb->protocol, and the VLAN tag beside its bytes.

The kernel takes one tag out of the bytes at the beginning of each round, if none is beside them (``skb_vlan_untag``); a
VLAN device takes the one beside them (``vlan_do_receive``); and before delivery by protocol what is beside them is put
aside, and with VLAN id 0 the next tag gets its turn (``check_vlan_id``). So skb->protocol at delivery is seldom the
payload's Ethernet type where a packet has two tags.

Source: ``__netif_receive_skb_core`` (net/core/dev.c), ``skb_vlan_untag`` (net/core/skbuff.c), ``vlan_do_receive``
(net/8021q/vlan_core.c).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..format.wire import RECORD_TX, RECORD_VLAN, Array
from ..model import Tag
from ..net.arphrd import WITH_ETHERNET_HEADER
from ..net.ethertypes import ETH_P_8021AD, ETH_P_8021Q, VLAN_TYPES

_LLC, _RAW_802_3, _FIRST_TYPE = 4, 1, 0x0600  # ETH_P_802_2, ETH_P_802_3, ETH_P_802_3_MIN
_IPV4 = 0x0800
_VLAN_NAMES = {ETH_P_8021Q: "802.1Q", ETH_P_8021AD: "802.1ad"}


def tag_words(tag: Tag) -> str:
    """Return a tag with the name of its type, where that is known: "802.1ad 100"."""
    name = _VLAN_NAMES.get(tag.tpid or 0)
    return f"{name} {tag.id}" if name else str(tag.id)


class Contents(NamedTuple):
    """What the rules ask of the packet of a pass.

    ``protocol`` is skb->protocol at delivery by protocol; ``tags`` are its VLAN tags, outermost first; both ``None``
    where the captured bytes do not tell. ``fragment``: it is a fragment of an IPv4 packet. ``to_group``: its frame
    is known to be for a group of hosts, or for all.
    """

    protocol: Optional[int] = None
    tags: Optional[tuple[Tag, ...]] = None
    fragment: bool = False
    to_group: bool = False


class Progress:
    """A received packet on its way: ``protocol`` (skb->protocol, ``None`` where not known) and ``beside`` (the tag
    beside its bytes) as they are at the step that was told last. ``is_tagged``: it came with a tag, or may have.

    :param tpid: the Ethernet type of the tag beside the bytes of the record, where it has one and that is known.
    """

    def __init__(self, record: Array, tpid: Optional[int] = None) -> None:
        self._data = record["packet"].tobytes()[: int(record["captured"])]
        self.protocol: Optional[int] = int(record["protocol"]) or None
        has_header = int(record["arphrd"]) in WITH_ETHERNET_HEADER
        self._next: int = 14 if has_header else 0  # where what skb->protocol says begins
        is_beside = bool(record["flags"] & RECORD_VLAN)
        self.beside: Optional[Tag] = Tag(int(record["vlan_tci"]) & 0xFFF, tpid) if is_beside else None
        self._round, self._asked = 1, False
        self._untag()
        self.is_tagged = self.beside is not None or self.protocol is None  # as far as is known

    def step(self, number: int) -> None:
        """Go on to a step of this round (0: a late one, which changes nothing)."""
        if number > self._round:
            self._round, self._asked = number, False
            self._untag()

    def ask_vlan(self, is_taken: bool) -> Optional[Tag]:
        """Go on through ``vlan_do_receive``; return the tag that it is asked about. The second time in a round it is
        the one behind a tag with VLAN id 0."""
        if self._asked:
            self._put_aside()
        self._asked = True
        asked = self.beside
        if is_taken:
            self.beside = None
        return asked

    def deliver(self) -> Optional[int]:
        """Go on to delivery by protocol; return skb->protocol there."""
        while self.beside is not None and self.beside.id == 0 and self.protocol in VLAN_TYPES:
            self._put_aside()
        return self.protocol

    def _put_aside(self) -> None:
        self.beside = None
        self._untag()

    def _untag(self) -> None:
        if self.beside is not None or self.protocol not in VLAN_TYPES:
            return
        tag, at = self.protocol, self._next
        if len(self._data) < at + 4:
            self.protocol = None
            return
        self.beside = Tag(int.from_bytes(self._data[at : at + 2], "big") & 0xFFF, tag)
        self.protocol, self._next = _protocol(self._data, at + 2), at + 4


def _protocol(data: bytes, at: int) -> Optional[int]:
    """Return what ``vlan_set_encap_proto`` makes of the two bytes behind a tag."""
    value = int.from_bytes(data[at : at + 2], "big")
    if value >= _FIRST_TYPE:
        return value
    if len(data) < at + 4:
        return None
    return _RAW_802_3 if data[at + 2 : at + 4] == b"\xff\xff" else _LLC


def tags_of(record: Array, tpid: Optional[int] = None) -> Optional[tuple[Tag, ...]]:
    """Return the tags of a record's packet, outermost first; ``None`` where the captured bytes end in between."""
    way = Progress(record, tpid)
    found = []
    while way.beside is not None:
        found.append(way.beside)
        way._put_aside()
    return tuple(found) if way.protocol is not None else None


def is_fragment(record: Array) -> bool:
    """Is it a fragment of an IPv4 packet, to what looks at skb->protocol before any VLAN device took a tag? What is
    sent keeps its tags in its bytes."""
    way = Progress(record)
    if record["kind"] == RECORD_TX and record["protocol"] != _IPV4:
        return False
    at, data = way._next, way._data
    if way.protocol != _IPV4 or len(data) < at + 8:
        return False
    return bool(int.from_bytes(data[at + 6 : at + 8], "big") & 0x3FFF)  # IP_MF | IP_OFFSET
