# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns to journeys: the packet of each pass, what is a branch of what, and what is only shown or concluded."""

from dataclasses import replace

import numpy as np
import pytest

from bondtrace.analysis import assemble
from bondtrace.analysis.branches import in_order
from bondtrace.analysis.shapes import facts
from bondtrace.format.wire import STEP_SEGMENTS
from bondtrace.model import Tag
from bondtrace.net.dissect import one_line
from build import (
    ALL_DEVICES,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    SKB,
    B,
    Said,
    both,
    drop,
    ether,
    handler,
    ip4,
    journeys,
    late,
    protocol,
    queued,
    received,
    reply,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tx,
    udp,
    vlan,
)

DATAGRAM = ether(ip4(udp(), 17))
REWRITTEN = ether(ip4(udp(4000, 80), 17, dst=9), src=B)


def one(*passes, around=None):
    """The one journey that these passes are."""
    [journey] = journeys(*passes, around=around or scene(devices=ALL_DEVICES))
    return journey


def forwarded():
    """A datagram that is received, rewritten and sent on, of which another clone is dropped afterwards."""
    return both(
        rx("eth0", handler("ANOTHER", "bond0"), protocol("ip_rcv"), packet=DATAGRAM, seq=5, lasts=90),
        tx("out0", tap(ON_ANY), at=40, packet=REWRITTEN, parent=5, seq=6, again=True),
    )


def shown():
    """A datagram that comes by a device of a VRF, whose taps are shown it."""
    return both(
        rx("eth3", protocol("ip_rcv"), drop("NO_SOCKET", dev="red"), packet=DATAGRAM, seq=5, lasts=90),
        tx("red", tap(ON_ANY), at=1, packet=DATAGRAM, parent=5, seq=6, again=True, lasts=0),
    )


# --- packets -------------------------------------------------------------------------------------------


def test_every_pass_has_the_packet_as_it_was_then():
    journey = one(forwarded())

    assert [(part.packet.dst, part.packet.ports) for part in journey.passes] == [
        ("10.9.0.2", (4000, 5000)),
        ("10.9.0.9", (4000, 80)),
    ]
    assert journey.packet == journey.passes[0].packet


def test_what_is_the_same_is_described_once(monkeypatch):
    described, describe = [], assemble.describe
    monkeypatch.setattr(
        assemble, "describe", lambda *words, **more: described.append(words) or describe(*words, **more)
    )

    one(sent())
    assert len(described) == 1


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_a_tag_tells_its_type_and_where_it_lay(tpid):
    in_frame = reply(tag=100).replace(b"\x81\0", tpid.to_bytes(2, "big"), 1)
    journey = one(tx("bond0", vlan=100, tpid=tpid), tx("eth0", at=20, packet=in_frame))

    assert [part.packet.tags for part in journey.passes] == [(Tag(100, tpid, False),), (Tag(100, tpid, True),)]


def test_the_type_of_a_tag_is_not_known_in_older_recordings():
    around = scene(vlan_tpid=None)

    assert one(rx("eth0", vlan=100), around=around).packet.tags == (Tag(100, None, False),)
    assert one(rx("eth0", packet=reply(tag=100)), around=around).packet.tags == (Tag(100, 0x8100, True),)


def test_a_late_record_has_no_packet():
    [part] = one(late("eth0", tap(ON_ETH0))).passes

    assert (part.packet.length, part.packet.info) == (0, "its begin was not recorded")


# --- branches ------------------------------------------------------------------------------------------


def hung(*passes, around=None):
    """[(device, parent, follows)] of the passes of one journey."""
    return [(part.steps[0].dev, part.parent, part.follows) for part in one(*passes, around=around).passes]


def test_what_follows_is_no_branch():
    assert hung(sent()) == [("bond0", None, None), ("eth0", None, 0)]


def test_what_is_nested_is_a_branch_and_so_is_what_follows_on_it():
    passes = (
        rx("eth2", handler("CONSUMED", function="br_handle_frame"), seq=5, lasts=50),
        rx("br0", protocol("ip_rcv"), at=10, parent=5, seq=6, lasts=30),
        tx("veth0", at=20, parent=6, seq=7),
        rx("peer0", at=60, seq=8, cpu=1),
    )

    assert hung(*passes) == [("eth2", None, None), ("br0", 0, 0), ("veth0", 1, 1), ("peer0", 1, 2)]


def test_a_mirror_is_a_branch_of_the_pass_that_it_is_nested_in():
    passes = (
        rx("eth0", tap(ON_ETH0), drop("TC_INGRESS"), seq=5, lasts=50, head=7),
        tx("mon0", at=1, skb=SKB + 64, head=7, parent=5, seq=6, again=True),
    )

    assert hung(*passes) == [("eth0", None, None), ("mon0", 0, 0)]


def test_a_mirror_of_what_is_sent_comes_first_and_is_the_branch():
    # given a clone that tc sends by mon0 before bond0's taps have the packet; only its data tell that it is one
    passes = (
        tx("mon0", skb=SKB + 64, head=7, seq=5),
        tx("bond0", at=10, skb=SKB, head=7, seq=6),
        tx("eth0", at=20, skb=SKB, head=7, seq=7),
    )
    journey = one(*passes)

    assert [part.inferred for part in journey.passes] == [False, True, False]
    assert hung(*passes) == [("mon0", 1, None), ("bond0", None, 0), ("eth0", None, 1)]


def test_clones_are_branches_of_what_they_were_made_of():
    # given a packet that a bridge sends by two ports: a clone by the one, itself by the other
    bridge = {**ALL_DEVICES, "out0": replace(ALL_DEVICES["out0"], master=7)}
    passes = (
        tx("br0", skb=SKB, head=7, seq=5),
        tx("eth2", at=10, skb=SKB + 64, head=7, seq=6),
        tx("out0", at=20, skb=SKB, head=7, seq=7),
    )

    assert hung(*passes, around=scene(devices=bridge)) == [("br0", None, None), ("eth2", 0, 0), ("out0", None, 0)]


def test_two_clones_are_branches_of_the_same_pass():
    stacked = {name: replace(ALL_DEVICES[name], kind="macvlan", link=4) for name in ("mon0", "out0")}
    passes = (
        rx("bond0", handler("PASS", function="macvlan_handle_frame"), protocol("ip_rcv"), skb=SKB, head=7, seq=5),
        rx("mon0", at=10, skb=SKB + 64, head=7, seq=6),
        rx("out0", at=20, skb=SKB + 128, head=7, seq=7),
    )

    assert hung(*passes, around=scene(devices={**ALL_DEVICES, **stacked})) == [
        ("bond0", None, None),
        ("mon0", 0, 0),
        ("out0", 0, 0),
    ]


def test_what_is_sent_on_within_a_list_receive_is_a_branch_of_its_packets_pass():
    passes = (
        rx("eth0", handler("ANOTHER", "bond0"), in_list=True, frame=9, skb=SKB, seq=5),
        late("bond0", protocol("ip_list_rcv", dev="bond0", skb=SKB), at=10, frame=9, skb=SKB),
        tx("veth0", at=20, frame=9, skb=SKB, inside_list=True, again=True, seq=6),
        rx("peer0", at=30, seq=7, skb=SKB),
    )

    assert hung(*passes) == [("eth0", None, None), ("veth0", 0, 0), ("peer0", 0, 1)]


def test_steps_are_in_order_of_time_and_a_branch_ends_before_its_pass_goes_on():
    order = [(place, step.kind) for place, step in in_order(one(shown()).passes)]

    assert order == [(0, "enter"), (0, "protocol"), (1, "enter"), (1, "tap"), (0, "drop")]


# --- what is shown, concluded, queued ------------------------------------------------------------------


def test_a_vrfs_taps_are_shown_a_received_packet():
    assert [(part.direction, part.shown) for part in one(shown()).passes] == [("rx", False), ("tx", True)]


def test_what_is_sent_through_a_vrf_is_sent():
    # given a packet of the host's own, and one that was received by a device which is not the VRF's
    assert [part.shown for part in one(tx("red")).passes] == [False]
    passes = (
        rx("eth0", protocol("ip_rcv"), packet=DATAGRAM, seq=5, lasts=90),
        tx("red", at=40, packet=DATAGRAM, parent=5, seq=6, again=True),
    )
    assert [part.shown for part in one(*passes).passes] == [False, False]


def test_what_stitching_concluded_is_marked():
    around = scene()
    columns = stitched(sent(), around=around)
    assert not any(part.inferred for part in assemble.journey(columns, 0, around).passes)

    concluded = replace(columns, inferred=np.array([False, True]))
    assert [part.inferred for part in assemble.journey(concluded, 0, around).passes] == [False, True]


def test_a_packet_is_queued_where_it_is_for_where_it_goes():
    journey = one(rx("eth0", handler("ANOTHER", "bond0"), queued("vx0")))

    step = journey.passes[0].steps[-1]
    assert (step.kind, step.function, step.dev, step.round, step.next_dev, step.next_ifindex) == (
        *("queued", "gro_cells_receive"),
        *("bond0", 2, "vx0", None),
    )


def test_a_drop_of_a_clone_is_told_as_such():
    assert [step.clone for step in one(rx("eth0", drop("NO_SOCKET", result=1))).passes[0].steps] == [False, True]
    assert [step.clone for step in one(rx("eth0", drop("NO_SOCKET"))).passes[0].steps] == [False, False]


def test_what_a_tap_saw_twice_is_told_in_order_of_time():
    # given an outer pass whose tap's step comes after that of its branch
    passes = (
        rx("eth0", vlan("bond0.7"), tap(ON_ANY), seq=5, lasts=90),
        tx("mon0", tap(ON_ANY), at=0, parent=5, seq=6, again=True),
    )

    assert one(*passes).notes == ("tcpdump -i any [41004] saw it twice: on mon0, then bond0.7",)


def test_one_pass_alone_is_as_it_was():
    [part] = one(received()).passes

    assert (part.parent, part.follows, part.shown, part.inferred) == (None, None, False, False)
    assert ON_BOND0 in {step.tap for step in part.steps}


def test_fragments_that_are_freed_with_their_packet_are_not_dropped():
    one = rx("eth0", protocol("ip_rcv"), drop("NOT_SPECIFIED", "skb_release_data"), drop("NO_SOCKET"))
    [journey] = journeys(one)
    assert [step.reason for step in journey.passes[0].steps if step.kind == "drop"] == ["NO_SOCKET"]


def long(segments, size=1448, packet=DATAGRAM):
    """A pass of a packet that stands for several on the wire."""
    several = Said(STEP_SEGMENTS, 0, segments, decided_by=size)
    return rx("eth0", several, tap(ON_ETH0), handler("ANOTHER", "bond0"), protocol("ip_rcv"), packet=packet)


@pytest.mark.parametrize(("segments", "words"), [(7, "in 7 segments"), (0, "in several segments"), (1, "bytes")])
def test_a_packet_says_for_how_many_on_the_wire_it_stands(segments, words):
    journey = one(long(segments))

    assert journey.packet.segments == segments
    assert one_line(journey.packet).endswith(words)
    # and that is no step
    assert [step.kind for step in journey.passes[0].steps] == ["enter", "tap", "rx_handler", "protocol"]


def test_how_long_a_packet_is_makes_no_shape_of_its_own():
    shapes = {int(facts(long(segments, size))["shape"][0]) for segments, size in ((7, 1448), (45, 1448), (2, 536))}
    assert len(shapes) == 1
