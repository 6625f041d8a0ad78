# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that everything else works with: devices, taps, packets, steps, passes, journeys.

They are plain and frozen, and independent of where they came from and how they are shown. The terms are the project's
own (docs/words.md): a *tap* is a packet socket, a *pass* one trip of one skb through the receive (rx) or transmit-tap
(tx) code on one CPU, a *round* one run from ``another_round:`` in ``__netif_receive_skb_core``, a *journey* all passes
of one packet.

Times are nanoseconds; ``*_ns`` of a step is since the beginning of its journey, ``time_ns`` is CLOCK_MONOTONIC unless
stated otherwise. A namespace is identified by its inode number (``netns``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

#: A tap's protocol: all of them.
ETH_P_ALL = 3
#: What can become of a packet that a tap was offered, as people read them; "ignored": not for this tap after all.
OUTCOMES = ("captured", "filtered", "full", "ignored", "unknown")
#: What can become of a packet that was given to a socket: it waits there to be read; TCP worked on it; it waits until
#: a process lets go of the socket; a tunnel's socket took it; there was no room; the socket's filter refused it; so did
#: the checksum, IPsec's policy, or the kernel for another or no reason; it is not known.
SOCKET_OUTCOMES = (
    *("queued", "taken", "backlog", "tunnel"),
    *("full", "filtered", "checksum", "policy", "refused", "unknown"),
)
#: How a packet's way can end: see ``End``.
ENDS = (
    *("socket", "refused", "dropped", "sent", "forwarded", "answered", "unanswered", "protocol", "consumed"),
    *("handed-on", "not-watched", "unknown"),
)


@dataclass(frozen=True)
class Device:
    """One network device as the kernel described it at one moment.

    ``kind`` is the rtnetlink kind ("bond", "bridge", "vlan", "veth", "team", "macvlan", ...), or "ether" / "loopback" /
    "arphrd-N" for a device without one. ``master`` is the ifindex of the bond, team or bridge to which it is enslaved;
    ``link`` the ifindex of the device on which it is stacked (VLAN, macvlan; for a veth its peer, which may be in
    ``link_netnsid``). ``link_netns`` is the inode of that other namespace where it was asked for and found (stacked
    devices and tunnels only). ``vlan_id`` and ``vlan_protocol`` (0x8100 or 0x88a8, host order) belong to a VLAN device.
    ``underlay`` has the devices over which a tunnel is known to run, each as (netns, ifindex): empty where that is not
    known, and for other kinds. ``qdisc`` is the kind of its root queueing discipline as of the last reading ("noqueue":
    what it sends never waits).

    Of a bond: ``bond_mode``; ``active_slave`` and ``primary`` (ifindex); ``arp_interval_ms`` (0: no ARP monitor);
    ``all_slaves_active``: its inactive slaves hand up what they receive, too; ``primary_reselect``: when the primary
    takes over again ("always", "better", "failure"); ``resend_igmp``: membership reports after a failover;
    ``arp_validate``: which slaves' ARP the monitor checks ("none", "active", "backup", "all", "filter",
    "filter_active", "filter_backup"); ``lacp_active``: it sends LACPDUs unasked; ``ad_partner``: the MAC of the system
    at the other end (zeros: none has answered), only in mode 802.3ad while an aggregator is active.

    Of a slave of a bond: ``slave_state`` ("active" or "backup"); ``mii_status``: the link as the bond sees it ("up",
    "going down", "down", "going back"); in mode 802.3ad ``ad_aggregator`` (id of its aggregator), ``ad_actor_state``
    and ``ad_partner_state`` (the octets of LACP: IEEE 802.1AX). The kernel notifies of a change of ``slave_state`` and
    ``mii_status``, and not of one of the last three or of ``ad_partner``: these are as of the last reading.
    """

    netns: int
    ifindex: int
    name: str
    kind: str
    arphrd: int = 1
    master: Optional[int] = None
    link: Optional[int] = None
    link_netnsid: Optional[int] = None
    up: bool = False
    address: str = ""
    mtu: int = 0
    promiscuity: int = 0
    slave_state: Optional[str] = None
    bond_mode: Optional[str] = None
    active_slave: Optional[int] = None
    vlan_id: Optional[int] = None
    link_netns: Optional[int] = None
    arp_interval_ms: Optional[int] = None
    vlan_protocol: Optional[int] = None
    all_slaves_active: Optional[bool] = None
    primary: Optional[int] = None
    primary_reselect: Optional[str] = None
    resend_igmp: Optional[int] = None
    arp_validate: Optional[str] = None
    lacp_active: Optional[bool] = None
    ad_partner: Optional[str] = None
    mii_status: Optional[str] = None
    ad_aggregator: Optional[int] = None
    ad_actor_state: Optional[int] = None
    ad_partner_state: Optional[int] = None
    underlay: tuple[tuple[int, int], ...] = ()
    qdisc: Optional[str] = None


@dataclass(frozen=True)
class Process:
    """A process that holds a tap open. ``cmdline`` has its arguments joined by spaces."""

    pid: int
    comm: str
    cmdline: str


@dataclass(frozen=True)
class Tap:
    """One packet socket, identified by its inode.

    ``ifindex`` is the device to which it is bound: 0 any, -1 its device is gone. ``protocol`` is the Ethernet type it
    asked for in host order (3 = ETH_P_ALL, 0 = not hooked yet). ``kind`` is "raw", "cooked" or "packet" (SOCK_PACKET).
    ``buffer`` is "queue" or "ring". ``has_filter``: a classic socket filter that can refuse a packet (the kernel does
    not report an eBPF one). ``drops`` counts since the socket was opened. ``None`` means that the value could not be
    read.
    """

    inode: int
    netns: int
    ifindex: int
    protocol: int
    kind: str
    dev: str = ""
    uid: Optional[int] = None
    buffer: Optional[str] = None
    ring_version: Optional[int] = None
    ring_bytes: Optional[int] = None
    running: Optional[bool] = None
    fanout_id: Optional[int] = None
    fanout_type: Optional[int] = None
    has_filter: Optional[bool] = None
    promiscuous: Optional[bool] = None
    ignore_outgoing: Optional[bool] = None
    origdev: Optional[bool] = None
    drops: Optional[int] = None
    rmem_bytes: Optional[int] = None
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True)
class Socket:
    """One socket to which IP, or a protocol above it, gives packets, identified by its inode.

    ``family`` is AF_INET (2) or AF_INET6 (10), ``type`` SOCK_STREAM (1), SOCK_DGRAM (2) or SOCK_RAW (3), ``protocol``
    that of IP (6 TCP, 17 UDP, 1 ICMP; of a raw socket any). ``address`` and ``remote`` are "" where it is bound to, or
    connected with, none; a port is 0 likewise. ``ifindex`` is the device to which it is bound, 0 for none. It has no
    ``processes`` where it is the kernel's own (a tunnel's), or its owner ended before it was looked for.
    """

    inode: int
    netns: int
    family: int
    type: int
    protocol: int
    address: str = ""
    port: int = 0
    remote: str = ""
    remote_port: int = 0
    ifindex: int = 0
    uid: Optional[int] = None
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True)
class IpSettings:
    """What decides whether IP takes or answers packets on a device: its addresses, as text, and ``settings``, each as
    (name of the sysctl, its value for the device, that for "all")."""

    netns: int
    ifindex: int
    addresses: tuple[str, ...] = ()
    settings: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Tag:
    """A VLAN tag. ``tpid`` is its Ethernet type, ``None`` where it was not recorded. ``in_frame``: it lay in the
    frame's bytes; else beside them (``skb->vlan_tci``, where a device puts the outermost tag that it took out or is to
    put in)."""

    id: int
    tpid: Optional[int] = 0x8100
    in_frame: bool = False
    priority: int = 0
    drop_eligible: bool = False


@dataclass(frozen=True)
class Packet:
    """A packet as one line describes it. ``length`` is the frame's length in bytes on the wire; ``ethertype`` that of
    the payload (after VLAN tags); ``tags`` the VLAN tags, outermost first; ``ports`` (source, destination) of TCP, UDP
    and their like.

    ``segments`` is for how many packets on the wire it stands (GRO made it of them, or GSO is to make them of it): 0
    where they are several and nobody counted them; ``None`` for one that is one, or is not longer than 1,518 bytes.

    ``encapsulation`` names the tunnel that the packet is a packet of ("VXLAN vni 42", "ESP spi 0x00001234"; "" for
    none), ``inner`` describes what it carries as far as that was captured; ``None`` where nothing of it can be read
    (encrypted, cut off).

    ``info`` is for people. ``message`` is the kind of message by the protocol's own name ("echo request", "who-has")
    for ARP, RARP, ICMP, ICMPv6 and IGMP; "operation" for an ARP operation without a name; "fragment" for a fragment of
    any IP packet; "not decoded" where bondtrace does not know the link type; "" where there is none.
    """

    length: int
    ethertype: int
    protocol: str
    src: str
    dst: str
    info: str
    tags: tuple[Tag, ...] = ()
    truncated: bool = False
    message: str = ""
    ports: Optional[tuple[int, int]] = None
    encapsulation: str = ""
    inner: Optional[Packet] = None
    segments: Optional[int] = None

    @property
    def vlan(self) -> tuple[int, ...]:
        """The ids of the VLAN tags, outermost first."""
        return tuple(tag.id for tag in self.tags)


@dataclass(frozen=True)
class Step:
    """One thing that happened in a pass; fields that do not apply are ``None``.

    ``kind`` is "enter", "tap", "fanout", "rx_handler", "vlan", "protocol", "queued", "drop", "local" (IP gave it to
    ``ip_protocol``), "socket" (it was given to ``socket``), "answered" (this host answers the request in it) or
    "forwarded" (IP routed it to ``next_dev``).

    ``reason`` explains a verdict, says what was full ("ring" or "receive buffer"), or is the kernel's name for why it
    dropped the packet in ``function``, or why a socket refused it. ``next_dev`` is the device of the next round; of
    "queued" the one on which the packet is to be received later, by a pass of its own. ``clone``: it was not the pass's
    skb that was dropped but a clone of it. ``netfilter`` says of a drop by netfilter which chain decided, or at least
    at which hook ("ip filter c_forward (hook forward)", "hook input"); ``tc`` of a drop at tc ingress which filter did
    ("filter protocol ip pref 1 u32 chain 0, action gact").
    ``inferred`` is true where bondtrace concluded the round rather than saw it. ``netns`` is the namespace of ``dev``,
    ``next_netns`` that of ``next_dev``: not always the pass's own (a macvlan's).

    ``socket`` is the inode of the socket to which the packet was given, also of a drop by that socket; 0 where it is of
    no process: TCP's time-wait, a connection that is not yet accepted or was closed. ``state`` is the socket's state in
    TCP's words ("ESTABLISHED", "LISTEN"). ``harmless`` says of a drop by design why nobody loses anything by it.
    """

    t_ns: int
    kind: str
    round: int
    dev: str
    orig_dev: str
    ifindex: int
    orig_ifindex: int
    function: Optional[str] = None
    tap: Optional[int] = None
    outcome: Optional[str] = None
    verdict: Optional[str] = None
    next_dev: Optional[str] = None
    next_ifindex: Optional[int] = None
    reason: Optional[str] = None
    inferred: bool = False
    netns: int = 0
    next_netns: int = 0
    clone: bool = False
    netfilter: Optional[str] = None
    tc: Optional[str] = None
    socket: Optional[int] = None
    state: Optional[str] = None
    ip_protocol: Optional[int] = None
    harmless: Optional[str] = None

    @property
    def base_function(self) -> str:
        """The kernel's function without what a compiler appended (``.isra.0``); "" where there is none."""
        return (self.function or "").partition(".")[0]

    @property
    def is_unexplained(self) -> bool:
        """Does the kernel not say why it dropped it?"""
        return self.reason in (None, "NOT_SPECIFIED")


@dataclass(frozen=True)
class Pass:
    """One trip of one skb; ``steps_lost`` counts the steps that did not fit its record, ``sender`` is the inode of the
    packet socket that sent it, if one did. ``packet`` is the packet as it was when the pass began.

    ``parent`` is the place, among the journey's passes, of the one in which this one was nested or from which it
    branched off as a copy; passes that follow one another on a branch have the same. ``follows`` is the place of the
    one after which the packet went on here. Both are ``None`` for the first pass; ``parent`` also where there is no
    branch. ``received``: the packet had been received before the pass began. ``shown``: it was received and not sent,
    and was shown to a device's transmit taps (a VRF's). ``inferred``: that this pass belongs to the journey was
    concluded and is not proven.
    """

    direction: str
    cpu: int
    netns: int
    skb: int
    time_ns: int
    end_ns: int
    steps: tuple[Step, ...]
    packet: Packet
    steps_lost: int = 0
    sender: Optional[int] = None
    parent: Optional[int] = None
    follows: Optional[int] = None
    received: bool = False
    shown: bool = False
    inferred: bool = False


@dataclass(frozen=True)
class Unseen:
    """A tap that was not offered the packet; ``reason`` is one of a closed list (``analysis.why_unseen.REASONS``).
    ``trivial``: that is no news (``analysis.telling``)."""

    tap: int
    reason: str
    detail: str
    trivial: bool = False


@dataclass(frozen=True)
class End:
    """How one of a packet's ways through this host ended: a branch, or all of it.

    ``kind`` is one of ``ENDS``: given to a "socket"; "refused" by all sockets that it was given to; "dropped" by the
    kernel; "sent" by a device; "forwarded" by IP to a device, whose sending was not seen; "answered", or "unanswered"
    by this host, a request; taken by a "protocol" of the kernel itself; "consumed" by an rx_handler or a part of the
    bond; "handed-on" to be received later; "not-watched": beyond IP nothing is recorded; "unknown". ``place`` is that
    of its pass in the journey. ``detail`` says it for people, ``look_at`` what decides such a thing: a sysctl, a rule,
    an option, a command; "" where the facts name none. ``harmless`` is that of a drop by design (``Step``).
    """

    kind: str
    place: int
    detail: str
    look_at: str = ""
    harmless: Optional[str] = None


@dataclass(frozen=True)
class Journey:
    """All passes of one packet, in the order in which they began. ``packet`` is that of the first. ``wall_ns`` is
    nanoseconds since the Unix epoch. ``ends``: how its ways ended, of one that was received."""

    id: int
    time_ns: int
    wall_ns: int
    duration_ns: int
    direction: str
    complete: bool
    packet: Packet
    passes: tuple[Pass, ...]
    unseen: tuple[Unseen, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    ends: tuple[End, ...] = ()

    @property
    def taps(self) -> set[int]:
        """The inodes of the taps of which it says something."""
        offered = {step.tap for one in self.passes for step in one.steps if step.tap is not None}
        return offered | {one.tap for one in self.unseen}
