# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks one network namespace by which devices packets to an address leave, and which device has an address.

Invariant: what the kernel does not answer (there is no route) is no device. Source: rtnetlink, ``RTM_GETROUTE``,
``RTM_GETADDR``, ``RTM_GETNEIGH``, ``RTM_GETLINK``; layouts of ``include/uapi/linux/rtnetlink.h``, ``if_addr.h`` and
``neighbour.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Optional

from . import netlink
from .addresses import FAMILIES
from .devices import IFINFOMSG, RTM_GETLINK
from .namespaces import open_netlink

LOOPBACK = 1
"""The ifindex of ``lo``, the same in every namespace."""

RTM_GETADDR = 22
RTM_GETROUTE = 26
RTM_GETNEIGH = 30
RTA_DST, RTA_SRC, RTA_OIF, RTA_MULTIPATH, RTA_MARK = 1, 2, 4, 9, 16
RTM_F_FIB_MATCH = 0x2000
RTN_UNICAST = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
NDA_DST = 1

_RTMSG = struct.Struct("=BBBBBBBBI")
_TYPE_AT = 7  # of struct rtmsg: rtm_type
_RTNEXTHOP = struct.Struct("=HBBi")
_IFADDRMSG = struct.Struct("=BBBBI")
_NDMSG_BYTES = 12


class Routes:
    """The routes, addresses and forwarding entries of the namespace at a path; a context manager.

    Raises ``OSError`` as ``open_netlink`` does.
    """

    def __init__(self, path: str) -> None:
        self._netlink = open_netlink(path, netlink.NETLINK_ROUTE)
        self._owners: Optional[dict[bytes, set[int]]] = None

    def __enter__(self) -> Routes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; harmless when it has already ended."""
        self._netlink.close()

    def devices_to(self, remote: bytes, source: Optional[bytes] = None, mark: int = 0) -> set[int]:
        """Return the ifindexes of the devices by which packets to ``remote`` (4 or 16 bytes) leave: several where the
        route has several next hops.

        :param source: the packets' own address, if it is known: rules may ask for it. One that is not of this
            namespace is left out.
        :param mark: their fwmark.
        """
        answer = self._route(remote, source, mark, 0) or (source and self._route(remote, None, mark, 0))
        if not answer:
            return set()
        found = devices_of_route(answer)
        entry = self._route(remote, source, mark, RTM_F_FIB_MATCH)
        if entry and len(devices_of_route(entry)) > 1 and answer[_TYPE_AT] == RTN_UNICAST:
            found |= devices_of_route(entry)
        return found

    def addresses(self) -> dict[bytes, set[int]]:
        """Return the ifindexes of the devices that have an address (4 or 16 bytes), by address."""
        if self._owners is None:
            answer = self._netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
            self._owners = owners_of(one.payload for one in answer)
        return self._owners

    def devices_with(self, address: bytes) -> set[int]:
        """Return the ifindexes of the devices that have this address (4 or 16 bytes)."""
        return self.addresses().get(address, set())

    def forwarded_to(self, ifindex: int) -> list[bytes]:
        """Return the addresses of the other ends in a VXLAN device's forwarding table, each once."""
        request = IFINFOMSG.pack(socket.AF_BRIDGE, 0, ifindex, 0, 0)
        answers = self._netlink.dump(RTM_GETNEIGH, request)
        found = (netlink.attributes(one.payload, _NDMSG_BYTES).get(NDA_DST) for one in answers)
        return list(dict.fromkeys(one for one in found if one is not None))

    def link(self, ifindex: int) -> bytes:
        """Return what RTM_GETLINK answers about one device, from ``struct ifinfomsg`` on."""
        return self._netlink.request(RTM_GETLINK, IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)).payload

    def _route(self, remote: bytes, source: Optional[bytes], mark: int, flags: int) -> Optional[bytes]:
        family, bits = FAMILIES[len(remote)], 8 * len(remote)
        request = _RTMSG.pack(family, bits, bits if source else 0, 0, 0, 0, 0, 0, flags)
        request += netlink.attribute(RTA_DST, remote)
        request += netlink.attribute(RTA_SRC, source) if source else b""
        request += netlink.attribute(RTA_MARK, struct.pack("=I", mark)) if mark else b""
        try:
            return self._netlink.request(RTM_GETROUTE, request).payload
        except OSError:
            return None


def devices_of_route(payload: bytes) -> set[int]:
    """Return the ifindexes in a route, from its ``struct rtmsg`` on: of its only next hop, or of all of them."""
    attributes = netlink.attributes(payload, _RTMSG.size)
    found = {netlink.number(attributes.get(RTA_OIF))}
    hops, at = attributes.get(RTA_MULTIPATH, b""), 0
    while at + _RTNEXTHOP.size <= len(hops):
        length, _, _, ifindex = _RTNEXTHOP.unpack_from(hops, at)
        found.add(ifindex)
        at += max(length, _RTNEXTHOP.size) + 3 & ~3
    return {one for one in found if one}


def owners_of(payloads: Iterable[bytes]) -> dict[bytes, set[int]]:
    """Return the ifindexes of the devices that have an address, by address, from RTM_NEWADDR messages."""
    owners: dict[bytes, set[int]] = {}
    for payload in payloads:
        attributes = netlink.attributes(payload, _IFADDRMSG.size)
        address = attributes.get(IFA_LOCAL, attributes.get(IFA_ADDRESS))  # of a pair IFA_ADDRESS is the other end
        if address is not None:
            owners.setdefault(address, set()).add(_IFADDRMSG.unpack_from(payload)[4])
    return owners
