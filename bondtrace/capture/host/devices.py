# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the network devices of this host, and watches them as they change.

Invariant: a ``Device`` is what the kernel said in one message (never pieced together), and a lost notification is
reported. Source: rtnetlink, ``RTM_GETLINK`` and the group ``RTMGRP_LINK``; layouts of
``include/uapi/linux/if_link.h`` and ``rtnetlink.h``.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from ...errors import UsageError
from ...model import Device
from ...net.arphrd import ARPHRD_ETHER, ARPHRD_LOOPBACK
from ...net.topology import is_stacked, is_tunnel
from . import netlink
from .namespaces import Namespace, open_netlink, told

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWNSID = 88
RTM_GETNSID = 90
RTMGRP_LINK = 1

IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_LINK = 5
IFLA_QDISC = 6
IFLA_MASTER = 10
IFLA_WIRELESS = 11
IFLA_LINKINFO = 18
IFLA_EXT_MASK = 29
IFLA_PROMISCUITY = 30
IFLA_LINK_NETNSID = 37
IFLA_NEW_NETNSID = 45
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_KIND = 4
IFLA_INFO_SLAVE_DATA = 5
IFLA_BOND_MODE = 1
IFLA_BOND_ACTIVE_SLAVE = 2
IFLA_BOND_ARP_INTERVAL = 7
IFLA_BOND_ARP_VALIDATE = 9
IFLA_BOND_PRIMARY = 11
IFLA_BOND_PRIMARY_RESELECT = 12
IFLA_BOND_RESEND_IGMP = 15
IFLA_BOND_ALL_SLAVES_ACTIVE = 17
IFLA_BOND_AD_INFO = 23
IFLA_BOND_AD_INFO_PARTNER_MAC = 5
IFLA_BOND_AD_LACP_ACTIVE = 29
IFLA_BOND_SLAVE_STATE = 1
IFLA_BOND_SLAVE_MII_STATUS = 2
IFLA_BOND_SLAVE_AD_AGGREGATOR_ID = 6
IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE = 7
IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE = 8
IFLA_VLAN_ID = 1
IFLA_VLAN_PROTOCOL = 5
RTEXT_FILTER_SKIP_STATS = 1 << 3
NETNSA_NSID = 1
NETNSA_FD = 3

AF_UNSPEC = 0
IFF_UP = 1

BOND_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
SLAVE_STATES = ("active", "backup")
ARP_VALIDATES = ("none", "active", "backup", "all", "filter", "filter_active", "filter_backup")
PRIMARY_RESELECTS = ("always", "better", "failure")
MII_STATUSES = ("up", "going down", "down", "going back")

IFINFOMSG = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change


def parse_device(netns: int, payload: bytes) -> Optional[Device]:
    """Return the device that an RTM_NEWLINK or RTM_DELLINK of namespace ``netns`` describes.

    ``payload`` is the message from ``struct ifinfomsg`` on. ``None`` for messages that share the
    type but do not describe a device: a bridge's message about a port (AF_BRIDGE), a wireless event.
    """
    if len(payload) < IFINFOMSG.size:
        return None
    family, arphrd, ifindex, flags, _ = IFINFOMSG.unpack_from(payload)
    attributes = netlink.attributes(payload, IFINFOMSG.size)
    name = netlink.text(attributes.get(IFLA_IFNAME))
    if family != AF_UNSPEC or name is None or IFLA_WIRELESS in attributes:
        return None
    device = Device(
        netns,
        ifindex,
        name,
        kind=_plain_kind(arphrd),
        arphrd=arphrd,
        master=netlink.number(attributes.get(IFLA_MASTER)) or None,
        link=netlink.number(attributes.get(IFLA_LINK)) or None,
        link_netnsid=netlink.number(attributes.get(IFLA_LINK_NETNSID), signed=True),
        up=bool(flags & IFF_UP),
        address=attributes.get(IFLA_ADDRESS, b"").hex(":") if IFLA_ADDRESS in attributes else "",
        mtu=netlink.number(attributes.get(IFLA_MTU)) or 0,
        promiscuity=netlink.number(attributes.get(IFLA_PROMISCUITY)) or 0,
        qdisc=netlink.text(attributes.get(IFLA_QDISC)),
    )
    return _with_info(device, netlink.attributes(attributes.get(IFLA_LINKINFO, b"")))


def _plain_kind(arphrd: int) -> str:
    return {ARPHRD_ETHER: "ether", ARPHRD_LOOPBACK: "loopback"}.get(arphrd, f"arphrd-{arphrd}")


def _with_info(device: Device, info: Mapping[int, bytes]) -> Device:
    """Return ``device`` with what IFLA_LINKINFO says about its kind and its state as a slave."""
    kind = netlink.text(info.get(IFLA_INFO_KIND))
    data = netlink.attributes(info.get(IFLA_INFO_DATA, b""))
    if kind:
        device = replace(device, kind=kind)
    if kind == "bond":
        device = _with_bond(device, data)
    elif kind == "vlan":
        device = replace(
            device,
            vlan_id=netlink.number(data.get(IFLA_VLAN_ID)),
            vlan_protocol=int.from_bytes(data[IFLA_VLAN_PROTOCOL], "big") if IFLA_VLAN_PROTOCOL in data else None,
        )
    if netlink.text(info.get(IFLA_INFO_SLAVE_KIND)) == "bond":
        device = _with_slave(device, netlink.attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")))
    return device


def _with_bond(device: Device, data: Mapping[int, bytes]) -> Device:
    """Return ``device`` with the options and the state of a bond. Source: bond_fill_info."""
    partner = netlink.attributes(data.get(IFLA_BOND_AD_INFO, b"")).get(IFLA_BOND_AD_INFO_PARTNER_MAC)
    return replace(
        device,
        bond_mode=_name(BOND_MODES, data.get(IFLA_BOND_MODE), "mode"),
        active_slave=netlink.number(data.get(IFLA_BOND_ACTIVE_SLAVE)) or None,
        arp_interval_ms=netlink.number(data.get(IFLA_BOND_ARP_INTERVAL)),
        all_slaves_active=_flag(data.get(IFLA_BOND_ALL_SLAVES_ACTIVE)),
        primary=netlink.number(data.get(IFLA_BOND_PRIMARY)) or None,
        primary_reselect=_name(PRIMARY_RESELECTS, data.get(IFLA_BOND_PRIMARY_RESELECT), "policy"),
        resend_igmp=netlink.number(data.get(IFLA_BOND_RESEND_IGMP)),
        arp_validate=_name(ARP_VALIDATES, data.get(IFLA_BOND_ARP_VALIDATE), "policy"),
        lacp_active=_flag(data.get(IFLA_BOND_AD_LACP_ACTIVE)),
        ad_partner=None if partner is None else partner.hex(":"),
    )


def _with_slave(device: Device, data: Mapping[int, bytes]) -> Device:
    """Return ``device`` with its state as a slave of a bond. Source: bond_fill_slave_info."""
    return replace(
        device,
        slave_state=_name(SLAVE_STATES, data.get(IFLA_BOND_SLAVE_STATE), "state"),
        mii_status=_name(MII_STATUSES, data.get(IFLA_BOND_SLAVE_MII_STATUS), "status"),
        ad_aggregator=netlink.number(data.get(IFLA_BOND_SLAVE_AD_AGGREGATOR_ID)),
        ad_actor_state=netlink.number(data.get(IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE)),
        ad_partner_state=netlink.number(data.get(IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE)),
    )


def _flag(value: Optional[bytes]) -> Optional[bool]:
    found = netlink.number(value)
    return None if found is None else bool(found)


def _name(names: Sequence[str], value: Optional[bytes], what: str) -> Optional[str]:
    position = netlink.number(value)
    if position is None:
        return None
    return names[position] if position < len(names) else f"{what}-{position}"


def read_devices(
    namespaces: Iterable[Namespace], problems: Optional[list[str]] = None, others: Optional[Sequence[Namespace]] = None
) -> list[Device]:
    """Return every device of ``namespaces``, by namespace in the given order, then by ifindex.

    For a namespace that cannot be read a sentence is appended to ``problems`` (without that list ``BondtraceError``
    is raised); one that vanished is left out.

    :param others: the namespaces in which the devices below them are looked for; the same where not given.
    """
    wanted = list(namespaces)
    devices: list[Device] = []
    for namespace in wanted:
        with told(namespace, "devices", problems):
            devices += _devices_of(namespace, wanted if others is None else others)
    return devices


def _devices_of(namespace: Namespace, others: Sequence[Namespace]) -> list[Device]:
    request = IFINFOMSG.pack(AF_UNSPEC, 0, 0, 0, 0)
    request += netlink.attribute(IFLA_EXT_MASK, struct.pack("=I", RTEXT_FILTER_SKIP_STATS))
    with open_netlink(namespace.path, netlink.NETLINK_ROUTE) as connection:
        found = {}
        for message in connection.dump(RTM_GETLINK, request):
            device = parse_device(namespace.inode, message.payload)
            if message.type == RTM_NEWLINK and device is not None:
                found[device.ifindex] = device
        devices = [found[ifindex] for ifindex in sorted(found)]
        return _with_link_netns(connection, devices, others)


def _with_link_netns(connection: netlink.Netlink, devices: list[Device], others: Sequence[Namespace]) -> list[Device]:
    """Return the devices with ``link_netns`` of those that are stacked on a device in another namespace, and of tunnels
    whose outer packets are in another.

    Only for these kinds: it costs a request for each namespace, and every container's veth would need it.
    """
    if not any(is_linked_abroad(device) for device in devices):
        return devices
    inodes = _nsids(connection, others)
    return [
        replace(device, link_netns=inodes.get(device.link_netnsid or 0)) if is_linked_abroad(device) else device
        for device in devices
    ]


def is_linked_abroad(device: Device) -> bool:
    """Is it a stacked device or a tunnel of which another namespace has what it is stacked on, or runs over?"""
    return device.link_netnsid is not None and (is_stacked(device) or is_tunnel(device))


def _nsids(connection: netlink.Netlink, others: Sequence[Namespace]) -> dict[int, int]:
    """Return the inodes of ``others`` by the id that the connection's namespace has given them."""
    inodes = {}
    for other in others:
        try:
            nsid = _nsid(connection, other.path)
        except OSError:
            continue
        if nsid is not None and nsid >= 0:
            inodes[nsid] = other.inode
    return inodes


def _nsid(connection: netlink.Netlink, path: str) -> Optional[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        rtgenmsg = b"\0" * 4
        request = rtgenmsg + netlink.attribute(NETNSA_FD, struct.pack("=I", descriptor))
        answer = connection.request(RTM_GETNSID, request)
    finally:
        os.close(descriptor)
    return netlink.number(netlink.attributes(answer.payload, 4).get(NETNSA_NSID), signed=True)


class Change(NamedTuple):
    """What a monitor saw: "add" (new or changed), "remove" (gone from the namespace), "elsewhere" (``device`` came,
    changed or went in another namespace; its ``netns`` is that of who heard of it) or "reread" (notifications were
    lost: read all devices of namespace ``netns`` again; ``device`` is ``None``)."""

    what: str
    device: Optional[Device]
    netns: int = 0


class LinkMonitor:
    """A subscription to the changes of the devices of one namespace.

    When a slave turns from active to backup, that is "add" of the slave; a failover is also "add" of the
    bond. It keeps its namespace alive until it is closed. Open it before ``read_devices``, so that
    no change falls between the two. Raises ``OSError`` as ``open_netlink`` does.
    """

    elsewhere = False

    def __init__(self, namespace: Namespace) -> None:
        self._netns = namespace.inode
        self._netlink = open_netlink(namespace.path, netlink.NETLINK_ROUTE, RTMGRP_LINK, self.elsewhere)

    def __enter__(self) -> LinkMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription; harmless when it has already ended."""
        self._netlink.close()

    def fileno(self) -> int:
        """Return the file descriptor, readable when there is something to ``read``."""
        return self._netlink.fileno()

    def read(self) -> list[Change]:
        """Return the changes since the last call, in order, without waiting; empty when none."""
        changes: list[Change] = []
        while True:
            try:
                data, is_of_other = self._netlink.receive_from(wait=False)
            except BlockingIOError:
                return changes
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.EMSGSIZE):
                    raise
                changes.append(Change("reread", None, self._netns))
            else:
                changes += self._parsed(data, is_of_other)

    def _parsed(self, data: bytes, is_of_other: bool) -> list[Change]:
        return parse_changes(self._netns, data)


class ElsewhereMonitor(LinkMonitor):
    """A subscription to the changes of the devices of other namespaces ("elsewhere"): of those that this one has an id
    for, as it has for one to which a device of its own was moved, and where CAP_NET_BROADCAST permits. What it
    hears is a reason to look, and not all that happens. (It is a socket of its own: where a namespace has an id for
    itself, what happens in it looks as if it were elsewhere.)
    """

    elsewhere = True

    def _parsed(self, data: bytes, is_of_other: bool) -> list[Change]:
        changes = parse_changes(self._netns, data) if is_of_other else []
        return [one._replace(what="elsewhere") for one in changes]


def parse_changes(netns: int, data: bytes) -> list[Change]:
    """Return the changes in one datagram of the group RTMGRP_LINK of namespace ``netns``: a device that was moved to
    another is removed, and then added elsewhere."""
    changes = []
    words = {RTM_NEWLINK: "add", RTM_DELLINK: "remove"}
    for message in netlink.messages(data):
        device = parse_device(netns, message.payload) if message.type in words else None
        if device is None:
            continue
        changes.append(Change(words[message.type], device))
        if IFLA_NEW_NETNSID in netlink.attributes(message.payload, IFINFOMSG.size):
            changes.append(Change("elsewhere", device))
    return changes


def require_names(devices: Iterable[Device], names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a name that none of the devices has."""
    there = list(dict.fromkeys(device.name for device in devices))
    for name in names:
        if name not in there:
            raise UsageError(
                f"no device named {name!r} in this network namespace "
                f"(there are: {', '.join(there) or 'none'}; `ip link` lists them)"
            )
