# SPDX-License-Identifier: GPL-2.0-or-later
"""Netfilter's families and hooks, by the names that nft and iptables give them.

Source: include/uapi/linux/netfilter.h (``enum nf_inet_hooks``, ``nf_dev_hooks``, ``NFPROTO_*``), netfilter_bridge.h,
netfilter_arp.h; and the functions that call ``nf_hook_slow``.
"""

from __future__ import annotations

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

_INET = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_HOOKS = {"arp": ("input", "output", "forward"), "netdev": ("ingress", "egress"), "bridge": (*_INET[:5], "brouting")}
# The program that makes an x_tables function's rules, and the family of its hooks.
TOOLS = {
    "ipt_do_table": ("iptables", "ip"),
    "ip6t_do_table": ("ip6tables", "ip6"),
    "arpt_do_table": ("arptables", "arp"),
    "ebt_do_table": ("ebtables", "bridge"),
}
# By the function that calls nf_hook_slow, or that the compiler put its caller into.
_OF_CALLERS = {
    "prerouting": ("ip_rcv", "ip_list_rcv", "ip_sublist_rcv", "ipv6_rcv", "ipv6_list_rcv", "ip6_sublist_rcv"),
    "input": ("ip_local_deliver", "ip6_input", "arp_rcv", "br_pass_frame_up"),
    "forward": ("ip_forward", "ip6_forward", "ip6_mr_forward", "__br_forward", "br_forward"),
    "output": ("__ip_local_out", "__ip6_local_out", "ip6_xmit", "arp_xmit", "ndisc_send_skb"),
    "postrouting": ("ip_output", "ip_mc_output", "ip6_output", "br_forward_finish"),
    "ingress": ("__netif_receive_skb_core",),
    "egress": ("__dev_queue_xmit",),
}
_HOOK_OF = {function: hook for hook, functions in _OF_CALLERS.items() for function in functions}


def family_name(number: int) -> str:
    """Return what nft calls a family of tables."""
    return FAMILIES.get(number, f"family {number}")


def hook_name(family: str, number: int) -> str:
    """Return what nft calls a hook of a family."""
    hooks = _HOOKS.get(family, _INET)
    return hooks[number] if number < len(hooks) else f"hook {number}"


def hook_of_caller(function: str) -> str:
    """Return the hook, as a phrase, at which this function calls ``nf_hook_slow``."""
    return f"hook {_HOOK_OF[function]}" if function in _HOOK_OF else f"the hook in {function}"


def chain_phrase(family: str, table: str, name: str, hook: str) -> str:
    """Return how people are told of a base chain: "inet filter input (hook input)"."""
    return f"{family} {table} {name} (hook {hook})"
