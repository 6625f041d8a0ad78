# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the kernel's type information into the C header that bpf/ is compiled with.

A field becomes ``STRUCT__NAME`` (its byte offset) and, for a bit field, ``STRUCT__NAME_MASK``.
A required field that the kernel lacks is an error; an optional one is left undefined, and the BPF
source decides by ``#ifdef`` what to do without it.

Invariant: features are detected, never versions.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from .btf import Btf, BtfError


@dataclass(frozen=True)
class Wanted:
    """A field that the BPF programs read: its ``macro`` in C, where it is, and whether they need it."""

    macro: str
    struct: str
    path: str
    required: bool = True


WANTED = (
    Wanted("SK_BUFF__NEXT", "sk_buff", "next"),
    Wanted("SK_BUFF__DEV", "sk_buff", "dev"),
    Wanted("SK_BUFF__LEN", "sk_buff", "len"),
    Wanted("SK_BUFF__HEAD", "sk_buff", "head"),
    Wanted("SK_BUFF__DATA", "sk_buff", "data"),
    Wanted("SK_BUFF__TAIL", "sk_buff", "tail"),
    Wanted("SK_BUFF__END", "sk_buff", "end"),
    Wanted("SK_BUFF__MAC_HEADER", "sk_buff", "mac_header"),
    Wanted("SK_BUFF__PROTOCOL", "sk_buff", "protocol"),
    Wanted("SK_BUFF__PKT_TYPE", "sk_buff", "pkt_type"),
    Wanted("SK_BUFF__VLAN_TCI", "sk_buff", "vlan_tci"),
    Wanted("SK_BUFF__VLAN_PROTO", "sk_buff", "vlan_proto"),
    Wanted("SK_BUFF__VLAN_PRESENT", "sk_buff", "vlan_present", required=False),
    Wanted("SK_BUFF__LIST", "sk_buff", "list"),
    Wanted("SK_BUFF__SK", "sk_buff", "sk"),
    Wanted("SK_BUFF__SKB_IIF", "sk_buff", "skb_iif"),
    Wanted("SK_BUFF__SKB_REFDST", "sk_buff", "_skb_refdst"),
    Wanted("DST_ENTRY__DEV", "dst_entry", "dev"),
    Wanted("NET_DEVICE__IFINDEX", "net_device", "ifindex"),
    Wanted("NET_DEVICE__NET", "net_device", "nd_net.net"),
    Wanted("NET_DEVICE__FLAGS", "net_device", "flags"),
    Wanted("NET_DEVICE__TYPE", "net_device", "type"),
    Wanted("NET_DEVICE__RX_HANDLER", "net_device", "rx_handler"),
    Wanted("NET_DEVICE__HEADER_OPS", "net_device", "header_ops"),
    Wanted("NET__INUM", "net", "ns.inum"),
    Wanted("PACKET_TYPE__AF_PACKET_PRIV", "packet_type", "af_packet_priv"),
    Wanted("SOCK__SK_SOCKET", "sock", "sk_socket"),
    Wanted("SOCK__SKC_FAMILY", "sock", "__sk_common.skc_family"),
    Wanted("SOCK__SK_FILTER", "sock", "sk_filter"),
    # Not in the kernel's own types where AF_PACKET is a module: then hooks are not reported.
    Wanted("PACKET_SOCK__PROT_HOOK", "packet_sock", "prot_hook", required=False),
    Wanted("PACKET_SOCK__TP_RESERVE", "packet_sock", "tp_reserve", required=False),
    Wanted("PACKET_SOCK__TP_DROPS", "packet_sock", "tp_drops", required=False),
    Wanted("PACKET_SOCK__STATS", "packet_sock", "stats", required=False),
    Wanted("NF_HOOK_STATE__HOOK", "nf_hook_state", "hook", required=False),
    Wanted("NF_HOOK_STATE__PF", "nf_hook_state", "pf", required=False),
    Wanted("TCF_PROTO__PROTOCOL", "tcf_proto", "protocol", required=False),
    Wanted("TCF_PROTO__PRIO", "tcf_proto", "prio", required=False),
    Wanted("TCF_PROTO__CHAIN", "tcf_proto", "chain", required=False),
    Wanted("TCF_PROTO__OPS", "tcf_proto", "ops", required=False),
    Wanted("TCF_PROTO_OPS__KIND", "tcf_proto_ops", "kind", required=False),
    Wanted("TCF_CHAIN__INDEX", "tcf_chain", "index", required=False),
    Wanted("TC_ACTION__OPS", "tc_action", "ops", required=False),
    Wanted("TC_ACTION_OPS__KIND", "tc_action_ops", "kind", required=False),
    Wanted("SOCK__SKC_NET", "sock", "__sk_common.skc_net.net"),
    Wanted("SOCK__SKC_STATE", "sock", "__sk_common.skc_state"),
    Wanted("SOCK__SKC_BOUND_DEV_IF", "sock", "__sk_common.skc_bound_dev_if"),
    Wanted("SOCK__SKC_ADDRPAIR", "sock", "__sk_common.skc_addrpair"),
    Wanted("SOCK__SKC_DADDR", "sock", "__sk_common.skc_daddr"),
    Wanted("SOCK__SKC_RCV_SADDR", "sock", "__sk_common.skc_rcv_saddr"),
    Wanted("SOCK__SKC_PORTPAIR", "sock", "__sk_common.skc_portpair"),
    Wanted("SOCK__SKC_DPORT", "sock", "__sk_common.skc_dport"),
    Wanted("SOCK__SKC_NUM", "sock", "__sk_common.skc_num"),
    Wanted("SOCK__SKC_V6_DADDR", "sock", "__sk_common.skc_v6_daddr", required=False),
    Wanted("SOCK__SKC_V6_RCV_SADDR", "sock", "__sk_common.skc_v6_rcv_saddr", required=False),
    Wanted("SOCK__SK_TYPE", "sock", "sk_type"),
    Wanted("SOCK__SK_PROTOCOL", "sock", "sk_protocol"),
    Wanted("SOCK__SK_UID", "sock", "sk_uid.val"),
    Wanted("SOCK__SK_ACK_BACKLOG", "sock", "sk_ack_backlog"),
    Wanted("SOCK__SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    Wanted("UDP_SOCK__ENCAP_TYPE", "udp_sock", "encap_type"),
    Wanted("SKB_SHARED_INFO__GSO_SIZE", "skb_shared_info", "gso_size"),
    Wanted("SKB_SHARED_INFO__GSO_SEGS", "skb_shared_info", "gso_segs"),
)

# Read by one call, where they are no farther apart than this: it is on the programs' stack.
_PART = tuple(
    f"SK_BUFF__{name}"
    for name in (
        "LEN",
        "HEAD",
        "DATA",
        "TAIL",
        "MAC_HEADER",
        "PROTOCOL",
        "PKT_TYPE",
        "VLAN_TCI",
        "VLAN_PROTO",
        "VLAN_PRESENT",
        "SKB_IIF",
    )
)
_PART_BYTES_MAX = 160

# Where a function's arguments and result are, by machine: fields of struct pt_regs.
_REGISTERS = {
    "x86_64": (("di", "si", "dx", "cx", "r8"), "ax"),
    "aarch64": (("regs", "regs+8", "regs+16", "regs+24", "regs+32"), "regs"),
}


def _register(btf: Btf, struct_id: int, name: str) -> int:
    field_name, _, more = name.partition("+")
    field = btf.field(struct_id, field_name)
    if field is None:
        raise BtfError(f"the kernel's struct pt_regs has no field {field_name}")
    return field.offset + int(more or 0)


def _register_lines(btf: Btf, structs: dict[str, int], machine: str) -> list[str]:
    if machine not in _REGISTERS:
        raise BtfError(
            f"bondtrace does not know the calling convention of {machine} (it knows {', '.join(sorted(_REGISTERS))})"
        )
    arguments, result = _REGISTERS[machine]
    pt_regs = structs["pt_regs"]
    lines = [f"#define PT_REGS__ARG{i} {_register(btf, pt_regs, name)}" for i, name in enumerate(arguments)]
    return [*lines, f"#define PT_REGS__RESULT {_register(btf, pt_regs, result)}"]


def _inode_line(btf: Btf, structs: dict[str, int]) -> str:
    """Return the line with where a socket's inode is: beside it in struct socket_alloc."""
    socket = btf.field(structs["socket_alloc"], "socket")
    inode = btf.field(structs["socket_alloc"], "vfs_inode.i_ino")
    if socket is None or inode is None:
        raise BtfError("the kernel's struct socket_alloc has no socket and vfs_inode.i_ino")
    return f"#define SOCKET__INODE {inode.offset - socket.offset}"


def _field_lines(btf: Btf, structs: dict[str, int], wanted: Wanted) -> list[str]:
    field = btf.field(structs[wanted.struct], wanted.path) if wanted.struct in structs else None
    if field is None:
        if wanted.required:
            raise BtfError(
                f"the kernel's struct {wanted.struct} has no field {wanted.path}; "
                "bondtrace does not support such a kernel"
            )
        return []
    lines = [f"#define {wanted.macro} {field.offset}"]
    if field.bits:
        lines.append(f"#define {wanted.macro}_MASK {((1 << field.bits) - 1) << field.shift}")
    return lines


def _part_lines(btf: Btf, sk_buff: int) -> list[str]:
    """Return the lines with where the part of an skb is that holds all that a pass records of it, and its length in
    words of 8 bytes; none where it is too long."""
    fields = [btf.field(sk_buff, wanted.path) for wanted in WANTED if wanted.macro in _PART]
    offsets = [field.offset for field in fields if field is not None]
    begin, end = min(offsets) // 8 * 8, max(offsets) // 8 * 8 + 8
    if end - begin > _PART_BYTES_MAX:
        return []
    return [f"#define SK_BUFF__PART {begin}", f"#define SK_BUFF__PART_WORDS {(end - begin) // 8}"]


# What programs may call that not every kernel has: functions of the kernel that are there where its types have them.
GET_FUNC_ARG, RDONLY_CAST = CALLED = ("get_func_arg", "bpf_rdonly_cast")
_HELPERS = ("#define BPF_FUNC_GET_FUNC_IP 173", "#define BPF_FUNC_GET_FUNC_ARG 183")  # enum bpf_func_id


def _call_lines(btf: Btf, structs: Mapping[str, int]) -> list[str]:
    """Return the lines with the calls that this kernel has, and the numbers of the types for them."""
    found = btf.function_ids(set(CALLED))
    lines = []
    if GET_FUNC_ARG in found:
        lines += ["#define GET_FUNC_ARG 1", *_HELPERS]
    next_skb = btf.field(structs["sk_buff"], "next")
    is_first = next_skb is not None and next_skb.offset == 0  # what points to an skb looks like an skb itself
    if RDONLY_CAST in found and is_first and "packet_sock" in structs:
        lines.append(f"#define RDONLY_CAST {found[RDONLY_CAST]}")
        lines += [f"#define BTF_{name.upper()} {structs[name]}" for name in ("sk_buff", "packet_sock")]
    return lines


def _is_real_time(btf: Btf, structs: Mapping[str, int]) -> bool:
    """Is it a PREEMPT_RT kernel? There a spinlock is a lock that its holder may be preempted with."""
    return "spinlock" in structs and btf.field(structs["spinlock"], "lock") is not None


def header(btf: Btf, machine: Optional[str] = None) -> str:
    """Return the text of the generated header, one ``#define`` per line. ``BtfError`` where it cannot be made."""
    names = {wanted.struct for wanted in WANTED} | {"pt_regs", "socket_alloc", "spinlock"}
    structs = btf.find_many(names)
    needed = {wanted.struct for wanted in WANTED if wanted.required} | {"pt_regs", "socket_alloc"}
    missing = sorted(needed - set(structs))
    if missing:
        raise BtfError(
            f"the kernel's type information has no struct {missing[0]}; bondtrace does not support such a kernel"
        )
    lines = [line for wanted in WANTED for line in _field_lines(btf, structs, wanted)]
    lines += _part_lines(btf, structs["sk_buff"])
    lines.append(_inode_line(btf, structs))
    lines += _register_lines(btf, structs, machine or platform.machine())
    lines += _call_lines(btf, structs)
    if _is_real_time(btf, structs):
        lines.append("#define BY_TASK 1")
    reasons = {name: value for value, name in btf.enum("skb_drop_reason").items()}
    if reasons:
        lines.append("#define SKB_DROP_REASONS 1")
    for name in ("SKB_CONSUMED", "SKB_DROP_REASON_NOT_SPECIFIED", "SKB_DROP_REASON_NETFILTER_DROP"):
        if name in reasons:
            lines.append(f"#define {name} {reasons[name]}")
    return "\n".join(lines) + "\n"
