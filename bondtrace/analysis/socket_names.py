# SPDX-License-Identifier: GPL-2.0-or-later
"""The short name of a socket for people: "dnsmasq's UDP socket 10.9.0.1:53", "sshd's TCP socket *:22".

Invariant: a name is one printable line, whatever bytes a process put into its name.
"""

from __future__ import annotations

from typing import Optional

from ..model import Socket, Step
from .scene import Scene
from .tap_names import process_label

PROTOCOLS = {
    1: "ICMP",
    2: "IGMP",
    4: "IPIP",
    6: "TCP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
    136: "UDP-Lite",
}
_SOCK_RAW, _AF_XDP = 3, 44
# Sockets of TCP that no process holds, by their state.
_OF_NOBODY = {
    "TIME_WAIT": "a connection that is over (TIME_WAIT)",
    "ESTABLISHED": "a connection that was not yet accepted, or is closed",
    "SYN_RECV": "a connection that is being made",
}


def protocol_name(number: int) -> str:
    """Return the name of a protocol over IP."""
    return PROTOCOLS.get(number, f"protocol {number}")


def label(socket: Socket, scene: Scene, time_ns: int) -> str:
    """Return the name of a socket: who holds it, its protocol, where it is bound."""
    processes = sorted(socket.processes, key=lambda one: (one.pid == 1, one.pid))
    whose = f"{process_label(processes[0])}'s " if processes else ""
    if socket.family == _AF_XDP:
        return f"{whose}AF_XDP socket"
    raw = "raw " if socket.type == _SOCK_RAW else ""
    return f"{whose}{raw}{protocol_name(socket.protocol)} socket {_where(socket, scene, time_ns)}"


def _where(socket: Socket, scene: Scene, time_ns: int) -> str:
    """Return the address and the device as ss writes them: "10.9.0.1%bond0:53"."""
    device = f"%{scene.device_name(socket.netns, socket.ifindex, time_ns)}" if socket.ifindex else ""
    address = f"[{socket.address}]" if ":" in socket.address else socket.address or "*"
    port = "" if socket.type == _SOCK_RAW else f":{socket.port or '*'}"
    return f"{address}{device}{port}"


def name(inode: int, state: Optional[str], scene: Scene, time_ns: int) -> str:
    """Return what people call the socket with this inode, always with the inode; of one without (0) what it is by its
    state of TCP."""
    if not inode:
        return _OF_NOBODY.get(state or "", f"a socket that no process holds{f' ({state})' if state else ''}")
    socket = scene.sockets.at(inode, time_ns)
    return f"{label(socket, scene, time_ns)} [{inode}]" if socket else f"socket [{inode}] (known only by its inode)"


def of_step(step: Step, scene: Scene, begin_ns: int) -> str:
    """Return what people call the socket that a step gave the packet to, as it was then.

    :param begin_ns: when the journey began.
    """
    return name(step.socket or 0, step.state, scene, begin_ns + step.t_ns)
