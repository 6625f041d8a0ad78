# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of a packet in a tap, from what the tap's function calls: bpf/tap.c itself, built as a library, is called
as the kernel would call it, on memory that looks like that of Linux 6.1."""

import ctypes
import struct

import pytest
from hosted import AT, Cpu, Memory, build

from bondtrace.format.wire import OUTCOMES

QUEUES, REFUSALS = 0, 1  # enum watched


@pytest.fixture(scope="module", params=["fentry", "kprobes"])
def built(request, tmp_path_factory):
    """(the library, are its programs' arguments typed?)"""
    return build(tmp_path_factory.mktemp("taps"), request.param == "fentry"), request.param == "fentry"


class Tap(Memory):
    """A packet socket, in a namespace; its hook is in it."""

    def __init__(self, net, inode, has_filter=True):
        super().__init__()
        self.socket = Memory().put("SOCKET__INODE", inode)
        self.put("SOCK__SK_SOCKET", self.socket.address).put("SOCK__SKC_NET", net.address)
        self.put("SOCK__SK_FILTER", 1 if has_filter else 0)
        self.hook = self.address + AT["PACKET_SOCK__PROT_HOOK"]
        struct.pack_into(
            "<Q", self.room, AT["PACKET_SOCK__PROT_HOOK"] + AT["PACKET_TYPE__AF_PACKET_PRIV"], self.address
        )

    def captures(self):
        self.add("PACKET_SOCK__STATS")

    def drops(self):
        self.add("PACKET_SOCK__TP_DROPS")


ROOM, LITTLE_ROOM, NO_ROOM = 2, 1, 0


class Host(Cpu):
    """A CPU that receives a packet on a device; the kernel's functions, as their calls and returns look to the
    programs."""

    def watch(self, place, number):
        self.library.set_watched(ctypes.c_uint32(place), ctypes.c_uint64(number))

    def room(self, tap, room, skb=None):
        """__packet_rcv_has_room is asked; by kretprobe its arguments are lost."""
        packet = self.skb.address if skb is None else skb
        self.run("tap_ring_room", *([tap.address, packet] if self.typed else []), result=room)

    def called(self, function, tap, skb=None, again=True):
        """A tap's function is called. ``again``: the begin of tpacket_rcv is attached where it need not be."""
        arguments = ((skb or self.skb).address, self.dev.address, tap.hook, self.dev.address)
        if function == "tpacket_rcv" and self.typed:
            if again:
                self.run("tap_ring_again", *arguments)
        else:
            self.run({"tpacket_rcv": "tap_ring_enter", "packet_rcv": "tap_queue_enter"}[function], *arguments)

    def returned(self, function, tap, skb=None):
        arguments = ((skb or self.skb).address, self.dev.address, tap.hook, self.dev.address)
        if self.typed and function == "tpacket_rcv":
            self.run("tap_ring_fexit", *arguments)
        else:
            self.run("tap_exit", *(arguments if self.typed else ()))

    def freed(self, skb=None):
        """kfree_skb_reason is called."""
        self.run("tap_refused", (skb or self.skb).address)

    def told(self, place=0):
        """(function, outcome) of a step; None where there is none."""
        step = self.step(place)
        return (step["func"], OUTCOMES[step["result"]]) if step else None


@pytest.fixture
def host(built):
    return Host(*built)


def ring(host, *happens, again=False, has_filter=True, pkt_type=0):
    """The outcome of tpacket_rcv in which this happens: calls with the host and the tap."""
    tap = Tap(host.net, 77, has_filter)
    host.open(pkt_type)
    host.called("tpacket_rcv", tap, again=again)
    for one in happens:
        one(host, tap)
    host.returned("tpacket_rcv", tap)
    function, outcome = host.told()
    assert (function, host.told(1), host.step()["arg"]) == ("tpacket_rcv", None, 77)
    return outcome


def asks(room):
    return lambda host, tap: host.room(tap, room)


def captures(host, tap):
    tap.captures()


def drops(host, tap):
    tap.drops()


def frees(host, tap):
    host.freed()


def frees_another(host, tap):
    host.freed(Memory())


def watches(number, place=REFUSALS):
    return lambda host, tap: host.watch(place, number)


def nobody_is_asked_for(host, tap):
    """poll() asks for room, without a packet."""
    if host.typed:
        host.room(tap, ROOM, 0)


def asks_another(host, tap):
    if host.typed:
        host.room(Tap(host.net, 78), ROOM)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("happens", "outcome"),
    [
        ([asks(ROOM), captures], "captured"),
        ([asks(LITTLE_ROOM), captures], "captured"),
        ([drops, captures, asks(ROOM), captures], "captured"),  # what was before does not count
        ([asks(NO_ROOM), drops], "full"),
        # room, and yet no slot
        ([asks(ROOM), drops], "full"),
        ([asks(ROOM), drops, frees], "full"),
        # another CPU captures, while this one does: it is no drop of this one
        ([asks(ROOM), captures, captures], "captured"),
        # another CPU fills the ring, and this one does not
        ([asks(ROOM), drops, captures], "unknown"),
        ([watches(3), asks(ROOM), drops, captures], "captured"),
        ([watches(3), asks(ROOM), drops, captures, frees_another], "captured"),
        ([watches(3), asks(ROOM), drops, captures, frees], "full"),
        # what frees an skb was not probed all the time: at first, at last, in between
        ([asks(ROOM), drops, captures, watches(3)], "unknown"),
        ([watches(3), asks(ROOM), drops, captures, watches(0)], "unknown"),
        ([watches(3), asks(ROOM), watches(0), drops, captures, watches(4)], "unknown"),
        # it shows what it shows even so
        ([asks(ROOM), drops, captures, frees], "full"),
        ([asks(ROOM), drops, watches(0)], "full"),
        # the filter refused it
        ([], "filtered"),
        ([nobody_is_asked_for], "filtered"),
        ([asks_another], "filtered"),
        ([frees_another], "filtered"),
    ],
)
def test_the_outcome_in_a_ring(host, happens, outcome, again):
    assert ring(host, *happens, again=again) == outcome


def test_nothing_is_filtered_without_a_filter(host):
    assert ring(host, has_filter=False) == "unknown"


def test_a_ring_ignores_what_the_loopback_device_sent_and_what_is_of_another_namespace(host):
    assert ring(host, pkt_type=5) == "ignored"
    host.open()
    elsewhere = Tap(Memory(), 79)
    host.called("tpacket_rcv", elsewhere)
    host.returned("tpacket_rcv", elsewhere)
    assert host.told() == ("tpacket_rcv", "ignored")


def test_where_the_offset_is_too_large_nothing_is_freed_and_the_counters_decide_or_nothing_does(host):
    def reserves(host, tap):
        tap.put("PACKET_SOCK__TP_RESERVE", 65_500, "I")

    def tap_of(*happens):
        tap = Tap(host.net, 77)
        reserves(host, tap)
        host.open()
        host.called("tpacket_rcv", tap, again=False)
        for one in happens:
            one(host, tap)
        host.returned("tpacket_rcv", tap)
        return host.told()[1]

    assert tap_of(watches(3), asks(ROOM), drops) == "full"
    assert tap_of(watches(3), asks(ROOM), captures) == "captured"
    assert tap_of(watches(3), asks(ROOM), drops, captures) == "unknown"


def in_group(host, *happens):
    """The outcome in a ring of a group that rolls over: it has asked this ring, and another, before it is called."""
    tap, other = Tap(host.net, 77), Tap(host.net, 78)
    host.open()
    host.run("tap_fanout_enter", host.skb.address, host.dev.address, tap.hook, host.dev.address)
    if host.typed:
        for one in (other, tap):
            host.room(one, ROOM)
    for one in happens:
        one(host, tap)
    host.returned("tpacket_rcv", tap)
    assert host.told() == ("packet_rcv_fanout", "unknown")
    return host.told(1)[1]


def begins(host, tap):
    host.called("tpacket_rcv", tap)


def test_what_a_group_asked_for_room_is_not_taken_for_what_its_member_asked(host):
    assert in_group(host, begins) == "filtered"
    assert in_group(host, begins, asks(NO_ROOM), drops) == "full"
    assert in_group(host, begins, asks(ROOM), captures) == "captured"


def test_until_the_begin_is_probed_the_outcome_in_a_ring_of_a_group_is_not_known(host):
    if not host.typed:
        pytest.skip("by kprobes it always is")
    assert in_group(host, asks(ROOM), captures) == "unknown"
    assert in_group(host) == "unknown"
    # and the next packet's is
    assert ring(host, asks(ROOM), captures) == "captured"


def test_what_a_ring_was_asked_is_forgotten_with_the_next_tap(host):
    asked, other = Tap(host.net, 77), Tap(host.net, 78)
    if host.typed:
        host.room(asked, ROOM)  # by a group, which then chooses a member without a ring
    host.called("packet_rcv", other)
    host.returned("packet_rcv", other)
    host.called("tpacket_rcv", asked, again=False)
    host.returned("tpacket_rcv", asked)
    assert host.told(1) == ("tpacket_rcv", "filtered")


def test_a_drop_while_a_tap_runs_is_the_taps_own(host):
    tap = Tap(host.net, 77)
    host.called("tpacket_rcv", tap, again=False)
    host.room(tap, ROOM)
    during = host.library.is_in_tap()
    host.returned("tpacket_rcv", tap)
    assert (during, host.library.is_in_tap()) == (1, 0)


def test_a_packet_that_is_sent_is_not_of_the_pass_that_is_received(host):
    # given that transmit taps are not watched, a packet is sent while another is received
    sent = Memory().put("SK_BUFF__PKT_TYPE", 4, "B")
    tap = Tap(host.net, 77)
    for function in ("tpacket_rcv", "packet_rcv"):
        host.called(function, tap, sent)
        host.returned(function, tap, sent)
    assert host.told() is None
    # but what another skb holds now, as its tag was taken out, is
    untagged = Memory()
    host.called("tpacket_rcv", tap, untagged)
    host.returned("tpacket_rcv", tap, untagged)
    assert host.told() == ("tpacket_rcv", "filtered")


def queue(host, *happens, has_filter=True):
    tap = Tap(host.net, 77, has_filter)
    host.called("packet_rcv", tap)
    for one in happens:
        one(host, tap)
    host.returned("packet_rcv", tap)
    function, outcome = host.told()
    assert (function, host.told(1), host.step()["arg"]) == ("packet_rcv", None, 77)
    return outcome


def wakes(host, tap):
    host.run("tap_queued", tap.address)


def wakes_another(host, tap):
    host.run("tap_queued", tap.address + 4096)


@pytest.mark.parametrize(
    ("before", "happens", "outcome"),
    [
        (3, [wakes], "captured"),
        (3, [frees], "full"),
        (3, [], "filtered"),
        (3, [wakes_another, frees_another], "filtered"),
        # nothing was watched, all the time or a part of it
        (0, [], "unknown"),
        (0, [watches(3, QUEUES)], "unknown"),
        (3, [watches(0, QUEUES)], "unknown"),
        (3, [watches(0, QUEUES), watches(4, QUEUES)], "unknown"),
        (0, [wakes], "captured"),
    ],
)
def test_the_outcome_without_a_ring(host, before, happens, outcome):
    host.watch(QUEUES, before)
    assert queue(host, *happens) == outcome


def test_without_a_filter_and_a_ring_nothing_is_filtered(host):
    host.watch(QUEUES, 3)
    assert queue(host, has_filter=False) == "unknown"
