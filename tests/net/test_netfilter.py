# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of netfilter's hooks."""

import pytest

from bondtrace.net.netfilter import TOOLS, hook_name, hook_of_caller


@pytest.mark.parametrize(
    ("family", "number", "expected"),
    [
        ("ip", 4, "postrouting"),
        ("inet", 5, "ingress"),
        ("netdev", 1, "egress"),
        ("arp", 1, "output"),
        ("ip", 9, "hook 9"),
    ],
)
def test_a_hook_by_its_number(family, number, expected):
    assert hook_name(family, number) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("ip_local_deliver", "hook input"),
        ("ip_sublist_rcv", "hook prerouting"),
        ("nf_queue_reinject", "the hook in nf_queue_reinject"),
    ],
)
def test_a_hook_by_the_function_that_calls_it(function, expected):
    assert hook_of_caller(function) == expected


def test_every_tool_has_the_family_of_its_hooks():
    assert {tool: hook_name(family, 2) for tool, family in TOOLS.values()} == dict.fromkeys(
        ("iptables", "ip6tables", "arptables", "ebtables"), "forward"
    )
