# SPDX-License-Identifier: GPL-2.0-or-later
"""What to look at next where a packet ended: the sysctl, rule, option or command that decides such a thing.

Invariant: it says what the kernel asks there, never what the answer must have been.

Sources: the functions of the kernel that give these reasons (net/ipv4, net/ipv6, net/core); docs/receive-path.md.
"""

from __future__ import annotations

from typing import Optional

from ..model import Packet, Step

_BUFFER = (
    "the socket's receive buffer was full: `ss -m`, SO_RCVBUF, sysctl net.core.rmem_max; does its program keep up?"
)
_ASKED_OF_ND = "is the address in question one of {dev} (`ip -6 address`)?"
_ACCEPT = (
    "connections waited for accept(): `ss -ltn` (Recv-Q, Send-Q), listen()'s backlog, sysctl net.core.somaxconn; does "
    "its program keep up?"
)
_MEMORY = "the protocol's memory was used up: sysctl net.ipv4.udp_mem or tcp_mem, /proc/net/sockstat"
_CHECKSUM = "the checksum was wrong: the sender's offloads (`ethtool -k`), or what changed the packet on its way"
_SOURCE = "the packet's source address {src}: it is this host's own, or no host can have it"

#: By the kernel's reason for a drop; the words in braces are of the packet and the device.
_OF_REASON = {
    "NO_SOCKET": "no socket takes it: `ss -anp` for port {port}; is a program bound to this address, port and device?",
    "SOCKET_FILTER": "the socket's own filter (SO_ATTACH_FILTER, SO_ATTACH_BPF), or one of its control group",
    "SOCKET_RCVBUFF": _BUFFER,
    "SOCKET_BACKLOG": "the program held its socket for too long: SO_RCVBUF, sysctl net.ipv4.tcp_rmem",
    "TCP_LISTEN_OVERFLOW": _ACCEPT,
    "PROTO_MEM": _MEMORY,
    "UDP_CSUM": _CHECKSUM,
    "TCP_CSUM": _CHECKSUM,
    "ICMP_CSUM": _CHECKSUM,
    "IP_CSUM": _CHECKSUM,
    "IP_RPFILTER": "sysctl net.ipv4.conf.{dev}.rp_filter, and all.rp_filter: `ip route get {src}` says by which device "
    "the way back leads",
    "IP_LOCAL_SOURCE": f"{_SOURCE}; sysctl net.ipv4.conf.{{dev}}.accept_local",
    "IP_INVALID_SOURCE": _SOURCE,
    "IP_LOCALNET": "an address of 127.0.0.0/8 on a wire: sysctl net.ipv4.conf.{dev}.route_localnet",
    "IP_INVALID_DEST": "the packet's destination address {dst}: no host can have it",
    "IP_INADDRERRORS": "{dst} is not this host's: `ip address`, sysctl net.ipv4.conf.{dev}.forwarding",
    "IP_INNOROUTES": "no route to {dst}: `ip route get {dst} from {src} iif {dev}`",
    "UNICAST_IN_L2_MULTICAST": "sysctl net.ipv4.conf.{dev}.drop_unicast_in_l2_multicast",
    "IP_NOPROTO": "nobody on this host speaks that protocol of IP",
    "OTHERHOST": "the frame was for another MAC address: it is seen in promiscuous mode only",
    "UNHANDLED_PROTO": "nobody on this device asked for that Ethernet type, or VLAN: `ip -d link`",
    "SECURITY_HOOK": "a security module (SELinux, AppArmor, Smack) refused it: its log",
    "XFRM_POLICY": "IPsec's policies: `ip xfrm policy`, `ip xfrm state`",
    "IPV6_NDISC_NS_OTHERHOST": _ASKED_OF_ND,
    "IPV6DISABLED": "sysctl net.ipv6.conf.{dev}.disable_ipv6",
    "TC_INGRESS": "`tc filter show dev {dev} ingress`, and its actions",
    "XDP": "`ip link show {dev}`, `bpftool net`: the XDP program",
    "NEIGH_FAILED": "`ip neighbour`: the next hop did not answer",
    "NEIGH_DEAD": "`ip neighbour`: the next hop is no longer known",
    "PKT_TOO_BIG": "the MTU of the next device",
    "CPU_BACKLOG": "sysctl net.core.netdev_max_backlog; /proc/net/softnet_stat",
    "FULL_RING": "the reader of the ring was too slow",
    "TCP_MD5NOTFOUND": "TCP's MD5 signatures: the peer sent none",
    "TCP_MD5UNEXPECTED": "TCP's MD5 signatures: none was expected",
    "TCP_MD5FAILURE": "TCP's MD5 signatures: it was wrong",
}
UNANSWERED_ARP = (
    "is {dst} an address of {dev} (`ip address`)? sysctl net.ipv4.conf.{dev}.arp_ignore, arp_filter and rp_filter, and "
    "those of all"
)
FORWARDED = "`ip neigh show dev {next_dev}`, `tc -s qdisc show dev {next_dev}`"
ROUTED = "IP neither gave it to this host nor forwarded or dropped it: `ip route get {dst} from {src} iif {dev}`"
UNANSWERED_ND = _ASKED_OF_ND


def after_drop(step: Step, packet: Packet) -> str:
    """Return what to look at where the kernel dropped a packet; "" where its reason names nothing."""
    if step.netfilter:
        return netfilter(step.netfilter)
    if step.tc:
        return f"`tc -s filter show dev {step.dev} ingress`"
    if step.outcome == "full" and step.state == "LISTEN":
        return _ACCEPT
    return said(_OF_REASON.get(step.reason or ""), step, packet)


def netfilter(words: str) -> str:
    """Return how to list the rules of a chain as a drop names it: "ip filter c_forward (hook forward)"."""
    family, _, rest = words.partition(" ")
    names = rest.partition(" (")[0].split()
    if len(names) != 2:
        return "`nft list ruleset`, `iptables-save`"
    if family.endswith("tables"):
        return f"`{family} -t {names[0]} -L {names[1]}{' -nv' if family != 'ebtables' else ''}`"
    return f"`nft list chain {family} {names[0]} {names[1]}`"


def said(template: Optional[str], step: Step, packet: Packet) -> str:
    """Return a template with the words of a packet and of the device of a step; "" of none."""
    if not template:
        return ""
    port = port_of(packet)
    if "{port}" in template and not port:
        return ""
    words = {"src": packet.src or "?", "dst": packet.dst or "?", "port": port[1] if port else "?"}
    if "{next_dev}" in template and not step.next_dev:
        return ""
    return template.format(dev=step.dev, next_dev=step.next_dev, **words)


def port_of(packet: Packet) -> Optional[tuple[str, int]]:
    """Return the protocol and the port to which a packet was sent; ``None`` of one without. Of a tunnel's over UDP they
    are those of the tunnel."""
    if packet.ports is not None:
        return packet.protocol, packet.ports[1]
    return port_of(packet.inner) if packet.inner is not None else None
