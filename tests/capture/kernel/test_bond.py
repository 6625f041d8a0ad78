# SPDX-License-Identifier: GPL-2.0-or-later
"""A bond's rx_handler has one program, at its end: it has to know by then on which slave the handler was called, and
which device comes next (bpf/handler.c, built as a library)."""

import struct

import pytest
from hosted import Cpu, Memory, build, device

from bondtrace.format.wire import FUNC_HANDLER, STEP_HANDLER, STEP_NETNS

CONSUMED, ANOTHER, EXACT, PASS = range(4)
HANDLER = 0x1234  # its address


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("bond"), True)


class Host(Cpu):
    """A CPU on which the slave ``dev`` receives a packet; ``bond`` is on top of it."""

    def __init__(self, library):
        super().__init__(library, True)
        self.bond = device(5, self.net)

    def returns(self, verdict, skb, dev, came_by):
        """The handler returns; the packet is ``skb`` now, on ``dev``, its round began on the ifindex ``came_by``."""
        skb.put("SK_BUFF__DEV", dev.address).put("SK_BUFF__SKB_IIF", came_by, "I")
        pointer = Memory(8)
        struct.pack_into("<Q", pointer.room, 0, skb.address)
        self.run("bond_fexit", pointer.address, result=verdict)

    def tap(self, dev):
        """A fanout group is offered the packet on this device."""
        self.run("tap_fanout_enter", self.skb.address, dev.address, 0, self.dev.address)


@pytest.fixture
def host(library):
    return Host(library)


def handler(verdict, ifindex, arg, round_=1, address=HANDLER):
    return {
        "kind": STEP_HANDLER,
        "func": FUNC_HANDLER,
        "result": verdict,
        "round": round_,
        "ifindex": ifindex,
        "arg": arg,
        "skb_low": address,
    }


def without_time(step):
    return {name: value for name, value in step.items() if name != "t_ns"}


def test_another_round_begins_on_the_bond_with_the_packet_that_the_handler_may_have_cloned(host):
    clone = Memory()
    host.returns(ANOTHER, clone, host.bond, came_by=2)
    host.tap(host.bond)
    assert without_time(host.step()) == handler(ANOTHER, 2, 5)
    # and the bond's tap is in the next round, in no other namespace
    assert (host.step(1)["kind"], host.step(1)["ifindex"], host.step(1)["round"]) == (2, 5, 2)
    assert host.step(2) is None


@pytest.mark.parametrize("verdict", [EXACT, PASS])
def test_what_is_left_to_the_slave_stays_on_it(host, verdict):
    host.returns(verdict, host.skb, host.dev, came_by=2)
    host.tap(host.dev)
    assert without_time(host.step()) == handler(verdict, 2, 2)
    assert (host.step(1)["ifindex"], host.step(1)["round"]) == (2, 1)


def test_what_was_consumed_is_not_looked_at(host):
    gone = Memory(8)  # no skb any more
    host.run("bond_fexit", gone.address, result=CONSUMED)
    assert without_time(host.step()) == handler(CONSUMED, 2, 0)


def test_the_step_has_the_time_of_the_one_before_it_as_it_stands_before_what_the_handler_sent(host):
    host.returns(PASS, host.skb, host.dev, came_by=2)
    assert host.step()["t_ns"] == 0, "that of the record"
    host.open()
    host.tap(host.dev)
    host.returns(ANOTHER, host.skb, host.bond, came_by=2)
    host.tap(host.bond)
    first, second, third = (host.step(place)["t_ns"] for place in range(3))
    assert first == second < third


def test_the_slave_is_where_the_round_began_though_nothing_was_seen_there(host):
    # given a packet that tc gave to another slave
    host.returns(ANOTHER, host.skb, host.bond, came_by=3)
    host.tap(host.bond)
    step = host.step()
    assert (step["ifindex"], step["arg"], step["round"]) == (3, 5, 2) and host.step(1)["round"] == 3
    # and one that the bond there left to it
    host.open()
    host.returns(EXACT, host.skb, device(3, host.net, HANDLER), came_by=3)
    assert (host.step()["ifindex"], host.step()["arg"], host.step()["round"]) == (3, 3, 2)


def test_a_slave_of_another_namespace_is_told_with_it_also_where_its_ifindex_is_the_same(host):
    there = Memory().put("NET__INUM", 0xF0000002, "I")
    host.returns(ANOTHER, host.skb, device(5, there), came_by=2)
    assert (host.step()["kind"], host.step()["arg"]) == (STEP_NETNS, 0xF0000002)
    assert (host.step(1)["kind"], host.step(1)["ifindex"], host.step(1)["round"]) == (STEP_HANDLER, 2, 2)


def test_where_no_pass_is_open_nothing_is_told(host):
    host.library.close_by_hand()
    host.returns(ANOTHER, host.skb, host.bond, came_by=2)
    assert host.step() is None
