# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of a recording paired with those of a file."""

import captures
import numpy as np

from bondtrace.format.capture_file import CaptureFile
from bondtrace.stats.comparable import COOKED, COOKED_2, ETHERNET, of_capture, of_records
from bondtrace.stats.matching import pair
from build import BEGIN_NS, WALL_NS, arp, both, ether, ip4, reply, rx, udp

LONG = ether(ip4(udp(data=bytes(range(200)) * 5), 17))


def said(*passes, link=ETHERNET):
    records = both(*passes).records
    times_ns = records["time_ns"].astype(np.int64) - BEGIN_NS + WALL_NS
    return of_records(records, times_ns, np.arange(len(records)), link)


def held(path, packets, **more):
    file = CaptureFile(captures.pcap(path / "a.pcap", packets, **more))
    [part] = file.packets()
    return of_capture(part, file.interface.link)


def with_tag(frame, number=7, kind=b"\x81\0"):
    return frame[:12] + kind + number.to_bytes(2, "big") + frame[12:]


def test_packets_are_paired_by_their_bytes(tmp_path):
    found = pair(
        said(rx("eth0", packet=reply(1)), rx("eth0", at=5, packet=LONG), rx("eth0", at=9, packet=arp())),
        held(tmp_path, [(0, arp()), (1, reply(1)), (2, LONG), (3, reply(2))]),
    )

    assert found.tolist() == [1, 2, 0]


def test_a_packet_of_another_length_is_another(tmp_path):
    assert pair(said(rx("eth0", packet=LONG)), held(tmp_path, [(0, LONG + b"\0")])).tolist() == [-1]


def test_the_bytes_that_both_have_decide(tmp_path):
    # given a packet of which only the headers could be read, and one of which all that is kept
    one, other = rx("eth0", packet=LONG), rx("eth0", packet=LONG[:-1] + b"x", at=1)
    one.records["captured"], one.records["packet"][0, 42:] = 42, 0
    other.records["captured"] = 80
    different = LONG[:60] + b"?" + LONG[61:]

    # then the first is the one with other bytes further on, as the second has its own
    assert pair(said(one, other), held(tmp_path, [(0, LONG), (1, different)])).tolist() == [1, 0]
    # and what a snapshot length cut is compared as far as it goes
    assert pair(said(other), held(tmp_path, [(0, LONG)], snaplen=50)).tolist() == [0]
    assert pair(said(other), held(tmp_path, [(0, b"?" + LONG[1:])], snaplen=50)).tolist() == [-1]


def test_equal_packets_are_paired_in_order_and_the_nearest_first(tmp_path):
    # given three equal requests, of which the file lacks the first
    side = said(*(rx("eth1", packet=arp(), at=at) for at in (0, 500_000, 900_000)))

    assert pair(side, held(tmp_path, [(499_990, arp()), (899_990, arp())])).tolist() == [-1, 0, 1]
    assert pair(side, held(tmp_path, [(-5, arp()), (899_990, arp())])).tolist() == [0, -1, 1]


def test_a_dense_flood_of_equal_packets_that_wait_in_a_queue(tmp_path):
    times = range(0, 4000, 3)
    side = said(*(rx("eth1", packet=arp(), at=at + 700) for at in times))
    flood = [(at, arp()) for at in times]

    assert pair(side, held(tmp_path, [*flood, (4003, arp())])).tolist() == list(range(len(flood)))
    assert (pair(side, held(tmp_path, flood[:300] + flood[301:])) < 0).sum() == 1


def test_what_is_too_far_away_in_time_is_another(tmp_path):
    for behind, is_paired in ((0, True), (-900_000, True), (-1_100_000, False), (50_000, True), (70_000, False)):
        found = pair(said(rx("eth0", packet=reply())), held(tmp_path, [(behind, reply())]))
        assert (found >= 0).tolist() == [is_paired], behind


def test_tags_do_not_matter(tmp_path):
    # given a tag beside the bytes, one in them, one that a VLAN device took, and two
    side = said(
        rx("eth0", packet=reply(1), vlan=7),
        rx("eth0", packet=with_tag(reply(2)), at=1),
        rx("eth0", packet=with_tag(reply(3)), at=2),
        rx("eth0", packet=with_tag(reply(4), 9), vlan=7, tpid=0x88A8, at=3),
    )
    file = [with_tag(reply(1)), with_tag(reply(2)), reply(3), with_tag(with_tag(reply(4), 9), 7, b"\x88\xa8")]

    assert pair(side, held(tmp_path, list(enumerate(file)))).tolist() == [0, 1, 2, 3]


def cooked(frame, link):
    if link == COOKED:
        return bytes([0, 0, 0, 1, 0, 6]) + frame[6:12] + bytes(2) + frame[12:]
    return frame[12:14] + bytes(2) + bytes([0, 0, 0, 2, 0, 1, 0, 6]) + frame[6:12] + bytes(2) + frame[14:]


def test_files_of_all_devices_have_no_ethernet_header(tmp_path):
    frames = [reply(1), with_tag(reply(2)), LONG]
    passes = [rx("eth0", packet=reply(1)), rx("lo", packet=reply(2), vlan=7, at=1), rx("eth0", packet=LONG, at=2)]
    bare = rx("wg0", packet=reply(3)[14:], at=3)
    for link in (COOKED, COOKED_2):
        file = [*enumerate(cooked(frame, link) for frame in frames), (3, cooked(reply(3), link))]

        assert pair(said(*passes, bare, link=link), held(tmp_path, file, link=link)).tolist() == [0, 1, 2, 3]


def test_a_device_without_a_link_layer_header(tmp_path):
    side = said(rx("wg0", packet=reply(3)[14:]), link=101)

    assert pair(side, held(tmp_path, [(0, reply(3)[14:])], link=101)).tolist() == [0]
    assert len(said(rx("wg0", packet=reply(3)[14:]), link=ETHERNET)) == 0
