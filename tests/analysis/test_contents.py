# SPDX-License-Identifier: GPL-2.0-or-later
"""skb->protocol and the tag beside the bytes, as a packet goes along the receive path."""

import struct

import pytest

from bondtrace.analysis.contents import Progress, is_fragment, tag_words, tags_of
from bondtrace.model import Tag
from build import A, B, ether, ip4, reply, rx, tx

IPV4, Q, AD, SLOW = 0x0800, 0x8100, 0x88A8, 0x8809


def tagged(*tags, kind=IPV4, payload=None):
    """A frame with these tags (protocol, id) in its bytes."""
    between = b"".join(struct.pack("!HH", protocol, number | 0x6000) for protocol, number in tags)
    return B + A + between + struct.pack("!H", kind) + (ip4(bytes(8)) if payload is None else payload)


def record(packet=None, protocol=None, **more):
    """The record of a received packet; ``vlan`` is a tag beside its bytes."""
    found = rx("eth0", packet=packet, **more).records
    if protocol is not None:
        found["protocol"] = protocol
    return found[0]


@pytest.mark.parametrize(
    ("one", "tags", "delivered"),
    [
        pytest.param(record(), (), IPV4, id="untagged"),
        pytest.param(record(tagged((Q, 50))), (Tag(50, Q),), IPV4, id="one in the bytes"),
        pytest.param(record(vlan=50), (Tag(50, None),), IPV4, id="one beside them"),
        pytest.param(record(tagged((AD, 10), (Q, 20))), (Tag(10, AD), Tag(20, Q)), Q, id="QinQ in the bytes"),
        pytest.param(record(tagged((Q, 20)), vlan=10), (Tag(10, None), Tag(20, Q)), Q, id="QinQ, one beside them"),
        pytest.param(record(tagged((Q, 0), (Q, 20))), (Tag(0, Q), Tag(20, Q)), IPV4, id="a priority tag before"),
        pytest.param(
            record(tagged((Q, 0), (Q, 0), (AD, 3))), (Tag(0, Q), Tag(0, Q), Tag(3, AD)), IPV4, id="two of them"
        ),
        pytest.param(record(tagged((Q, 5), kind=SLOW)), (Tag(5, Q),), SLOW, id="another type"),
        pytest.param(record(tagged((Q, 5), kind=60, payload=b"\x42\x42\x03")), (Tag(5, Q),), 4, id="LLC"),
        pytest.param(record(tagged((Q, 5), kind=60, payload=b"\xff\xff\x03")), (Tag(5, Q),), 1, id="raw 802.3"),
        pytest.param(record(protocol=0), None, None, id="of no type"),
        pytest.param(record(tagged((Q, 5))[:17]), None, None, id="cut in a tag"),
        pytest.param(record(tagged((Q, 5), (Q, 6))[:20]), None, Q, id="cut behind the outer tag"),
        pytest.param(record(tagged((Q, 5), kind=60, payload=b"\xff")), None, None, id="cut before LLC"),
    ],
)
def test_without_vlan_devices(one, tags, delivered):
    assert tags_of(one) == tags
    assert Progress(one).deliver() == delivered


def way(one, *turns):
    """What vlan_do_receive is asked about at each turn (round, whether a device takes it), and what is delivered."""
    progress = Progress(one)
    asked = []
    for number, taken in turns:
        progress.step(number)
        asked.append(progress.ask_vlan(taken))
    progress.step(max(number for number, _ in turns) + 1 if turns[-1][1] else 0)
    return asked, progress.deliver()


def test_a_vlan_device_takes_the_outer_tag_and_the_next_round_takes_out_the_inner():
    double = record(tagged((AD, 10), (Q, 20)))

    assert way(double, (1, False)) == ([Tag(10, AD)], Q)
    assert way(double, (1, True)) == ([Tag(10, AD)], IPV4)
    assert way(double, (1, True), (2, True)) == ([Tag(10, AD), Tag(20, Q)], IPV4)
    # as well where the network card had taken out the outer one
    assert way(record(tagged((Q, 20)), vlan=10), (1, True), (2, False)) == ([Tag(10, None), Tag(20, Q)], IPV4)


def test_behind_a_priority_tag_the_next_is_asked_about_in_the_same_round():
    assert way(record(tagged((Q, 0), (Q, 20))), (1, False), (1, True)) == ([Tag(0, Q), Tag(20, Q)], IPV4)


def test_a_device_without_a_link_layer_header_has_its_tag_first():
    bare = record(struct.pack("!HH", 7, IPV4) + ip4(bytes(8)), protocol=Q)
    bare["arphrd"] = 65534

    assert tags_of(bare) == (Tag(7, Q),)


@pytest.mark.parametrize(("offset", "is_one"), [(0, False), (0x4000, False), (0x2000, True), (185, True)])
def test_fragments(offset, is_one):
    packet = ip4(bytes(8), offset=offset)

    assert is_fragment(record(ether(packet))) is is_one
    assert is_fragment(record(ether(packet, tag=7))) is is_one
    assert not is_fragment(record(tagged((AD, 10), (Q, 20), payload=packet)))  # skb->protocol is not that of IP


def test_what_is_sent_keeps_its_tag_in_its_bytes():
    packet = ip4(bytes(8), offset=0x2000)

    assert is_fragment(tx("eth0", packet=ether(packet)).records[0])
    assert not is_fragment(tx("eth0", packet=ether(packet, tag=7)).records[0])


def test_what_is_no_fragment_of_ipv4():
    assert not is_fragment(record(ether(ip4(bytes(8), offset=0x2000), kind=0x88B5)))
    assert not is_fragment(record(ether(ip4(bytes(8), offset=0x2000))[:20]))
    assert not is_fragment(record(reply()))


def test_tags_have_names():
    assert [tag_words(one) for one in (Tag(5, None), Tag(5, Q), Tag(5, AD), Tag(5, 0x9100))] == [
        "5",
        "802.1Q 5",
        "802.1ad 5",
        "5",
    ]
