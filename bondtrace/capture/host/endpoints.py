# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the ends of tunnels: the device that one is bound to, its own addresses and those of the other ends.

Of most kinds they are in the device's own rtnetlink message; WireGuard's peers come by generic netlink, the ends of an
xfrm interface from the security associations with its if_id. These two answers hold keys: nothing of them is kept.

Source: ``fill_info`` of the drivers; ``include/uapi/linux/if_link.h``, ``if_tunnel.h``, ``wireguard.h``, ``xfrm.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from . import netlink
from .addresses import size_of

WIREGUARD, XFRM = "wireguard", "xfrm"

GENL_ID_CTRL = 16
CTRL_CMD_GETFAMILY = 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
WG_CMD_GET_DEVICE = 0
WGDEVICE_A_IFNAME, WGDEVICE_A_LISTEN_PORT, WGDEVICE_A_FWMARK, WGDEVICE_A_PEERS = 2, 6, 7, 8
WGPEER_A_ENDPOINT = 4
XFRM_MSG_GETSA = 18
XFRMA_IF_ID = 31
IFLA_XFRM_IF_ID = 2

_GENLMSGHDR = struct.Struct("=BBH")
_SA_BYTES = 224  # struct xfrm_usersa_info
_SA_DADDR, _SA_SADDR, _SA_FAMILY = 56, 80, 212
_SOCKADDR_AT = {socket.AF_INET: 4, socket.AF_INET6: 8}  # of sockaddr_in, sockaddr_in6: the address


class Endpoints(NamedTuple):
    """The ends of a tunnel, as far as it says: ``link`` is the ifindex of the device that it is bound to; addresses
    are of 4 or 16 bytes; ``mark`` is the fwmark of the outer packets."""

    link: Optional[int] = None
    local: tuple[bytes, ...] = ()
    remotes: tuple[bytes, ...] = ()
    mark: int = 0


class _Places(NamedTuple):
    """The attributes of IFLA_INFO_DATA in which a kind has its ends; 0: none."""

    link: int = 0
    local: tuple[int, ...] = ()
    remote: tuple[int, ...] = ()
    mark: int = 0


_GRE = _Places(1, (6,), (7,), 20)
_IPTUN = _Places(1, (2,), (3,), 20)
_VTI = _Places(1, (4,), (5,), 6)
_PLACES = {
    "vxlan": _Places(3, (4, 17), (2, 16)),
    "geneve": _Places(0, (), (2, 7)),
    "amt": _Places(4, (5,), (6, 7)),
    XFRM: _Places(1),
    **dict.fromkeys(("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan"), _GRE),
    **dict.fromkeys(("ipip", "sit", "ip6tnl"), _IPTUN),
    **dict.fromkeys(("vti", "vti6"), _VTI),
}


def of_link(kind: str, data: Mapping[int, bytes]) -> Endpoints:
    """Return the ends that a device's own message has in the attributes of its IFLA_INFO_DATA. Its IFLA_LINK does not
    count: a tunnel that was moved to another namespace may have its own number there."""
    places = _PLACES.get(kind, _Places())
    return Endpoints(
        netlink.number(data.get(places.link)) or None,
        _addresses(data, places.local),
        _addresses(data, places.remote),
        netlink.number(data.get(places.mark)) or 0,
    )


def _addresses(data: Mapping[int, bytes], kinds: Iterable[int]) -> tuple[bytes, ...]:
    """Return the addresses among these attributes that are not "any"."""
    found = (data.get(kind, b"") for kind in kinds)
    return tuple(one for one in found if len(one) in (4, 16) and any(one))


# --- WireGuard -----------------------------------------------------------------------------------------


class WireGuard(NamedTuple):
    """What a WireGuard device says: its peers' addresses as they are now, and the UDP port of its socket."""

    ends: Endpoints
    port: int


def read_wireguard(connection: netlink.Netlink, name: str) -> WireGuard:
    """Return the ends of the WireGuard device of this name in the namespace of a NETLINK_GENERIC connection. Raises
    ``OSError`` where that is not permitted (CAP_NET_ADMIN)."""
    request = _GENLMSGHDR.pack(CTRL_CMD_GETFAMILY, 1, 0) + netlink.attribute(CTRL_ATTR_FAMILY_NAME, b"wireguard\0")
    family = connection.request(GENL_ID_CTRL, request)
    number = netlink.number(netlink.attributes(family.payload, _GENLMSGHDR.size).get(CTRL_ATTR_FAMILY_ID)) or 0
    encoded = name.encode("utf-8", "surrogateescape") + b"\0"
    request = _GENLMSGHDR.pack(WG_CMD_GET_DEVICE, 1, 0) + netlink.attribute(WGDEVICE_A_IFNAME, encoded)
    return parse_wireguard(one.payload for one in connection.dump(number, request))


def parse_wireguard(payloads: Iterable[bytes]) -> WireGuard:
    """Return the ends in the messages of one device: those with many peers come in several."""
    remotes: dict[bytes, None] = {}
    port = mark = 0
    for payload in payloads:
        attributes = netlink.attributes(payload, _GENLMSGHDR.size)
        port = netlink.number(attributes.get(WGDEVICE_A_LISTEN_PORT)) or port
        mark = netlink.number(attributes.get(WGDEVICE_A_FWMARK)) or mark
        for _, peer in netlink.attribute_list(attributes.get(WGDEVICE_A_PEERS, b"")):
            address = _of_sockaddr(netlink.attributes(peer).get(WGPEER_A_ENDPOINT, b""))
            if address:
                remotes[address] = None
    return WireGuard(Endpoints(None, (), tuple(remotes), mark), port)


def _of_sockaddr(value: bytes) -> bytes:
    """Return the address in a struct sockaddr_in or sockaddr_in6, as 4 or 16 bytes; empty without one."""
    family = netlink.number(value[:2]) or 0
    at = _SOCKADDR_AT.get(socket.AddressFamily(family), 0) if family in _SOCKADDR_AT else 0
    found = value[at : at + size_of(family)] if at else b""
    return found if any(found) else b""


def parse_ports(table: str) -> set[int]:
    """Return the local ports in the text of /proc/net/udp or udp6."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 1}


# --- xfrm ----------------------------------------------------------------------------------------------


def read_associations(connection: netlink.Netlink) -> dict[int, set[bytes]]:
    """Return the outer addresses of the security associations of a NETLINK_XFRM connection's namespace, both ends, by
    if_id. Raises ``OSError`` where that is not permitted (CAP_NET_ADMIN)."""
    return parse_associations(one.payload for one in connection.dump(XFRM_MSG_GETSA, b""))


def parse_associations(payloads: Iterable[bytes]) -> dict[int, set[bytes]]:
    """Return the same from XFRM_MSG_NEWSA messages."""
    found: dict[int, set[bytes]] = {}
    for payload in payloads:
        if_id = netlink.number(netlink.attributes(payload, _SA_BYTES).get(XFRMA_IF_ID))
        if not if_id or len(payload) < _SA_BYTES:
            continue
        family = netlink.number(payload[_SA_FAMILY : _SA_FAMILY + 2])
        size = 4 if family == socket.AF_INET else 16
        ends = (payload[at : at + size] for at in (_SA_DADDR, _SA_SADDR))
        found.setdefault(if_id, set()).update(one for one in ends if any(one))
    return found


def if_id_of(data: Mapping[int, bytes]) -> int:
    """Return the if_id in the IFLA_INFO_DATA of an xfrm interface; 0 without one."""
    return netlink.number(data.get(IFLA_XFRM_IF_ID)) or 0
