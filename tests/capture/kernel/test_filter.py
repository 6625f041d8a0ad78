# SPDX-License-Identifier: GPL-2.0-or-later
"""FILTER against libpcap itself: the C that bpf/filter.c and the generated functions are, built as a library of this
process, asked of many frames with many expressions."""

import ctypes
import re
import struct
import subprocess
from pathlib import Path

import pytest
from filtering import EXPRESSIONS, FRAMES, PLAIN, PRIMITIVES, ethernet, in_file, ipv4, tcp

from bondtrace.capture.kernel import source
from bondtrace.capture.kernel.filter import c_text, function
from bondtrace.errors import UsageError
from bondtrace.net import pcap
from bondtrace.net.arphrd import WITHOUT_HEADER
from bondtrace.net.pcap import Filter, Instruction, make_filter

REJECT, ACCEPT, BLIND = 0, 1, 2
NATIVE = Path(__file__).parents[2] / "native"


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


class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint16), ("header_ops", ctypes.c_uint64)]


def build(directory, filters):
    """ask(number, frame, tag=None, linear=None, outgoing=False, arphrd=1) -> fate, of the filters by number."""
    files = [source.bpf_dir() / name for name in ("wire.h", "pass.c", "filter.c")]
    parts = [source.device_types()]
    parts += [one.read_text() for one in (NATIVE / "host.h", NATIVE / "filter_host.c", *files)]
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

    def ask(number, frame, tag=None, linear=None, outgoing=False, arphrd=1, makes_headers=False):
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
        header_ops = ctypes.c_uint64(1)
        device = Device(arphrd, ctypes.addressof(header_ops) if makes_headers else 0)
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


@pytest.mark.parametrize("arphrd", WITHOUT_HEADER)
def test_a_device_without_a_link_layer_is_judged_unless_it_writes_headers(ask, arphrd):
    # as a GRE tunnel to many does: what it sends begins with the outer header
    assert [ask("icmp", PLAIN[0][14:], arphrd=arphrd, makes_headers=does) for does in (False, True)] == [ACCEPT, BLIND]


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
