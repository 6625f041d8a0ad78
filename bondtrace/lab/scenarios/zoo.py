# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of tap at once, for the scenario `taps`: opens them, reads some, never reads others, and at the end
writes what each has to report: what it read, and what the kernel counted for it (PACKET_STATISTICS).

    zoo.py DIRECTORY      writes ready, half (after SIGUSR1) and zoo.json (after SIGTERM) there
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_RESERVE, PACKET_FANOUT, PACKET_IGNORE_OUTGOING = (
    5,
    6,
    10,
    12,
    18,
    23,
)
SO_ATTACH_FILTER = 26
ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_LLDP = 3, 0x0800, 0x0806, 0x88CC


class Tap:
    """One packet socket; ``reads`` says whether it is read."""

    def __init__(
        self,
        name: str,
        dev: str,
        protocol: int = ETH_P_ALL,
        reads: bool = True,
        rcvbuf: int = 64 << 20,
        kind: int = socket.SOCK_RAW,
    ) -> None:
        self.name, self.dev, self.reads = name, dev, reads
        # With a protocol it is hooked in at once, on any device; without one, by bind().
        self.socket = socket.socket(socket.AF_PACKET, kind, socket.htons(protocol) if dev == "any" else 0)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, rcvbuf)  # SO_RCVBUFFORCE
        self.socket.setblocking(False)
        self.inode = os.fstat(self.socket.fileno()).st_ino
        self.packets: list[list[object]] = []
        self.protocol = protocol
        self.counts = (0, 0)

    def bind(self) -> Tap:
        """Bind it; from here on the kernel offers it packets."""
        if self.dev != "any":
            self.socket.bind((self.dev, self.protocol))
        return self

    def read(self) -> None:
        """Read what is there."""
        while True:
            try:
                data, address = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            self.packets.append([address[0], len(data), zlib.crc32(data[:80])])

    def count(self) -> None:
        """Add to ``counts`` (captured, full) the kernel's own counters, which reading clears."""
        packets, drops = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.counts = self.counts[0] + packets - drops, self.counts[1] + drops

    def tell(self) -> dict[str, object]:
        """Return what the tap has to report."""
        return {
            "name": self.name,
            "inode": self.inode,
            "dev": self.dev,
            "protocol": self.protocol,
            "reads": self.reads,
            "captured": self.counts[0],
            "full": self.counts[1],
            "packets": self.packets,
        }


def ring(name: str, dev: str, frame_bytes: int = 2048, reserve_bytes: int = 0) -> Tap:
    """Return a tap with a mapped ring of 8 blocks that nobody reads; it reserves ``reserve_bytes`` before a packet."""
    tap = Tap(name, dev, reads=False)
    block_bytes = max(16384, frame_bytes)
    tap.socket.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("i", 1))
    tap.socket.setsockopt(SOL_PACKET, PACKET_RESERVE, struct.pack("I", reserve_bytes))
    tap.socket.setsockopt(
        SOL_PACKET, PACKET_RX_RING, struct.pack("IIII", block_bytes, 8, frame_bytes, 8 * block_bytes // frame_bytes)
    )
    tap.mapped = mmap.mmap(tap.socket.fileno(), block_bytes * 8)  # type: ignore[attr-defined]
    return tap.bind()


def ring3(name: str, dev: str) -> Tap:
    """Return a tap with a mapped ring of two blocks (TPACKET_V3, libpcap's default) that nobody reads."""
    tap = Tap(name, dev, reads=False)
    tap.socket.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("i", 2))
    tap.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("IIIIIII", 16384, 2, 2048, 16, 10, 0, 0))
    tap.mapped = mmap.mmap(tap.socket.fileno(), 16384 * 2)  # type: ignore[attr-defined]
    return tap.bind()


def filtered(name: str, dev: str) -> Tap:
    """Return a tap with a socket filter that accepts only ARP: ldh [12]; jeq #0x806, ret 65535; ret 0."""
    tap = Tap(name, dev)
    code = struct.pack("HBBI" * 4, 0x28, 0, 0, 12, 0x15, 0, 1, ETH_P_ARP, 0x06, 0, 0, 65535, 0x06, 0, 0, 0)
    tap.code = code  # type: ignore[attr-defined]
    import ctypes

    buffer = ctypes.create_string_buffer(code)
    tap.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(buffer)))
    return tap.bind()


def zoo() -> list[Tap]:
    """Return all taps that are there from the beginning."""
    taps = [
        Tap("any", "any").bind(),
        Tap("slave", "eth0").bind(),
        Tap("backup", "eth1").bind(),
        Tap("bond", "bond0").bind(),
        Tap("cooked", "bond0", kind=socket.SOCK_DGRAM).bind(),
        Tap("tiny", "eth0", reads=False, rcvbuf=1).bind(),
        ring("ring", "bond0"),
        ring3("ring3", "bond0"),
        filtered("filtered", "bond0"),
        ring("reserved", "bond0", frame_bytes=1 << 17, reserve_bytes=1 << 16),
    ]  # no packet ever fits
    for name, protocol in (("ip", ETH_P_IP), ("arp", ETH_P_ARP), ("lldp", ETH_P_LLDP)):
        taps += [Tap(f"{name}-{dev}", dev, protocol).bind() for dev in ("any", "eth0", "eth1", "bond0")]
    for number in range(3):
        tap = Tap(f"fanout{number}", "bond0").bind()
        tap.socket.setsockopt(SOL_PACKET, PACKET_FANOUT, 77 | 1 << 16)  # PACKET_FANOUT_LB: in turn
        taps.append(tap)
    incoming = Tap("incoming", "bond0")
    incoming.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    taps += [
        incoming.bind(),
        Tap("sender", "bond0").bind(),
        Tap("unbound", "bond0", protocol=0),
        Tap("early", "bond0").bind(),
    ]
    return taps


def main(directory: str) -> None:
    """Open the taps, and read them until SIGTERM."""
    other = "ZOO_OTHER" in os.environ
    taps = [Tap("elsewhere", "same").bind(), Tap("elsewhere-any", "any").bind()] if other else zoo()
    done: list[Tap] = []
    half, end = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: half.set())
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    open(os.path.join(directory, "ready"), "w").close()
    sender = next((tap for tap in taps if tap.name == "sender"), None)
    if sender:
        time.sleep(1)  # so that no tap was bound just before
        for number in range(20):
            sender.socket.send(bytes.fromhex("ffffffffffff020000000001") + b"\x88\xb5" + b"own packet %02d" % number)
    while not end.is_set():
        reading = {tap.socket: tap for tap in taps if tap.reads and tap.name != "unbound"}
        for ready in select.select(list(reading), [], [], 0.02)[0]:
            reading[ready].read()
        if half.is_set() and sender:
            half.clear()
            early = next(tap for tap in taps if tap.name == "early")
            early.read()
            early.count()
            early.socket.close()
            open(os.path.join(directory, "closed"), "w").close()
            time.sleep(1)  # packets pass meanwhile: they are too early for the tap that opens now
            taps = [tap for tap in taps if tap is not early] + [Tap("late", "bond0").bind()]
            done.append(early)
            open(os.path.join(directory, "half"), "w").close()
    for tap in taps:
        if tap.reads:
            tap.read()
        tap.count()
    name = "other.json" if other else "zoo.json"
    with open(os.path.join(directory, name), "w") as file:
        file.write(json.dumps([tap.tell() for tap in [*taps, *done]]))


main(sys.argv[1])
