# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames built byte by byte, each with what the dissector must say about it; and what must hold for each.

A test module of a layer lists its ``Case``s and has one test for all of them:

    @for_each(CASES)
    def test_what_is_promised(promise, case):
        promise(case)
"""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bondtrace.model import Packet
from bondtrace.net.dissect import describe, one_line

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
V4 = ("10.9.0.1", "10.9.0.2")
V6 = ("fe80::a", "fe80::b")
STP_GROUP = "01:80:c2:00:00:00"
ALTERED = 400  # frames per case


# --- builders ------------------------------------------------------------------------------------------


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ether(kind, payload, src=A, dst=B):
    return mac(dst) + mac(src) + struct.pack("!H", kind) + payload


def llc(body, dst=STP_GROUP):
    return ether(len(body), body + bytes(46 - len(body)), dst=dst)


def arp(operation, sender, target, target_mac="00:00:00:00:00:00"):
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + mac(A) + bytes(sender) + mac(target_mac) + bytes(target) + bytes(18)


def ip4(protocol, payload, fragment=0, options=b"", total=None):
    size = 20 + len(options) + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | (20 + len(options)) // 4, 0, size, 77, fragment, 64, protocol, 0)
    return head + bytes([10, 9, 0, 1, 10, 9, 0, 2]) + options + payload


def ip6(following, payload, size=None):
    head = struct.pack("!IHBB", 6 << 28, len(payload) if size is None else size, following, 255)
    return head + b"\xfe\x80" + bytes(13) + b"\x0a" + b"\xfe\x80" + bytes(13) + b"\x0b" + payload


def icmp(kind, code, rest):
    return struct.pack("!BBH", kind, code, 0) + rest


def echo(kind):
    return struct.pack("!BBHHH", kind, 0, 0, 128, 1) + bytes(56)


def tcp(flags, seq=1, ack=0, payload=b"", header=5):
    return struct.pack("!HHIIBBHHH", 33412, 22, seq, ack, header << 4, flags, 64240, 0, 0) + payload


def udp(source, destination, size=40, data=None):
    data = bytes(size) if data is None else data
    return struct.pack("!HHHH", source, destination, 8 + len(data), 0) + data


def lacp_info(kind, system, key, port, state):
    return struct.pack("!BBH6sHHHB3x", kind, 20, 65535, mac(system), key, 255, port, state)


ECHO = ether(0x0800, ip4(1, echo(0)))
SAID = (0x0800, "ICMP", *V4, "echo reply id 128 seq 1")
BPDU = struct.pack("!HBBBH6sIH6sH", 0, 2, 2, 0x3C, 0x8000, mac(A), 20000, 0x9001, mac(B), 0x8002) + bytes(8)
BPDU_SAID = f"RSTP root 8000.{A} cost 20000 bridge 9001.{B} port 0x8002"
LACPDU = b"\x01\x01" + lacp_info(1, A, 15, 1, 0x3D) + lacp_info(2, B, 9, 2, 0x47) + bytes(68)


# --- cases ---------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A frame: ``said`` is (ethertype, protocol, src, dst, info, tags); ``needed`` how many bytes that takes.
    ``complete`` is how the info of a packet of fewer bytes may begin without being malformed. ``carried`` is
    (encapsulation, the line of the inner packet, the bytes that takes)."""

    name: str
    frame: bytes
    needed: int
    said: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    complete: str = "\0"
    carried: tuple[Any, ...] = ("", None, 0)

    def expected(self):
        """Return what the dissector must return; of the inner packet, the line."""
        ports = re.search(r"(?:^|, )(\d+) > (\d+)", self.said[4]) if self.said[1] in _WITH_PORTS else None
        return Packet(
            len(self.frame),
            *self.said,
            message=self.message,
            ports=(int(ports[1]), int(ports[2])) if ports else None,
            encapsulation=self.carried[0],
            inner=self.carried[1],
        )


_WITH_PORTS = ("TCP", "UDP", "SCTP", "DCCP", "UDP-Lite")


def told(data, wire_len, **options):
    """Return what the dissector returns, with the inner packet's line in place of it."""
    packet = describe(data, wire_len=wire_len, **options)
    return replace(packet, inner=one_line(packet.inner) if packet.inner else None)


def case4(name, protocol, payload, said, needed, complete="\0", carried=("", None, 0), **how):
    """Return a case over IPv4. ``said`` is (protocol, info), and the message if there is one."""
    name_of, info, *message = said
    frame = ether(0x0800, ip4(protocol, payload, **how))
    return Case(name, frame, needed, (0x0800, name_of, *V4, info), {}, *message, complete=complete, carried=carried)


def case6(name, following, payload, said, needed, **how):
    """Return a case over IPv6."""
    name_of, info, *message = said
    frame = ether(0x86DD, ip6(following, payload, **how))
    return Case(name, frame, needed, (0x86DD, name_of, *V6, info), {}, *message)


def case2(name, kind, payload, protocol, info, needed, src=A, dst=B):
    """Return a case of a payload without addresses of its own."""
    return Case(name, ether(kind, payload, src, dst), needed, (kind, protocol, src, dst, info))


# --- promises ------------------------------------------------------------------------------------------


def is_described(case):
    assert told(case.frame, len(case.frame), **case.options) == case.expected()


def cutting_takes_words_from_the_end_and_is_said(case):
    whole = case.expected()
    for size in range(min(len(case.frame), 200) + 1):
        packet = told(case.frame[:size], len(case.frame), **case.options)
        if size >= case.carried[2]:
            assert packet.inner == whole.inner, size
        else:
            assert packet.inner is None or packet.inner == whole.inner or "[truncated]" in packet.inner
        if size >= case.needed:
            assert replace(packet, inner=None) == replace(whole, inner=None), size
        else:
            assert_is_a_cut(packet, whole)


def assert_is_a_cut(packet, whole):
    assert packet.truncated
    assert packet.length == whole.length
    assert packet.tags == whole.tags[: len(packet.tags)]
    assert packet.ports in (None, whole.ports)
    assert packet.encapsulation in ("", whole.encapsulation)
    text = re.fullmatch(r"(|.* )\[truncated\]", packet.info).group(1).rstrip(" ")
    assert whole.info.startswith(text)
    assert whole.message.startswith(packet.message)
    if packet.ethertype == whole.ethertype:
        assert packet.src in ("", whole.src)
        assert packet.dst in ("", whole.dst)


def an_early_end_on_the_wire_is_malformed_not_truncated(case):
    for size in range(min(case.needed, len(case.frame))):
        packet = describe(case.frame[:size], wire_len=size, **case.options)
        assert not packet.truncated
        assert packet.info.endswith("[malformed]") or packet.info.startswith(case.complete), packet


def altered_bytes_do_no_harm(case):
    rng = random.Random(case.name)
    for _ in range(ALTERED):
        data = bytearray(case.frame[:80])
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 4, 255, rng.randrange(256)))
        if rng.random() < 0.5:  # another end
            data = (data[: rng.randrange(len(data) + 1)] + rng.randbytes(rng.randrange(81)))[:80]
        assert_any_bytes(bytes(data), rng, **case.options)


def assert_any_bytes(data, rng, **options):
    """Check that nothing raises, and that what is said is printable ASCII, whatever the bytes are."""
    packet = describe(data, wire_len=rng.choice((len(data), 1514, 0)), **options)
    line = one_line(packet)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 500 or "MPLS" in line
    assert packet.truncated == packet.info.endswith("[truncated]")
    assert packet.message in ("fragment", "not decoded", "is-at") or packet.info.startswith(packet.message)


PROMISES = (
    is_described,
    cutting_takes_words_from_the_end_and_is_said,
    an_early_end_on_the_wire_is_malformed_not_truncated,
    altered_bytes_do_no_harm,
)


def for_each(cases):
    """Return the decorator of a test of every promise and every case."""

    def mark(test):
        test = pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)(test)
        return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)(test)

    return mark
