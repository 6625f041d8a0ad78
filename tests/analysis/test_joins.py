# SPDX-License-Identifier: GPL-2.0-or-later
"""One packet, one journey: what is proven by its skb although its contents have changed, and what is not joined."""

import pytest

from bondtrace.format.events import device_event
from bondtrace.format.wire import NETNS_FROM_HERE, NETNS_NEXT_STEP
from build import (
    BEGIN_NS,
    MORE_DEVICES,
    SKB,
    THERE,
    Said,
    arp,
    drop,
    echo,
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
    stitched,
    tap,
    tcp,
    tx,
    udp,
)

OTHER = SKB + 256
ONTO = handler("ANOTHER", "bond0")


def around():
    """A scene with tunnels, an ifb, a mirror's target and what else these tests pass by."""
    return scene(*(device_event(BEGIN_NS, device) for device in MORE_DEVICES.values()))


def ways(*passes):
    """Each journey as (directions and devices in order, which of its passes are inferred)."""
    found = stitched(*passes, around=around())
    names = [
        ("rx", "tx", "late")[kind - 1] + " " + next(d.name for d in every() if (d.netns, d.ifindex) == key)
        for kind, key in zip(found.passes.records["kind"].tolist(), keys(found.passes.records))
    ]
    return [
        (names[begin:end], found.inferred[begin:end].nonzero()[0].tolist())
        for begin, end in zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist())
    ]


def every():
    return [history.last_known() for history in around().devices.values()]


def keys(records):
    return list(zip(records["netns"].tolist(), records["ifindex"].tolist()))


def datagram(*, src=1, dst=2, source=4000, destination=8080, ident=77, ttl=64, data=bytes(40)):
    return ether(ip4(udp(source, destination, data=data), 17, src=src, dst=dst, ident=ident, ttl=ttl))


PUBLISHED = datagram()
TRANSLATED = datagram(dst=9, destination=80, ttl=63)


# --- address translation -------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"skb": SKB}, {"skb": OTHER, "head": 5}, {"skb": OTHER, "head": 6}])
def test_a_translated_packet_that_is_sent_on_within_its_receive_is_the_same(more):
    # given a transmit nested in the receive, of its skb, of a clone of it, or of a copy with the same payload
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=PUBLISHED, head=5, lasts=50)
    assert ways(first, tx("out0", at=20, seq=2, parent=1, packet=TRANSLATED, again=True, **more)) == [
        (["rx eth0", "tx out0"], [])
    ]


@pytest.mark.parametrize("more", [{"skb": SKB}, {"skb": OTHER, "head": 5}, {"skb": OTHER, "head": 6}])
def test_so_is_one_inside_a_list_receive(more):
    first = rx("eth0", ONTO, packet=PUBLISHED, head=5, frame=9, in_list=True)
    second = rx("eth0", ONTO, at=5, seq=2, packet=arp(), skb=SKB + 512, head=8, frame=9, in_list=True)
    sent = tx("out0", at=20, seq=3, frame=9, inside_list=True, packet=TRANSLATED, again=True, **more)
    assert ways(first, second, sent) == [(["rx eth0", "tx out0"], []), (["rx eth0"], [])]


def test_what_the_host_itself_sends_meanwhile_is_not():
    # given an answer in an skb at the address of one that is gone: it was never received
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=PUBLISHED, head=5, lasts=50)
    answer = tx("out0", at=20, seq=2, parent=1, packet=datagram(src=2, dst=1, ident=5))
    assert ways(first, answer) == [(["rx eth0"], []), (["tx out0"], [])]


def test_another_received_packet_that_is_sent_meanwhile_is_not():
    # given an ARP answer, on which a packet that waited for it is sent
    first = rx("eth0", ONTO, protocol("arp_rcv"), packet=arp(), head=5, lasts=50)
    waited = tx("out0", at=20, seq=2, parent=1, packet=TRANSLATED, skb=OTHER, head=7, again=True)
    assert ways(first, waited) == [(["rx eth0"], []), (["tx out0"], [])]


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        (TRANSLATED, True),
        (datagram(dst=9, destination=80, ident=78), False),
        (datagram(dst=9, destination=80, data=b"other" * 8), False),
        (datagram(dst=9, destination=80, data=bytes(41)), False),
    ],
)
def test_one_that_waited_for_its_next_hop_is_the_same_where_all_but_addresses_is(sent, same):
    # given that the host had to ask for the next hop's address first
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=PUBLISHED, head=5)
    answer = rx("eth0", ONTO, protocol("arp_rcv"), at=500, seq=2, packet=arp(), skb=OTHER, head=6, lasts=50)
    waited = tx("out0", at=520, seq=3, parent=2, packet=sent, head=5, again=True)
    apart = [(["rx eth0"], []), (["rx eth0"], []), (["tx out0"], [])]
    assert ways(first, answer, waited) == ([(["rx eth0", "tx out0"], []), (["rx eth0"], [])] if same else apart)


def fragment(offset, ident=77, **more):
    whole = datagram(dst=9, data=bytes(40), ident=ident, **more)
    return whole[:20] + (offset // 8 | 0x2000 * (not offset)).to_bytes(2, "big") + whole[22:]


@pytest.mark.parametrize("how", [{"parent": 1}, {"frame": 9, "inside_list": True}])
def test_fragments_of_a_packet_that_is_sent_on_are_the_same(how):
    # given a packet that does not fit the device by which it is sent on, and a fragment of another
    big = datagram(data=bytes(1000))
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=big, lasts=90, frame=9, in_list="frame" in how)
    parts = [fragment(0), fragment(48), fragment(48, ident=78)]
    sent = [
        tx("out0", at=10 * place, seq=1 + place, packet=part, skb=OTHER + 256 * place, head=place, again=True, **how)
        for place, part in enumerate(parts, 1)
    ]
    assert ways(first, *sent) == [(["rx eth0", "tx out0", "tx out0"], []), (["tx out0"], [])]


def test_tcp_with_another_maximum_segment_size_is_the_same():
    syn = [
        ether(ip4(tcp(port, seq=9) + bytes([2, 4, *mss]), 6, src=one))
        for port, mss, one in ((1, (5, 180), 1), (2, (5, 20), 8))
    ]
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=syn[0])
    assert len(ways(first, tx("out0", at=900, seq=2, packet=syn[1], again=True))) == 1
    reused = ether(ip4(tcp(2, seq=10) + bytes([2, 4, 5, 20]), 6, src=8))
    assert len(ways(first, tx("out0", at=900, seq=2, packet=reused, again=True))) == 2


# --- tunnels -------------------------------------------------------------------------------------------

VXLAN = bytes.fromhex("0800000000002a00")
INNER, ANOTHER = reply(), ether(ip4(echo(), ident=78))
OUTER = ether(ip4(udp(33000, 4789, data=VXLAN + INNER), 17))


def test_what_a_tunnel_handed_on_is_the_same_packet():
    # given the outer packet, whose skb was handed on to vx0, and the inner one by that skb
    outer = rx("eth0", ONTO, protocol("ip_rcv"), queued("vx0"), packet=OUTER)
    inner = rx("vx0", at=40, seq=2, packet=INNER, in_list=True)
    assert ways(outer, inner) == [(["rx eth0", "rx vx0"], [])]


def test_a_queue_hands_on_each_skb_once():
    # given two packets by the same skb, the second of which was not handed on
    outer = rx("eth0", ONTO, protocol("ip_rcv"), queued("vx0"), packet=OUTER)
    first, second = (rx("vx0", at=at, seq=at, packet=reply(seq=at)) for at in (40, 50))
    assert ways(outer, first, second) == [(["rx eth0", "rx vx0"], []), (["rx vx0"], [])]


def test_what_was_handed_on_is_not_received_elsewhere():
    outer = rx("eth0", ONTO, protocol("ip_rcv"), queued("vx0"), packet=OUTER)
    assert len(ways(outer, rx("out0", at=40, seq=2, packet=reply(seq=9)))) == 2
    assert len(ways(outer, rx("vx0", at=40, seq=2, packet=reply(seq=9), skb=OTHER))) == 2


@pytest.mark.parametrize(("inner", "count"), [(INNER, 1), (ANOTHER, 2), (reply() + b"!", 2)])
def test_without_that_step_the_contents_decide(inner, count):
    outer = rx("eth0", ONTO, protocol("ip_rcv"), packet=OUTER)
    assert len(ways(outer, rx("vx0", at=40, seq=2, packet=inner))) == count


@pytest.mark.parametrize(("inner", "count"), [(INNER, 1), (ANOTHER, 2)])
def test_what_a_tunnel_sends_is_the_packet_that_it_was_given(inner, count):
    given = tx("vx0", tap(41003), packet=inner)
    wrapped = [tx(dev, at=at, seq=at, packet=OUTER) for dev, at in (("bond0", 10), ("eth0", 20))]
    outer = (["tx bond0", "tx eth0"], [])
    assert ways(given, *wrapped) == ([(["tx vx0", *outer[0]], [])] if count == 1 else [(["tx vx0"], []), outer])


def test_a_tunnel_of_the_network_layer():
    packet = ip4(echo())
    outer = ether(ip4(bytes.fromhex("00000800") + packet, 47))
    assert ways(tx("gre0", packet=packet), tx("bond0", at=9, seq=2, packet=outer)) == [(["tx gre0", "tx bond0"], [])]
    assert ways(rx("eth0", packet=outer), rx("gre0", at=9, seq=2, packet=packet)) == [(["rx eth0", "rx gre0"], [])]


def test_what_is_encrypted_is_inferred():
    packet = ip4(udp(data=bytes(80)))
    message = bytes([4, 0, 0, 0]) + bytes(range(12)) + bytes(128 + 16)
    outer = ether(ip4(udp(51820, 51820, data=message), 17))
    sent = ways(tx("wg0", packet=packet), tx("bond0", at=90, seq=2, packet=outer))
    assert sent == [(["tx wg0", "tx bond0"], [1])]
    # but not a handshake, nor what is shorter than the packet
    handshake = ether(ip4(udp(51820, 51820, data=bytes([1]) + message[1:]), 17))
    assert len(ways(tx("wg0", packet=packet), tx("bond0", at=90, seq=2, packet=handshake))) == 2
    short = ether(ip4(udp(51820, 51820, data=message[:32]), 17))
    assert len(ways(tx("wg0", packet=packet), tx("bond0", at=90, seq=2, packet=short))) == 2


# --- redirects and copies ------------------------------------------------------------------------------


def test_what_an_ifb_gives_back_is_the_same_packet():
    first = rx("out0", tap(41003), packet=INNER, lasts=50)
    shaped = tx("ifb0", at=20, seq=2, parent=1, packet=INNER, again=True)
    back = rx("out0", protocol("ip_rcv"), at=90, seq=3, packet=INNER, again=True)
    assert ways(first, shaped, back) == [(["rx out0", "tx ifb0", "rx out0"], [])]


@pytest.mark.parametrize("more", [{"head": 5}, {"skb": OTHER, "head": 5}])
def test_what_was_received_before_and_is_received_elsewhere_is_the_same(more):
    # given a packet received on a device which has nothing to do with the first, for tc redirected or copied it
    first, second = rx("eth0", packet=INNER, head=5), rx("out0", at=90, seq=2, packet=INNER, again=True, **more)
    assert ways(first, second) == [(["rx eth0", "rx out0"], [])]


@pytest.mark.parametrize(
    ("steps", "more", "count"),
    [
        ([tap(41003)], {}, 1),
        ([], {}, 1),
        ([tap(41003), protocol("ip_rcv")], {}, 2),
        ([drop("TC_INGRESS")], {}, 2),
        ([tap(41003)], {"skb": OTHER, "head": 5}, 2),
        ([tap(41003)], {"head": 6}, 2),
        ([tap(41003)], {"at": 5000}, 2),
        ([tap(41003)], {"cpu": 1}, 2),
    ],
)
def test_what_disappeared_and_came_at_once_by_the_same_skb_is_inferred(steps, more, count):
    first = rx("eth0", *steps, packet=INNER, head=5)
    found = ways(first, rx("out0", **{"at": 90, "seq": 2, "packet": INNER, "head": 5, **more}))
    assert found == [(["rx eth0", "rx out0"], [1])] if count == 1 else len(found) == 2


def test_a_mirrored_packet_is_one_with_a_branch():
    # given a clone that tc sent to mon0 before the packet itself was sent
    passes = [
        tx("bond0", head=5, packet=INNER),
        tx("mon0", at=5, seq=2, head=5, skb=OTHER, packet=INNER),
        tx("eth0", at=9, seq=3, head=5, packet=INNER),
    ]
    assert ways(*passes) == [(["tx bond0", "tx mon0", "tx eth0"], [1])]


def test_a_vrfs_taps_are_shown_the_received_packet():
    first = rx("eth0", ONTO, protocol("ip_rcv"), drop("NO_SOCKET", dev="red"), packet=PUBLISHED, lasts=50)
    shown = tx("red", tap(41003), at=20, seq=2, parent=1, packet=PUBLISHED, again=True)
    assert ways(first, shown) == [(["rx eth0", "tx red"], [])]


# --- namespaces, clones --------------------------------------------------------------------------------


def entering(netns, scope=NETNS_FROM_HERE, **more):
    return Said(8, 0, netns, scope, **more)


def test_a_redirect_into_another_namespace():
    # given a tap on far0, which has vx0's number, in its own namespace; and a drop in that of the pass's device
    first = rx("eth0", entering(THERE, dev="far0"), tap(41003, dev="far0"), drop("NO_SOCKET", dev="far0"), packet=INNER)
    [journey] = journeys(first, around=around())
    steps = [(step.kind, step.netns == THERE, step.dev, step.orig_dev) for step in journey.passes[0].steps]
    assert steps == [("enter", False, "eth0", "eth0"), ("tap", True, "far0", "eth0"), ("drop", True, "far0", "eth0")]


def test_a_drop_on_a_device_of_another_namespace():
    # given one within a pass that goes on afterwards
    first = rx(
        "eth0",
        entering(THERE, NETNS_NEXT_STEP),
        drop("NO_SOCKET", dev="far0"),
        protocol("ip_rcv", dev="eth0"),
        packet=INNER,
    )
    [journey] = journeys(first, around=around())
    steps = [(step.kind, step.netns == THERE, step.dev) for step in journey.passes[0].steps[1:]]
    assert steps == [("drop", True, "far0"), ("protocol", False, "eth0")]


def test_a_late_step_on_a_device_of_another_namespace():
    # given a tap of another namespace that was served after the list's core calls, on the number of a device here
    first = rx("eth0", packet=INNER, frame=4, in_list=True)
    [journey] = journeys(first, late("peer0", tap(41003), at=9, frame=4), around=around())
    assert [(step.kind, step.netns == THERE, step.dev) for step in journey.passes[0].steps] == [
        ("enter", False, "eth0"),
        ("tap", True, "peer0"),
    ]


def test_the_drop_of_a_clone_in_a_list():
    # given the drop of an skb that no pass of the list had, with the data of one
    first = rx("eth0", packet=INNER, head=5, frame=4, in_list=True)
    dropped = late("eth0", drop("NO_SOCKET"), at=9, frame=4, skb=OTHER, head=5)
    [journey] = journeys(first, dropped)
    assert [(step.kind, step.reason) for step in journey.passes[0].steps[1:]] == [("drop", "NO_SOCKET")]
    # and that of a packet which was never recorded is left out
    assert (
        len(journeys(first, late("eth0", drop("NO_SOCKET"), at=9, frame=4, skb=OTHER, head=6))[0].passes[0].steps) == 1
    )


@pytest.mark.parametrize(
    ("packet", "skb", "of"),
    [
        (TRANSLATED, OTHER, ["first"]),  # a copy whose addresses were translated before it was dropped
        (datagram(ident=5), SKB + 512, ["waited"]),  # a packet that waited, for which the queue now is full
        (datagram(ident=6), SKB + 512, []),  # one that is not known
        (datagram(ident=5), OTHER, []),
    ],
)
def test_the_drop_of_another_skb_within_a_pass(packet, skb, of):
    # given passes of two packets, and within the second a drop of an skb that shares nothing with it
    waited = rx("eth0", packet=datagram(ident=5), skb=SKB + 512, head=3)
    first = rx("eth0", packet=PUBLISHED, at=50, seq=2, head=5, lasts=50)
    dropped = late("eth0", drop("NO_SOCKET"), at=70, parent=2, skb=skb, head=6, packet=packet)
    found = journeys(waited, first, dropped)
    assert [
        name
        for name, journey in zip(("waited", "first"), found)
        for step in journey.passes[0].steps
        if step.kind == "drop"
    ] == of
    assert len(found) == 2


def test_drops_by_one_skb_are_of_the_latest_pass_before_each():
    # given passes of four packets by one skb, drops between them that came in another order, and one of a fifth packet
    passes = [rx("eth0", packet=datagram(ident=at), at=at, seq=at, head=at) for at in (10, 20, 30, 40)]
    drops = [
        late("eth0", drop(reason), at=at, packet=datagram(ident=ident), frame=0, head=99)
        for at, reason, ident in (
            (25, "NO_SOCKET", 20),
            (15, "TC_INGRESS", 10),
            (45, "UNHANDLED_PROTO", 41),
            (44, "XDP", 40),
        )
    ]
    # when they are told
    found = [[step.reason for step in journey.passes[0].steps[1:]] for journey in journeys(*drops, *passes)]
    # then each is of the packet that had the skb then, if its bytes are alike
    assert found == [["TC_INGRESS"], ["NO_SOCKET"], [], ["XDP"]]


@pytest.mark.parametrize(("packet", "of"), [(PUBLISHED, ["PUBLISHED"]), (datagram(ident=6), [])])
def test_the_drop_of_a_packet_that_was_kept_for_later(packet, of):
    # given a drop outside every pass, by the skb of one that is over
    first = rx("eth0", packet=PUBLISHED, head=5)
    dropped = late("eth0", drop("NO_SOCKET"), at=70, packet=packet, frame=0)
    [found] = journeys(first, dropped)
    assert [step.kind for step in found.passes[0].steps[1:]] == ["drop"] * len(of)


def test_the_drop_of_what_was_decrypted_later():
    # given IPsec in transport mode: the packet goes on in a tasklet, without another pass
    esp = ether(ip4(bytes(80), 50))
    [found] = journeys(rx("eth0", packet=esp), late("eth0", drop("NO_SOCKET"), at=70, packet=datagram(), frame=0))
    assert [step.kind for step in found.passes[0].steps[1:]] == ["drop"]


def routed_copy(*further, packet=TRANSLATED):
    """A copy of the first packet that had to wait: sent within the pass of the answer that it waited for."""
    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=PUBLISHED, head=5)
    answer = rx("eth0", protocol("arp_rcv"), at=500, seq=2, packet=arp(), skb=SKB + 512, head=6, lasts=50)
    sent = tx("out0", at=520, seq=3, parent=2, packet=packet, skb=OTHER, head=7, again=True)
    return ways(first, *further, answer, sent)


def test_a_copy_that_was_routed_and_had_to_wait_is_inferred():
    assert routed_copy() == [(["rx eth0", "tx out0"], [1]), (["rx eth0"], [])]


def test_but_not_where_two_packets_can_be_it_nor_where_none_is():
    again = rx("eth0", ONTO, protocol("ip_rcv"), at=100, seq=9, packet=PUBLISHED, skb=SKB + 768, head=8)
    assert [way for way, _ in routed_copy(again)] == [["rx eth0"], ["rx eth0"], ["rx eth0"], ["tx out0"]]
    assert [way for way, _ in routed_copy(packet=datagram(ident=9))] == [["rx eth0"], ["rx eth0"], ["tx out0"]]


def test_an_error_message_about_a_translated_packet_is_the_same():
    # given ICMP's port unreachable, and within it the head of a packet whose addresses are translated as well
    def error(src, about):
        return ether(ip4(bytes([3, 3, 0, 0, 0, 0, 0, 0]) + about[14:42], 1, src=src, ident=7))

    first = rx("eth0", ONTO, protocol("ip_rcv"), packet=error(1, PUBLISHED), head=5, lasts=50)
    again = tx("out0", at=20, seq=2, parent=1, packet=error(9, TRANSLATED), skb=OTHER, head=6, again=True)
    other = tx("out0", at=30, seq=3, parent=1, packet=error(9, datagram(ident=8)), skb=OTHER, head=7, again=True)
    assert ways(first, again, other) == [(["rx eth0", "tx out0"], []), (["tx out0"], [])]


def test_what_was_joined_before_still_is():
    assert ways(received()) == [(["rx eth0"], [])]
