# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel showed of a scenario, by class of packet."""

import pytest

from bondtrace.model import Packet
from bondtrace.stats.kernel_comparison import observe, packet_class
from build import both, events, received, record, refused, start


def packet(protocol, info, vlan=()):
    return Packet(60, 0x0800, protocol, "", "", info, vlan)


@pytest.mark.parametrize(
    "protocol, info, expected",
    [
        ("ICMP", "echo request id 456 seq 1", "ICMP echo request"),
        ("ICMP", "port unreachable", "ICMP port unreachable"),
        ("ICMP", "type 42 code 1", "ICMP"),
        ("ICMPv6", "neighbour solicitation target fe80::2", "ICMPv6 neighbour solicitation"),
        ("ARP", "who-has 10.9.0.1 tell 10.9.0.2", "ARP who-has"),
        ("ARP", "10.9.0.1 is-at 02:00:00:00:00:0a (gratuitous)", "ARP is-at"),
        ("ARP", "[truncated]", "ARP"),
        ("UDP", "4000 > 7 len 40", "UDP"),
        ("TCP", "4000 > 22 [P.] seq 7", "TCP"),
        ("LLDP", "chassis 02:00:00:00:00:0a ttl 120", "LLDP"),
        ("0x88b5", "", "0x88b5"),
    ],
)
def test_a_class_has_no_word_that_differs_from_packet_to_packet(protocol, info, expected):
    assert packet_class(packet(protocol, info)) == expected


def test_a_class_has_its_vlans():
    assert packet_class(packet("ARP", "who-has 10.9.0.1", (7, 8))) == "ARP who-has in VLAN 7.8"


def test_a_recording_that_is_missing_or_cut_off_is_the_columns_error(tmp_path):
    path = tmp_path / "trace.arrows"
    assert observe("6.1", "6.1.0", path).error == f"cannot read {path}: No such file or directory"
    record(path, (received(), [start(), *events()]))
    path.write_bytes(path.read_bytes()[:-8])
    assert observe("6.1", "6.1.0", path).error == f"the recording {path} was cut off: it is not compared"


def test_journeys_are_counted_in_their_class_and_in_all(tmp_path):
    # given two replies through the bond and a request on its backup slave
    path = record(tmp_path / "trace.arrows", (both(received(), received(20), refused(40)), events()))

    column = observe("6.1", "6.1.0", path)

    assert (column.kernel, column.release, column.out_dir, column.error) == ("6.1", "6.1.0", str(tmp_path), "")
    assert {name: one.journeys for name, one in column.classes.items()} == {"ICMP echo reply": 2, "ARP who-has": 1}
    assert column.total.journeys == 3 and column.scene.losses() == {}
