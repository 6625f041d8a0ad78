# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that a scenario needs besides real daemons: servers.py DIRECTORY NAME,KIND,ADDRESS,PORT[,OPTION...]...

One process with a socket for each argument, which reads all and notes the marks (``packet-NNN``) in what it reads. KIND
is udp, tcp, raw (PORT: the protocol) or one of these with a 6, ADDRESS "*" any. OPTIONs:

    device=NAME     SO_BINDTODEVICE
    group=ADDRESS   it joins this multicast group on ``$SERVERS_DEVICE``
    remote=ADDRESS/PORT   it is connected with this
    idle            it never reads, or never accepts a connection
    small           the smallest receive buffer
    refuse          a socket filter that refuses everything
    backlog=N       listen(N)
    held=NAME       of TCP, accepts one connection, and holds its lock until the file DIRECTORY/NAME exists
    close           of TCP, ends each connection as soon as it is there
    greet           of TCP, says that it has accepted a connection
    reuse           SO_REUSEADDR

DIRECTORY/servers.ready appears when all are open; DIRECTORY/servers.log has a line "NAME NNN" per mark as it is read.
At SIGTERM DIRECTORY/servers.json tells the inodes, marks and drops of each (``SO_MEMINFO``), connections by the name of
their listening socket, and by how much the kernel's counters of this namespace rose.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

SO_MEMINFO, SO_ATTACH_FILTER, SO_BINDTODEVICE = 55, 26, 25
MEMINFO_DROPS = 8
KINDS = {"udp": (socket.SOCK_DGRAM, 0), "tcp": (socket.SOCK_STREAM, 0), "raw": (socket.SOCK_RAW, 0)}
MARK = re.compile(rb"packet-(\d{3})")
USERFAULTFD, UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 323, 0xC018AA3F, 0xC020AA00, 0xC020AA04
RETURN = 6  # BPF_RET | BPF_K


class Server:
    """One socket, and what came by it."""

    def __init__(self, words: str, log: list[str]) -> None:
        self.name, kind, address, port, *options = words.split(",")
        self.options = {key: value for key, _, value in (option.partition("=") for option in options)}
        self.is_tcp, self._log = kind.startswith("tcp"), log
        self.marks: list[str] = []
        family = socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
        protocol = int(port) if kind.startswith("raw") else 0
        self.socket = socket.socket(family, KINDS[kind.rstrip("6")][0], protocol)
        self.inodes = [inode_of(self.socket)]
        self._set_options()
        if not protocol:
            self.socket.bind(("" if address == "*" else address, int(port)))
        self._join(family)
        if "remote" in self.options:
            remote, _, number = self.options["remote"].partition("/")
            self.socket.connect((remote, int(number)))
        if self.is_tcp:
            self.socket.listen(int(self.options.get("backlog", 8)))
        self.socket.setblocking(False)

    def _set_options(self) -> None:
        if "reuse" in self.options or self.is_tcp:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if "device" in self.options:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.options["device"].encode())
        if self.socket.family == socket.AF_INET6 and self.socket.type != socket.SOCK_RAW:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if "small" in self.options:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        if "refuse" in self.options:
            program = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))
            value = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, value)

    def _join(self, family: int) -> None:
        group = self.options.get("group")
        if group is None:
            return
        index = socket.if_nametoindex(os.environ["SERVERS_DEVICE"])
        data = socket.inet_pton(family, group)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, data + struct.pack("I", index))
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, data + struct.pack("=II", 0, index))

    def note(self, data: bytes) -> None:
        """Keep the marks in what was read, and write them down."""
        for mark in MARK.findall(data):
            self.marks.append(mark.decode())
            self._log.append(f"{self.name} {mark.decode()}")

    def read(self) -> list[socket.socket]:
        """Read all that waits; return new connections."""
        found: list[socket.socket] = []
        while True:
            try:
                if not self.is_tcp:
                    self.note(self.socket.recv(65536))
                    continue
                connection, _ = self.socket.accept()
            except BlockingIOError:
                return found
            except ConnectionError:
                continue
            self.inodes.append(inode_of(connection))
            if "greet" in self.options:
                connection.send(b"hello")
            if "close" in self.options:
                connection.close()
            else:
                found.append(connection)

    def told(self) -> dict[str, object]:
        """Return which sockets these are, and what came."""
        drops = struct.unpack("9I", self.socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[MEMINFO_DROPS]
        return {"name": self.name, "inodes": self.inodes, "marks": self.marks, "drops": drops}


def inode_of(one: socket.socket) -> int:
    """Return the inode of a socket."""
    return os.fstat(one.fileno()).st_ino


def hold_lock(connection: socket.socket, until: Path) -> None:
    """Hold the lock of a TCP socket until a file exists: its thread sends from a page that is not there (userfaultfd),
    and the kernel waits for the page while it holds the lock."""
    libc = ctypes.CDLL(None, use_errno=True)
    fault = libc.syscall(USERFAULTFD, os.O_CLOEXEC)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for request, words in ((UFFDIO_API, "QQQ"), (UFFDIO_REGISTER, "QQQQ")):
        values = (0xAA, 0, 0) if request == UFFDIO_API else (place, mmap.PAGESIZE, 1, 0)
        buffer = ctypes.create_string_buffer(struct.pack(words, *values))
        if libc.ioctl(fault, ctypes.c_ulong(request), buffer):
            raise OSError(ctypes.get_errno(), "userfaultfd")
    sender = threading.Thread(target=libc.send, args=(connection.fileno(), ctypes.c_void_p(place), 8, 0))
    sender.start()
    os.read(fault, 32)  # the message of the fault: from now on the lock is held
    (until.parent / f"{until.name}.held").touch()
    while not until.exists():
        time.sleep(0.05)
    buffer = ctypes.create_string_buffer(struct.pack("QQQq", place, mmap.PAGESIZE, 0, 0))
    libc.ioctl(fault, ctypes.c_ulong(UFFDIO_ZEROPAGE), buffer)
    sender.join()


def counters() -> dict[str, int]:
    """Return the kernel's counters of this namespace, by the names that nstat gives them."""
    found = {}
    for name in ("snmp", "netstat"):
        lines = [line.split() for line in Path(f"/proc/self/net/{name}").read_text().splitlines()]
        for names, values in zip(lines[::2], lines[1::2]):
            for key, value in zip(names[1:], values[1:]):
                found[names[0].rstrip(":") + key] = int(value)
    six = Path("/proc/self/net/snmp6")
    if six.exists():
        found.update((key, int(value)) for key, value in map(str.split, six.read_text().splitlines()))
    return found


def main() -> None:
    """Open the sockets of the command line, and read them until a signal comes."""
    directory, lines = Path(sys.argv[1]), list[str]()
    selector, wake = selectors.DefaultSelector(), socket.socketpair()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: wake[1].send(b"x"))
    servers = [Server(words, lines) for words in sys.argv[2:]]
    for one in servers:
        if "idle" not in one.options:
            selector.register(one.socket, selectors.EVENT_READ, one)
    selector.register(wake[0], selectors.EVENT_READ)
    before = counters()
    (directory / "servers.ready").touch()
    with (directory / "servers.log").open("w") as log:
        while True:
            ready = [key for key, _ in selector.select()]
            if any(key.data is None for key in ready):
                break
            for key in ready:
                serve(key, selector, directory)
            log.write("".join(f"{line}\n" for line in lines))
            log.flush()
            lines.clear()
    after = counters()
    told = {"servers": [one.told() for one in servers], "counters": {k: v - before.get(k, 0) for k, v in after.items()}}
    (directory / "servers.json").write_text(json.dumps(told))


def serve(key: selectors.SelectorKey, selector: selectors.BaseSelector, directory: Path) -> None:
    """Read what waits at a socket or a connection."""
    server, ready = key.data, key.fileobj
    if isinstance(ready, socket.socket) and ready is not server.socket:
        try:
            data = ready.recv(65536)
        except ConnectionError:
            data = b""
        server.note(data)
        if not data:
            selector.unregister(ready)
            ready.close()
        return
    for connection in server.read():
        selector.register(connection, selectors.EVENT_READ, server)
        if "held" in server.options:
            threading.Thread(target=hold_lock, args=(connection, directory / server.options["held"])).start()


main()
