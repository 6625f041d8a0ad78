# SPDX-License-Identifier: GPL-2.0-or-later
"""Which chain had a packet dropped, or whose hook, as a journey tells it."""

import pytest

from bondtrace.format.events import chain_event
from build import ADDRESSES, BEGIN_NS, drop, journeys, rx, scene

CHAIN = chain_event(BEGIN_NS, 9, "ip", "filter", "c_forward", "forward")


def dropped(**more):
    return rx("eth0", drop("NETFILTER_DROP", "nf_hook_slow", **more))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"by": "nft_do_chain", "decided_by": 9}, "ip filter c_forward (hook forward)"),
        ({"by": "nft_do_chain", "decided_by": 10}, "a chain whose name was not recorded"),
        ({"by": "nf_hook_slow", "decided_by": ADDRESSES["ip_rcv_core"]}, "the hook in ip_rcv_core"),
        ({}, None),
    ],
)
def test_a_drop_by_netfilter_is_told_with_its_chain_or_its_hook(said, expected):
    [one] = journeys(dropped(**said), around=scene(CHAIN))

    step = one.passes[0].steps[-1]

    assert (step.kind, step.function, step.reason) == ("drop", "nf_hook_slow", "NETFILTER_DROP")
    assert step.netfilter == expected
    # and its orig_dev is the one of the pass, whatever number is in its place
    assert (step.orig_dev, step.orig_ifindex) == ("eth0", one.passes[0].steps[0].ifindex)


def test_the_number_of_a_chain_is_not_mistaken_for_an_address():
    named = chain_event(BEGIN_NS, ADDRESSES["ip_rcv_core"], "inet", "t", "c", "input")
    [one] = journeys(dropped(by="nf_hook_slow", decided_by=ADDRESSES["ip_rcv_core"]), around=scene(named))
    assert one.passes[0].steps[-1].netfilter == "the hook in ip_rcv_core"
