# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the taps of this host: every packet socket, how it is bound, and who holds it.

Invariant: an unknown is ``None``; where the kernel has no packet_diag, /proc/net/packet shows less, and that is
reported. The kernel keeps no pid in a socket: holders are found by inode in ``/proc/PID/fd``, which is costly on a
busy host and done only for inodes that are not known yet.

Source: sock_diag with the layouts of ``include/uapi/linux/packet_diag.h``, filled by
``net/packet/diag.c``. Two pitfalls: drops of a socket with a ring are not in its memory
counters (``tpacket_rcv`` counts them elsewhere), and eBPF filters are not shown.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Optional

from ...model import Device, Process, Tap
from . import netlink
from .devices import read_devices
from .namespaces import Namespace, proc_text, run_in, told

SOCK_DIAG_BY_FAMILY = 20
PACKET_SHOW_ALL = 0x3F  # INFO, MCLIST, RING_CFG, FANOUT, MEMINFO, FILTER

PACKET_DIAG_INFO = 0
PACKET_DIAG_MCLIST = 1
PACKET_DIAG_RX_RING = 2
PACKET_DIAG_FANOUT = 4
PACKET_DIAG_UID = 5
PACKET_DIAG_MEMINFO = 6
PACKET_DIAG_FILTER = 7

PDI_RUNNING = 0x1
PDI_ORIGDEV = 0x4
PACKET_MR_PROMISC = 1
SK_MEMINFO_RMEM_ALLOC = 0
SK_MEMINFO_DROPS = 8
BPF_RET_K = 0x06

_REQUEST = struct.Struct("=BBHIIII")  # struct packet_diag_req
_MESSAGE = struct.Struct("=BBHIII")  # struct packet_diag_msg
_INFO = struct.Struct("=iIIIII")  # struct packet_diag_info; the index is -1 when the device is gone
_RING = struct.Struct("=7I")  # struct packet_diag_ring
_MCLIST = struct.Struct("=IIHH32x")  # struct packet_diag_mclist
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter

_KINDS = {socket.SOCK_DGRAM: "cooked", socket.SOCK_RAW: "raw", 10: "packet"}
_RING_VERSIONS = {0: 1, 1: 2, 2: 3}  # TPACKET_V1, _V2, _V3

NOT_AVAILABLE = (
    "this kernel offers no packet_diag (try `modprobe af_packet_diag`): "
    "buffers, filters, fanout groups and drops of taps are not known"
)


def parse_tap(netns: int, payload: bytes) -> Optional[Tap]:
    """Return the tap that one ``struct packet_diag_msg`` with its attributes describes, without processes and device
    name. ``None`` when it is cut short, of another family, or lacks the part that says how it is bound."""
    if len(payload) < _MESSAGE.size:
        return None
    family, kind, protocol, inode, _, _ = _MESSAGE.unpack_from(payload)
    found = netlink.attributes(payload, _MESSAGE.size)
    info = found.get(PACKET_DIAG_INFO, b"")
    if family != socket.AF_PACKET or len(info) < _INFO.size:
        return None
    ifindex, version, _, _, _, flags = _INFO.unpack_from(info)
    fanout = netlink.number(found.get(PACKET_DIAG_FANOUT))
    rmem_bytes, drops = _memory(found.get(PACKET_DIAG_MEMINFO))
    ring = found.get(PACKET_DIAG_RX_RING, b"")
    has_ring = len(ring) >= _RING.size
    return Tap(
        inode,
        netns,
        ifindex,
        protocol,
        _kind(kind),
        uid=netlink.number(found.get(PACKET_DIAG_UID)),
        buffer="ring" if has_ring else "queue",
        ring_version=_RING_VERSIONS.get(version, version + 1) if has_ring else None,
        ring_bytes=_ring_bytes(ring) if has_ring else None,
        running=bool(flags & PDI_RUNNING),
        fanout_id=None if fanout is None else fanout & 0xFFFF,
        fanout_type=None if fanout is None else fanout >> 16,
        has_filter=_has_filter(found.get(PACKET_DIAG_FILTER)),
        promiscuous=_is_promiscuous(found.get(PACKET_DIAG_MCLIST)),
        origdev=bool(flags & PDI_ORIGDEV),
        drops=None if has_ring else drops,
        rmem_bytes=rmem_bytes,
    )


def _kind(number: int) -> str:
    return _KINDS.get(number, f"type-{number}")


def _has_filter(program: Optional[bytes]) -> Optional[bool]:
    """Can a classic program refuse a packet? A single `ret #N`, as libpcap attaches it for an empty expression,
    cannot. ``None`` for an empty program: this user may not see it."""
    if program is None:
        return False
    if len(program) < _INSTRUCTION.size:
        return None
    code, _, _, value = _INSTRUCTION.unpack_from(program)
    return not (len(program) == _INSTRUCTION.size and code == BPF_RET_K and value > 0)


def _is_promiscuous(memberships: Optional[bytes]) -> Optional[bool]:
    if memberships is None:
        return None
    whole = len(memberships) - len(memberships) % _MCLIST.size
    return any(entry[2] == PACKET_MR_PROMISC for entry in _MCLIST.iter_unpack(memberships[:whole]))


def _memory(meminfo: Optional[bytes]) -> tuple[Optional[int], Optional[int]]:
    """Return (rmem_bytes, drops) of a socket's memory counters."""
    counters = struct.unpack_from(f"={len(meminfo) // 4}I", meminfo) if meminfo else ()
    rmem_bytes = counters[SK_MEMINFO_RMEM_ALLOC] if len(counters) > SK_MEMINFO_RMEM_ALLOC else None
    return rmem_bytes, counters[SK_MEMINFO_DROPS] if len(counters) > SK_MEMINFO_DROPS else None


def _ring_bytes(ring: bytes) -> int:
    block_bytes, blocks = _RING.unpack_from(ring)[:2]
    return int(block_bytes * blocks)


def parse_proc_packet(netns: int, text: str) -> list[Tap]:
    """Return the taps in the text of a ``/proc/net/packet``, without lines that cannot be parsed. Source:
    ``packet_seq_show`` in net/packet/af_packet.c."""
    taps = []
    for line in text.splitlines()[1:]:
        try:
            _, _, kind, protocol, ifindex, running, rmem, uid, inode = line.split()[:9]
            taps.append(
                Tap(
                    int(inode),
                    netns,
                    int(ifindex),
                    int(protocol, 16),
                    _kind(int(kind)),
                    uid=int(uid),
                    running=running != "0",
                    rmem_bytes=int(rmem),
                )
            )
        except ValueError:
            continue
    return taps


Parse = Callable[[int, bytes], Optional[Tap]]


class _Parser:
    """``parse_tap`` with a cache of the last two rounds: most messages come again unchanged, and then give the same
    object."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, bytes], Optional[Tap]] = {}
        self._now: dict[tuple[int, bytes], Optional[Tap]] = {}

    def next_round(self) -> None:
        """Begin a round: forget the messages that did not come in the last one."""
        self._before, self._now = self._now, {}

    def __call__(self, netns: int, payload: bytes) -> Optional[Tap]:
        key = netns, payload
        tap = self._before[key] if key in self._before else parse_tap(netns, payload)
        self._now[key] = tap
        return tap


def _dump(netns: int, parse: Parse) -> list[Tap]:
    request = _REQUEST.pack(socket.AF_PACKET, 0, 0, 0, PACKET_SHOW_ALL, 0xFFFFFFFF, 0xFFFFFFFF)
    with netlink.Netlink(netlink.NETLINK_SOCK_DIAG) as connection:
        answers = connection.dump(SOCK_DIAG_BY_FAMILY, request)
    taps = (parse(netns, m.payload) for m in answers if m.type == SOCK_DIAG_BY_FAMILY)
    return [tap for tap in taps if tap is not None]


def _read_here(netns: int, parse: Parse) -> tuple[list[Tap], bool]:
    """Return the taps of the calling thread's namespace, and whether they are from packet_diag."""
    try:
        return _dump(netns, parse), True
    except OSError:
        path = "/proc/thread-self/net/packet"
        with open(path, encoding="ascii", errors="replace") as file:
            return parse_proc_packet(netns, file.read()), False


def read_taps(
    namespaces: Iterable[Namespace], devices: Optional[Iterable[Device]] = None, problems: Optional[list[str]] = None
) -> list[Tap]:
    """Return every tap of ``namespaces``, by namespace in the given order, then by inode.

    :param devices: give the names of the devices that the taps are bound to; ``None``: they are read.
    :param problems: a sentence is appended for a namespace that cannot be read, and for a kernel without packet_diag;
        without that list the first raises ``BondtraceError`` and the second is silent.
    """
    wanted = list(namespaces)
    taps = _read_sockets(wanted, problems)
    holders = find_holders({tap.inode for tap in taps})
    names = _device_names(wanted, taps, devices)
    return [_named(replace(tap, processes=holders.get(tap.inode, ())), names) for tap in taps]


def _read_sockets(
    namespaces: Iterable[Namespace], problems: Optional[list[str]], parse: Parse = parse_tap
) -> list[Tap]:
    taps: list[Tap] = []
    for namespace in namespaces:
        with told(namespace, "taps", problems):
            found, by_diag = run_in(namespace.path, partial(_read_here, namespace.inode, parse))
            taps += sorted(found, key=lambda tap: tap.inode)
            if not by_diag and problems is not None and NOT_AVAILABLE not in problems:
                problems.append(NOT_AVAILABLE)
    return taps


def _device_names(
    namespaces: Iterable[Namespace], taps: Iterable[Tap], devices: Optional[Iterable[Device]]
) -> dict[tuple[int, int], str]:
    if devices is None:
        bound = {tap.netns for tap in taps if tap.ifindex > 0}
        devices = read_devices([entry for entry in namespaces if entry.inode in bound], [])
    return {(device.netns, device.ifindex): device.name for device in devices}


def _named(tap: Tap, names: Mapping[tuple[int, int], str]) -> Tap:
    """Return ``tap`` with the name of its device."""
    return replace(tap, dev=_name(tap, names))


def _name(tap: Tap, names: Mapping[tuple[int, int], str]) -> str:
    """Return the name of its device: "" for none, "ifN" for an unknown one."""
    if tap.ifindex <= 0:
        return ""
    return names.get((tap.netns, tap.ifindex)) or f"if{tap.ifindex}"


def find_holders(inodes: set[int]) -> dict[int, tuple[Process, ...]]:
    """Return the processes that hold the sockets ``inodes``, by inode, in ascending order of pid.

    Reads ``/proc/PID/fd`` of every process; those that end meanwhile or may not be inspected are
    left out. An inode that nobody holds is not in the result.
    """
    if not inodes:
        return {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    holders: dict[int, list[Process]] = {}
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        held = _held(pid, wanted)
        if held:
            process = read_process(pid)
            for inode in held:
                holders.setdefault(inode, []).append(process)
    return {inode: tuple(processes) for inode, processes in holders.items()}


def _held(pid: int, wanted: Mapping[str, int]) -> set[int]:
    directory = f"/proc/{pid}/fd/"
    held: set[int] = set()
    try:
        descriptors = os.listdir(directory)
    except OSError:
        return held
    for descriptor in descriptors:
        try:
            target = os.readlink(directory + descriptor)
        except OSError:
            continue
        if target in wanted:
            held.add(wanted[target])
    return held


def read_process(pid: int) -> Process:
    """Return process ``pid`` as /proc describes it; with empty texts when it has ended."""
    comm = proc_text(f"/proc/{pid}/comm").removesuffix("\n")
    return Process(pid, comm, parse_cmdline(proc_text(f"/proc/{pid}/cmdline")))


def parse_cmdline(text: str) -> str:
    """Return the arguments of a ``/proc/PID/cmdline`` joined by spaces, without empty ones."""
    return " ".join(part for part in text.split("\0") if part)


class Refresh(NamedTuple):
    """What a refresh found: ``current`` by inode; the taps opened, closed (as last seen) and changed
    (as they are now) since the previous one. More drops or a fuller queue are no change."""

    current: dict[int, Tap]
    opened: tuple[Tap, ...]
    closed: tuple[Tap, ...]
    changed: tuple[Tap, ...]


class TapWatcher:
    """A list of taps that is kept up to date, cheaply enough for twice a second.

    A refresh takes one dump per namespace, and does little for a tap whose message is unchanged: a host may have
    thousands. /proc is searched when there is a tap whose holder is not known or has ended; for those that nobody
    seems to hold, ever more rarely. No namespace is held open between refreshes. ``namespaces`` and ``names`` may be
    replaced as the host changes. ``problems`` holds the sentences of the last refresh, ``read_ns`` when its first
    request was sent and its last answer had come (CLOCK_MONOTONIC).
    """

    _RAREST = 64  # refreshes between two searches for a holder that was never found

    def __init__(self, namespaces: Iterable[Namespace], devices: Iterable[Device] = ()) -> None:
        self.namespaces = list(namespaces)
        self.problems: list[str] = []
        self.read_ns = 0, 0
        self.names: dict[tuple[int, int], str] = {}
        self._find: Callable[[set[int]], dict[int, tuple[Process, ...]]] = find_holders
        self._count = 0
        self._waits: dict[int, tuple[int, int]] = {}  # inode: (refresh of the next search, gap)
        self._parser = _Parser()
        self._whole: dict[int, tuple[Tap, Tap]] = {}  # by inode: as it was read, and with its name and holders
        self.know(devices)

    def know(self, devices: Iterable[Device]) -> None:
        """Use the names of ``devices`` from now on."""
        self.names = {(device.netns, device.ifindex): device.name for device in devices}

    def refresh(self, previous: Mapping[int, Tap]) -> Refresh:
        """Read the taps and return them compared with ``previous`` (an earlier ``current``, or empty)."""
        self._count += 1
        self.problems = []
        self._parser.next_round()
        begun_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        found = {tap.inode: tap for tap in _read_sockets(self.namespaces, self.problems, self._parser)}
        self.read_ns = begun_ns, time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._waits = {inode: wait for inode, wait in self._waits.items() if inode in found}
        holders = self._holders(found, previous)
        self._whole = {inode: (tap, self._made_whole(tap, holders.get(inode, ()))) for inode, tap in found.items()}
        return compare(previous, {inode: whole for inode, (_, whole) in self._whole.items()})

    def _holders(self, found: Mapping[int, Tap], previous: Mapping[int, Tap]) -> dict[int, tuple[Process, ...]]:
        pids = {process.pid for tap in previous.values() for process in tap.processes}
        alive = {pid for pid in pids if os.path.exists(f"/proc/{pid}")}
        known = {inode: _alive(previous[inode].processes, alive) for inode in found if inode in previous}
        missing = {inode for inode in found if not known.get(inode) and self._is_due(inode)}
        holders = self._find(missing) if missing else {}
        for inode in missing:
            self._remember(inode, inode in holders)
        known.update(holders)
        return known

    def _made_whole(self, tap: Tap, processes: tuple[Process, ...]) -> Tap:
        """Return the tap with its name and holders: the same object as before where nothing changed."""
        name = _name(tap, self.names)
        read, whole = self._whole.get(tap.inode, (None, tap))
        if read is tap and whole.dev == name and whole.processes == processes:
            return whole
        return replace(tap, dev=name, processes=processes)

    def _is_due(self, inode: int) -> bool:
        return inode not in self._waits or self._waits[inode][0] <= self._count

    def _remember(self, inode: int, was_found: bool) -> None:
        if was_found:
            self._waits.pop(inode, None)
            return
        gap = min(2 * self._waits.get(inode, (0, 0))[1] or 1, self._RAREST)
        self._waits[inode] = (self._count + gap, gap)


def _alive(processes: tuple[Process, ...], pids: set[int]) -> tuple[Process, ...]:
    return tuple(process for process in processes if process.pid in pids)


def compare(previous: Mapping[int, Tap], current: dict[int, Tap]) -> Refresh:
    """Return which taps were opened, closed and changed between two states, each in order of inode."""
    opened = tuple(current[inode] for inode in sorted(current.keys() - previous.keys()))
    closed = tuple(previous[inode] for inode in sorted(previous.keys() - current.keys()))
    changed = tuple(
        current[inode]
        for inode in sorted(current.keys() & previous.keys())
        if current[inode] is not previous[inode] and _steady(current[inode]) != _steady(previous[inode])
    )
    return Refresh(current, opened, closed, changed)


def _steady(tap: Tap) -> Tap:
    return replace(tap, drops=None, rmem_bytes=None)
