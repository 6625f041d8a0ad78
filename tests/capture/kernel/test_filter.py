# SPDX-License-Identifier: GPL-2.0-or-later
"""FILTER against libpcap itself: the C that bpf/filter.c and the generated functions are, built as a library of this
process, asked of many frames with many expressions."""

import ctypes
import itertools
import random
import re
import struct
import subprocess
from pathlib import Path

import pytest

from bondtrace.capture.kernel import source
from bondtrace.capture.kernel.filter import Filter, c_text, function, make_filter
from bondtrace.errors import UsageError
from bondtrace.net import pcap
from bondtrace.net.pcap import Instruction

REJECT, ACCEPT, BLIND = 0, 1, 2
SHIM = Path(__file__).parents[2] / "native" / "filter_host.c"


# --- frames --------------------------------------------------------------------------------------------

A, B = bytes.fromhex("020000000001"), bytes.fromhex("02000000000b")


def ipv4(protocol, payload, src="10.9.0.1", dst="10.9.0.2", options=b"", fragment=0):
    packed = [bytes(int(part) for part in address.split(".")) for address in (src, dst)]
    return (
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45 + len(options) // 4,
            0,
            20 + len(options) + len(payload),
            7,
            fragment,
            64,
            protocol,
            0,
            *packed,
        )
        + options
        + payload
    )


def ipv6(protocol, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload


def tcp(sport, dport, flags):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 2, 0x50, flags, 100, 0, 0)


def udp(sport, dport, payload=b""):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def ethernet(kind, payload, dst=B, src=A):
    return dst + src + struct.pack("!H", kind) + payload


def icmp(kind):
    return struct.pack("!BBHHH", kind, 0, 0, 128, 1) + bytes(range(56))


PLAIN = [
    ethernet(0x0800, ipv4(1, icmp(8))),
    ethernet(0x0800, ipv4(1, icmp(0), "10.9.0.2", "10.9.0.1")),
    ethernet(0x0800, ipv4(6, tcp(40000, 80, 2))),
    ethernet(0x0800, ipv4(6, tcp(80, 40000, 0x12), "192.168.7.9")),
    ethernet(0x0800, ipv4(6, tcp(1, 443, 0x10), options=bytes(range(40)))),
    ethernet(0x0800, ipv4(17, udp(68, 67, bytes(200)), "0.0.0.0", "255.255.255.255"), b"\xff" * 6),
    ethernet(0x0800, ipv4(17, udp(53, 5353), options=b"\1" * 4)),
    ethernet(0x0800, ipv4(17, b"middle of a datagram", fragment=0x2005)),
    ethernet(0x86DD, ipv6(6, tcp(22, 1024, 0x18))),
    ethernet(0x86DD, ipv6(17, udp(546, 547)), b"\x33\x33\0\0\0\1"),
    ethernet(0x86DD, ipv6(58, icmp(128))),
    ethernet(0x86DD, ipv6(0, b"\x3a\0" + bytes(6) + icmp(135))),
    ethernet(0x0806, struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, A, b"\x0a\x09\0\1", bytes(6), b"\x0a\x09\0\2")),
    ethernet(0x88CC, b"\2\7\4" + A + b"\0\0", bytes.fromhex("0180c200000e")),
    ethernet(0x8809, b"\1\1" + bytes(108), bytes.fromhex("0180c2000002")),
    ethernet(0x002A, b"\x42\x42\3" + bytes(39), bytes.fromhex("0180c2000000")),
    ethernet(0x0800, ipv4(47, bytes(30))),
    ethernet(0x0800, b"\x45"),
    ethernet(0x0800, b""),
    ethernet(0x9000, bytes(46)),
    ethernet(0x8100, struct.pack("!HH", 100, 0x0800) + ipv4(1, icmp(8))),
    ethernet(0x8100, struct.pack("!HH", 0x2064, 0x86DD) + ipv6(6, tcp(5, 80, 2))),
    ethernet(0x88A8, struct.pack("!HHHH", 7, 0x8100, 100, 0x0800) + ipv4(6, tcp(40000, 80, 2))),
    ethernet(0x8847, struct.pack("!I", 16 << 12 | 0x1FF) + ipv4(1, icmp(8))),
    ethernet(0x8864, b"\x11\0\0\1\0\x16\0\x21" + ipv4(1, icmp(8))),
    *(
        ethernet(0x0800, ipv4(6, tcp(80, port, 2)))[:size]
        for port, size in itertools.product((79, 80), (33, 36, 53, 54))
    ),
    bytes(random.Random(1).randbytes(200)),
    ethernet(0x0800, ipv4(17, udp(9, 9, bytes(1400)))),
]
TAGS = [(0x8100, 100), (0x8100, 0x6005), (0x88A8, 7)]
FRAMES = [(frame, None) for frame in PLAIN] + [(frame, tag) for frame in PLAIN for tag in TAGS]
"""(bytes of the skb, tag beside them): what a capture file has is in_file()."""


def in_file(frame, tag):
    return frame if tag is None else frame[:12] + struct.pack("!HH", *tag) + frame[12:]


# --- expressions ---------------------------------------------------------------------------------------

PRIMITIVES = """ip; ip6; arp; rarp; icmp; icmp6; tcp; udp; vlan; vlan 100; vlan 5; host 10.9.0.1; src host 10.9.0.2
dst host 10.9.0.1; net 10.9.0.0/16; src net 192.168.0.0/16; host ::1; dst host ::2; port 80; src port 80
dst port 443; tcp port 22; udp port 53; portrange 60-90; tcp portrange 1000-50000; ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:0b; ether broadcast; ether multicast; ether proto 0x88cc; ether proto 0x8809
ip proto 47; ip multicast; ip6 multicast; less 60; greater 100; len = 98; icmp[icmptype] = icmp-echo
icmp[icmptype] == icmp-echoreply; tcp[tcpflags] & tcp-syn != 0; tcp[13] = 2; tcp[tcpflags] == tcp-syn|tcp-ack
ip[0] & 0xf > 5; ip[2:2] > 100; ip[6:2] & 0x1fff != 0; ip[8] < 65; ether[0] & 1 = 1; ether[12:2] = 0x0800
ether[10:4] != 0; ip[2:2] - ((ip[0] & 0xf) << 2) > 30; udp[4:2] % 3 = 1; ip[1] / ip[1] = 1; tcp[0:2] * 2 = 160
ether[5] ^ ether[11] = 10; ip[12:4] = 0x0a090001; ether[100] = 0; ether[150:2] = 0; ether[1000:4] = 0
ip[ip[0]] > 3; len - 14 > ip[2:2]; (ether[3] | 1) << 3 = 8; (ip[3] >> 2) & 3 = 1; mpls; mpls 16; pppoes
pppoes 1; llc; stp; ip6[6] = 6; ip6 proto 17; sctp; igmp; isis"""
PRIMITIVES = [one.strip() for one in PRIMITIVES.replace("\n", "; ").split(";")]


def generated(count):
    """Expressions of one to five primitives, drawn anew from the same seed."""
    chosen = random.Random(20261124)
    found = []
    while len(found) < count:
        words = [chosen.choice(("", "", "not ")) + one for one in chosen.choices(PRIMITIVES, k=chosen.randint(2, 5))]
        text = words[0]
        for word in words[1:]:
            form = chosen.choice(("{} and {}", "{} or {}", "({}) and ({})", "({}) or {}", "not ({}) or {}"))
            text = form.format(text, word)
        try:
            pcap.compile_filter(text)
        except UsageError:  # "tcp and udp" is refused by libpcap itself: it can't match anything
            continue
        found.append(text)
    return found


EXPRESSIONS = [*PRIMITIVES, *generated(300)]


# --- the C as a library --------------------------------------------------------------------------------


class SkBuff(ctypes.Structure):
    _fields_ = [
        ("head", ctypes.c_uint64),
        ("data", ctypes.c_uint64),
        ("dev", ctypes.c_uint64),
        ("tail", ctypes.c_uint32),
        ("len", ctypes.c_uint32),
        ("mac_header", ctypes.c_uint16),
        ("vlan_tci", ctypes.c_uint16),
        ("vlan_proto", ctypes.c_uint16),
    ]


def build(directory, filters):
    """ask(number, frame, tag=None, linear=None, outgoing=False, arphrd=1) -> fate, of the filters by number."""
    files = [source.bpf_dir() / name for name in ("wire.h", "pass.c", "filter.c")]
    parts = [SHIM.read_text(), *(one.read_text() for one in files)]
    for kind in ("ethernet", "raw"):
        parts += [function(f"{kind}_{number}", getattr(one, kind)) for number, one in enumerate(filters)]
        parts += [
            f"static u8 filter_{kind}(struct view *view)",
            "{",
            "switch (asked) {",
            *(f"case {number}: return {kind}_{number}(view);" for number in range(len(filters))),
            "} return 255; }",
        ]
    parts.append(
        "u8 ask(u32 number, struct view *view, u64 skb, u64 dev, u8 outgoing)\n"
        "{ asked = number; u64 none; struct part part = {skb, &none, &none, 0};\n"
        "return filter_fate(view, &part, dev, outgoing); }\n"
    )
    (directory / "filters.c").write_text("\n".join(parts))
    subprocess.run(
        ["gcc", "-O1", "-w", "-shared", "-fPIC", "-o", directory / "filters.so", directory / "filters.c"], check=True
    )
    library = ctypes.CDLL(str(directory / "filters.so"))
    library.ask.restype = ctypes.c_uint8

    def ask(number, frame, tag=None, linear=None, outgoing=False, arphrd=1):
        room = ctypes.create_string_buffer(b"\xee" * 16 + frame + b"\xee" * 300, len(frame) + 316)
        there = len(frame) if linear is None else linear
        link = 0 if outgoing or arphrd != 1 else 14
        skb = SkBuff(
            ctypes.addressof(room),
            ctypes.addressof(room) + 16 + link,
            0,
            16 + there,
            len(frame) - link,
            16,
            tag[1] if tag else 0,
            struct.unpack("=H", struct.pack("!H", tag[0]))[0] if tag else 0,
        )
        device = ctypes.c_uint16(arphrd)
        view = ctypes.create_string_buffer(256)
        return library.ask(
            number,
            view,
            ctypes.c_uint64(ctypes.addressof(skb)),
            ctypes.c_uint64(ctypes.addressof(device)),
            ctypes.c_uint8(outgoing),
        )

    return ask


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    by_number = build(tmp_path_factory.mktemp("filters"), [make_filter(one) for one in EXPRESSIONS])
    numbers = {one: place for place, one in enumerate(EXPRESSIONS)}
    return lambda expression, *more, **named: by_number(numbers[expression], *more, **named)


def test_there_are_hundreds_of_expressions_and_they_tell_packets_apart():
    assert len(EXPRESSIONS) > 350
    verdicts = [pcap.verdicts(one, [in_file(*frame) for frame in FRAMES]) for one in EXPRESSIONS]
    assert sum(any(one) and not all(one) for one in verdicts) > 250


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("outgoing", [False, True], ids=["rx", "tx"])
def test_the_verdict_is_libpcaps(ask, expression, outgoing):
    expected = pcap.verdicts(expression, [in_file(*frame) for frame in FRAMES])
    assert [ask(expression, *frame, outgoing=outgoing) for frame in FRAMES] == [int(one) for one in expected]


@pytest.mark.parametrize("expression", PRIMITIVES)
def test_the_verdict_is_libpcaps_on_a_device_without_a_link_layer(ask, expression):
    packets = [frame[14:] for frame in PLAIN if frame[12:14] in (b"\x08\x00", b"\x86\xdd") and len(frame) > 14]
    try:
        expected = pcap.verdicts(expression, packets, pcap.RAW_IP)
    except UsageError:
        expected = [False] * len(packets)
    assert [ask(expression, packet, arphrd=0xFFFE) for packet in packets] == [int(one) for one in expected]


@pytest.mark.parametrize(
    ("expression", "linear", "fate"),
    [
        ("arp", 14, REJECT),  # told by what is there
        ("ip", 14, ACCEPT),
        ("tcp", 14, BLIND),  # the protocol lies beyond
        ("tcp", 34, ACCEPT),
        ("dst port 443", 34, BLIND),
        ("ip", 10, BLIND),
    ],
)
def test_bytes_outside_the_linear_part_make_no_verdict(ask, expression, linear, fate):
    frame = ethernet(0x0800, ipv4(6, tcp(1, 443, 0x10), options=bytes(range(40))))
    frame = frame[:14] + b"\x45" + frame[15:] if expression == "dst port 443" else frame
    assert ask(expression, frame, linear=linear) == fate


def test_a_device_of_an_unknown_link_type_is_not_judged(ask):
    assert ask("icmp", PLAIN[0], arphrd=803) == BLIND


# --- compiling -----------------------------------------------------------------------------------------


def test_libpcaps_message_is_handed_on():
    with pytest.raises(UsageError, match=r"^the filter 'icmp adn host' is not a tcpdump filter: .*syntax error"):
        make_filter("icmp adn host")


def test_a_loop_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"needs a loop .protochain., which .* use `proto`"):
        make_filter("ip6 protochain 58")


def test_a_filter_that_only_ethernet_has_matches_nothing_elsewhere():
    assert make_filter("ether broadcast").raw == (Instruction(6, 0, 0, 0),)


def test_nothing_of_the_expression_reaches_the_c_text():
    word = "icmp6 and not arp"
    told = c_text(make_filter(word))
    assert "icmp" not in told and "arp" not in told


def test_memory_words_that_classic_bpf_does_not_have_are_refused():
    with pytest.raises(UsageError, match="memory word 16"):
        c_text(Filter("x", (Instruction(2, 0, 0, 16), Instruction(6, 0, 0, 1)), ()))


@pytest.mark.parametrize(
    "expression",
    [
        'icmp"); system("touch pwned',
        "icmp\n#include </etc/shadow>",
        "icmp */ int x; /*",
        "$(touch pwned)",
        "host `id`",
        "\\",
        "%n%s",
        "icmp'",
        "\x1b[31m",
        "\udcff",
        "(" * 3000,
    ],
)
def test_what_is_no_filter_is_refused_and_does_nothing(expression, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^the filter .* is not a tcpdump filter: "):
        make_filter(expression)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "expression",
    [
        "icmp and " * 500 + "icmp",
        "port 1 or " * 300 + "port 2",
        "ether[0:4] = 0xffffffff",
        "host 10.0.0.1 and not (vlan 7 or mpls)",
    ],
)
def test_nothing_of_a_filter_but_numbers_reaches_the_source(expression):
    code = re.sub(
        r"\b(static|__always_inline|u8|u32|u64|filter_(ethernet|raw)|struct|view|view_load|len|fate|return|"
        r"goto|if|else|FILTER_(ACCEPT|REJECT)|[axl]\d*|m\d+|0xf|\d+U?)\b",
        "",
        c_text(make_filter(expression)),
    )
    assert code.count("{") == 2
    assert set(code) <= set(" \t\n(){}=,;:?!<>&|^+-*/%~") and "/*" not in code and "//" not in code
