# SPDX-License-Identifier: GPL-2.0-or-later
"""Chooses the probes: for every stage the best mechanism that the kernel and bcc offer.

A stage is a thing that bondtrace can tell (packets received, taps with a mapped ring, the bond's
rx_handler, ...) and the probes it takes. fentry and fexit come first (a third of a kprobe's cost and never
skipped); kprobe and kretprobe where those cannot attach: a suffixed symbol, a module's function before the
kernel has types of modules (5.11), a kernel without trampolines. A stage that cannot be had is kept, with the
reason and with what will be missing: it is shown by ``doctor``, in the output and in the recording.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from .symbols import Symbol

FENTRY, FEXIT, KPROBE, KRETPROBE, TRACEPOINT = "fentry", "fexit", "kprobe", "kretprobe", "raw_tracepoint"
TYPED_TRACEPOINT = "typed_tracepoint"
TYPED = (FENTRY, FEXIT, TYPED_TRACEPOINT)  # the kernel knows their arguments' types

# The stages that packets come by, by direction, and their programs that a filter is compiled into.
OF_DIRECTION = {"rx": "receive", "tx": "transmit"}
FILTERING = ("rx_packet", "rx_core_enter", "tx_enter")

# The tracepoint whose program reads most of what is read of a packet.
TRACEPOINT_OF_PACKETS = "netif_receive_skb"

# The rx_handler that a device of this rtnetlink kind installs: a bond on its slaves, a macvlan on what it sits on.
HANDLER_OF_KIND = {
    "bond": "bond_handle_frame",
    "bridge": "br_handle_frame",
    "team": "team_handle_frame",
    "macvlan": "macvlan_handle_frame",
    "macvtap": "macvlan_handle_frame",
    "ipvlan": "ipvlan_handle_frame",
    "ipvtap": "ipvlan_handle_frame",
    "openvswitch": "netdev_frame_hook",
    "macsec": "macsec_handle_frame",
}
HANDLERS = tuple(dict.fromkeys(HANDLER_OF_KIND.values()))

# Programs of an rx_handler whose module is loaded while the trace runs.
ATTACHED_LATER = ("handler_enter", "handler_exit")


def of_directions(directions: Collection[str]) -> tuple[str, ...]:
    """The stages that packets of these directions come by."""
    return tuple(OF_DIRECTION[one] for one in OF_DIRECTION if one in directions)


def essential(directions: Collection[str] = tuple(OF_DIRECTION)) -> tuple[str, ...]:
    """The stages without one of which the main question, which taps saw a packet, has wrong answers."""
    return (*of_directions(directions), "ring taps", "queue taps")


@dataclass(frozen=True)
class Wanted:
    """A probe as a stage asks for it: the program in bpf/, the kernel's function, where in it; and whether a softirq
    that interrupts the program calls the function, too."""

    program: str
    function: str
    where: str  # "entry", "exit" or "tracepoint"
    interrupted: bool = False


@dataclass(frozen=True)
class StageSpec:
    """What a stage tells, the probes it takes, and what is not told without it."""

    name: str
    tells: str
    wants: tuple[Wanted, ...]
    without: str


@dataclass(frozen=True)
class Probe:
    """A probe as it is attached. ``twice``: by two programs of the same code. The kernel skips a program that is
    running already on that CPU; not its twin, as only one of them can be interrupted at a time."""

    program: str
    function: str
    symbol: str
    module: str
    mechanism: str
    twice: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage with its probes, or with the reason why it has none."""

    name: str
    tells: str
    without: str
    probes: tuple[Probe, ...]
    missing: str = ""

    @property
    def available(self) -> bool:
        return not self.missing


@dataclass(frozen=True)
class Plan:
    """All stages, the rx_handlers' among them; ``handlers`` are the functions of those."""

    stages: tuple[Stage, ...]
    handlers: tuple[str, ...] = ()

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Each once: stages may share one."""
        return tuple(dict.fromkeys(probe for stage in self.stages if stage.available for probe in stage.probes))

    def with_stage(self, stage: Stage) -> Plan:
        """The plan with a stage put in the place of that name, or added."""
        kept = tuple(one for one in self.stages if one.name != stage.name)
        return replace(self, stages=(*kept, stage))

    def only(self, wanted: Callable[[Stage], bool]) -> Plan:
        """The plan with these stages: what is not asked for is not missing either."""
        return replace(self, stages=tuple(stage for stage in self.stages if wanted(stage)))

    def without_stage(self, name: str, reason: str) -> Plan:
        """The plan with a stage given up, for this reason."""
        stages = tuple(
            replace(stage, probes=(), missing=reason) if stage.name == name else stage for stage in self.stages
        )
        return replace(self, stages=stages)


@dataclass(frozen=True)
class Abilities:
    """What the kernel offers. ``has_btf_function(name, module)`` asks the type information."""

    symbols: dict[str, Symbol]
    has_btf_function: Callable[[str, str], bool] = field(default=lambda name, module: False)
    fentry: bool = False
    typed_tracepoint: bool = False


def _both(name: str, function: str, exit_program: str) -> tuple[Wanted, Wanted]:
    return Wanted(f"{name}_enter", function, "entry"), Wanted(exit_program, function, "exit")


RX = StageSpec(
    "receive",
    "packets received",
    (
        *_both("rx_one", "__netif_receive_skb_one_core", "frame_exit"),
        *_both("rx_list", "__netif_receive_skb_list_core", "frame_exit"),
        Wanted("rx_packet", TRACEPOINT_OF_PACKETS, "tracepoint"),
    ),
    "no received packet is seen",
)
RX_CORE = StageSpec(
    "receive",
    "packets received",
    _both("rx_core", "__netif_receive_skb_core", "rx_core_exit"),
    "no received packet is seen",
)
TX = StageSpec(
    "transmit",
    "packets offered to transmit taps",
    _both("tx", "dev_queue_xmit_nit", "frame_exit"),
    "no transmitted packet is seen",
)


# Newest first: since 6.12 (ba8de796baf4), since 5.17 (c504e5c2f964), before.
REFUSING = ("sk_skb_reason_drop", "kfree_skb_reason", "kfree_skb")
PROTOCOLS = ("ip_rcv", "ipv6_rcv", "arp_rcv", "ip_list_rcv", "ipv6_list_rcv")


def _refused(symbols: dict[str, Symbol]) -> Wanted:
    """By what a tap gives up a packet that it refused: the one function of these that is not merely inlined."""
    function = next((name for name in REFUSING if name in symbols), REFUSING[-1])
    return Wanted("tap_refused", function, "entry")


def _specs(symbols: dict[str, Symbol]) -> list[StageSpec]:
    brackets = {"__netif_receive_skb_one_core", "__netif_receive_skb_list_core"} <= symbols.keys()
    refused = _refused(symbols)
    return [
        RX if brackets else RX_CORE,
        StageSpec(
            "ring taps",
            "taps with a mapped ring (tcpdump, libpcap)",
            (
                *_both("tap_ring", "tpacket_rcv", "tap_exit"),
                Wanted("tap_ring_room", "__packet_rcv_has_room", "exit"),
                refused,
            ),
            "taps with a mapped ring are not seen",
        ),
        StageSpec(
            "queue taps",
            "taps without a ring (plain packet sockets)",
            (
                *_both("tap_queue", "packet_rcv", "tap_exit"),
                Wanted("tap_queued", "sock_def_readable", "entry", interrupted=True),
                refused,
            ),
            "plain packet sockets are not seen",
        ),
        StageSpec(
            "SOCK_PACKET taps",
            "taps of the oldest kind",
            _both("tap_spkt", "packet_rcv_spkt", "tap_exit"),
            "SOCK_PACKET sockets are not seen",
        ),
        StageSpec(
            "fanout groups",
            "offers to fanout groups",
            (Wanted("tap_fanout_enter", "packet_rcv_fanout", "entry"),),
            "an offer to a fanout group is only seen at the member",
        ),
        TX,
        StageSpec(
            "VLAN",
            "the turn of a tag's VLAN device",
            _both("vlan", "vlan_do_receive", "vlan_exit"),
            "the step to a VLAN device is only seen by what comes after it",
        ),
        StageSpec(
            "drops",
            "packets that the kernel drops, and why",
            (Wanted("drop", "kfree_skb", "tracepoint"),),
            "why a packet was dropped is not told",
        ),
        StageSpec(
            "tap hooks",
            "when taps open, bind and close",
            (Wanted("hook_add", "dev_add_pack", "entry"), Wanted("hook_remove", "__dev_remove_pack", "entry")),
            "when a tap opened or closed is known to half a second only",
        ),
        StageSpec(
            "joins",
            "devices that join the traced ones, at once",
            (
                Wanted("join_master", "netdev_master_upper_dev_link", "entry"),
                Wanted("join_upper", "netdev_upper_dev_link", "entry"),
            ),
            "a device that joins is traced a moment later",
        ),
        *(
            StageSpec(
                function,
                "the protocol handler's turn",
                (Wanted(function, function, "entry"),),
                "delivery to it is not told",
            )
            for function in PROTOCOLS
        ),
    ]


# Symbols of a kernel that has everything: what the specs can ask for at the most.
_EVERYTHING = {name: Symbol(name) for name in ("__netif_receive_skb_one_core", "__netif_receive_skb_list_core")}


def wanted_functions() -> set[str]:
    """Every function name that a plan may ask the symbol list for."""
    names = {
        want.function
        for spec in (*_specs({}), *_specs(_EVERYTHING))
        for want in spec.wants
        if want.where != "tracepoint"
    }
    return names | set(HANDLERS) | {"bpf_trampoline_link_prog", *REFUSING}


def _mechanism(want: Wanted, symbol: Symbol, abilities: Abilities) -> str:
    fentry = (
        abilities.fentry and symbol.name == want.function and abilities.has_btf_function(want.function, symbol.module)
    )
    if want.where == "entry":
        return FENTRY if fentry else KPROBE
    return FEXIT if fentry else KRETPROBE


def _probe(want: Wanted, abilities: Abilities) -> Optional[Probe]:
    if want.where == "tracepoint":
        typed = want.function == TRACEPOINT_OF_PACKETS and abilities.typed_tracepoint
        return Probe(want.program, want.function, want.function, "", TYPED_TRACEPOINT if typed else TRACEPOINT)
    symbol = abilities.symbols.get(want.function)
    if symbol is None:
        return None
    mechanism = _mechanism(want, symbol, abilities)
    # While a kprobe's program runs, no other kprobe's does either: a second one would not help.
    return Probe(
        want.program, want.function, symbol.name, symbol.module, mechanism, want.interrupted and mechanism == FENTRY
    )


def _stage(spec: StageSpec, abilities: Abilities) -> Stage:
    probes = [_probe(want, abilities) for want in spec.wants]
    absent = [want.function for want, probe in zip(spec.wants, probes) if probe is None]
    missing = f"this kernel has no function {absent[0]}" if absent else ""
    return Stage(
        spec.name, spec.tells, spec.without, () if missing else tuple(probe for probe in probes if probe), missing
    )


def handler_stage(function: str, abilities: Abilities) -> Stage:
    """The stage of one rx_handler, known or not. All share their programs."""
    wants = _both("handler", function, "handler_exit")
    stage = _stage(StageSpec(function, "its verdicts", wants, "its verdicts are not seen"), abilities)
    typed = {FENTRY: "handler_fentry", FEXIT: "handler_fexit"}
    return replace(
        stage, probes=tuple(replace(probe, program=typed.get(probe.mechanism, probe.program)) for probe in stage.probes)
    )


def make(abilities: Abilities, handlers: tuple[str, ...] = HANDLERS) -> Plan:
    """The plan for a kernel. Of these rx_handlers one whose module is not loaded is not part of it."""
    found = tuple(name for name in handlers if name in abilities.symbols)
    stages = tuple(_stage(spec, abilities) for spec in _specs(abilities.symbols))
    return Plan((*stages, *(handler_stage(name, abilities) for name in found)), found)


def programs() -> list[str]:
    """Every program that the BPF source holds, attached or not."""
    specs = [RX, RX_CORE, *_specs(_EVERYTHING)]
    handlers = (*ATTACHED_LATER, "handler_fentry", "handler_fexit")
    return list(dict.fromkeys([*(want.program for spec in specs for want in spec.wants), *handlers]))
