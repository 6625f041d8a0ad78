# SPDX-License-Identifier: GPL-2.0-or-later
"""The stages and the probes they take: which program of bpf/ goes where in which function of the kernel.

A stage is a thing that bondtrace can observe (packets received, taps with a mapped ring, the bond's rx_handler, ...).
A new probe is added here; ``plan`` chooses how it is attached.

Most stages are attached at the start. One with a ``Need`` is attached once that is there. It stays attached where
nothing calls its functions without the need; where much else does, it is detached when the need is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from ...format import stages
from ...net.rx_handlers import FUNCTIONS as HANDLERS
from .symbols import Symbol

# The tracepoint whose program does most of the reading of a packet, and that of drops.
TRACEPOINT_OF_PACKETS, TRACEPOINT_OF_DROPS = TRACEPOINTS = ("netif_receive_skb", "kfree_skb")
# Programs that a filter is compiled into: those which open a pass.
FILTERING = ("rx_packet", "rx_core_enter", "tx_enter")
# The rx_handler of which one program at its end tells all, where that is fexit: it has no passes nested that would come
# before its verdict.
ENDS_SUFFICE, END_OF_BOND = "bond_handle_frame", "bond_fexit"
# Programs of an rx_handler whose module is loaded while the trace runs.
ATTACHED_LATER = ("handler_enter", "handler_exit")


@dataclass(frozen=True)
class Wanted:
    """A probe as a stage asks for it: the program in bpf/, the kernel's function, where in it; and whether a softirq
    that interrupts the program also calls the function."""

    program: str
    function: str
    where: str  # "entry", "exit" or "tracepoint"
    interrupted: bool = False


# What taps there are, as far as stages depend on it: without a ring; in a fanout group; with a ring that was full.
WITHOUT_RING, IN_GROUP, FULL_RING = "without a ring", "in a group", "full ring"


@dataclass(frozen=True)
class Need:
    """What has a stage's functions called: a device of one of these ``kinds``, or one of these ``modules`` loaded, or
    one of these ``functions`` in the kernel itself, where such a module is built in. Or, of a stage whose functions are
    called for much else, what asks for it: a tap of this sort (``taps``). ``when`` says it in words."""

    when: str
    kinds: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    taps: str = ""

    def is_there(self, kinds: Collection[str], is_loaded: Callable[[str], bool], symbols: Mapping[str, Symbol]) -> bool:
        """Is it, with devices of these kinds and these symbols? Taps are not asked for."""
        built_in = (one in symbols and not symbols[one].module for one in self.functions)
        return not self.kinds.isdisjoint(kinds) or any(map(is_loaded, self.modules)) or any(built_in)


@dataclass(frozen=True)
class StageSpec:
    """What a stage shows, the probes it takes, what is missing without it, and what it is needed for (``None``: always
    needed). ``typed_wants`` are the probes where they can have typed arguments; ``module`` is the one of its functions,
    which may be loaded later; ``on_request``: it is left out of a plan that does not ask for it."""

    name: str
    tells: str
    wants: tuple[Wanted, ...]
    without: str
    need: Optional[Need] = None
    typed_wants: tuple[Wanted, ...] = ()
    module: str = ""
    on_request: bool = False


def both(name: str, function: str, exit_program: str) -> tuple[Wanted, Wanted]:
    """Return the probes at both ends of a function."""
    return Wanted(f"{name}_enter", function, "entry"), Wanted(exit_program, function, "exit")


_BRACKETS = frozenset(("__netif_receive_skb_one_core", "__netif_receive_skb_list_core"))
_RX = StageSpec(
    stages.RECEIVE,
    "packets received",
    (
        *both("rx_one", "__netif_receive_skb_one_core", "frame_exit"),
        *both("rx_list", "__netif_receive_skb_list_core", "frame_exit"),
        Wanted("rx_packet", TRACEPOINT_OF_PACKETS, "tracepoint"),
    ),
    "no received packet is seen",
)
# Where one of the brackets has no symbol.
_RX_CORE = StageSpec(
    stages.RECEIVE,
    "packets received",
    both("rx_core", "__netif_receive_skb_core", "rx_core_exit"),
    "no received packet is seen",
)
_TX = StageSpec(
    stages.TRANSMIT,
    "packets offered to transmit taps",
    both("tx", "dev_queue_xmit_nit", "frame_exit"),
    "no transmitted packet is seen",
)

# The function by which a tap frees a packet that it refused: the one of these that is not only inlined. Newest first:
# since 6.12 (ba8de796baf4), since 5.17 (c504e5c2f964), before.
REFUSING = ("sk_skb_reason_drop", "kfree_skb_reason", "kfree_skb")


_ROOM = Wanted("tap_ring_room", "__packet_rcv_has_room", "exit")
_RING_TAPS = StageSpec(
    stages.RING_TAPS,
    "taps with a mapped ring (tcpdump, libpcap)",
    (*both("tap_ring", "tpacket_rcv", "tap_exit"), _ROOM),
    "taps with a mapped ring are not seen",
    typed_wants=(Wanted("tap_ring_fexit", "tpacket_rcv", "exit"), _ROOM),
)
_QUEUE_TAPS = StageSpec(
    stages.QUEUE_TAPS,
    "taps without a ring (plain packet sockets)",
    both("tap_queue", "packet_rcv", "tap_exit"),
    "plain packet sockets are not seen",
)
# A group that rolls over asks its members' rings for room before it calls one; of the flags of groups packet_diag says
# nothing. By kprobes this probe is there already.
_RING_MEMBERS = StageSpec(
    stages.RING_MEMBERS,
    "what became of packets in the rings of fanout groups",
    (Wanted("tap_ring_enter", "tpacket_rcv", "entry"),),
    "the outcome in a ring of a fanout group is not told",
    Need("fanout groups", taps=IN_GROUP),
    (Wanted("tap_ring_again", "tpacket_rcv", "entry"),),
)


def _outcomes(refused: Wanted) -> tuple[StageSpec, StageSpec]:
    """Return the stages whose functions are called for much that is no tap's business."""
    return (
        StageSpec(
            stages.QUEUE_OUTCOMES,
            "what became of packets in taps without a ring",
            (Wanted("tap_queued", "sock_def_readable", "entry", interrupted=True), refused),
            "the outcome in a tap without a ring is not told",
            Need("taps without a ring", taps=WITHOUT_RING),
        ),
        StageSpec(
            stages.RING_REFUSALS,
            "what a ring refused, where several CPUs fill it",
            (refused,),
            "a packet that a ring refused beside others is of unknown outcome",
            Need("a ring that was full", taps=FULL_RING),
        ),
    )


_SOCK_PACKET_TAPS = StageSpec(
    stages.SOCK_PACKET_TAPS,
    "taps of the oldest kind",
    both("tap_spkt", "packet_rcv_spkt", "tap_exit"),
    "SOCK_PACKET sockets are not seen",
)
_FANOUT = StageSpec(
    stages.FANOUT,
    "offers to fanout groups",
    (Wanted("tap_fanout_enter", "packet_rcv_fanout", "entry"),),
    "an offer to a fanout group is only seen at the member",
)
_VLAN = StageSpec(
    stages.VLAN,
    "the turn of a tag's VLAN device",
    both("vlan", "vlan_do_receive", "vlan_exit"),
    "the step to a VLAN device is only seen by what comes after it",
)
_DROPS = StageSpec(
    stages.DROPS,
    "packets that the kernel drops, and why",
    (Wanted("drop", TRACEPOINT_OF_DROPS, "tracepoint"),),
    "why a packet was dropped is not told",
)
_TAP_HOOKS = StageSpec(
    stages.TAP_HOOKS,
    "when taps open, bind and close",
    (Wanted("hook_add", "dev_add_pack", "entry"), Wanted("hook_remove", "__dev_remove_pack", "entry")),
    "when a tap opened or closed is known to half a second only",
)
_JOINS = StageSpec(
    stages.JOINS,
    "devices that join the traced ones, at once",
    (
        Wanted("join_master", "netdev_master_upper_dev_link", "entry"),
        Wanted("join_upper", "netdev_upper_dev_link", "entry"),
    ),
    "a device that joins is traced a moment later",
)
# Who calls gro_cells_receive (docs/receive-path.md, "From pass to pass"). Modules besides, because a tunnel may be in a
# namespace that nobody looks at (an overlay network's), and because IPsec needs no device.
_TUNNELS = Need(
    "tunnels, macsec or IPsec",
    frozenset(
        (
            *("vxlan", "geneve", "bareudp", "gre", "gretap", "erspan", "ipip", "vti"),
            *("ip6tnl", "ip6gre", "ip6gretap", "ip6erspan", "vti6", "xfrm"),
            *("macsec", "amt", "pfcp", "ovpn", "rmnet", "dsa"),
        )
    ),
    (
        *("vxlan", "geneve", "bareudp", "ip_tunnel", "ip6_tunnel", "macsec", "amt", "pfcp", "ovpn", "rmnet"),
        *("esp4", "esp6", "ah4", "ah6", "ipcomp", "ipcomp6"),
    ),
    ("esp_input",),
)
_QUEUED = StageSpec(
    stages.QUEUED,
    "inner packets that tunnels hand on",
    (Wanted("queued", "gro_cells_receive", "entry"),),
    "a tunnel's inner packet is not joined to its outer one",
    _TUNNELS,
)


def _netfilter(function: str, module: str) -> StageSpec:
    """Return the stage of a function that decides on packets. By fexit its result is known together with what it was
    given; nft_do_chain may also free a packet itself."""
    program = "chain" if function == stages.CHAINS else "table"
    begin, end = both(program, function, f"{program}_exit")
    typed_end = Wanted(f"{program}_fexit", function, "exit")
    return StageSpec(
        function,
        "the chain that has a packet dropped",
        (begin, end),
        "which chain dropped a packet is not told, only the hook",
        Need(module, modules=(module,), functions=(function,)),
        (begin, typed_end) if program == "chain" else (typed_end,),
        module,
    )


def _tc_filter(function: str, module: str, classify: str) -> StageSpec:
    """Return the stage of a function that asks a filter of tc. ``classify`` is what asks all of a device's."""
    shared = Wanted("tc_exit", classify, "exit"), Wanted("tc_actions", "tcf_action_exec", "entry")
    return StageSpec(
        function,
        "the filter of tc that has a packet dropped",
        (*shared, Wanted("tc_filter", function, "entry")),
        "which filter of tc dropped a packet is not told",
        Need(module, modules=(module,), functions=(function,)),
        module=module,
    )


# Before 5.15 (3aa260559455) another function is called at ingress; both have five arguments there.
CLASSIFYING = ("tcf_classify_ingress", "tcf_classify")


def _tc_filters(symbols: Collection[str]) -> tuple[StageSpec, ...]:
    classify = next((name for name in CLASSIFYING if name in symbols), CLASSIFYING[-1])
    return tuple(_tc_filter(*one, classify) for one in stages.TC_FUNCTIONS.items())


# What comes beyond IP. Each function is given (sk, skb), unless it says otherwise; of several the first that is there.
# Some compilers leave none but the last.
_UDP = ("udp_queue_rcv_one_skb", "udp_queue_rcv_skb", "__udp_enqueue_schedule_skb")
_UDPV6 = ("udpv6_queue_rcv_one_skb", "udpv6_queue_rcv_skb")
_PING = ("__ping_queue_rcv_skb", "ping_queue_rcv_skb")  # the first since 5.18


def _on_request(name: str, tells: str, without: str, *wants: Wanted) -> StageSpec:
    return StageSpec(name, tells, wants, f"{without} is not told", on_request=True)


# By generic XDP: a driver's own comes before the skb is made.
_XDP = "xsk_generic_rcv"
_XDP_SOCKETS = StageSpec(
    stages.XDP_SOCKETS,
    "which AF_XDP sockets are given a packet",
    (Wanted("socket_xsk", _XDP, "entry"),),
    "which AF_XDP sockets took a packet is not told",
    Need("AF_XDP in this kernel", functions=(_XDP,)),
    on_request=True,
)


def _beyond_ip(symbols: Collection[str]) -> tuple[StageSpec, ...]:
    """Return the stages that show what becomes of packets beyond IP."""

    def entry(program: str, *functions: str) -> Wanted:
        return Wanted(program, next((one for one in functions if one in symbols), functions[0]), "entry")

    return (
        _on_request(
            stages.SOCKETS,
            "which sockets are given a packet, and what is answered or forwarded",
            "which sockets took a packet of IPv4, where it was forwarded, and whether ARP was answered,",
            entry("ip_deliver", "ip_protocol_deliver_rcu"),  # net, skb, protocol
            entry("ip_forward", "ip_forward"),
            entry("socket_udp", *_UDP),
            entry("socket_raw", "raw_rcv"),
            entry("socket_ping", *_PING),
            entry("arp_answer", "arp_xmit"),
        ),
        _on_request(
            stages.TCP_SOCKETS,
            "which sockets of TCP are given a packet",
            "which sockets took a packet of TCP",
            entry("socket_tcp", "tcp_v4_do_rcv"),
            entry("socket_backlog", "tcp_add_backlog"),
            entry("socket_timewait", "tcp_timewait_state_process"),
            entry("socket_request", "tcp_check_req"),
        ),
        _on_request(
            stages.SOCKETS6,
            "the same for IPv6",
            "which sockets took a packet of IPv6",
            entry("ip6_deliver", "ip6_protocol_deliver_rcu"),  # net, skb, protocol
            entry("ip6_forward", "ip6_forward"),
            entry("socket_udpv6", *_UDPV6),
            entry("socket_rawv6", "rawv6_rcv"),
            entry("socket_tcpv6", "tcp_v6_do_rcv"),
            entry("nd_answer", "ndisc_send_na"),
        ),
        _XDP_SOCKETS,
    )


_NETFILTER = tuple(_netfilter(*one) for one in stages.NETFILTER_FUNCTIONS.items())
# Frees what netfilter drops, and calls the former; its caller is told by the stack (bpf/netfilter.c).
HOOKING = {"nf_hook_slow": "hook", "nf_hook_slow_list": "hook_list"}  # as struct netfilter_layout has it
_PROTOCOL_HANDLERS = tuple(
    StageSpec(
        function, "the protocol handler's turn", (Wanted(function, function, "entry"),), "delivery to it is not told"
    )
    for function in stages.PROTOCOL_FUNCTIONS
)


def specs(symbols: Collection[str]) -> list[StageSpec]:
    """Return the stages for a kernel with these symbols, in the order in which they are attached and shown."""
    rx = _RX if set(symbols) >= _BRACKETS else _RX_CORE
    refused = Wanted("tap_refused", next((name for name in REFUSING if name in symbols), REFUSING[-1]), "entry")
    return [
        rx,
        *(_RING_TAPS, _QUEUE_TAPS, _SOCK_PACKET_TAPS, _FANOUT, *_outcomes(refused), _RING_MEMBERS),
        *(_TX, _VLAN, _DROPS, _TAP_HOOKS, _JOINS, _QUEUED),
        *_PROTOCOL_HANDLERS,
        *_NETFILTER,
        *_tc_filters(symbols),
        *(_beyond_ip(symbols) if rx is _RX else ()),  # else the bracket ends before IP begins
    ]


def all_specs() -> list[StageSpec]:
    """Return every stage that a kernel may be given."""
    return [_RX, _RX_CORE, *specs(_BRACKETS)]


def needs() -> dict[str, Need]:
    """Return what each stage is needed for, by its name; those that always are needed are left out."""
    return {spec.name: spec.need for spec in all_specs() if spec.need}


def wanted_functions() -> set[str]:
    """Return every function name that a plan may ask the symbol list for."""
    names = {want.function for spec in all_specs() for want in spec.wants if want.where != "tracepoint"}
    names |= {*HOOKING, *CLASSIFYING, *_UDP, *_UDPV6, *_PING}
    built_in = {function for need in needs().values() for function in need.functions}
    return names | built_in | set(HANDLERS) | {"bpf_trampoline_link_prog", *REFUSING}
