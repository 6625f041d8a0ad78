# SPDX-License-Identifier: GPL-2.0-or-later
"""An AF_XDP socket, and the XDP program that gives it what a device receives: xsk.py DEVICE PATH LOG

The program is pinned at PATH, for `ip link set DEVICE xdpgeneric pinned PATH`; LOG.ready appears when that can be done.
LOG has a line with the number of each mark (``packet-NNN``) that was read. Ends by SIGTERM.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import socket
import struct
import sys
import time
from pathlib import Path

AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_RX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 1, 2, 4, 5, 6
XDP_COPY = 2
RX_PAGES, FILL_PAGES = 0, 0x100000000  # where the rings are in the socket's file
CHUNK, CHUNKS = 4096, 64
BPF, MAP_CREATE, MAP_UPDATE, PROG_LOAD, OBJ_PIN = 321, 0, 2, 5, 6  # bpf(2) on x86-64, and its commands
XSKMAP, XDP, REDIRECT_MAP = 17, 6, 51
Ring = tuple[mmap.mmap, int, int, int]
MARK = re.compile(rb"packet-(\d{3})")
libc = ctypes.CDLL(None, use_errno=True)


def checked(answer: int) -> int:
    """Return an answer of the kernel; raise its error."""
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def bpf(command: int, attributes: bytes) -> int:
    """Call bpf(2)."""
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return checked(libc.syscall(BPF, command, buffer, 128))


def ring(xsk: socket.socket, pages: int, number: int, entry: int) -> Ring:
    """Return a ring of the socket: its memory, and where its producer, consumer and entries are."""
    offsets = struct.unpack("16Q", xsk.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, 128))
    producer, consumer, entries, _ = offsets[4 * number : 4 * number + 4]
    return mmap.mmap(xsk.fileno(), entries + entry * CHUNKS, offset=pages), producer, consumer, entries


def opened(device: str) -> tuple[socket.socket, mmap.mmap, Ring]:
    """Return a socket bound to the device, its memory, all of which the kernel may fill, and the ring of what it has
    received. Rings can be mapped before the socket is bound only."""
    xsk, memory = socket.socket(AF_XDP, socket.SOCK_RAW, 0), mmap.mmap(-1, CHUNK * CHUNKS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    xsk.setsockopt(SOL_XDP, XDP_UMEM_REG, struct.pack("<QQIII4x", address, len(memory), CHUNK, 0, 0))
    for option in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING):
        xsk.setsockopt(SOL_XDP, option, CHUNKS)
    fill, producer, _, entries = ring(xsk, FILL_PAGES, 2, 8)
    struct.pack_into(f"<{CHUNKS}Q", fill, entries, *range(0, len(memory), CHUNK))
    struct.pack_into("<I", fill, producer, CHUNKS)
    received = ring(xsk, RX_PAGES, 0, 16)
    name = struct.pack("<HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(device), 0, 0)
    checked(libc.bind(xsk.fileno(), name, len(name)))
    return xsk, memory, received


def pin_program(xsk: socket.socket, path: str) -> None:
    """Load the program that redirects everything to this socket, and pin it."""
    sockets = bpf(MAP_CREATE, struct.pack("<IIII", XSKMAP, 4, 4, 1))
    key, value = ctypes.c_uint32(0), ctypes.c_uint32(xsk.fileno())
    bpf(MAP_UPDATE, struct.pack("<I4xQQQ", sockets, ctypes.addressof(key), ctypes.addressof(value), 0))
    code = struct.pack("<BBhiBBhi", 0x18, 0x11, 0, sockets, 0, 0, 0, 0)  # r1 = the map
    code += b"".join(struct.pack("<BBhi", op, register, 0, number) for op, register, number in (
        (0xB7, 2, 0),  # r2 = 0: the key
        (0xB7, 3, 0),  # r3 = XDP_ABORTED, where there is no socket
        (0x85, 0, REDIRECT_MAP),
        (0x95, 0, 0),
    ))  # fmt: skip
    program, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    loaded = bpf(
        PROG_LOAD, struct.pack("<IIQQ", XDP, len(code) // 8, ctypes.addressof(program), ctypes.addressof(licence))
    )
    where = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("<QI", ctypes.addressof(where), loaded))


def main() -> None:
    """Open the socket and note what it is given."""
    device, path, log = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    xsk, memory, (received, producer, consumer, entries) = opened(device)
    pin_program(xsk, path)
    log.touch()
    Path(f"{log}.ready").touch()
    seen = 0
    while True:
        filled = struct.unpack_from("<I", received, producer)[0]
        for place in range(seen, filled):
            at, length = struct.unpack_from("<QI", received, entries + 16 * (place % CHUNKS))
            for mark in MARK.findall(memory[at : at + length]):
                with log.open("a") as file:
                    file.write(f"{mark.decode()}\n")
        seen = filled
        struct.pack_into("<I", received, consumer, seen)
        time.sleep(0.05)


main()
