# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a frame as a device saw it."""

import pytest

from bondtrace.exporters.frames import LINK_ETHERNET, LINK_RAW, LINK_USER, Frame, frame, link_type
from bondtrace.format.wire import RECORD_VLAN
from build import ON_ETH0, A, B, echo, ether, ip4, rx, tap


def test_longer_contents_take_the_place_of_the_records_bytes():
    whole = ether(ip4(echo()))
    one = rx("eth0", tap(ON_ETH0), vlan=7, packet=whole, cpu=3, seq=9).records[0]
    assert frame(one, 0, {(3, 9): whole}) == Frame(B + A + b"\x81\x00\x00\x07" + whole[12:], 102)
    assert frame(one, 1, {(3, 9): whole}) == Frame(whole, 98)
    assert frame(one, 0, {(3, 8): whole}) == Frame(B + A + b"\x81\x00\x00\x07" + whole[12:80], 102)


def test_a_tag_beside_the_bytes_is_put_back_with_its_type():
    whole = ether(ip4(echo()))
    one = rx("eth0", vlan=7, tpid=0x88A8, packet=whole).records[0]
    assert frame(one) == Frame(B + A + b"\x88\xa8\x00\x07" + whole[12:80], 102)


@pytest.mark.parametrize(
    "arphrd, link",
    [
        (1, LINK_ETHERNET),
        (772, LINK_ETHERNET),
        (65534, LINK_RAW),
        (519, LINK_RAW),
        (768, LINK_RAW),
        (803, LINK_USER),
        (32, LINK_USER),
    ],
)
def test_link_types(arphrd, link):
    records = rx("eth0").records
    records["arphrd"], records["flags"] = arphrd, RECORD_VLAN
    assert link_type(records[0]) == link
    tagged = frame(records[0])
    assert (tagged.data == records["packet"][0].tobytes()) == (link != LINK_ETHERNET)


def test_a_frame_too_short_for_a_tag_is_left_as_it_is():
    records = rx("eth0", vlan=7).records
    records["captured"], records["len"] = 10, 10
    assert frame(records[0], 1) == Frame(records["packet"][0, :10].tobytes(), 10)
