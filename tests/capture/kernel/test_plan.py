# SPDX-License-Identifier: GPL-2.0-or-later
"""Which probes are used, from what kernels and bcc offer."""

import gzip
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

import pytest

from bondtrace.capture.kernel import symbols
from bondtrace.capture.kernel.btf import Btf
from bondtrace.capture.kernel.plan import TYPED, Abilities, Probe, Stage, make, programs, where_found
from bondtrace.capture.kernel.stage_specs import TRACEPOINTS, needs, wanted_functions
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.format.stages import (
    BEYOND_IP,
    NETFILTER_FUNCTIONS,
    QUEUE_OUTCOMES,
    RING_MEMBERS,
    RING_REFUSALS,
    SOCKETS,
    SOCKETS6,
    TCP_SOCKETS,
    WHO_DROPPED,
    XDP_SOCKETS,
)
from bondtrace.net.rx_handlers import FUNCTIONS as HANDLERS

DATA = Path(__file__).parents[2] / "data"

# Linux 6.1 with trampolines and a bcc that cannot attach fentry to functions of modules.
PLAN_6_1 = """\
receive
    rx_one_enter: fentry __netif_receive_skb_one_core
    frame_exit: fexit __netif_receive_skb_one_core
    rx_list_enter: fentry __netif_receive_skb_list_core
    frame_exit: fexit __netif_receive_skb_list_core
    rx_packet: typed_tracepoint netif_receive_skb
ring taps
    tap_ring_fexit: fexit tpacket_rcv
    tap_ring_room: fexit __packet_rcv_has_room
queue taps
    tap_queue_enter: fentry packet_rcv
    tap_exit: fexit packet_rcv
SOCK_PACKET taps
    tap_spkt_enter: fentry packet_rcv_spkt
    tap_exit: fexit packet_rcv_spkt
fanout groups
    tap_fanout_enter: fentry packet_rcv_fanout
transmit
    tx_enter: fentry dev_queue_xmit_nit
    frame_exit: fexit dev_queue_xmit_nit
VLAN
    vlan_enter: fentry vlan_do_receive
    vlan_exit: fexit vlan_do_receive
drops
    drop: typed_tracepoint kfree_skb
tap hooks
    hook_add: fentry dev_add_pack
    hook_remove: fentry __dev_remove_pack
joins
    join_master: fentry netdev_master_upper_dev_link
    join_upper: fentry netdev_upper_dev_link
ip_rcv
    ip_rcv: fentry ip_rcv
ipv6_rcv
    ipv6_rcv: fentry ipv6_rcv
arp_rcv
    arp_rcv: fentry arp_rcv
ip_list_rcv
    ip_list_rcv: fentry ip_list_rcv
ipv6_list_rcv
    ipv6_list_rcv: fentry ipv6_list_rcv
bond_handle_frame
    handler_enter: kprobe bond_handle_frame [bonding]
    handler_exit: kretprobe bond_handle_frame [bonding]
br_handle_frame
    handler_enter: kprobe br_handle_frame [bridge]
    handler_exit: kretprobe br_handle_frame [bridge]
team_handle_frame
    handler_enter: kprobe team_handle_frame [team]
    handler_exit: kretprobe team_handle_frame [team]
macvlan_handle_frame
    handler_enter: kprobe macvlan_handle_frame [macvlan]
    handler_exit: kretprobe macvlan_handle_frame [macvlan]
ipvlan_handle_frame
    handler_enter: kprobe ipvlan_handle_frame [ipvlan]
    handler_exit: kretprobe ipvlan_handle_frame [ipvlan]
netdev_frame_hook
    handler_enter: kprobe netdev_frame_hook [openvswitch]
    handler_exit: kretprobe netdev_frame_hook [openvswitch]
macsec_handle_frame
    handler_enter: kprobe macsec_handle_frame [macsec]
    handler_exit: kretprobe macsec_handle_frame [macsec]
"""


def text(plan):
    """A plan, a stage and a probe a line."""
    lines = []
    for stage in plan.stages:
        lines.append(stage.name + (f" MISSING: {stage.missing}" if not stage.available else ""))
        lines += [
            f"    {probe.program}: {probe.mechanism} {probe.symbol}"
            + (f" [{probe.module}]" if probe.module else "")
            + (" twice" if probe.twice else "")
            for probe in stage.probes
        ]
    return "\n".join(lines) + "\n"


def changes(plan, before=PLAN_6_1):
    """The lines of a plan that are not those of another: what went, what came, in order."""
    lines = unified_diff(before.splitlines(), text(plan).splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def abilities(version, *, fentry=True, module_btf=False):
    """What a captured kernel offers, with all modules of rx_handlers loaded."""
    found = symbols.find((DATA / "kallsyms" / f"{version}.txt").read_bytes(), wanted_functions())
    described = Btf(gzip.decompress((DATA / "btf" / f"{version}.btf.gz").read_bytes())).functions(wanted_functions())
    tracepoints = TRACEPOINTS if fentry else ()
    return Abilities(found, lambda name, module: module_btf if module else name in described, fentry, tracepoints)


def without(offered, *functions):
    """The same kernel, its compiler having inlined these functions."""
    kept = {name: symbol for name, symbol in offered.symbols.items() if name not in functions}
    return replace(offered, symbols=kept)


def renamed(offered, function, symbol):
    """The same kernel, its compiler having renamed a function."""
    return replace(offered, symbols={**offered.symbols, function: Symbol(symbol)})


def test_fentry_where_it_attaches_and_kprobes_in_modules_without_type_information():
    plan = make(abilities("6.1"))
    assert text(plan) == PLAN_6_1
    assert plan.handlers == HANDLERS


@pytest.mark.parametrize("version", ["5.10", "6.1"])
def test_kprobes_alone(version):
    # given a kernel without trampolines, then every stage stands, by kprobe and kretprobe; a ring's tap has both ends
    both_ends = "    tap_ring_enter: kprobe tpacket_rcv\n    tap_exit: kretprobe tpacket_rcv\n"
    assert text(make(abilities(version, fentry=False))) == (
        PLAN_6_1.replace("    tap_ring_fexit: fexit tpacket_rcv\n", both_ends)
        .replace("fentry", "kprobe")
        .replace("fexit", "kretprobe")
        .replace("typed_", "raw_")
    )


def test_fentry_in_modules_that_have_type_information():
    plan = make(abilities("6.1", module_btf=True))
    # then the handlers share other programs, whose arguments have types; of the bond's the end suffices
    expected = PLAN_6_1.replace("    handler_enter: kprobe bond_handle_frame [bonding]\n", "")
    expected = expected.replace("handler_exit: kretprobe bond_handle_frame", "bond_fexit: fexit bond_handle_frame")
    expected = expected.replace("handler_enter: kprobe", "handler_fentry: fentry")
    assert text(plan) == expected.replace("handler_exit: kretprobe", "handler_fexit: fexit")


OF_TAPS = (QUEUE_OUTCOMES, RING_REFUSALS, RING_MEMBERS)


@pytest.mark.parametrize(
    ("version", "freeing"),
    [("5.10", "kfree_skb"), ("6.1", "kfree_skb_reason"), ("6.12", "sk_skb_reason_drop"), ("7.3", "sk_skb_reason_drop")],
)
def test_what_only_some_taps_need_comes_with_them(version, freeing):
    offered = abilities(version)
    assert changes(make(offered, needed=OF_TAPS), text(make(offered))) == [
        "+queue outcomes",
        "+    tap_queued: fentry sock_def_readable twice",
        f"+    tap_refused: fentry {freeing}",
        "+ring refusals",
        f"+    tap_refused: fentry {freeing}",
        "+ring members",
        "+    tap_ring_again: fentry tpacket_rcv",
    ]


def test_by_kprobes_a_second_one_would_not_help_and_the_begin_of_a_ring_is_there_already():
    offered = abilities("6.1", fentry=False)
    plan = make(offered, needed=OF_TAPS)
    assert changes(plan, text(make(offered))) == [
        "+queue outcomes",
        "+    tap_queued: kprobe sock_def_readable",
        "+    tap_refused: kprobe kfree_skb_reason",
        "+ring refusals",
        "+    tap_refused: kprobe kfree_skb_reason",
        "+ring members",
        "+    tap_ring_enter: kprobe tpacket_rcv",
    ]
    assert len([probe for probe in plan.probes if probe.function == "tpacket_rcv"]) == 2


def test_an_inlined_one_core_is_replaced_by_core_whatever_its_suffix():
    # given a kernel that has __netif_receive_skb_core.constprop.0 and no __netif_receive_skb_one_core
    offered = without(abilities("6.1"), "__netif_receive_skb_one_core")
    # then core is the bracket, by kprobe: fentry knows no suffix
    assert changes(make(offered)) == [
        "-    rx_one_enter: fentry __netif_receive_skb_one_core",
        "-    frame_exit: fexit __netif_receive_skb_one_core",
        "-    rx_list_enter: fentry __netif_receive_skb_list_core",
        "-    frame_exit: fexit __netif_receive_skb_list_core",
        "-    rx_packet: typed_tracepoint netif_receive_skb",
        "+    rx_core_enter: kprobe __netif_receive_skb_core.constprop.0",
        "+    rx_core_exit: kretprobe __netif_receive_skb_core.constprop.0",
    ]


def test_a_suffixed_function_is_probed_by_kprobe_the_rest_of_its_stage_by_fentry():
    assert changes(make(renamed(abilities("6.1"), "tpacket_rcv", "tpacket_rcv.constprop.0"))) == [
        "-    tap_ring_fexit: fexit tpacket_rcv",
        "+    tap_ring_enter: kprobe tpacket_rcv.constprop.0",
        "+    tap_exit: kretprobe tpacket_rcv.constprop.0",
    ]


def test_a_function_without_type_information_is_probed_by_kprobe():
    # given a kernel whose types do not tell dev_queue_xmit_nit
    offered = abilities("6.1")
    plan = make(replace(offered, has_btf_function=lambda name, module: not module and name != "dev_queue_xmit_nit"))
    assert changes(plan) == [
        "-    tx_enter: fentry dev_queue_xmit_nit",
        "-    frame_exit: fexit dev_queue_xmit_nit",
        "+    tx_enter: kprobe dev_queue_xmit_nit",
        "+    frame_exit: kretprobe dev_queue_xmit_nit",
    ]


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (
            ["__packet_rcv_has_room"],
            [
                "-ring taps",
                "-    tap_ring_fexit: fexit tpacket_rcv",
                "-    tap_ring_room: fexit __packet_rcv_has_room",
                "+ring taps MISSING: this kernel has no function __packet_rcv_has_room",
            ],
        ),
        (
            ["packet_rcv_fanout"],
            [
                "-fanout groups",
                "-    tap_fanout_enter: fentry packet_rcv_fanout",
                "+fanout groups MISSING: this kernel has no function packet_rcv_fanout",
            ],
        ),
        (
            ["__netif_receive_skb_one_core", "__netif_receive_skb_core"],
            [
                "-receive",
                "-    rx_one_enter: fentry __netif_receive_skb_one_core",
                "-    frame_exit: fexit __netif_receive_skb_one_core",
                "-    rx_list_enter: fentry __netif_receive_skb_list_core",
                "-    frame_exit: fexit __netif_receive_skb_list_core",
                "-    rx_packet: typed_tracepoint netif_receive_skb",
                "+receive MISSING: this kernel has no function __netif_receive_skb_core",
            ],
        ),
    ],
)
def test_a_stage_of_which_a_function_is_missing_is_kept_with_the_reason(gone, expected):
    assert changes(make(without(abilities("6.1"), *gone))) == expected


def test_the_probes_are_those_of_the_stages_that_can_be_had():
    # given a plan with a stage that is missing
    plan = make(without(abilities("6.1"), "packet_rcv"))
    # then its probes are those of all others
    assert [probe.program for probe in plan.probes] == [
        line.split(":")[0].strip() for line in text(plan).splitlines() if line.startswith("    ")
    ]
    assert "tap_queue_enter" not in {probe.program for probe in plan.probes}


def test_handlers_are_those_of_the_modules_that_are_loaded():
    # given a kernel with bonding and macvlan, and no other of their kind
    others = set(HANDLERS) - {"bond_handle_frame", "macvlan_handle_frame"}
    plan = make(without(abilities("6.1"), *others))
    # then no stage is missing
    assert plan.handlers == ("bond_handle_frame", "macvlan_handle_frame")
    assert text(plan) == PLAN_6_1[: PLAN_6_1.index("br_handle_frame\n")] + (
        "macvlan_handle_frame\n"
        "    handler_enter: kprobe macvlan_handle_frame [macvlan]\n"
        "    handler_exit: kretprobe macvlan_handle_frame [macvlan]\n"
    )


def test_a_kernel_without_symbols_has_every_stage_missing():
    plan = make(Abilities({}))
    assert ([probe.mechanism for probe in plan.probes], plan.handlers) == (["raw_tracepoint"], ())
    assert [(stage.name, stage.missing.rsplit(" ", 1)[1]) for stage in plan.stages if stage.name != "drops"] == [
        ("receive", "__netif_receive_skb_core"),
        ("ring taps", "tpacket_rcv"),
        ("queue taps", "packet_rcv"),
        ("SOCK_PACKET taps", "packet_rcv_spkt"),
        ("fanout groups", "packet_rcv_fanout"),
        ("transmit", "dev_queue_xmit_nit"),
        ("VLAN", "vlan_do_receive"),
        ("tap hooks", "dev_add_pack"),
        ("joins", "netdev_master_upper_dev_link"),
        ("ip_rcv", "ip_rcv"),
        ("ipv6_rcv", "ipv6_rcv"),
        ("arp_rcv", "arp_rcv"),
        ("ip_list_rcv", "ip_list_rcv"),
        ("ipv6_list_rcv", "ipv6_list_rcv"),
    ]


def test_a_stage_given_up_later_keeps_its_reason_and_the_others():
    # given a plan of which a stage was refused, when it is given up
    plan = make(abilities("6.1")).without_stage("transmit", "kprobe dev_queue_xmit_nit: Permission denied")
    # then it has no probes and says why
    assert changes(plan) == [
        "-transmit",
        "-    tx_enter: fentry dev_queue_xmit_nit",
        "-    frame_exit: fexit dev_queue_xmit_nit",
        "+transmit MISSING: kprobe dev_queue_xmit_nit: Permission denied",
    ]


# --- what is asked for ---------------------------------------------------------------------------------

BEYOND_IP_6_1 = """\
sockets
    ip_deliver: fentry ip_protocol_deliver_rcu
    ip_forward: fentry ip_forward
    socket_udp: fentry udp_queue_rcv_one_skb
    socket_raw: fentry raw_rcv
    socket_ping: fentry __ping_queue_rcv_skb
    arp_answer: fentry arp_xmit
TCP sockets
    socket_tcp: fentry tcp_v4_do_rcv
    socket_backlog: fentry tcp_add_backlog
    socket_timewait: fentry tcp_timewait_state_process
    socket_request: fentry tcp_check_req
IPv6 sockets
    ip6_deliver: fentry ip6_protocol_deliver_rcu
    ip6_forward: fentry ip6_forward
    socket_udpv6: fentry udpv6_queue_rcv_one_skb
    socket_rawv6: fentry rawv6_rcv
    socket_tcpv6: fentry tcp_v6_do_rcv
    nd_answer: kprobe ndisc_send_na
"""
ADDED = [f"+{line}" for line in BEYOND_IP_6_1.splitlines()]


@pytest.mark.parametrize("version", ["5.10", "6.1", "6.12", "7.3"])
def test_what_comes_beyond_ip_is_only_in_a_plan_that_asks_for_it(version):
    offered = abilities(version)
    plain, asking = make(offered), make(offered, asked=BEYOND_IP)
    ping = "ping_queue_rcv_skb" if version == "5.10" else "__ping_queue_rcv_skb"

    assert changes(asking, text(plain)) == [line.replace("__ping_queue_rcv_skb", ping) for line in ADDED]
    programs_of_it = {probe.program for probe in asking.probes} - {probe.program for probe in plain.probes}
    assert len(programs_of_it) == 16
    # not even compiled, nor waiting, nor missing
    assert not programs_of_it & {probe.program for probe in plain.compiled}
    assert not any(plain.stage(name) for name in BEYOND_IP)
    assert [stage for stage in asking.waiting if stage not in plain.waiting] == [asking.stage(XDP_SOCKETS)]


def test_each_stage_is_asked_for_by_its_name():
    assert changes(make(abilities("6.1"), asked=[TCP_SOCKETS])) == ADDED[7:12]
    assert changes(make(abilities("6.1"), asked=["transmit", "no such stage"])) == []


def test_kprobes_alone_show_what_comes_beyond_ip():
    offered = abilities("6.1", fentry=False)
    expected = [line.replace("fentry", "kprobe") for line in ADDED]
    assert changes(make(offered, asked=BEYOND_IP), text(make(offered))) == expected


@pytest.mark.parametrize(
    ("gone", "program", "instead"),
    [
        (["udp_queue_rcv_one_skb"], "socket_udp", "udp_queue_rcv_skb"),
        (["udp_queue_rcv_one_skb", "udp_queue_rcv_skb"], "socket_udp", "__udp_enqueue_schedule_skb"),
        (["udpv6_queue_rcv_one_skb"], "socket_udpv6", "udpv6_queue_rcv_skb"),
        (["__ping_queue_rcv_skb"], "socket_ping", "ping_queue_rcv_skb"),
    ],
)
def test_of_functions_that_compilers_inline_another_is_probed(gone, program, instead):
    every = abilities("6.1")
    offered = replace(every, symbols={**every.symbols, **{name: Symbol(name) for name in wanted_functions()}})

    plan = make(without(offered, *gone), asked=BEYOND_IP)

    [probe] = [probe for probe in plan.probes if probe.program == program]
    assert probe.function == instead and all(plan.stage(name).available for name in BEYOND_IP)


@pytest.mark.parametrize(
    ("gone", "stage", "named"),
    [
        (["arp_xmit"], SOCKETS, "arp_xmit"),
        (
            ["udp_queue_rcv_one_skb", "udp_queue_rcv_skb", "__udp_enqueue_schedule_skb"],
            SOCKETS,
            "udp_queue_rcv_one_skb",
        ),
        (["tcp_check_req"], TCP_SOCKETS, "tcp_check_req"),
        (["ip6_protocol_deliver_rcu", "rawv6_rcv"], SOCKETS6, "ip6_protocol_deliver_rcu"),
    ],
)
def test_without_a_function_the_stage_is_kept_with_the_reason_and_the_others_stand(gone, stage, named):
    plan = make(without(abilities("6.1"), *gone), asked=BEYOND_IP)

    assert {name: plan.stage(name).missing for name in BEYOND_IP} == {
        **dict.fromkeys(BEYOND_IP, ""),
        stage: f"this kernel has no function {named}",
    }
    assert plan.stage(stage).probes == () and plan.stage(stage).without.endswith(" is not told")


@pytest.mark.parametrize("gone", ["__netif_receive_skb_one_core", "__netif_receive_skb_list_core"])
def test_where_the_bracket_ends_before_ip_begins_there_are_no_such_stages(gone):
    plan = make(without(abilities("6.1"), gone), asked=BEYOND_IP)

    assert "rx_core_enter" in {probe.program for probe in plan.probes}
    assert not any(plan.stage(name) for name in BEYOND_IP)
    assert text(plan) == text(make(without(abilities("6.1"), gone)))


def test_a_suffixed_function_beyond_ip_is_probed_by_kprobe():
    plan = make(renamed(abilities("6.1"), "tcp_add_backlog", "tcp_add_backlog.isra.0"), asked=BEYOND_IP)
    [probe] = [probe for probe in plan.probes if probe.program == "socket_backlog"]
    assert (probe.mechanism, probe.symbol) == ("kprobe", "tcp_add_backlog.isra.0")


def test_sockets_of_af_xdp_are_seen_where_they_are_asked_for_and_the_kernel_has_them():
    kernel = abilities("6.1")
    asked, needed = make(kernel, asked=BEYOND_IP), make(kernel, asked=BEYOND_IP, needed={XDP_SOCKETS})
    assert changes(needed, text(asked)) == ["+AF_XDP sockets", "+    socket_xsk: fentry xsk_generic_rcv"]
    assert text(make(kernel, needed={XDP_SOCKETS})) == text(make(kernel))


# --- what is not always needed -------------------------------------------------------------------------


def test_what_is_not_needed_yet_is_compiled_but_neither_attached_nor_missing():
    # given a host without a tunnel, and one that has some
    without_tunnels, with_tunnels = make(abilities("6.1")), make(abilities("6.1"), needed={"queued"})
    # then the first has nothing of it in its plan, the second the stage, and both the program
    assert text(without_tunnels) == PLAN_6_1
    assert changes(with_tunnels) == ["+queued", "+    queued: fentry gro_cells_receive"]
    assert [stage.name for stage in without_tunnels.waiting] == [*OF_TAPS, "queued", *WHO_DROPPED]
    assert "queued" not in {stage.name for stage in with_tunnels.waiting}
    for plan in (without_tunnels, with_tunnels):
        assert "queued" in {probe.program for probe in plan.compiled}


def test_a_stage_that_was_waiting_and_is_attached_waits_no_more():
    plan = make(abilities("6.1"))
    assert changes(plan.with_stage(plan.stage("queued"))) == ["+queued", "+    queued: fentry gro_cells_receive"]
    attached = plan.with_stage(plan.stage("queued"))
    assert "queued" not in {stage.name for stage in attached.waiting}
    # and one that is not needed any more waits again
    again = attached.with_waiting(plan.stage("queued"))
    assert text(again) == PLAN_6_1 and {stage.name for stage in again.waiting} == {one.name for one in plan.waiting}


def test_what_is_waiting_and_not_wanted_is_not_compiled():
    plan = make(abilities("6.1")).only(lambda stage: stage.name != "queued")
    assert plan.stage("queued") is None and "queued" not in {probe.program for probe in plan.compiled}


def test_a_kernel_that_lacks_what_is_needed_is_told_once_it_is_needed():
    offered = without(abilities("6.1"), "gro_cells_receive")
    assert text(make(offered)) == PLAN_6_1
    assert changes(make(offered, needed={"queued"})) == [
        "+queued MISSING: this kernel has no function gro_cells_receive"
    ]


OF_CHAINS = {"nft_do_chain", "ipt_do_table"}


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (
            {"module_btf": True},
            [
                "+nft_do_chain",
                "+    chain_enter: fentry nft_do_chain [nf_tables]",
                "+    chain_fexit: fexit nft_do_chain [nf_tables]",
                "+ipt_do_table",
                "+    table_fexit: fexit ipt_do_table [ip_tables]",
            ],
        ),
        (
            {"module_btf": False},
            [
                "+nft_do_chain",
                "+    chain_enter: kprobe nft_do_chain [nf_tables]",
                "+    chain_exit: kretprobe nft_do_chain [nf_tables]",
                "+ipt_do_table",
                "+    table_enter: kprobe ipt_do_table [ip_tables]",
                "+    table_exit: kretprobe ipt_do_table [ip_tables]",
            ],
        ),
    ],
)
@pytest.mark.parametrize("is_loaded", [True, False])
def test_what_decides_in_netfilter_is_seen_at_its_end_where_that_has_the_arguments(offered, expected, is_loaded):
    # given a kernel whose modules are loaded, or will be
    kernel = abilities("6.1", **offered)
    kernel = kernel if is_loaded else without(kernel, *OF_CHAINS)
    # then the same programs are compiled for them
    assert changes(make(kernel, needed=OF_CHAINS), text(make(kernel))) == expected
    netfilter = [stage for stage in make(kernel).waiting if stage.name in NETFILTER_FUNCTIONS]
    waiting = {probe.program for stage in netfilter for probe in stage.probes}
    assert waiting == {line.split(":")[0].strip("+ ") for line in expected if ":" in line}


@pytest.mark.parametrize(
    ("version", "module_btf", "classify", "asked"),
    [
        ("5.10", False, "tcf_classify_ingress", "tc_filter: kprobe"),
        ("6.1", False, "tcf_classify", "tc_filter: kprobe"),
        ("6.1", True, "tcf_classify", "tc_filter_fentry: fentry"),
        ("7.3", True, "tcf_classify", "tc_filter_fentry: fentry"),
    ],
)
def test_a_filter_of_tc_is_asked_in_its_module_and_all_of_them_together(version, module_btf, classify, asked):
    kernel = abilities(version, module_btf=module_btf)
    both_kinds = {"fl_classify", "u32_classify"}
    assert changes(make(kernel, needed=both_kinds), text(make(kernel))) == [
        "+fl_classify",
        f"+    tc_exit: fexit {classify}",
        "+    tc_actions: fentry tcf_action_exec",
        f"+    {asked} fl_classify [cls_flower]",
        "+u32_classify",
        f"+    tc_exit: fexit {classify}",
        "+    tc_actions: fentry tcf_action_exec",
        f"+    {asked} u32_classify [cls_u32]",
    ]


def test_where_one_probe_of_a_filter_s_stage_is_no_fentry_programs_of_two_mechanisms_are_not_mixed():
    # given that the kernel refused fentry at what all stages share, that one module is loaded and has no types, and of
    # another one that is not known yet
    kernel = abilities("6.1", module_btf=True)
    offered = replace(
        without(kernel, "u32_classify"),
        has_btf_function=lambda name, module: name not in ("tcf_classify", "fl_classify"),
    )
    plan = make(offered, needed={"fl_classify"})
    told = {(probe.program, probe.mechanism) for probe in plan.compiled if probe.program.startswith("tc_filter")}
    assert told == {("tc_filter", "kprobe"), ("tc_filter_fentry", "fentry")}
    mechanisms = {}
    for probe in plan.compiled:
        mechanisms.setdefault(probe.program, set()).add(probe.mechanism in TYPED)
    assert {program for program, kinds in mechanisms.items() if len(kinds) > 1} == set()


def stage_in(module, mechanism="fexit"):
    return Stage("a stage", "tells", "without", (Probe("program", "function", "function", module, mechanism),))


@pytest.mark.parametrize(
    ("found", "mechanism", "symbol", "missing"),
    [
        ({}, "fexit", None, "this kernel has no function function"),
        ({"function": Symbol("function", "a_module")}, "fexit", "function", ""),
        ({"function": Symbol("function.isra.0", "a_module")}, "kprobe", "function.isra.0", ""),
        ({"function": Symbol("function.llvm.1", "a_module")}, "fexit", None, "it is function.llvm.1 here"),
    ],
)
def test_a_function_of_a_module_is_looked_for_when_it_is_needed(found, mechanism, symbol, missing):
    stage = where_found(stage_in("a_module", mechanism), found)
    assert [probe.symbol for probe in stage.probes] == ([symbol] if symbol else [])
    assert stage.missing[: len(missing)] == missing and bool(stage.missing) == bool(missing)


def test_a_function_of_the_kernel_itself_need_not_be_looked_for():
    assert where_found(stage_in(""), {}) == stage_in("")


@pytest.mark.parametrize(
    ("kinds", "loaded", "symbols", "expected"),
    [
        ((), (), {}, False),
        (("bond", "vlan"), ("bonding",), {}, False),
        (("bond", "vxlan"), (), {}, True),
        ((), ("esp4",), {}, True),
        ((), (), {"esp_input": Symbol("esp_input", "esp4")}, False),
        ((), (), {"esp_input": Symbol("esp_input")}, True),
    ],
)
def test_a_need_is_a_device_or_a_module_be_it_loaded_or_built_in(kinds, loaded, symbols, expected):
    assert needs()["queued"].is_there(kinds, set(loaded).__contains__, symbols) is expected


def test_every_stage_says_what_it_tells_and_what_is_lost_without_it():
    stages = make(abilities("6.1")).stages
    assert len(stages) > 20
    assert [stage.name for stage in stages if not (stage.tells and stage.without)] == []


@pytest.mark.parametrize("gone", [(), ("__netif_receive_skb_one_core",)])
@pytest.mark.parametrize("version", ["6.1", "7.3"])
def test_a_plan_asks_only_for_what_is_looked_up_and_programmed(version, gone):
    # given any plan
    plan = make(without(abilities(version), *gone))
    probes = [probe for probe in plan.probes if "tracepoint" not in probe.mechanism]
    # then its functions are those that symbols are read for, its programs those that have names in C, each used once
    assert len(probes) > 30
    assert {probe.function for probe in probes} <= wanted_functions()
    assert {probe.program for probe in plan.probes} <= set(programs())
    # but for those that do not ask what they are called for
    shared = {"frame_exit", "tap_exit", "handler_enter", "handler_exit"}
    own = [probe.program for probe in plan.probes if probe.program not in shared]
    assert len(set(own)) == len(own)
