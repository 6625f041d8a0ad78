# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of packets beyond IP: the steps by which they are given to protocols and sockets, and the outcomes.

The kernel side tells that a packet was given to a socket, and, of a drop, to which socket the dropped skb had been
given. So a socket refused a packet if it was dropped after it was given to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..format.stages import DROPS
from ..format.wire import (
    FUNC_SOCKET,
    FUNC_TCP_ADD_BACKLOG,
    FUNCTIONS,
    GIVEN_STATE_SHIFT,
    GIVEN_TO_FULL,
    GIVEN_TO_TUNNEL,
    STEP_DROP,
    STEPS_BEYOND_IP,
    Array,
)
from ..model import Packet, Step
from ..net.dissect.names import ip_protocol_name
from .scene import Scene

KINDS = dict(zip(STEPS_BEYOND_IP, ("local", "socket", "answered", "forwarded")))

#: The states of a socket of TCP, by their numbers (``include/net/tcp_states.h``).
TCP_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
}
# The kernel's reasons by what they mean for a socket; all others: refused.
_OUTCOMES = {
    "SOCKET_RCVBUFF": "full",
    "SOCKET_BACKLOG": "full",
    "PROTO_MEM": "full",
    "SOCKET_FILTER": "filtered",
    "UDP_CSUM": "checksum",
    "TCP_CSUM": "checksum",
    "ICMP_CSUM": "checksum",
    "SKB_CSUM": "checksum",
    "XFRM_POLICY": "policy",
}
_NUMBERS = {ip_protocol_name(number): number for number in range(256)}
#: The reasons for which one socket refuses a packet.
OF_SOCKETS = frozenset(_OUTCOMES)
#: What gives raw and ping sockets copies: that one is dropped says nothing of the packet.
OF_COPIES = frozenset(("raw_rcv", "rawv6_rcv", "ping_queue_rcv_skb"))
#: The functions of ICMP and ping sockets, which may also release so what was not lost.
OF_ICMP = frozenset(("icmp_rcv", "icmpv6_rcv", "ping_rcv"))


def state_of(raw: Array) -> Optional[str]:
    """Return the state in which a socket of TCP was when it was given the packet of this step; ``None`` of others."""
    function = FUNCTIONS.get(int(raw["func"]), "")
    return TCP_STATES.get(int(raw["result"]) >> GIVEN_STATE_SHIFT) if function.startswith("tcp") else None


def outcome_of(raw: Array, scene: Scene) -> str:
    """Return what became of the packet of a socket's step, as long as no drop says otherwise."""
    if raw["func"] == FUNC_TCP_ADD_BACKLOG:
        return "backlog"
    if FUNCTIONS.get(int(raw["func"]), "").startswith("tcp"):
        return "full" if int(raw["result"]) & GIVEN_TO_FULL else "taken"
    if int(raw["result"]) & GIVEN_TO_TUNNEL:
        return "tunnel"
    return "queued" if scene.attaches(DROPS) else "unknown"


def refusing_socket(raw: Array) -> Optional[int]:
    """Return the inode of the socket that a dropped packet had been given to; ``None`` where it was given to none."""
    is_refused = raw["kind"] == STEP_DROP and raw["func"] == FUNC_SOCKET
    return int(raw["orig_ifindex"]) if is_refused else None


def with_outcomes(steps: Sequence[Step]) -> list[Step]:
    """Return a pass's steps, those of sockets with what became of the packet in the end; without the drops of clones
    that were made for one socket, which its step tells of."""
    if not any(step.kind == "socket" for step in steps):
        return list(steps)
    result: list[Step] = []
    for step in steps:
        place = _given(result, step.socket) if step.kind == "drop" and step.socket is not None else None
        if place is None:
            result.append(step)
            continue
        given = result[place]
        if given.function == "tcp_timewait_state_process" and step.is_unexplained:
            continue  # tcp_v4_rcv releases so all that it gives to a connection that is over, whatever that makes of it
        result[place] = replace(given, outcome=_OUTCOMES.get(step.reason or "", "refused"), reason=step.reason)
        if not (step.clone and given.function in OF_COPIES):
            result.append(step)
    return result


def with_protocols(steps: Sequence[Step], packet: Packet) -> list[Step]:
    """Return a pass's steps; of IPv6, which looks for the protocol only in ``ip6_protocol_deliver_rcu`` and is called
    with 0, with the packet's."""
    if not any(step.kind == "local" and step.ip_protocol == 0 for step in steps):
        return list(steps)
    number = _NUMBERS.get(packet.protocol)
    return [
        replace(step, ip_protocol=number) if step.kind == "local" and not step.ip_protocol else step for step in steps
    ]


def _given(steps: Sequence[Step], inode: Optional[int]) -> Optional[int]:
    """Return the place of the last step by which the packet was given to this socket."""
    there = [place for place, step in enumerate(steps) if step.kind == "socket" and step.socket == inode]
    return there[-1] if there else None
