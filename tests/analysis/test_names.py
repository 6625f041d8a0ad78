# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that a trace has, and the sentence on one that it has not."""

import pytest

from bondtrace.analysis import names
from bondtrace.analysis.select import Criteria
from build import FEW, ON_ETH0, altered, hostile_scene, received, scene


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"taps": ("tcpdump", str(ON_ETH0), "801", "tcpdump -i eth0")},
        {"devices": ("eth0", "lo"), "paths": (("eth1", "bond0"),)},
        {"dropped": ("", "NO_SOCKET")},
    ],
)
def test_names_that_are_there_are_no_news(asked):
    assert names.unknown(Criteria(**asked), scene(taps=FEW)) == []


def test_what_is_not_there_is_said_with_what_is():
    asked = Criteria(taps=("tcpdmp -i eth0",), paths=(("eth0", "bnd0"),), dropped=("NO_SOCKT",))

    assert names.unknown(asked, scene(taps=FEW)) == [
        "no tap 'tcpdmp -i eth0' is in this trace: there are tcpdump -i eth0 [41001], tcpdump -i any [41004], "
        "tcpdump -i bond0 [41003]",
        "no device 'bnd0' is in this trace: there are bond0, bond0.7, br0, lo, eth0, eth1, eth2, veth0 and 2 more",
        "no drop reason 'NO_SOCKT' is in this trace: there are NO_SOCKET, NOT_SPECIFIED, SOCKET_FILTER, "
        "SOCKET_RCVBUFF, NETFILTER_DROP, XDP, TC_INGRESS, UNHANDLED_PROTO and 2 more",
    ]


def test_a_name_that_was_there_for_a_while_is_known():
    around = scene(altered("bond0", at=10, name="team0"))

    assert names.unknown(Criteria(devices=("bond0", "team0")), around) == []


def test_a_tap_that_only_packets_name_is_known():
    around = scene(taps={})
    assert names.unknown(Criteria(taps=(str(ON_ETH0),)), around) == [
        f"no tap '{ON_ETH0}' is in this trace: there is none"
    ]

    around.meet(received())

    assert names.unknown(Criteria(taps=(str(ON_ETH0),)), around) == []


def test_a_kernel_without_reasons_says_so():
    around = scene(drop_reasons={})

    assert names.unknown(Criteria(dropped=("NO_SOCKET",)), around) == [
        "the kernel of this trace tells no reasons for drops (before 5.17): leave out 'NO_SOCKET'"
    ]
    assert names.unknown(Criteria(dropped=("",)), around) == []


def test_names_are_harmless():
    [tap, device] = names.unknown(Criteria(taps=("x",), devices=("y",)), hostile_scene())

    assert (tap + device).isprintable()
