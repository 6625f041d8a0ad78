# SPDX-License-Identifier: GPL-2.0-or-later
"""Packet sockets that a scenario needs besides its tcpdumps: sockets.py DIRECTORY LOG NAME:DEVICE:PROTOCOL[:FANOUT]...

Each writes what it reads to DIRECTORY/NAME.pcap (times in nanoseconds) until the program gets SIGTERM or SIGINT. DEVICE
"any" binds to no device; FANOUT is the argument of PACKET_FANOUT. LOG.ready appears when all are open, LOG.json, with
what the kernel counted for each, at the end.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import sys
from pathlib import Path

SOL_PACKET, PACKET_STATISTICS, PACKET_FANOUT, SO_TIMESTAMPNS = 263, 6, 18, 35


class Tap:
    """One socket and its file."""

    def __init__(self, directory: Path, words: str) -> None:
        self.name, self.device, protocol, *fanout = words.split(":")
        # Without a device the protocol is bound when the socket is created: bind() needs a device.
        everywhere, number = self.device == "any", int(protocol, 0)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(number) if everywhere else 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        if not everywhere:
            self.socket.bind((self.device, number))
        for group in fanout:
            self.socket.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("I", int(group, 0)))
        self.file = (directory / f"{self.name}.pcap").open("wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65536, 1))

    def read(self) -> None:
        """Write everything that is queued to the file."""
        while True:
            try:
                data, extra, _, _ = self.socket.recvmsg(65536, 256)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", next(e[2] for e in extra if e[1] == SO_TIMESTAMPNS)[:16])
            self.file.write(struct.pack("<IIII", seconds, nanoseconds, len(data), len(data)) + data)

    def counted(self) -> dict[str, object]:
        """Return which socket it is, and what the kernel counted."""
        packets, drops = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        inode = os.fstat(self.socket.fileno()).st_ino
        return {"name": self.name, "inode": inode, "device": self.device, "packets": packets, "drops": drops}


def main() -> None:
    """Open the sockets of the command line, and read them until a signal comes."""
    directory, log = Path(sys.argv[1]), sys.argv[2]
    selector, wake = selectors.DefaultSelector(), socket.socketpair()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: wake[1].send(b"x"))
    taps = [Tap(directory, words) for words in sys.argv[3:]]
    for tap in taps:
        selector.register(tap.socket, selectors.EVENT_READ, tap)
    selector.register(wake[0], selectors.EVENT_READ)
    Path(f"{log}.ready").touch()
    while all(key.data is not None for key, _ in selector.select()):
        for tap in taps:
            tap.read()
    for tap in taps:
        tap.read()
        tap.file.close()
    Path(f"{log}.json").write_text(json.dumps([tap.counted() for tap in taps]))


main()
