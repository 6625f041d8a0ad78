# SPDX-License-Identifier: GPL-2.0-or-later
"""Which passes are one journey. ``told`` writes a journey as its passes: direction, device, µs of its begin."""

import numpy as np
import pytest

from bondtrace.analysis.shapes import fingerprint, with_facts
from bondtrace.analysis.stitch import GAP_NS, HOLD_NS, WAIT_NS, Stitcher
from bondtrace.format.events import device_event
from bondtrace.format.wire import EMPTY, RECORD_LATE, RECORD_RX, concatenate
from bondtrace.model import Device
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    SKB,
    arp,
    both,
    drop,
    echo,
    ether,
    handler,
    ip4,
    ip6,
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
    tcp,
    tx,
    udp,
)

NAMES = {(device.netns, device.ifindex): name for name, device in DEVICES.items()}
KINDS = {1: "rx", 2: "tx", 3: "late"}


def told(*several):
    """Journeys (of one or more parts of a stream) as lists of words."""
    result = []
    for columns in several:
        for begin, end in zip(columns.offsets[:-1], columns.offsets[1:]):
            result.append(
                [
                    f"{KINDS[r['kind']]} {NAMES[int(r['netns']), int(r['ifindex'])]} "
                    f"{(int(r['time_ns']) - BEGIN_NS) // 1000}"
                    for r in columns.passes.records[begin:end]
                ]
            )
    return result


def steps_of(journeys, place=0):
    """(t_ns, arg, func, round) of every step of a pass."""
    passes = journeys.passes
    return [
        (int(s["t_ns"]), int(s["arg"]), int(s["func"]), int(s["round"]))
        for s in passes.steps[passes.offsets[place] : passes.offsets[place + 1]]
    ]


def test_a_reply_through_the_bond_is_one_journey_of_one_pass():
    # given a reply that came by eth0 and went on as bond0's, when it is stitched
    journeys = stitched(received())

    # then it is one journey, with every step as it came
    assert told(journeys) == [["rx eth0 0"]]
    assert steps_of(journeys) == [
        (1000, ON_ANY, 2, 1),
        (2000, ON_ETH0, 2, 1),
        (3000, 4, 63, 1),
        (4000, ON_ANY, 2, 2),
        (5000, ON_BOND0, 2, 2),
        (6000, 0, 16, 2),
    ]


def test_sent_on_the_bond_and_then_on_its_slave_is_one_journey():
    assert told(stitched(sent())) == [["tx bond0 0", "tx eth0 10"]]


def test_sent_on_a_vlan_its_bond_and_the_slave_is_one_journey():
    # given one skb on its way down three devices, the tag moving from beside the bytes into them
    passes = [tx("bond0.7", at=0), tx("bond0", at=5, vlan=7), tx("eth0", at=10, packet=reply(tag=7))]

    assert told(stitched(*passes)) == [["tx bond0.7 0", "tx bond0 5", "tx eth0 10"]]


def test_sent_on_a_vlan_and_then_on_the_slave_of_its_bond_that_no_tap_listens_on_is_one_journey():
    # given taps on the VLAN and on eth0 alone: the kernel shows nothing of the bond between them
    assert told(stitched(tx("bond0.7"), tx("eth0", at=10, packet=reply(tag=7)))) == [["tx bond0.7 0", "tx eth0 10"]]


WAITS_US = WAIT_NS // 1000


@pytest.mark.parametrize("address", ["skb", "head"])
@pytest.mark.parametrize("way", [("bond0", "eth0"), ("bond0.7", "eth0"), ("bond0.7", "bond0")])
def test_what_waited_in_a_queue_below_is_of_the_same_journey(way, address):
    # given a packet that is sent again below by its skb, or by a clone, as late as a queue may let it go
    addresses = {"skb": {"head": 0}, "head": {"skb": SKB + 64, "head": 7}}[address]
    first, second = tx(way[0], head=7 if address == "head" else 0, lasts=0), tx(way[1], at=WAITS_US, seq=2, **addresses)

    assert told(stitched(first, second)) == [[f"tx {way[0]} 0", f"tx {way[1]} {WAITS_US}"]]

    # when it is later, or the packet had been dropped, or it is another one, or the first was sent on already, or
    # nothing was to be expected there, then it is not
    late = tx(way[1], at=WAITS_US + 1, seq=2, **addresses)
    assert len(stitched(first, late)) == 2
    assert len(stitched(tx(way[0], drop("TC_INGRESS"), head=addresses["head"]), second)) == 2
    assert len(stitched(first, tx(way[1], at=WAITS_US, seq=2, packet=reply(seq=9), **addresses))) == 2
    assert len(stitched(first, tx(way[1], at=5, seq=2, head=addresses["head"]), second)) == 2
    assert len(stitched(first, second, around=scene(taps={}))) == 2
    assert len(stitched(first, tx("eth2", at=WAITS_US, seq=2, **addresses))) == 2


def test_a_reused_skb_address_never_joins_other_contents():
    # given the address of the bond's packet on the slave, with the next echo request in it
    assert told(stitched(tx("bond0"), tx("eth0", at=10, packet=reply(seq=2)))) == [["tx bond0 0"], ["tx eth0 10"]]


def test_the_same_contents_do_not_join_devices_that_are_not_related():
    assert told(stitched(tx("bond0"), tx("eth2", at=10))) == [["tx bond0 0"], ["tx eth2 10"]]


def test_the_same_contents_in_another_skb_do_not_join():
    assert told(stitched(tx("bond0"), tx("eth0", at=10, skb=SKB + 64))) == [["tx bond0 0"], ["tx eth0 10"]]


def test_what_was_received_and_is_sent_later_from_the_same_skb_is_not_its_journey():
    assert told(stitched(rx("eth0"), tx("bond0", at=10))) == [["rx eth0 0"], ["tx bond0 10"]]


@pytest.mark.parametrize("times", [2, 3, 7])
def test_a_retransmission_from_the_same_address_is_a_journey_of_its_own(times):
    # given the same contents sent several times over, each on bond0 and then on eth0
    passes = [one for n in range(times) for one in (tx("bond0", at=100 * n), tx("eth0", at=100 * n + 10))]

    # when stitched, then every time is a journey
    assert told(stitched(*passes)) == [[f"tx bond0 {100 * n}", f"tx eth0 {100 * n + 10}"] for n in range(times)]


def test_a_retransmission_on_one_device_is_a_journey_of_its_own():
    assert told(stitched(tx("eth2"), tx("eth2", at=10))) == [["tx eth2 0"], ["tx eth2 10"]]


def test_retransmissions_of_two_packets_that_interleave_stay_apart():
    # given two skbs, each sent twice on bond0 and eth0, one just after the other
    passes = [
        tx(dev, at=at + shift, skb=SKB + shift * 64)
        for at, dev in ((0, "bond0"), (10, "eth0"), (20, "bond0"), (30, "eth0"))
        for shift in (0, 1)
    ]

    assert told(stitched(*passes)) == [
        ["tx bond0 0", "tx eth0 10"],
        ["tx bond0 1", "tx eth0 11"],
        ["tx bond0 20", "tx eth0 30"],
        ["tx bond0 21", "tx eth0 31"],
    ]


@pytest.mark.parametrize("beyond_ns, joined", [(0, True), (1000, False)])
def test_passes_that_lie_too_far_apart_do_not_join(beyond_ns, joined):
    # given a pass on the slave that begins so long after the bond's has ended (it lasts 1 µs)
    gap_us = (GAP_NS + beyond_ns) // 1000
    journeys = stitched(tx("bond0"), tx("eth0", at=1 + gap_us), around=scene(taps={}))

    assert len(journeys) == (1 if joined else 2)


def test_through_a_veth_into_another_namespace_is_one_journey():
    assert told(stitched(tx("veth0"), rx("peer0", at=5))) == [["tx veth0 0", "rx peer0 5"]]


def test_the_same_ifindex_in_another_namespace_is_another_device():
    # given bond0 here (ifindex 4) and peer0 there, which has eth0's ifindex; and the same the other way round
    assert told(stitched(tx("bond0"), tx("peer0", at=5))) == [["tx bond0 0"], ["tx peer0 5"]]
    assert told(stitched(tx("other1"), tx("eth0", at=5))) == [["tx other1 0"], ["tx eth0 5"]]


def test_a_device_that_is_not_known_joins_nothing():
    # given a scene without bond0, when the pair is stitched
    without = scene(devices={name: one for name, one in DEVICES.items() if name != "bond0"})

    assert told(stitched(sent(), around=without)) == [["tx bond0 0"], ["tx eth0 10"]]


# --- nested passes -------------------------------------------------------------------------------------


def test_a_bridges_local_delivery_belongs_to_the_packet_it_is_nested_in():
    # given the bridge's handler, within which the packet is received again on br0, sent first as it ends first
    inner = rx("br0", protocol("ip_rcv"), at=2, seq=6, parent=5)
    outer = rx("eth2", handler("CONSUMED", function="br_handle_frame"), at=0, seq=5, lasts=9)

    assert told(stitched(inner, outer)) == [["rx eth2 0", "rx br0 2"]]


def test_a_forwarded_packet_joins_although_its_devices_are_not_related():
    # given a packet that is forwarded from eth0 to eth2: other MAC addresses, TTL and checksum, same skb
    forwarded = ether(ip4(echo(), ttl=63, checksum=7), src=B_MAC, dst=C_MAC)
    inner = tx("eth2", at=4, seq=6, parent=5, packet=forwarded)

    assert told(stitched(inner, rx("eth0", at=0, seq=5, lasts=9))) == [["rx eth0 0", "tx eth2 4"]]


B_MAC, C_MAC = bytes.fromhex("02000000000b"), bytes.fromhex("02000000000c")


def test_a_reply_that_is_sent_while_its_request_is_received_is_a_journey_of_its_own():
    request = rx("eth0", at=0, seq=5, lasts=20, packet=ether(ip4(echo(8))))
    answer = [
        tx("bond0", at=4, seq=6, parent=5, skb=SKB + 64, packet=ether(ip4(echo(0), src=2, dst=1))),
        tx("eth0", at=6, seq=7, parent=5, skb=SKB + 64, packet=ether(ip4(echo(0), src=2, dst=1))),
    ]

    assert told(stitched(*answer, request)) == [["rx eth0 0"], ["tx bond0 4", "tx eth0 6"]]


def test_a_pass_is_not_nested_in_the_same_number_of_another_cpu():
    inner = tx("eth2", at=4, seq=6, parent=5, cpu=1, skb=SKB + 64)

    assert told(stitched(inner, rx("eth0", at=0, seq=5, lasts=9, cpu=0))) == [["rx eth0 0"], ["tx eth2 4"]]


def test_a_routed_packet_that_waited_for_its_next_hop_is_one_journey():
    # given what is sent once ARP was answered: the same skb and contents, outside the receive
    parts = rx("eth0", protocol("ip_rcv"), at=0, seq=5), tx("eth2", at=400, seq=9)

    assert told(stitched(*parts)) == [["rx eth0 0", "tx eth2 400"]]
    # but a device above or below does not send on what it received
    assert told(stitched(parts[0], tx("bond0", at=400, seq=9))) == [["rx eth0 0"], ["tx bond0 400"]]


def test_copies_of_a_broadcast_join_by_the_data_they_share():
    # given three skbs with one head: a macvlan's worker hands copies to two devices on bond0 (here its VLANs)
    around = scene(
        device_event(BEGIN_NS, Device(HERE, 20, "mv0", "macvlan", link=4)),
        device_event(BEGIN_NS, Device(HERE, 21, "mv1", "macvlan", link=4)),
        devices={**DEVICES, "mv0": Device(HERE, 20, "mv0", "macvlan", link=4)},
    )
    whole = rx(
        "eth0", handler("ANOTHER", "bond0"), handler("PASS", function="macvlan_handle_frame"), packet=arp(), head=7
    )
    copies = [
        renumbered(rx("bond0.7", at=30 + number, packet=arp(), skb=SKB + 64 * number, head=7), 19 + number)
        for number in (1, 2)
    ]

    # then they are one journey; with another head, other contents or too late they are not
    assert [len(stitched(whole, *copies, around=around))] == [1]
    others = [
        rx("bond0.7", at=30, packet=arp(), skb=SKB + 64, head=8),
        rx("bond0.7", at=30, packet=reply(), skb=SKB + 64, head=7),
        rx("bond0.7", at=GAP_NS // 1000 + 60, packet=arp(), skb=SKB + 64, head=7),
    ]
    assert [len(stitched(whole, renumbered(other, 20), around=around)) for other in others] == [2, 2, 2]


def renumbered(passes, ifindex):
    """The same on another device."""
    passes.records["ifindex"] = ifindex
    return passes


def test_what_is_sent_inside_a_list_receive_joins_the_packet_with_its_skb():
    # given two equal packets in a list, and the second is forwarded once both core calls are over
    first = rx("eth0", at=0, skb=SKB, seq=1, frame=9, in_list=True)
    second = rx("eth0", at=10, skb=SKB + 64, seq=2, frame=9, in_list=True)
    sent_on = tx("eth2", at=20, skb=SKB + 64, seq=3, frame=9, inside_list=True)
    stranger = tx("eth2", at=22, skb=SKB + 128, seq=4, frame=9, inside_list=True)

    assert told(stitched(first, second, sent_on, stranger)) == [
        ["rx eth0 0"],
        ["rx eth0 10", "tx eth2 20"],
        ["tx eth2 22"],
    ]


def test_a_late_drop_joins_its_packet_and_a_stray_one_says_nothing():
    # given a packet of a list that IP drops later, and a drop of a packet that was never told
    packet = rx("eth0", handler("ANOTHER", "bond0"), at=0, skb=SKB, seq=1, frame=9, in_list=True)
    dropped = late("bond0", drop("NO_SOCKET"), at=20, skb=SKB, frame=9)
    stray = late("bond0", drop("NO_SOCKET"), at=30, skb=SKB + 64, frame=9)

    # then only the first has a place
    [journey] = journeys(packet, dropped, stray)
    assert [(step.kind, step.dev, step.round, step.reason) for step in journey.passes[0].steps] == [
        ("enter", "eth0", 1, None),
        ("rx_handler", "eth0", 1, "active slave"),
        ("drop", "bond0", 2, "NO_SOCKET"),
    ]
    assert journey.complete


def test_two_tags_do_not_make_another_packet():
    # given a packet with a customer's tag, and the same inside a provider's
    plain = reply()
    once, twice = (plain[:12] + tags + plain[12:] for tags in (b"\x81\0\0\7", b"\x88\xa8\0\1\x81\0\0\7"))

    assert len(set(fingerprint(both(*(rx("eth0", packet=packet) for packet in (plain, once, twice)))).tolist())) == 1


# --- late records --------------------------------------------------------------------------------------


def test_a_late_step_joins_the_packet_of_its_list_with_the_same_skb():
    # given two packets received in a list, whose last taps run after both core calls
    first = rx("eth0", handler("ANOTHER", "bond0"), at=0, skb=SKB, seq=1, frame=9, in_list=True)
    second = rx(
        "eth0", handler("ANOTHER", "bond0"), at=10, skb=SKB + 64, seq=2, frame=9, in_list=True, packet=reply(seq=2)
    )
    after = late("bond0", protocol("ip_list_rcv"), protocol("ip_list_rcv", skb=SKB + 64), at=20, frame=9)

    # when stitched
    journeys = stitched(first, second, after)

    # then each step is its own packet's, with its time since that packet's begin
    assert told(journeys) == [["rx eth0 0"], ["rx eth0 10"]]
    assert steps_of(journeys, 0) == [(1000, 4, 63, 1), (21000, 0, 19, 0)]
    assert steps_of(journeys, 1) == [(1000, 4, 63, 1), (12000, 0, 19, 0)]


def test_a_late_step_finds_its_packet_by_the_skb_that_replaced_the_first():
    packet = rx("eth0", at=0, skb=SKB, last_skb=SKB + 64, frame=9, in_list=True)

    journeys = stitched(packet, late("eth0", tap(ON_ANY), at=5, skb=SKB + 64, frame=9))

    assert told(journeys) == [["rx eth0 0"]]
    assert steps_of(journeys) == [(6000, ON_ANY, 2, 0)]


def test_a_late_step_joins_the_pass_it_is_nested_in():
    # given a late record that names the pass in which it ran, another skb, and is sent before it
    after = late("eth0", tap(ON_ANY), at=3, skb=SKB + 64, parent=5, frame=2)

    journeys = stitched(after, rx("eth0", at=0, seq=5, lasts=9))

    assert told(journeys) == [["rx eth0 0"]]
    assert steps_of(journeys) == [(4000, ON_ANY, 2, 0)]


@pytest.mark.parametrize("other", [{"frame": 8}, {"skb": SKB + 64}, {"cpu": 1}])
def test_a_late_record_that_fits_nothing_stays_a_journey(other):
    # given a list's packet and a late record of another list, skb or CPU
    packet = rx("eth0", at=0, frame=9, in_list=True)
    journeys = stitched(packet, late("eth0", tap(ON_ANY), **{"at": 5, "frame": 9, **other}))

    assert told(journeys) == [["rx eth0 0"], ["late eth0 5"]]
    assert steps_of(journeys, 1) == [(1000, ON_ANY, 2, 0)]


def test_a_late_record_with_a_fitting_and_a_strange_step_gives_away_only_the_one():
    packet = rx("eth0", at=0, frame=9, in_list=True)
    steps = protocol("ip_list_rcv"), protocol("ip_list_rcv", skb=SKB + 64)

    journeys = stitched(packet, late("eth0", *steps, at=5, frame=9))

    assert told(journeys) == [["rx eth0 0"], ["late eth0 5"]]
    assert steps_of(journeys, 0) == [(6000, 0, 19, 0)]
    assert steps_of(journeys, 1) == [(2000, 0, 19, 0)]


# --- streams -------------------------------------------------------------------------------------------


def test_a_journey_is_given_once_nothing_can_add_to_it():
    # given a stitcher that has seen the bond's pass (it ends after 3 µs), and then the slave's
    stitcher, pair = Stitcher(scene().devices.related), sent()
    end_ns = BEGIN_NS + 13_000

    # when time goes on, then they come together, when the hold after the last is over, and are not given again
    assert told(stitcher.add(pair.take(np.array([0])), BEGIN_NS + 5_000)) == []
    assert told(stitcher.add(pair.take(np.array([1])), end_ns + HOLD_NS)) == []
    assert told(stitcher.add(EMPTY, end_ns + HOLD_NS + 1)) == [["tx bond0 0", "tx eth0 10"]]
    assert told(stitcher.flush()) == []


def test_a_journey_is_held_for_what_may_wait_in_a_queue_below():
    # given a packet that was sent on the bond, and one that was received after it
    stitcher, pair = Stitcher(scene().devices.related, waiting=scene().waiting), sent()
    stitcher.add(both(pair.take(np.array([0])), rx("eth2", at=50)), BEGIN_NS)
    over_ns = BEGIN_NS + 3_000 + HOLD_NS

    # when time goes on, then both wait for the slave's pass, in order; with that they come as all do
    assert told(stitcher.add(EMPTY, over_ns + WAIT_NS - 1)) == []
    pair.records["time_ns"][1] += WAIT_NS - 10_000
    assert told(stitcher.add(pair.take(np.array([1])), over_ns + WAIT_NS)) == []
    assert told(stitcher.add(EMPTY, over_ns + WAIT_NS + 1)) == [["tx bond0 0", f"tx eth0 {WAITS_US}"], ["rx eth2 50"]]

    # when nothing comes, or the packet is dropped, then it is told without
    stitcher.add(pair.take(np.array([0])), BEGIN_NS)
    assert told(stitcher.add(EMPTY, over_ns + WAIT_NS)) == []
    assert told(stitcher.add(EMPTY, over_ns + WAIT_NS + 1)) == [["tx bond0 0"]]
    stitcher.add(tx("bond0", drop("TC_INGRESS")), BEGIN_NS)
    assert told(stitcher.add(EMPTY, over_ns + 1)) == [["tx bond0 0"]]


def test_where_too_many_would_be_held_none_is_waited_for(monkeypatch):
    monkeypatch.setattr("bondtrace.analysis.stitch._MOST", 2)
    stitcher = Stitcher(scene().devices.related, waiting=scene().waiting)
    stitcher.add(both(*(tx("bond0", at=n, skb=SKB + 64 * n) for n in range(2))), BEGIN_NS)
    assert told(stitcher.add(EMPTY, BEGIN_NS + HOLD_NS + 10_000)) == []
    stitcher.add(tx("bond0", at=2, skb=SKB + 128), BEGIN_NS)
    assert len(told(stitcher.add(EMPTY, BEGIN_NS + HOLD_NS + 10_000))) == 3


def test_an_empty_stream_has_no_journeys():
    stitcher = Stitcher(scene().devices.related)

    assert (len(stitcher.add(EMPTY, BEGIN_NS)), len(stitcher.flush())) == (0, 0)


def long_stream():
    """Half a second of everything, in the order in which the kernel sends it (by end), with its end times in ns."""
    rng, parts = np.random.default_rng(2), []
    for n in range(250):
        at, skb, seq = n * 2000 + int(rng.integers(300)), SKB + 256 * int(rng.integers(4)), 10 * n + 1
        more = {"skb": skb, "cpu": n % 3}
        packet = reply(seq=int(rng.integers(3)))
        kind = int(rng.integers(6))
        if kind == 0:
            parts += [received(at, seq=seq, packet=packet, **more)]
        elif kind == 1:
            parts += [refused(at, seq=seq, skb=skb, cpu=n % 3)]
        elif kind == 2:
            waits_us = int(rng.choice([0, 0, rng.integers(WAIT_NS // 1000)]))  # in the slave's queue
            more["skb"] += n << 16 if waits_us else 0
            parts += [
                tx("bond0", at=at, seq=seq, packet=packet, **more),
                tx("eth0", at=at + 10 + waits_us, seq=seq + 1, packet=packet, **more),
            ]
        elif kind == 3:
            parts += [
                rx("eth2", handler("CONSUMED", function="br_handle_frame"), at=at, seq=seq, lasts=500, **more),
                rx("br0", at=at + 100, seq=seq + 1, parent=seq, **more),
            ]
        elif kind == 4:
            parts += [
                rx("eth0", handler("ANOTHER", "bond0"), at=at, seq=seq, frame=n + 1, in_list=True, **more),
                late("bond0", protocol("ip_list_rcv"), at=at + 900, frame=n + 1, **more),
            ]
        else:
            parts += [late("eth1", tap(ON_ANY), at=at, frame=9999, **more)]
    stream = concatenate(parts)
    ends = stream.records["time_ns"] + stream.records["duration_ns"]
    order = np.argsort(ends, kind="stable")
    return stream.take(order), ends[order].astype(np.int64)


def columns(several):
    """Journeys of a stream in parts, as whole arrays; ids as they were given."""
    whole = concatenate([one.passes for one in several])
    sizes = [size for one in several for size in np.diff(one.offsets).tolist()]
    ids = [int(number) for one in several for number in one.numbers]
    return whole.records.tobytes(), whole.steps.tobytes(), whole.offsets.tolist(), sizes, ids


def test_journeys_do_not_depend_on_how_the_stream_is_cut():
    # given a long stream, and its journeys when it comes in one piece
    stream, ends = long_stream()
    at_once = columns([stitched(stream)])

    # when it is cut into batches at 40 different sets of places
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cuts = np.sort(rng.integers(0, len(stream) + 1, int(rng.integers(1, 60))))
        stitcher, given = Stitcher(scene().devices.related, waiting=scene().waiting), []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)]):
            now_ns = int(ends[end - 1]) if end else 0
            part = stream.take(np.arange(begin, end))
            part = with_facts(part) if rng.integers(2) else part  # whoever made the facts
            given.append(stitcher.add(part, now_ns))
        given.append(stitcher.flush())

        # then the journeys are the same, in the same order, and numbered from 1
        assert columns(given) == at_once
        assert sum(map(len, given[:-1])) > 0 or len(cuts) < 3

    sizes, ids = at_once[3:]
    assert ids == list(range(1, len(sizes) + 1))
    assert {1, 2} <= set(sizes)


def test_journeys_come_in_the_order_in_which_they_began_and_their_passes_too():
    stream, _ = long_stream()
    journeys = stitched(stream)

    times = journeys.passes.records["time_ns"].astype(np.int64)
    begins = times[journeys.offsets[:-1]]
    within = np.diff(times)[np.diff(journeys.of_pass) == 0]
    assert (np.diff(begins) > 0).all()
    assert len(within) and (within > 0).all()


def test_no_pass_and_no_step_is_lost_or_doubled():
    # given a stream, when stitched
    stream, _ = long_stream()
    journeys = stitched(stream)

    # then the same steps are there, and every pass but the late records that found their packet
    def counted(passes):
        return sorted(passes.steps[["func", "arg", "skb_low"]].tolist())

    late_ones = stream.records["kind"] == RECORD_LATE
    found = late_ones & (stream.records["frame"] != 9999)
    assert counted(journeys.passes) == counted(stream)
    assert 0 < found.sum() < late_ones.sum()
    assert sorted(journeys.passes.records["time_ns"]) == sorted(stream.records["time_ns"][~found])
    assert (journeys.passes.records["kind"] == RECORD_RX).sum() == (stream.records["kind"] == RECORD_RX).sum()


# --- fingerprints --------------------------------------------------------------------------------------

PLAIN = ether(ip4(echo()))
UDP4, UDP6 = ether(ip4(udp(), 17)), ether(ip6(udp()), 0x86DD)
TCP4, TCP6 = ether(ip4(tcp(), 6)), ether(ip6(tcp(), 6), 0x86DD)


def prints(*packets, dev="eth0"):
    return fingerprint(both(*(rx(dev, packet=packet) for packet in packets))).tolist()


@pytest.mark.parametrize(
    "packet, changed",
    [
        pytest.param(PLAIN, ether(ip4(echo()), src=B_MAC, dst=C_MAC), id="MAC addresses"),
        pytest.param(PLAIN, ether(ip4(echo()), tag=7), id="a VLAN tag"),
        pytest.param(arp(), arp()[:12] + b"\x81\x00\x00\x07" + arp()[12:], id="a VLAN tag on a short packet"),
        pytest.param(PLAIN, ether(ip4(echo(), ttl=63)), id="TTL"),
        pytest.param(PLAIN, ether(ip4(echo(), checksum=0xABCD)), id="IPv4 header checksum"),
        pytest.param(UDP4, ether(ip4(udp(checksum=9), 17)), id="UDP checksum"),
        pytest.param(UDP6, ether(ip6(udp(checksum=9)), 0x86DD), id="UDP checksum over IPv6"),
        pytest.param(UDP6, ether(ip6(udp(), hops=63), 0x86DD), id="hop limit"),
        pytest.param(TCP4, ether(ip4(tcp(checksum=9), 6)), id="TCP checksum"),
        pytest.param(TCP6, ether(ip6(tcp(checksum=9), 6), 0x86DD), id="TCP checksum over IPv6"),
    ],
)
def test_what_a_hop_rewrites_keeps_the_fingerprint(packet, changed):
    first, second = prints(packet, changed)
    assert first == second


@pytest.mark.parametrize(
    "packet, changed",
    [
        pytest.param(PLAIN, ether(ip4(echo(), src=3)), id="source address"),
        pytest.param(PLAIN, ether(ip4(echo(), dst=3)), id="destination address"),
        pytest.param(PLAIN, ether(ip4(echo(), ident=78)), id="IPv4 id"),
        pytest.param(PLAIN, ether(ip4(echo(), protocol=2)), id="protocol"),
        pytest.param(PLAIN, ether(ip4(echo(8))), id="ICMP type"),
        pytest.param(PLAIN, ether(ip4(echo(ident=129))), id="ICMP id"),
        pytest.param(PLAIN, ether(ip4(echo(seq=2))), id="ICMP sequence"),
        pytest.param(PLAIN, ether(ip4(echo()), kind=0x88B5), id="ethertype"),
        pytest.param(UDP4, ether(ip4(udp(source=4001), 17)), id="UDP source port"),
        pytest.param(UDP4, ether(ip4(udp(destination=5001), 17)), id="UDP destination port"),
        pytest.param(UDP6, ether(ip6(udp(source=4001)), 0x86DD), id="UDP port over IPv6"),
        pytest.param(UDP6, ether(ip6(udp(), src=3), 0x86DD), id="IPv6 source"),
        pytest.param(UDP6, ether(ip6(udp(), dst=3), 0x86DD), id="IPv6 destination"),
        pytest.param(TCP4, ether(ip4(tcp(seq=2), 6)), id="TCP sequence"),
        pytest.param(TCP4, ether(ip4(tcp(destination=23), 6)), id="TCP port"),
        pytest.param(TCP6, ether(ip6(tcp(seq=2), 6), 0x86DD), id="TCP sequence over IPv6"),
        pytest.param(arp(), arp(src=3), id="ARP sender"),
        pytest.param(arp(), arp(dst=3), id="ARP target"),
    ],
)
def test_what_makes_another_packet_changes_the_fingerprint(packet, changed):
    first, second = prints(packet, changed)
    assert first != second


@pytest.mark.parametrize("arphrd", (512, 519, 768, 769, 776, 778, 823, 65534))  # include/uapi/linux/if_arp.h
def test_without_a_link_layer_header_a_packet_has_the_fingerprint_that_it_has_behind_one(arphrd):
    whole, later = ether(ip4(udp(), 17)), ip4(udp(checksum=9), 17, ttl=63)
    passes = both(rx("eth0", packet=whole), rx("wg0", packet=later))
    passes.records["arphrd"][1] = arphrd

    first, second = fingerprint(passes).tolist()
    assert first == second


def test_what_lies_behind_the_captured_bytes_of_a_record_does_not_count():
    # given the same short packet twice, with rubbish behind it in the second record
    passes = both(rx("eth0", packet=arp()), rx("eth0", packet=arp()))
    passes.records["packet"][1, len(arp()) :] = 0xEE

    first, second = fingerprint(passes).tolist()
    assert first == second


def test_fingerprint_leaves_the_passes_as_they_are():
    passes = both(received(), refused(), rx("eth0", packet=reply(tag=7)))
    before = passes.records.tobytes()

    fingerprint(passes)

    assert passes.records.tobytes() == before


def test_where_there_is_much_traffic_journeys_wait_for_company_and_are_the_same():
    # given 50,000 packets a second for a second, through the bond, in batches of a hundredth
    one, count = sent(), 50_000
    passes = one.take(np.tile([0, 1], count))
    packet = np.repeat(np.arange(count), 2)
    passes.records["time_ns"] += (packet * 20_000).astype(np.uint64)
    passes.records["skb"] += (packet % 7 * 256).astype(np.uint64)
    batches = [passes.take(np.arange(begin, begin + 1000)) for begin in range(0, 2 * count, 1000)]

    def stitch(later):
        stitcher, given = Stitcher(scene().devices.related), []
        for batch in batches:
            given.append(stitcher.add(batch, int(batch.records["time_ns"][-1]), later))
        return [*given, stitcher.flush()]

    # when journeys are asked for with every batch, and later
    at_once, later = stitch(False), stitch(True)

    # then they are the same, and come seldom
    assert whole(at_once) == whole(later)
    assert sum(map(len, at_once)) == sum(map(len, later)) == count
    calls = [sum(len(journeys) > 0 for journeys in given[:-1]) for given in (at_once, later)]
    assert 2 <= calls[1] < calls[0] / 3


def whole(given):
    """All of several groups of journeys as comparable values."""
    return (
        [number for journeys in given for number in journeys.numbers.tolist()],
        [size for journeys in given for size in np.diff(journeys.offsets).tolist()],
        b"".join(journeys.passes.records.tobytes() for journeys in given),
        b"".join(journeys.passes.steps.tobytes() for journeys in given),
    )


# --- the example in the module's docstring -------------------------------------------------------------


def test_the_example_of_the_docstring():
    # given the passes of its table, in the order of the table, all on one CPU; mv0 is a macvlan on bond0
    mv0 = Device(HERE, 20, "mv0", "macvlan", link=4)
    a, b, c, d = (SKB + 64 * number for number in range(4))
    ping, pong, routed, question = ether(ip4(echo(8))), ether(ip4(echo(0), src=2, dst=1)), reply(seq=9), arp()
    hop = ether(ip4(echo(seq=9), ttl=63), src=B_MAC, dst=C_MAC)
    onto = handler("ANOTHER", "bond0")
    passes = [
        rx("eth0", onto, at=0, seq=1, frame=9, in_list=True, skb=a, head=1, packet=ping),
        rx("eth0", onto, at=5, seq=2, frame=9, in_list=True, skb=b, head=2, packet=routed),
        late("bond0", protocol("ip_list_rcv", skb=a), protocol("ip_list_rcv", skb=b), at=10, frame=9, skb=a),
        tx("bond0", at=15, seq=3, frame=9, inside_list=True, skb=c, head=3, packet=pong),
        tx("eth0", at=20, seq=4, frame=9, inside_list=True, skb=c, head=3, packet=pong),
        tx("eth2", at=25, seq=5, frame=9, inside_list=True, skb=b, head=2, packet=hop),
        rx(
            "eth0",
            *(onto, handler("PASS", function="macvlan_handle_frame")),
            **{"at": 60, "seq": 6, "frame": 10, "in_list": True, "skb": a, "head": 4, "packet": question},
        ),
        renumbered(rx("bond0", at=90, seq=7, frame=11, skb=d, head=4, packet=question), mv0.ifindex),
    ]

    # when they are stitched
    found = stitched(*passes, around=scene(device_event(BEGIN_NS, mv0)))

    # then the journeys are those that it names, and the steps of the late record are in passes 1 and 2
    assert [(one - BEGIN_NS) // 1000 for one in found.passes.records["time_ns"].tolist()] == [0, 5, 25, 15, 20, 60, 90]
    assert np.diff(found.offsets).tolist() == [1, 2, 2, 2]
    assert [[func for _, _, func, _ in steps_of(found, place)] for place in (0, 1)] == [[63, 19], [63, 19]]
