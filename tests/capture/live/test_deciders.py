# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has packets dropped, a chain of netfilter or a filter of tc, is named once, as people know it."""

import pytest

from bondtrace.capture.kernel.netfilter import Chain
from bondtrace.capture.kernel.tc import TcFilter
from bondtrace.capture.live.deciders import DeciderNames
from bondtrace.format.wire import EMPTY, FUNCTIONS
from build import both, drop, received, rx

FUNC = {name: number for number, name in FUNCTIONS.items()}


def none(numbers):
    raise AssertionError(numbers)


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
    [event] = DeciderNames(lambda numbers: {9: chain}, none).follow(dropped(9), 7)

    assert (event["kind"], event["time_ns"], event["number"]) == ("chain", 7, 9)
    assert tuple(event[name] for name in ("family", "table", "chain", "hook")) == expected


def test_a_chain_is_asked_for_once():
    asked = []

    def read(numbers):
        asked.append(set(numbers))
        return {}

    names = DeciderNames(read, none)
    for passes in (EMPTY, received(), both(dropped(9), dropped(10)), dropped(9), dropped(11)):
        names.follow(passes, 7)
    assert asked == [{9, 10}, {11}]


def test_what_is_no_number_of_a_chain_is_not_asked_for():
    def read(numbers):
        raise AssertionError(numbers)

    assert DeciderNames(read, read).follow(rx("eth0", drop("NOT_SPECIFIED")), 7) == []
    assert DeciderNames(read, read).follow(dropped(1234, by="nf_hook_slow"), 7) == []


def test_a_filter_is_told_by_its_place_and_its_actions():
    one = TcFilter("flower", 0x0800, 7, 2, ("mirred", "gact"), 1)
    passes = rx("eth0", drop("TC_INGRESS", by="tcf_classify", decided_by=9))
    names = DeciderNames(none, lambda numbers: {9: one} if numbers == [9] else {})

    [event] = names.follow(passes, 7)
    assert event == {
        **{"kind": "tc-filter", "time_ns": 7, "number": 9, "filter": "flower", "protocol": 0x0800, "priority": 7},
        **{"chain": 2, "actions": ["mirred", "gact"], "actions_left": 1},
    }
    assert names.follow(passes, 8) == []
