# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet filter on recorded passes: the frame of each as its device had it, and what is known of it."""

import pytest
from filtering import EXPRESSIONS, FRAMES, in_file

from bondtrace.analysis import filtering
from bondtrace.analysis.filtering import FOREIGN
from bondtrace.format.wire import PACKET_BYTES, RECORD_VLAN
from bondtrace.net import pcap
from bondtrace.net.classic_bpf import ACCEPT, BLIND, REJECT
from bondtrace.net.pcap import make_filter
from build import both, echo, ether, ip4, late, protocol, reply, rx, udp

CONTENTS = {(cpu, 1): frame for cpu, (frame, _) in enumerate(FRAMES)}


def pass_of(frame, tag, **more):
    beside = {} if tag is None else {"tpid": tag[0], "vlan": tag[1]}
    return rx("eth0", packet=frame, **beside, **more)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_verdict_is_libpcaps_on_what_a_capture_file_has(expression):
    # given frames with tags in their bytes, beside them and both; those that an Ethernet header fits
    some = [(cpu, frame, tag) for cpu, (frame, tag) in enumerate(FRAMES) if len(frame) >= 14]
    passes = both(*(pass_of(frame, tag, cpu=cpu) for cpu, frame, tag in some))
    expected = pcap.verdicts(expression, [in_file(frame, tag) for _, frame, tag in some])

    # when all of their bytes were kept, then it is libpcap's verdict
    assert filtering.verdicts(passes, make_filter(expression), CONTENTS).tolist() == [int(one) for one in expected]

    # and with the recorded 80, that or none
    told = filtering.verdicts(passes, make_filter(expression)).tolist()
    assert [one for one, truth in zip(told, expected) if one not in (BLIND, int(truth))] == []
    whole = [len(frame) <= PACKET_BYTES for _, frame, _ in some]
    assert BLIND not in [one for one, is_whole in zip(told, whole) if is_whole]


def verdict(one, expression, contents=filtering.NO_CONTENTS):
    [found] = filtering.verdicts(one, make_filter(expression), contents).tolist()
    return found


def test_a_tag_beside_the_bytes_is_put_back_before_the_filter():
    tagged = rx("eth0", packet=reply(), vlan=0x6064)
    provider = rx("eth0", packet=reply(tag=7), vlan=100, tpid=0x88A8)

    assert verdict(tagged, "vlan 100 and icmp") == ACCEPT
    assert verdict(tagged, "icmp") == verdict(tagged, "vlan 7") == REJECT
    assert verdict(tagged, "ether[12:2] = 0x8100 and ether[14:2] = 0x6064 and ether[16:2] = 0x800") == ACCEPT
    assert verdict(provider, "ether[12:4] = 0x88a80064 and ether[16:4] = 0x81000007") == ACCEPT
    assert verdict(tagged, "len = 102") == ACCEPT


def test_a_tag_takes_nothing_from_what_is_known():
    # given 98 bytes, of which 80 are kept behind the tag
    assert verdict(rx("eth0", packet=reply(), vlan=7), "ether[83] = 0") == ACCEPT
    assert verdict(rx("eth0", packet=reply(), vlan=7), "ether[84] = 0") == BLIND
    assert verdict(rx("eth0", packet=reply()), "ether[80] = 0") == BLIND


def test_of_a_frame_that_was_cut_before_its_tag_nothing_further_is_known():
    cut = rx("eth0", packet=reply(), vlan=7)
    cut.records["captured"] = 10

    assert verdict(cut, "vlan 7") == BLIND
    assert verdict(cut, "ether[0] = 2") == ACCEPT


@pytest.mark.parametrize("dev", ["wg0", "gre0"])
def test_without_a_link_layer_the_packet_begins_with_ip(dev):
    one = rx(dev, packet=ip4(echo(8)))

    assert verdict(one, "icmp and src host 10.9.0.1") == ACCEPT
    assert verdict(one, "tcp") == verdict(one, "ether broadcast") == REJECT
    assert one.records["flags"][0] & RECORD_VLAN == 0


def test_what_was_kept_of_a_packet_beyond_its_record_is_read():
    frame = ether(ip4(udp(data=b"x" * 300 + b"needle"), 17))
    one = rx("eth0", packet=frame, cpu=3, seq=9)
    needle = f"ether[{14 + 20 + 8 + 300}:4] = 0x{b'need'.hex()}"

    assert verdict(one, needle) == BLIND
    assert verdict(one, needle, {(3, 8): frame}) == BLIND  # another packet's
    assert verdict(one, needle, {(3, 9): frame[:200]}) == BLIND
    assert verdict(one, needle, {(3, 9): frame}) == ACCEPT
    assert verdict(one, "udp", {(3, 9): b""}) == ACCEPT


def test_nobody_guesses_of_another_link_layer_or_a_pass_without_its_begin():
    strange = rx("eth0", packet=reply())
    strange.records["arphrd"] = 32  # InfiniBand

    assert verdict(strange, "icmp") == FOREIGN
    assert verdict(late("eth0", protocol("ip_rcv")), "icmp") == FOREIGN
