# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in the virtual machine compare with: packets of files and recordings, marks, contradictions. If these
found nothing, whatever was told, no one would notice."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from demanded import DEMANDED, read
from stacks import Matched, false_absences, marks_in
from truth import COOKED, ETHERNET, comparable, contradictions_in

from bondtrace.format.events import end_event
from bondtrace.format.wire import EMPTY
from build import BEGIN_NS, ON_BOND0, ON_ETH0, TAPS, THERE, events, handler, protocol, record, rx, tap

ADDRESSES, PAYLOAD = bytes(range(12)), b"payload"
TAG, TAG_AD = b"\x81\x00\x00\x07", b"\x88\xa8\x00\x0a"


@pytest.mark.parametrize("tags", [b"", TAG, TAG_AD + TAG])
def test_a_frame_with_its_tags_is_that_of_which_the_kernel_keeps_them_apart(tags):
    # given a frame in a file, and the same in a recording with its outer tag beside it
    frame = ADDRESSES + tags + b"\x08\x00" + PAYLOAD
    beside = ADDRESSES + tags[4:] + b"\x08\x00" + PAYLOAD
    assert comparable(len(frame), frame, ETHERNET) == comparable(len(beside), beside, ETHERNET, arphrd=1)
    # and one byte of another packet is a difference
    assert comparable(len(frame), frame, ETHERNET) != comparable(len(beside), beside[:-1] + b"?", ETHERNET, arphrd=1)


def test_a_cooked_file_is_compared_without_link_layer_headers():
    frame, cooked = ADDRESSES + TAG + b"\x08\x00" + PAYLOAD, bytes(14) + b"\x08\x00" + PAYLOAD
    assert comparable(len(cooked), cooked, COOKED) == (len(PAYLOAD), PAYLOAD)
    assert comparable(len(frame), frame, COOKED, arphrd=1) == (len(PAYLOAD), PAYLOAD)
    assert comparable(len(PAYLOAD), PAYLOAD, COOKED, arphrd=778) == (len(PAYLOAD), PAYLOAD)


def ipv4(number, payload):
    """A packet with a right checksum."""
    head = bytes([0x45, 0, 0, 20 + len(payload), 0, 1, 0, 0, 64, number, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2])
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, 20, 2))
    checksum = 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))
    return head[:10] + checksum.to_bytes(2, "big") + head[12:] + payload


@pytest.mark.parametrize(
    ("packet", "mark"),
    [
        (ipv4(17, bytes(8) + b"packet-042"), {"042"}),
        (ipv4(1, b"\x08" + bytes(23) + b"packet-042packet-042pack"), {"042"}),
        (ipv4(1, b"\x00" + bytes(23) + b"-042packet-042packet-0"), {"042 answer"}),
        (ipv4(1, b"\x03" + bytes(7) + ipv4(17, bytes(8) + b"packet-042")), {"042 error"}),
        (ipv4(17, bytes(16) + ADDRESSES + b"\x08\x00" + ipv4(1, b"\x00" + bytes(23) + b"packet-042")), {"042 answer"}),
        (b"no mark: packet-04", set()),
    ],
)
def test_a_packet_has_its_mark_whatever_is_around_it(packet, mark):
    assert marks_in(ADDRESSES + b"\x08\x00" + packet) == mark


def journey(number, *unseen):
    return SimpleNamespace(id=number, passes=(), unseen=[SimpleNamespace(tap=one, reason="netns") for one in unseen])


def test_a_packet_in_a_taps_file_that_a_journey_denies_is_a_false_absence():
    # given one packet, told as two journeys; each denies the tap that captured the other
    whole = ADDRESSES + b"\x08\x00" + ipv4(17, bytes(8) + b"packet-042")
    first, second = journey(1, 20), journey(2, 10)
    stack = SimpleNamespace(journeys=[first, second], records={}, names={10: "eth0", 20: "eth9"})
    matched = Matched(pairs=[("eth0", first, whole), ("eth9", second, whole)])
    assert false_absences(stack, matched, {}) == [("eth9", "042", 1), ("eth0", "042", 2)]
    # but a packet that came twice has two journeys, and is not
    assert false_absences(stack, matched, {"042": 2}) == []


END = end_event(BEGIN_NS + 10**9, BEGIN_NS + 10**9)
BONDED = (tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, []),
        ({"netns": THERE}, ["#1: captured by [41003], which lives in netns 4026532999, on bond0 of netns 4026531840"]),
        ({"ifindex": 3, "dev": "eth1"}, ["#1: captured by [41003], which is bound to eth1, on bond0"]),
    ],
)
def test_a_tap_that_captures_where_it_cannot_is_found_in_any_recording(tmp_path, wrong, words):
    taps = {ON_ETH0: TAPS[ON_ETH0], ON_BOND0: replace(TAPS[ON_BOND0], **wrong)}
    path = record(tmp_path / "one.arrows", (EMPTY, events(taps)), (rx("eth0", *BONDED), []), (EMPTY, [END]))
    assert contradictions_in(path) == words


def test_what_is_demanded_can_be_read():
    [one] = read("012 rx eth0 bond0 eth0 | eth0 bond0 dhcp | dhcp netns/protocol;\n  drop bond0 *; says a b; never c")
    assert (one.mark, one.direction, one.devices) == ("012", "rx", "eth0 bond0 eth0")
    assert (one.captured, one.reasons) == (("bond0", "dhcp", "eth0"), {"dhcp": "netns/protocol"})
    assert (one.drops, one.says, one.never) == ([("bond0", "*")], ("a b",), ("c",))
    # "=" is each device once
    [same] = read("012 rx eth0 bond0 eth0 | = | drops *")
    assert (same.captured, same.drops) == (("bond0", "eth0"), None)
    # and no mark is in two scenarios
    marks = [{demand.mark for demand in read(lines)} for lines in DEMANDED.values()]
    assert sum(map(len, marks)) == len(set().union(*marks))
