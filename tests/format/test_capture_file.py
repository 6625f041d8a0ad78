# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture files in both formats, either byte order, cut off, damaged, and of any bytes at all."""

import random

import captures
import pytest

from bondtrace.errors import BondtraceError
from bondtrace.format import capture_file
from bondtrace.format.capture_file import HEAD_BYTES, CaptureFile, Interface, is_capture
from build import WALL_NS, arp, reply

PACKETS = [(0, reply()), (7, arp()), (1_500_000, reply(2) + bytes(400))]
TOLD = [(WALL_NS + at * 1000, len(data), data[:HEAD_BYTES]) for at, data in PACKETS]


def read(path):
    """[(time, length, first bytes)] of a file, and the reader."""
    file = CaptureFile(path)
    found = []
    for part in file.packets():
        assert part.numbers.tolist() == list(range(len(found) + 1, len(found) + 1 + len(part)))
        assert not part.heads[part.captured[:, None] <= range(HEAD_BYTES)].any()  # zeros behind
        found += [
            (time_ns, length, head.tobytes()[:captured])
            for time_ns, length, captured, head in zip(
                part.times_ns.tolist(), part.lengths.tolist(), part.captured.tolist(), part.heads
            )
        ]
    return found, file


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [True, False])
def test_pcap_in_either_byte_order_and_precision(tmp_path, order, nano):
    found, file = read(captures.pcap(tmp_path / "a.pcap", PACKETS, order=order, nano=nano))

    assert (found, file.interface, file.cut_off) == (TOLD, Interface(1), False)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_in_either_byte_order(tmp_path, order):
    found, file = read(captures.pcapng(tmp_path / "a.pcapng", PACKETS, order=order))

    assert (found, file.interface, file.cut_off) == (TOLD, Interface(1, "eth0"), False)


@pytest.mark.parametrize(
    "resolution, per_second, error_ns", [(6, 10**6, 0), (3, 10**3, 10**6), (0x80 | 20, 1 << 20, 1000)]
)
def test_the_unit_of_times_is_the_interfaces(tmp_path, resolution, per_second, error_ns):
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        captures.section()
        + captures.interface(resolution=resolution)
        + b"".join(captures.packet(*one, per_second=per_second) for one in PACKETS)
    )

    times = [time_ns for time_ns, _, _ in read(path)[0]]

    assert all(0 <= told - time_ns <= error_ns for time_ns, (told, _, _) in zip(times, TOLD))


def test_what_snaplen_cut_keeps_its_length(tmp_path):
    found, _ = read(captures.pcap(tmp_path / "a.pcap", PACKETS, snaplen=60))

    assert found == [(time_ns, length, head[:60]) for time_ns, length, head in TOLD]


@pytest.mark.parametrize("make", [captures.pcap, captures.pcapng])
def test_a_file_that_was_cut_off_gives_what_is_whole(tmp_path, make, monkeypatch):
    monkeypatch.setattr(capture_file, "_READ_BYTES", 300)
    path = make(tmp_path / "a", PACKETS)
    path.write_bytes(path.read_bytes()[:-30])

    found, file = read(path)

    assert (found, file.cut_off) == (TOLD[:2], True)


def test_packets_lie_across_reads(tmp_path, monkeypatch):
    path = captures.pcap(tmp_path / "a.pcap", PACKETS * 20)
    monkeypatch.setattr(capture_file, "_READ_BYTES", 100)

    assert read(path)[0] == TOLD * 20


def test_a_file_without_anything_is_cut_off(tmp_path):
    empty = tmp_path / "a.pcap"
    empty.touch()
    (tmp_path / "trace.arrows").touch()

    assert is_capture(empty) and not is_capture(tmp_path / "trace.arrows")
    assert read(empty)[0] == [] and read(empty)[1].cut_off


HEADER = captures.section() + captures.interface()


@pytest.mark.parametrize(
    "data, why",
    [
        (b"\x1f\x8b\x08\0\0", "it is compressed; `gunzip` it first"),
        (b"ELF!", "it is neither pcap nor pcapng"),
        (captures.section()[:8] + bytes(20), "no byte order"),
        (HEADER + captures.block(3, bytes(20)), "no times"),
        (HEADER + b"\6\0\0\0\xff\xff\xff\x7f" + bytes(40), "would have 2147483647 bytes"),
        (HEADER + captures.packet(0, reply(), which=1), "contradicts itself"),
        (HEADER + captures.block(6, bytes(8)), "too short"),
        (HEADER + captures.block(6, b"\0" * 4 + b"\xff" * 8 + bytes(8)), "impossible"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, data, why):
    path = tmp_path / "a.pcap"
    path.write_bytes(data)

    with pytest.raises(BondtraceError, match=f"a.pcap is not a capture file that can be read: .*{why}"):
        read(path)


def test_a_packet_of_impossible_size_is_refused(tmp_path):
    path = captures.pcap(tmp_path / "a.pcap", PACKETS)
    data = bytearray(path.read_bytes())
    data[24 + 8 : 24 + 12] = b"\xff" * 4
    path.write_bytes(data)

    with pytest.raises(BondtraceError, match="its packet 1 would have 4294967295 bytes: it is damaged"):
        read(path)


def test_packets_of_several_interfaces_are_refused(tmp_path):
    path = tmp_path / "a.pcapng"
    both = captures.interface() + captures.interface(name=b"eth\x1b1")
    path.write_bytes(captures.section() + both + captures.packet(0, arp()) + captures.packet(1, arp(), which=1))

    with pytest.raises(BondtraceError, match=r"several interfaces \(eth0, eth\\x1b1\)"):
        read(path)


def test_of_several_interfaces_the_one_that_has_packets_counts(tmp_path):
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        captures.section() + captures.interface() + captures.interface(101, b"tun0") + captures.packet(0, b"E", which=1)
    )

    assert read(path)[1].interface == Interface(101, "tun0")


@pytest.mark.parametrize("make", [captures.pcap, captures.pcapng])
def test_any_bytes_are_read_or_refused(tmp_path, make):
    path = make(tmp_path / "a", PACKETS)
    sound, rng = path.read_bytes(), random.Random(2014)
    for _ in range(400):
        data = bytearray(sound[: rng.randrange(5, len(sound) + 1)])
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(4, len(data))] = rng.choice((0, 1, 4, 127, 255, rng.randrange(256)))
        path.write_bytes(data)
        try:
            read(path)
        except BondtraceError as error:
            assert str(error).isprintable()
