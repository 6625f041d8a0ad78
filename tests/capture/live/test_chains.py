# SPDX-License-Identifier: GPL-2.0-or-later
"""Chains that have packets dropped are named once, as people know them."""

import pytest

from bondtrace.capture.kernel.netfilter import Chain
from bondtrace.capture.live.chains import ChainNames
from bondtrace.format.wire import EMPTY, FUNCTIONS
from build import both, drop, received, rx

FUNC = {name: number for number, name in FUNCTIONS.items()}


def dropped(number, by="nft_do_chain"):
    return rx("eth0", drop("NETFILTER_DROP", "nf_hook_slow", by=by, decided_by=number))


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (Chain(FUNC["nft_do_chain"], 2, 2, "filter", "c_forward"), ("ip", "filter", "c_forward", "forward")),
        (Chain(FUNC["nft_do_chain"], 1, 1, "t", "in"), ("inet", "t", "in", "input")),
        (Chain(FUNC["nft_do_chain"], 5, 0, "early", "c"), ("netdev", "early", "c", "ingress")),
        (Chain(FUNC["nft_do_chain"], 3, 0, "a", "c"), ("arp", "a", "c", "input")),
        (Chain(FUNC["nft_do_chain"], 7, 5, "b", "c"), ("bridge", "b", "c", "brouting")),
        (Chain(FUNC["nft_do_chain"], 99, 77, "?", "c"), ("family 99", "?", "c", "hook 77")),
        (Chain(FUNC["ipt_do_table"], 0, 1, "filter", ""), ("iptables", "filter", "INPUT", "input")),
        (Chain(FUNC["ip6t_do_table"], 0, 0, "raw", ""), ("ip6tables", "raw", "PREROUTING", "prerouting")),
        (Chain(FUNC["arpt_do_table"], 0, 2, "filter", ""), ("arptables", "filter", "FORWARD", "forward")),
        (Chain(FUNC["ebt_do_table"], 0, 2, "filter", ""), ("ebtables", "filter", "FORWARD", "forward")),
    ],
)
def test_a_chain_is_told_by_the_names_that_its_program_gives_it(chain, expected):
    [event] = ChainNames(lambda numbers: {9: chain}).follow(dropped(9), 7)

    assert (event["kind"], event["time_ns"], event["number"]) == ("chain", 7, 9)
    assert tuple(event[name] for name in ("family", "table", "chain", "hook")) == expected


def test_a_chain_is_asked_for_once():
    asked = []

    def read(numbers):
        asked.append(set(numbers))
        return {}

    names = ChainNames(read)
    for passes in (EMPTY, received(), both(dropped(9), dropped(10)), dropped(9), dropped(11)):
        names.follow(passes, 7)
    assert asked == [{9, 10}, set(), {11}]


def test_what_is_no_number_of_a_chain_is_not_asked_for():
    def read(numbers):
        raise AssertionError(numbers)

    assert ChainNames(read).follow(rx("eth0", drop("NOT_SPECIFIED")), 7) == []
    assert ChainNames(read).follow(dropped(1234, by="nf_hook_slow"), 7) == []
