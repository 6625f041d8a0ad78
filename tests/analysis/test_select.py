# SPDX-License-Identifier: GPL-2.0-or-later
"""Which journeys criteria select, one criterion at a time and together, and what is counted."""

import numpy as np
import pytest

from bondtrace.analysis import assemble
from bondtrace.analysis.moments import moment
from bondtrace.analysis.select import ANY, Criteria, Selection, durations_ns, visited
from bondtrace.errors import BondtraceError
from bondtrace.net.pcap import make_filter
from build import (
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    SKB,
    altered,
    both,
    drop,
    handler,
    journeys,
    late,
    protocol,
    received,
    refused,
    reply,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tx,
)

# Journeys by number: 1 a reply through the bond, 2 a broadcast on the backup slave, 3 a request that is sent, on
# bond0 with the outcome filtered and on eth0 with full, 4 a reply that is dropped, 5 as 1 but slow.
MANY = both(
    received(0),
    refused(1_000),
    sent(2_000),
    rx("eth0", tap(ON_ETH0), drop("NO_SOCKET"), at=3_000, packet=reply(seq=4), skb=SKB + 0x400),
    received(4_000, packet=reply(seq=5), skb=SKB + 0x500, lasts=5_000),
)


def selected(passes=MANY, around=None, **asked):
    """The numbers of the journeys that are selected."""
    around = around or scene()
    columns = stitched(passes, around=around)
    found = Criteria(**asked).mask(columns, around)
    return columns.numbers[found.selected].tolist()


@pytest.mark.parametrize(
    "asked, numbers",
    [
        ({}, [1, 2, 3, 4, 5]),
        # the taps that were offered it, whatever they did: by inode, pid, program, label
        ({"taps": (str(ON_ETH0),)}, [1, 3, 4, 5]),
        ({"taps": ("801",)}, [1, 3, 4, 5]),
        ({"taps": ("tcpdump -i eth0",)}, [1, 3, 4, 5]),
        ({"taps": (f"tcpdump -i eth0 [{ON_ETH0}]",)}, [1, 3, 4, 5]),
        ({"taps": ("tcpdump -i eth1 arp",)}, [2]),
        ({"taps": ("tcpdump",)}, [1, 2, 3, 4, 5]),
        ({"taps": ("lldpd",)}, []),
        ({"taps": ("tcpdump -i eth",)}, []),
        ({"taps": (str(ON_ETH1), "803")}, [1, 2, 3, 5]),
        # what they did
        ({"outcomes": ("full",)}, [3]),
        ({"outcomes": ("filtered", "captured")}, [1, 2, 3, 4, 5]),
        ({"outcomes": ("captured",), "taps": (str(ON_BOND0),)}, [1, 5]),
        ({"outcomes": ("full",), "taps": (str(ON_BOND0),)}, []),
        # why they were not offered it
        ({"unseen": ("inactive-slave",)}, [2]),
        ({"unseen": ("inactive-slave",), "taps": (str(ON_BOND0),)}, [2]),
        ({"unseen": ("inactive-slave",), "taps": (str(ON_ETH0),)}, []),
        ({"unseen": ("protocol",), "taps": ("lldpd",)}, [2]),
        # what the kernel dropped
        ({"dropped": (ANY,)}, [4]),
        ({"dropped": ("NO_SOCKET",)}, [4]),
        ({"dropped": ("NETFILTER_DROP",)}, []),
        ({"dropped": ("NETFILTER_DROP", "NO_SOCKET")}, [4]),
        # devices, and their order
        ({"devices": ("eth1",)}, [2]),
        ({"devices": ("bond0", "eth1")}, [1, 2, 3, 5]),
        ({"devices": ("eth7",)}, []),
        ({"paths": (("eth0", "bond0"),)}, [1, 5]),
        ({"paths": (("bond0", "eth0"),)}, [3]),
        ({"paths": (("bond0", "eth0"), ("eth1",))}, [2, 3]),
        # times
        ({"slower_ns": 4_999_999}, [5]),
        ({"slower_ns": 5_000_000}, []),
        ({"since": moment("12:00:00.002")}, [3, 4, 5]),
        ({"until": moment("+2ms")}, [1, 2]),
        ({"since": moment("+1ms"), "until": moment("2026-11-22T12:00:00.003Z")}, [2, 3]),
        # the packet's bytes
        ({"packet_filter": make_filter("arp")}, [2]),
        ({"packet_filter": make_filter("icmp[icmptype] = icmp-echo")}, [3]),
        # different ones: all of them
        ({"taps": ("801",), "paths": (("eth0", "bond0"),), "slower_ns": 1_000_000}, [5]),
        ({"dropped": (ANY,), "packet_filter": make_filter("arp")}, []),
        ({"devices": ("bond0",), "outcomes": ("captured",), "packet_filter": make_filter("icmp")}, [1, 3, 5]),
    ],
)
def test_what_is_asked_for_is_selected(asked, numbers, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    assert selected(**asked) == numbers


def test_what_holds_for_a_journey_holds_for_all_that_are_alike():
    # given a thousand replies alike, some others, and a device that is renamed in between
    parts = [received(10 * n, packet=reply(seq=n), skb=SKB + 64 * n) for n in range(1000)]
    around = scene(altered("bond0", at=5_000, name="team0"))
    columns = stitched(*parts, refused(20_000), around=around)

    # when asked for the old name and for the new, then each journey has one of them
    old, new = (Criteria(devices=(name,)).mask(columns, around).selected for name in ("bond0", "team0"))
    assert (np.flatnonzero(old).tolist(), np.flatnonzero(new).tolist()) == (list(range(500)), list(range(500, 1000)))

    # and as if each was asked by itself
    for criteria in (
        Criteria(paths=(("eth0", "team0"),)),
        Criteria(unseen=("inactive-slave",)),
        Criteria(taps=("803",)),
    ):
        alone = [criteria.holds_for(one, around) for one in assemble.journeys(columns, around)]
        assert criteria.mask(columns, around).selected.tolist() == alone


def test_only_one_of_those_that_are_alike_is_assembled(monkeypatch):
    assembled, journey = [], assemble.journey
    monkeypatch.setattr(assemble, "journey", lambda *given: assembled.append(1) or journey(*given))
    columns = stitched(*(received(10 * n + 5, packet=reply(seq=n), skb=SKB + 64 * n) for n in range(100)))

    assert Criteria(unseen=("bound-elsewhere",)).mask(columns, scene()).selected.sum() == 100
    assert len(assembled) == 1


def test_a_filter_takes_a_journey_for_any_of_its_passes():
    # given a packet that is sent without a tag, and then with one
    plain = {"packet": reply(), "skb": SKB}
    tagged = both(tx("bond0.7", **plain, seq=1), tx("bond0", **plain, vlan=7, at=5, seq=2))

    assert selected(tagged, packet_filter=make_filter("vlan 7")) == [1]
    assert selected(tagged, packet_filter=make_filter("icmp")) == [1]
    assert selected(tagged, packet_filter=make_filter("vlan 8")) == []


def test_what_a_filter_cannot_decide_is_not_selected_and_is_counted():
    # given two echo requests of 98 bytes, an ARP request of 42, and late steps without their packet
    wanted = Criteria(packet_filter=make_filter("icmp[55] = 0"))
    parts = (
        received(),
        refused(1_000),
        received(2_000, skb=SKB + 64, packet=reply(2)),
        late("eth0", tap(ON_ETH0), at=5_000, skb=SKB + 0x900, frame=9, seq=9),
    )
    around, selection = scene(), Selection(wanted)

    taken = selection.take(stitched(*parts), around)

    assert (len(taken), selection.asked, selection.selected, selection.cut, selection.foreign) == (0, 4, 0, 2, 1)
    assert selection.lines(around) == [
        "selected: 0 of 4 journeys by --filter 'icmp[55] = 0'",
        "2 packets have too few bytes kept for this filter: record with --snaplen (not selected)",
        "1 packets are of link layers that a filter cannot read here (not selected)",
    ]
    assert selection.object() == {
        "by": "--filter 'icmp[55] = 0'",
        "selected": 0,
        "of": 4,
        "ended_early": False,
        "undecided": 3,
    }

    # and only among those that fulfil all else, and not where the bytes are known
    once = Selection(Criteria(packet_filter=wanted.packet_filter, until=moment("+1ms")))
    once.take(stitched(*parts), around)
    assert (once.asked, once.cut, once.foreign) == (4, 1, 0)
    known = Selection(wanted)
    assert len(known.take(stitched(*parts), around, {(0, 1): reply()})) == 2


def test_a_selection_stops_at_the_number_that_is_wanted_and_counts_up_to_there():
    selection, around = Selection(Criteria(devices=("bond0",))), scene()
    columns = stitched(MANY, around=around)

    assert selection.take(columns, around, most=2).numbers.tolist() == [1, 3]
    assert (selection.asked, selection.selected) == (3, 2)


def test_a_filter_on_pseudonyms_says_so():
    selection = Selection(Criteria(packet_filter=make_filter("host 10.9.0.1")))

    assert selection.lines(scene(privacy="hash"))[-1].startswith("this recording was made with --privacy")
    assert len(selection.lines(scene())) == 1


def test_times_need_the_start_of_the_trace():
    from bondtrace.analysis.scene import Scene

    with pytest.raises(BondtraceError, match="does not hold the start of a trace, so when '12:00' was is not known"):
        Criteria(since=moment("12:00")).mask(stitched(MANY), Scene())


def test_how_long_a_journey_took_is_what_is_shown():
    told = journeys(MANY, late("eth0", tap(ON_ANY), at=9_000))

    assert durations_ns(stitched(MANY, late("eth0", tap(ON_ANY), at=9_000))).tolist() == [
        one.duration_ns for one in told
    ]


def test_devices_are_visited_in_the_order_of_steps():
    # given a bridge, which floods a packet within its handler, and then delivers it
    flooded = both(
        tx("veth0", at=3, seq=2, parent=1),
        rx("eth2", handler("CONSUMED", function="br_handle_frame"), protocol("ip_rcv"), lasts=20, seq=1),
    )
    [journey] = journeys(flooded)
    assert visited(journey) == ["eth2", "eth2", "eth2", "veth0"]
    [journey] = journeys(received())
    assert list(dict.fromkeys(visited(journey))) == ["eth0", "bond0"]


def test_words_are_options_that_select_the_same():
    criteria = Criteria(
        ("tcpdump -i eth0",), ("protocol",), ("full",), (ANY, "NO_SOCKET"), ("eth0",), (("eth0", "bond0"),), 1_500_000,
        moment("12:00"), moment("+90s"), make_filter("icmp or arp"),
    )  # fmt: skip
    assert criteria.words == (
        "--tap 'tcpdump -i eth0' --unseen protocol --outcome full --dropped --dropped=NO_SOCKET --dev eth0 "
        "--path 'eth0>bond0' --slower 1500us --since 12:00 --until +90s --filter 'icmp or arp'"
    )
    assert (Criteria().words, bool(Criteria()), bool(criteria)) == ("", False, True)
    assert Criteria(taps=("\x1b[31m",)).words == "--tap '\\x1b[31m'"


def test_of_nothing_nothing_is_selected():
    none = stitched(MANY).take(np.zeros(0, np.int64))
    asked = Criteria(taps=("1",), slower_ns=1, packet_filter=make_filter("icmp"), since=moment("+1s"))

    assert [len(column) for column in asked.mask(none, scene())] == [0, 0, 0]
