# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds out over which devices a tunnel runs: its underlay.

By the device that it is bound to; without one by the routes to its other ends, and by the devices that have its own
address. All as they are now: routes and peers change without the tunnel's knowledge, so it is asked again and again.

Not known are the ends of a tunnel to which each packet brings them (Open vSwitch, Cilium: "external"), of a WireGuard
device whose peers have not been heard of, and of kinds that keep theirs elsewhere (GTP, L2TP, PPP, OpenVPN).

Invariant: a device is named only where the kernel said so; what could not be read is left as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Optional

from ...model import Device
from ...net.topology import Key, is_tunnel, key_of
from . import endpoints, netlink
from .devices import IFINFOMSG, IFLA_INFO_DATA, IFLA_LINKINFO
from .endpoints import WIREGUARD, XFRM, Endpoints
from .namespaces import Namespace, open_netlink, run_in
from .routes import LOOPBACK, Routes

MOST_REMOTES = 64
"""Of a tunnel with more other ends only so many routes are asked for."""


def with_underlays(devices: Iterable[Device], namespaces: Iterable[Namespace]) -> list[Device]:
    """Return the devices, the tunnels among them with their ``underlay`` as it is now."""
    there = list(devices)
    found = underlays(there, namespaces)
    return [replace(one, underlay=found[key_of(one)]) if key_of(one) in found else one for one in there]


def underlays(devices: Iterable[Device], namespaces: Iterable[Namespace]) -> dict[Key, tuple[Key, ...]]:
    """Return the underlay of each tunnel among the devices, by the tunnel; without those that could not be asked.

    :param namespaces: those of the host, in which a tunnel's other devices may be.
    """
    tunnels = [device for device in devices if is_tunnel(device)]
    found: dict[Key, tuple[Key, ...]] = {}
    if tunnels:
        with _Host({one.inode: one for one in namespaces}) as host:
            for tunnel in tunnels:
                with suppress(OSError):  # it, or its namespace, has gone, or may not be looked at
                    found[key_of(tunnel)] = tuple(sorted(set(host.underlay(tunnel)) - {key_of(tunnel)}))
    return found


class _Host:
    """The namespaces of the host, each with connections that are opened where they are first used."""

    def __init__(self, namespaces: Mapping[int, Namespace]) -> None:
        self._namespaces = namespaces
        self._stack = ExitStack()
        self._routes: dict[int, Routes] = {}
        self._ports: dict[int, set[int]] = {}
        self._associations: dict[int, dict[int, set[bytes]]] = {}

    def __enter__(self) -> _Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def underlay(self, tunnel: Device) -> Iterator[Key]:
        """Yield the devices over which a tunnel runs. Raises ``OSError`` where something cannot be read."""
        outer = tunnel.netns if tunnel.link_netnsid is None else tunnel.link_netns
        data = self._data(tunnel)
        ends = endpoints.of_link(tunnel.kind, data)
        if tunnel.kind == WIREGUARD:
            ends, outer = self._wireguard(tunnel)
        if outer is None or outer not in self._namespaces:
            return
        if ends.link is not None and ends.link != LOOPBACK:
            yield outer, ends.link
            return
        if tunnel.kind == "vxlan":
            ends = ends._replace(remotes=(*ends.remotes, *self._at(tunnel.netns).forwarded_to(tunnel.ifindex)))
        elif tunnel.kind == XFRM:
            ends = self._xfrm(outer, endpoints.if_id_of(data))
        yield from ((outer, ifindex) for ifindex in self._by_addresses(outer, ends))

    def _data(self, tunnel: Device) -> dict[int, bytes]:
        payload = self._at(tunnel.netns).link(tunnel.ifindex)
        info = netlink.attributes(payload, IFINFOMSG.size).get(IFLA_LINKINFO, b"")
        return netlink.attributes(netlink.attributes(info).get(IFLA_INFO_DATA, b""))

    def _by_addresses(self, netns: int, ends: Endpoints) -> set[int]:
        """Return the devices to the other ends, and those that have the tunnel's own address; not the loopback device,
        whose address leads nowhere, unless a route leads there."""
        routes = self._at(netns)
        source = ends.local[0] if len(ends.local) == 1 else None
        found: set[int] = set()
        for remote in list(dict.fromkeys(ends.remotes))[:MOST_REMOTES]:
            found |= routes.devices_to(remote, source if source and len(source) == len(remote) else None, ends.mark)
        for address in ends.local:
            found |= routes.devices_with(address) - {LOOPBACK}
        return found

    def _wireguard(self, tunnel: Device) -> tuple[Endpoints, Optional[int]]:
        """Return the ends of a WireGuard device, and the namespace of its socket: that in which the device was created,
        which the kernel does not tell. So it is looked for by the socket's port, first where the device is."""
        with self._open(tunnel.netns, netlink.NETLINK_GENERIC) as connection:
            said = endpoints.read_wireguard(connection, tunnel.name)
        order = dict.fromkeys((tunnel.netns, *self._namespaces))
        with_port = (netns for netns in order if said.port in self._ports_of(netns))
        return said.ends, next(with_port, None) if tunnel.up else tunnel.netns

    def _ports_of(self, netns: int) -> set[int]:
        if netns not in self._ports:
            with suppress(OSError):
                self._ports[netns] = run_in(self._namespaces[netns].path, _udp_ports)
        return self._ports.setdefault(netns, set())

    def _xfrm(self, netns: int, if_id: int) -> Endpoints:
        """Return the ends of an xfrm interface, from the security associations of its namespace."""
        if netns not in self._associations:
            with self._open(netns, netlink.NETLINK_XFRM) as connection:
                self._associations[netns] = endpoints.read_associations(connection)
        addresses = sorted(self._associations[netns].get(if_id, ()))
        own = [one for one in addresses if self._at(netns).devices_with(one)]
        return Endpoints(None, tuple(own), tuple(one for one in addresses if one not in own))

    def _at(self, netns: int) -> Routes:
        if netns not in self._routes:
            self._routes[netns] = self._stack.enter_context(Routes(self._path(netns)))
        return self._routes[netns]

    def _open(self, netns: int, protocol: int) -> netlink.Netlink:
        return open_netlink(self._path(netns), protocol)

    def _path(self, netns: int) -> str:
        if netns not in self._namespaces:
            raise FileNotFoundError(f"network namespace net:[{netns}]")
        return self._namespaces[netns].path


def _udp_ports() -> set[int]:
    """Return the local UDP ports of the calling thread's namespace."""
    found: set[int] = set()
    for name in ("udp", "udp6"):
        with suppress(OSError), open(f"/proc/thread-self/net/{name}", encoding="ascii") as table:
            found |= endpoints.parse_ports(table.read())
    return found
