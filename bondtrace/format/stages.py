# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages: the things that a trace can observe, by the names that recordings and outputs give them.

``capture/kernel/plan.py`` chooses the probes of each; a recording's start event lists the stages, attached or not, and
``analysis/watched.py`` concludes from that list what is not known. Stages of rx_handlers and protocol handlers have the
name of the kernel's function.
"""

from __future__ import annotations

from collections.abc import Collection

RECEIVE, TRANSMIT = "receive", "transmit"
RING_TAPS, QUEUE_TAPS, SOCK_PACKET_TAPS = "ring taps", "queue taps", "SOCK_PACKET taps"
QUEUE_OUTCOMES, RING_REFUSALS, RING_MEMBERS = "queue outcomes", "ring refusals", "ring members"
FANOUT, VLAN, DROPS = "fanout groups", "VLAN", "drops"
TAP_HOOKS, JOINS, QUEUED = "tap hooks", "joins", "queued"
SOCKETS, TCP_SOCKETS, SOCKETS6, XDP_SOCKETS = "sockets", "TCP sockets", "IPv6 sockets", "AF_XDP sockets"

#: The stages that show what becomes of a packet beyond IP: only attached where that is asked for.
BEYOND_IP = (SOCKETS, TCP_SOCKETS, SOCKETS6, XDP_SOCKETS)

#: What decides on packets in netfilter: the kernel's functions, and the modules that they are in.
CHAINS = "nft_do_chain"
NETFILTER_FUNCTIONS = {
    CHAINS: "nf_tables",
    "ipt_do_table": "ip_tables",
    "ip6t_do_table": "ip6_tables",
    "ebt_do_table": "ebtables",
    "arpt_do_table": "arp_tables",
}

#: What asks a filter of tc about a packet: the kernel's functions, and the modules that they are in.
TC_FUNCTIONS = {
    "basic_classify": "cls_basic",
    "cls_bpf_classify": "cls_bpf",
    "cls_cgroup_classify": "cls_cgroup",
    "fl_classify": "cls_flower",
    "flow_classify": "cls_flow",
    "fw_classify": "cls_fw",
    "mall_classify": "cls_matchall",
    "route4_classify": "cls_route",
    "u32_classify": "cls_u32",
}

#: The stages that only say who decided on a drop, which is told without them, too.
WHO_DROPPED = (*NETFILTER_FUNCTIONS, *TC_FUNCTIONS)

#: The stages that see packets, by direction.
OF_DIRECTION = {"rx": RECEIVE, "tx": TRANSMIT}

#: Protocol handlers, by skb->protocol: one packet at a time, and a list of them.
PROTOCOL_HANDLERS = {0x0800: ("ip_rcv", "ip_list_rcv"), 0x86DD: ("ipv6_rcv", "ipv6_list_rcv"), 0x0806: ("arp_rcv",)}
PROTOCOL_FUNCTIONS = ("ip_rcv", "ipv6_rcv", "arp_rcv", "ip_list_rcv", "ipv6_list_rcv")


def of_directions(directions: Collection[str]) -> tuple[str, ...]:
    """Return the stages that see packets of these directions."""
    return tuple(OF_DIRECTION[one] for one in OF_DIRECTION if one in directions)


def essential(directions: Collection[str] = tuple(OF_DIRECTION)) -> tuple[str, ...]:
    """Return the stages that are all needed to answer the main question, which taps saw a packet."""
    return (*of_directions(directions), RING_TAPS, QUEUE_TAPS, QUEUE_OUTCOMES)


def phrase(tells: str, name: str, missing: str) -> str:
    """Return what a trace does not see without a stage: what the stage shows, its name, and why it is missing."""
    return f"{tells} ({name}: {missing})"
