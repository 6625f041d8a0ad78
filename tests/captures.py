# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes capture files: pcap and pcapng, of packets (time in µs since ``build.BEGIN_NS``, bytes)."""

import struct

from build import WALL_NS


def pcap(path, packets, link=1, order="<", nano=True, snaplen=262144):
    """Write a file of the classic format; return its path."""
    unit = 1 if nano else 1000
    head = struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)
    records = []
    for at, data in packets:
        seconds, rest = divmod(WALL_NS + at * 1000, 10**9)
        kept = data[:snaplen]
        records.append(struct.pack(f"{order}IIII", seconds, rest // unit, len(kept), len(data)) + kept)
    path.write_bytes(head + b"".join(records))
    return path


def block(kind, body, order="<"):
    """Return a block of pcapng."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def option(code, value, order="<"):
    """Return an option of a block."""
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order="<"):
    """Return the block that begins a section."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link=1, name=b"eth0", resolution=9, order="<"):
    """Return the description of an interface; ``resolution`` is that of its times."""
    options = option(2, name, order) + option(9, bytes([resolution]), order) + option(0, b"", order)
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order)


def packet(at, data, which=0, per_second=10**9, order="<"):
    """Return a packet's block."""
    stamp = (WALL_NS + at * 1000) * per_second // 10**9
    head = struct.pack(f"{order}IIIII", which, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data, order)


def pcapng(path, packets, **more):
    """Write a file of pcapng with one interface; return its path."""
    order = more.get("order", "<")
    path.write_bytes(
        section(order) + interface(**more) + b"".join(packet(at, data, order=order) for at, data in packets)
    )
    return path
