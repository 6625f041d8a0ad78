# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds passes, scenes and recordings from a short notation:

    rx("eth0", tap(ON_ETH0), handler("ANOTHER", "bond0"), tap(ON_BOND0), protocol("ip_rcv"))

is what the kernel side sends for a reply that comes through a bond. Every step comes 1 µs after the previous
one; ``skb->dev`` and the round follow the handlers' verdicts. The host is ``DEVICES``: bond0 over eth0
(active) and eth1 (backup), a VLAN and a bridge, and a veth pair of which one end is in another namespace
where it has the same ifindex as eth0.
"""

import struct
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from bondtrace.analysis import assemble
from bondtrace.analysis.beyond_ip import TCP_STATES
from bondtrace.analysis.scene import Scene
from bondtrace.analysis.stitch import Stitcher
from bondtrace.format.events import device_event, socket_event, tap_event
from bondtrace.format.recording import Recorder
from bondtrace.format.rotation import RotatingRecorder, existing_parts
from bondtrace.format.stages import BEYOND_IP, DROPS
from bondtrace.format.wire import (
    EMPTY,
    FUNC_HANDLER,
    FUNC_SOCKET,
    FUNCTIONS,
    GIVEN_STATE_SHIFT,
    GIVEN_TO_TUNNEL,
    OUTCOMES,
    PACKET_BYTES,
    RECORD,
    RECORD_HOOK,
    RECORD_INSIDE_LIST,
    RECORD_LATE,
    RECORD_LIST,
    RECORD_RECEIVED,
    RECORD_RX,
    RECORD_SOCKET,
    RECORD_TX,
    RECORD_VLAN,
    RECORD_VLAN_AD,
    SOCKET_FACTS,
    STEP,
    STEP_ANSWERED,
    STEP_DROP,
    STEP_FANOUT,
    STEP_FORWARDED,
    STEP_HANDLER,
    STEP_HOOK,
    STEP_LOCAL,
    STEP_NETNS,
    STEP_PROTOCOL,
    STEP_QUEUED,
    STEP_SEGMENTS,
    STEP_SOCKET,
    STEP_TAP,
    STEP_VLAN,
    VERDICTS,
    Passes,
    concatenate,
)
from bondtrace.model import Device, Process, Socket, Tap
from bondtrace.stats.summary import Summary

HERE, THERE = 4026531840, 4026532999
BEGIN_NS = 1_000_000_000_000
WALL_NS = 1_795_348_800_000_000_000  # 2026-11-22T12:00:00Z, when CLOCK_MONOTONIC is BEGIN_NS
SKB = 0xFFFF888000001000
HANDLERS = ("bond_handle_frame", "br_handle_frame")
# Low halves of addresses, as in kallsyms.
ADDRESSES = {
    "bond_handle_frame": 0xC0001000,
    "br_handle_frame": 0xC0002000,
    "macvlan_handle_frame": 0xC0003000,
    "netdev_frame_hook": 0xC0004000,
    "sch_handle_ingress": 0x81001000,
    "udp_queue_rcv_one_skb": 0x81002000,
    "skb_release_data": 0x8100F000,
    "do_xdp_generic": 0x81003000,
    "skb_vlan_untag": 0x81004000,
    "__netif_receive_skb_core.constprop.0": 0x81005000,
    "nf_hook_slow": 0x81006000,
    "vlan_do_receive": 0x81007000,
    "ip_rcv_core": 0x81008000,
    "__udp4_lib_rcv": 0x81009000,
    "tcp_v4_rcv": 0x8100A000,
    "icmp_rcv": 0x8100B000,
    "icmpv6_rcv": 0x8100C000,
}
DROP_REASONS = {
    "2": "NOT_SPECIFIED",
    "3": "NO_SOCKET",
    "5": "SOCKET_FILTER",
    "6": "SOCKET_RCVBUFF",
    "16": "NETFILTER_DROP",
    "29": "XDP",
    "30": "TC_INGRESS",
    "31": "UNHANDLED_PROTO",
    "32": "PFMEMALLOC",
    "33": "OTHERHOST",
}

DEVICES = {
    "lo": Device(HERE, 1, "lo", "loopback", arphrd=772),
    "eth0": Device(HERE, 2, "eth0", "ether", master=4, slave_state="active", up=True),
    "eth1": Device(HERE, 3, "eth1", "ether", master=4, slave_state="backup", up=True),
    "bond0": Device(HERE, 4, "bond0", "bond", bond_mode="active-backup", active_slave=2, up=True),
    "bond0.7": Device(HERE, 5, "bond0.7", "vlan", link=4, vlan_id=7, up=True),
    "eth2": Device(HERE, 6, "eth2", "ether", master=7, up=True),
    "br0": Device(HERE, 7, "br0", "bridge", up=True),
    "veth0": Device(HERE, 8, "veth0", "veth", link=2, link_netnsid=0, up=True),
    "peer0": Device(THERE, 2, "peer0", "veth", link=8, link_netnsid=0, up=True),
    "other1": Device(THERE, 4, "other1", "bond", up=True),
}

#: Of tunnels, a VRF over eth3 and others; a scene has these only if it is told so.
MORE_DEVICES = {
    "red": Device(HERE, 20, "red", "vrf", up=True),
    "eth3": Device(HERE, 21, "eth3", "ether", master=20, up=True),
    "vx0": Device(HERE, 22, "vx0", "vxlan", link=4, up=True),
    "gre0": Device(HERE, 31, "gre0", "gre", arphrd=778, up=True),
    "wg0": Device(HERE, 32, "wg0", "wireguard", arphrd=0xFFFE, up=True),
    "ifb0": Device(HERE, 33, "ifb0", "ifb", up=True),
    "mon0": Device(HERE, 34, "mon0", "dummy", up=True),
    "out0": Device(HERE, 35, "out0", "ether", up=True),
    "far0": Device(THERE, 22, "far0", "veth", up=True),
}
ALL_DEVICES = {**DEVICES, **MORE_DEVICES}

ON_ETH0, ON_ETH1, ON_BOND0, ON_ANY, LLDP = 41001, 41002, 41003, 41004, 41005


def tcpdump(inode, dev, *words, pid=800, **more):
    """Return a tap as tcpdump opens one; ``dev`` None is any."""
    device = DEVICES[dev] if dev else None
    line = " ".join(["tcpdump", "-i", dev or "any", *words])
    return Tap(
        inode,
        HERE,
        device.ifindex if device else 0,
        3,
        "raw" if dev else "cooked",
        dev or "",
        buffer="ring",
        running=True,
        processes=(Process(pid, "tcpdump", line),),
        **more,
    )


TAPS = {
    ON_ETH0: tcpdump(ON_ETH0, "eth0", pid=801),
    ON_ETH1: tcpdump(ON_ETH1, "eth1", "arp", pid=802),
    ON_BOND0: tcpdump(ON_BOND0, "bond0", pid=803),
    ON_ANY: tcpdump(ON_ANY, None, pid=804),
    LLDP: Tap(
        LLDP,
        HERE,
        3,
        0x88CC,
        "raw",
        "eth1",
        buffer="queue",
        running=True,
        processes=(Process(700, "lldpd", "/usr/sbin/lldpd"),),
    ),
}

#: A program's socket, one of TCP that listens, and one that nobody holds.
ON_5354, ON_8080, RAW = 12385, 12386, 12387
SOCKETS = {
    ON_5354: Socket(ON_5354, HERE, 2, 2, 17, port=5354, uid=0, processes=(Process(900, "dnsd", "dnsd -p 5354"),)),
    ON_8080: Socket(ON_8080, HERE, 2, 1, 6, address="10.9.0.2", port=8080, ifindex=4),
    RAW: Socket(RAW, HERE, 10, 3, 58, uid=0, processes=(Process(901, "radvd", "radvd"),)),
}

FEW = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0, ON_ANY)}


# --- packets -------------------------------------------------------------------------------------------

A, B, BROADCAST = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b"), b"\xff" * 6


def ether(payload, kind=0x0800, src=A, dst=B, tag=None):
    """Return an Ethernet frame; ``tag`` is a VLAN id in the bytes."""
    between = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    return dst + src + between + struct.pack("!H", kind) + payload


def ip4(payload, protocol=1, src=1, dst=2, ident=77, ttl=64, checksum=0, offset=0):
    """Return an IPv4 packet from 10.9.0.``src`` to 10.9.0.``dst``; ``offset`` with the flags of fragments."""
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, offset, ttl, protocol, checksum)
        + bytes([10, 9, 0, src, 10, 9, 0, dst])
        + payload
    )


def ip6(payload, following=17, src=1, dst=2, hops=64):
    """Return an IPv6 packet from fe80::``src`` to fe80::``dst``."""
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), following, hops)
        + b"".join(b"\xfe\x80" + bytes(13) + bytes([last]) for last in (src, dst))
        + payload
    )


def echo(kind=0, ident=128, seq=1):
    """Return an ICMP echo reply (8: request)."""
    return struct.pack("!BBHHH", kind, 0, 0, ident, seq) + bytes(56)


def udp(source=4000, destination=5000, checksum=0, data=bytes(40)):
    """Return a UDP datagram."""
    return struct.pack("!HHHH", source, destination, 8 + len(data), checksum) + data


def tcp(source=4000, destination=22, seq=1, checksum=0):
    """Return a TCP segment without data."""
    return struct.pack("!HHIIBBHHH", source, destination, seq, 0, 0x50, 0x10, 64240, checksum, 0)


def reply(seq=1, **more):
    """Return the echo reply number ``seq``, a whole frame of 98 bytes."""
    return ether(ip4(echo(seq=seq)), **more)


def arp(src=1, dst=2):
    """Return an ARP request for 10.9.0.``dst``, a broadcast of 42 bytes."""
    sender, target = A + bytes([10, 9, 0, src]), bytes(6) + bytes([10, 9, 0, dst])
    return ether(struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + sender + target, 0x0806, dst=BROADCAST)


# --- steps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """A step as it is described; its device and round come from the pass."""

    kind: int
    func: int
    arg: int = 0
    result: int = 0
    onto: str = ""
    dev: str = ""
    skb: int = 0
    gone: bool = False
    aside: str = ""  # the step's device, which is not where the packet is
    decided_by: Optional[int] = None  # of a drop: the number of a chain, an address, or a socket


def _number(names, name):
    return next(number for number, one in names.items() if one == name)


def tap(inode, outcome="captured", function="tpacket_rcv", **more):
    """Return the step of a tap's receive function. ``dev``: not the device where the packet is."""
    return Said(STEP_TAP, _number(FUNCTIONS, function), inode, _number(OUTCOMES, outcome), **more)


def fanout(**more):
    """Return the step of an offer to a fanout group."""
    return Said(STEP_FANOUT, _number(FUNCTIONS, "packet_rcv_fanout"), **more)


def handler(verdict, onto="", function="bond_handle_frame"):
    """Return the step of an rx_handler's verdict; ANOTHER moves the packet onto another device."""
    return Said(STEP_HANDLER, FUNC_HANDLER, 0, _number(VERDICTS, verdict), onto, skb=ADDRESSES[function])


def vlan(onto=""):
    """Return the step of a tag's VLAN device, which took the packet; ``onto`` "": there was none."""
    verdict = "ANOTHER" if onto else "PASS"
    return Said(STEP_VLAN, _number(FUNCTIONS, "vlan_do_receive"), 0, _number(VERDICTS, verdict), onto)


def vlan_down():
    """Return the step of a tag's VLAN device that is down: the packet is on no device after it."""
    return replace(vlan(), gone=True)


def enters(netns, **more):
    """Return the step from which on skb->dev is a device of another namespace."""
    return Said(STEP_NETNS, 0, netns, **more)


def drop(reason, function="sch_handle_ingress", by="", **more):
    """Return the step of a drop; ``reason`` is a name of DROP_REASONS, ``result`` 1 says that of a clone. ``by`` is the
    function that decided on it, in netfilter, and ``decided_by`` which of its chains, or whose hook."""
    number = next(int(number) for number, name in DROP_REASONS.items() if name == reason)
    return Said(STEP_DROP, _number(FUNCTIONS, by) if by else 0, number, skb=ADDRESSES[function], **more)


def queued(onto, skb=0):
    """Return the step by which a tunnel's inner packet was handed to its device, to be received there by this skb."""
    return Said(STEP_QUEUED, _number(FUNCTIONS, "gro_cells_receive"), aside=onto, skb=skb)


def segments(count, size=1448):
    """Return the step that says for how many packets on the wire the packet stands; the first one of its pass."""
    return Said(STEP_SEGMENTS, 0, count, decided_by=size)


def protocol(function, **more):
    """Return the step of a protocol handler."""
    return Said(STEP_PROTOCOL, _number(FUNCTIONS, function), **more)


def local(number, function="ip_protocol_deliver_rcu"):
    """Return the step by which IP gave the packet to a protocol of this host."""
    return Said(STEP_LOCAL, _number(FUNCTIONS, function), number)


def given(inode, function="udp_queue_rcv_one_skb", state="ESTABLISHED", tunnel=False):
    """Return the step by which the packet was given to a socket; ``state`` is TCP's."""
    result = _number(TCP_STATES, state) << GIVEN_STATE_SHIFT | (GIVEN_TO_TUNNEL if tunnel else 0)
    return Said(STEP_SOCKET, _number(FUNCTIONS, function), inode, result)


def refusal(inode, reason, function="udp_queue_rcv_one_skb", **more):
    """Return the step of a drop of what had been given to this socket."""
    return replace(drop(reason, function, **more), func=FUNC_SOCKET, decided_by=inode)


def answered(function="arp_xmit"):
    """Return the step of a request's answer by this host."""
    return Said(STEP_ANSWERED, _number(FUNCTIONS, function))


def forwarded(onto, function="ip_forward"):
    """Return the step by which IP forwards the packet to a device, given by its number."""
    return Said(STEP_FORWARDED, _number(FUNCTIONS, function), onto)


# --- passes --------------------------------------------------------------------------------------------


def rx(dev, *steps, **more):
    """Return a received packet's pass; see ``_pass`` for the parameters."""
    return _pass(RECORD_RX, dev, steps, **more)


def tx(dev, *steps, **more):
    """Return a pass through the transmit taps."""
    return _pass(RECORD_TX, dev, steps, **more)


def late(dev, *steps, **more):
    """Return steps that ran after their packet's core call, in a record of their own."""
    return _pass(RECORD_LATE, dev, steps, **{"packet": b"", "rounds": False, **more})


def hook(inode, added, at=0):
    """Return the record of a packet socket that was hooked in (or out), ``at`` in µs."""
    record, steps = np.zeros(1, RECORD), np.zeros(1, STEP)
    record["time_ns"], record["netns"], record["kind"] = BEGIN_NS + at * 1000, HERE, RECORD_HOOK
    record["steps"], steps["kind"], steps["arg"], steps["result"] = 1, STEP_HOOK, inode, added
    return Passes(record, steps, np.array([0, 1]))


def socket_record(inode, at=0, **more):
    """Return what the kernel side tells of a socket, one RECORD_SOCKET; by default of one of UDP that is bound to port
    5354 of any address. ``bound``: the ifindex of the device to which it is bound; other words as in SOCKET_FACTS."""
    record, facts = np.zeros(1, RECORD), np.zeros(1, SOCKET_FACTS)
    told = {"family": 2, "type": 2, "protocol": 17, "port": 5354, **more, "inode": inode}
    record["time_ns"], record["kind"] = BEGIN_NS + at * 1000, RECORD_SOCKET
    record["netns"], record["ifindex"] = told.pop("netns", HERE), told.pop("bound", 0)
    for name, value in told.items():
        facts[name] = np.frombuffer(value.ljust(16, b"\0"), np.uint8) if isinstance(value, bytes) else value
    record["packet"][0, : SOCKET_FACTS.itemsize] = np.frombuffer(facts.tobytes(), np.uint8)
    return record


def _pass(
    kind,
    dev,
    steps,
    *,
    at=0,
    packet=None,
    skb=SKB,
    last_skb=None,
    cpu=0,
    seq=1,
    parent=0,
    frame=1,
    lasts=None,
    steps_lost=0,
    vlan=None,
    tpid=0x8100,
    in_list=False,
    inside_list=False,
    again=False,
    sender=0,
    head=0,
    rounds=True,
):
    """Return a pass. ``at`` and ``lasts`` in µs (since BEGIN_NS; by default 1 more than it has steps); ``packet``: the
    frame's bytes (by default an echo reply); ``vlan``: a tag outside the bytes, of type ``tpid``; ``again``: it had
    been received before."""
    packet = reply() if packet is None else packet
    device, netns = ALL_DEVICES[dev], ALL_DEVICES[dev].netns
    record = np.zeros(1, RECORD)
    values = {
        "time_ns": BEGIN_NS + at * 1000,
        "skb": skb,
        "netns": netns,
        "last_skb": (skb if last_skb is None else last_skb) & 0xFFFFFFFF,
        "head": head,
        "ifindex": device.ifindex,
        "len": len(packet),
        "cpu": cpu,
        "kind": kind,
        "steps": len(steps),
        "seq": seq,
        "parent": parent,
        "frame": frame,
        "steps_lost": steps_lost,
        "arphrd": device.arphrd,
        "sender": sender,
        "duration_ns": (len(steps) + 1 if lasts is None else lasts) * 1000,
        "captured": min(len(packet), PACKET_BYTES),
        "protocol": int.from_bytes(packet[12:14], "big") if device.arphrd in (1, 772) else 0x0800,
        "flags": (RECORD_VLAN if vlan is not None else 0)
        | (RECORD_VLAN_AD if tpid == 0x88A8 else 0)
        | (RECORD_LIST if in_list else 0)
        | (RECORD_INSIDE_LIST if inside_list else 0)
        | (RECORD_RECEIVED if again else 0),
        "vlan_tci": vlan or 0,
    }
    for name, value in values.items():
        record[name] = value
    record["packet"][0, : min(len(packet), PACKET_BYTES)] = np.frombuffer(packet[:PACKET_BYTES], np.uint8)
    rows, now, number = np.zeros(len(steps), STEP), dev, 1
    for place, said in enumerate(steps):
        if said.dev:
            now, number = said.dev, number + (said.dev != now)
        moved = said.kind in (STEP_HANDLER, STEP_VLAN) and VERDICTS[said.result] != "CONSUMED"
        onto = ALL_DEVICES[said.onto or now].ifindex if moved and not said.gone else 0
        rows[place] = (
            (place + 1) * 1000,
            ALL_DEVICES[said.aside or now].ifindex,
            device.ifindex if said.decided_by is None else said.decided_by,
            onto or said.arg,
            said.kind,
            number if rounds else 0,
            said.result,
            said.func,
            (said.skb or skb) & 0xFFFFFFFF,
        )
        if said.onto:
            now, number = said.onto, number + 1
    return Passes(record, rows, np.array([0, len(rows)], np.int64))


# --- whole packets -------------------------------------------------------------------------------------


def received(at=0, *further, **more):
    """Return a reply through the bond's active slave, seen by the taps on eth0 and bond0, and by the unbound one
    twice; ``further`` steps follow."""
    return rx(
        "eth0",
        tap(ON_ANY),
        tap(ON_ETH0),
        handler("ANOTHER", "bond0"),
        tap(ON_ANY),
        tap(ON_BOND0),
        protocol("ip_rcv"),
        *further,
        at=at,
        **more,
    )


def refused(at=0, **more):
    """Return a broadcast on the backup slave: its taps see it, the bond does not."""
    return rx(
        "eth1",
        tap(ON_ANY),
        tap(ON_ETH1),
        handler("EXACT"),
        **{"at": at, "packet": arp(), "skb": SKB + 0x100, "cpu": 1, **more},
    )


def sent(at=0, **more):
    """Return a request sent on the bond, then on its active slave: two passes."""
    more = {"packet": ether(ip4(echo(8), src=2, dst=1)), "skb": SKB + 0x200, **more}
    return both(
        tx("bond0", tap(ON_ANY), tap(ON_BOND0, "filtered"), at=at, seq=2, **more),
        tx("eth0", tap(ON_ANY), tap(ON_ETH0, "full"), at=at + 10, seq=3, **more),
    )


def both(*parts):
    """Return several passes as one batch."""
    return concatenate(list(parts))


# --- scenes, journeys, recordings ----------------------------------------------------------------------


def start(**more):
    """Return the event that begins a trace."""
    return {
        "kind": "start",
        "time_ns": BEGIN_NS,
        "format": 1,
        "host": "lab",
        "kernel": "6.1.0",
        "wall_offset_ns": WALL_NS - BEGIN_NS,
        "netns": HERE,
        "interfaces": ["bond0"],
        "handlers": list(HANDLERS),
        "drop_reasons": DROP_REASONS,
        "stages": [],
        "vlan_tpid": True,
        **more,
    }


HOSTILE = "\x1b]0;owned\x07\r\n\u202e\udcff"
ESCAPED = "\\x1b]0;owned\\x07\\x0d\\x0a\\xe2\\x80\\xae\\xff"


def hostile_scene():
    """Return a scene in which every name that others choose holds control sequences of a terminal."""
    evil = Tap(7, HERE, 2, 3, "raw", processes=(Process(1234, HOSTILE, HOSTILE),))
    away = Tap(8, HERE, 4, 3, "raw", processes=(Process(1235, f"tcpdump{HOSTILE}", HOSTILE),))
    return scene(
        altered("eth0", name=f"e{HOSTILE}"),
        altered("bond0", name=f"b{HOSTILE}"),
        taps={7: evil, 8: away},
        devices={"eth1": DEVICES["eth1"]},
    )


HOSTILE_PASSES = rx("eth0", tap(7), handler("ANOTHER", "bond0"), tap(7)), tx("eth1", at=50, skb=SKB + 64)


def stage(name, missing=""):
    """Return a stage as a start event has it."""
    return {"name": name, "tells": name, "without": f"no {name}", "missing": missing, "probes": []}


def beyond_ip(*further, sockets=SOCKETS, missing=(), **more):
    """Return a scene in which the stages beyond IP and of drops are attached, and these sockets are known."""
    stages = [stage(name, "not there" if name in missing else "") for name in (*BEYOND_IP, DROPS)]
    told = [socket_event(BEGIN_NS, one) for one in sockets.values()]
    return scene(*told, *further, **{"taps": FEW, "stages": stages, **more})


def losses(at=0, **counters):
    """Return the event of what had been lost by then, with a value for each CPU."""
    return {"kind": "losses", "time_ns": BEGIN_NS + at * 1000, "counters": counters}


def events(taps=TAPS, devices=DEVICES, **more):
    """Return the events at the beginning of a trace."""
    names = [
        {"kind": "namespace", "time_ns": BEGIN_NS, "netns": netns, "name": name}
        for netns, name in ((HERE, "host"), (THERE, "blue"))
    ]
    symbols = [
        {"kind": "symbol", "time_ns": BEGIN_NS, "address": address, "name": name} for name, address in ADDRESSES.items()
    ]
    return [
        start(**more),
        *names,
        *symbols,
        *(device_event(BEGIN_NS, device) for device in devices.values()),
        *(tap_event(BEGIN_NS, one) for one in taps.values()),
    ]


def scene(*further, **more):
    """Return a scene of ``events`` and some further ones."""
    result = Scene()
    for event in [*events(**more), *further]:
        result.apply(event)
    return result


def stitched(*passes, around=None):
    """Return the passes as columns of journeys."""
    devices = (around or scene()).devices
    stitcher = Stitcher(devices.related, tunnels=devices.tunnels, waiting=(around or scene()).waiting)
    stitcher.add(both(*passes), 0)
    return stitcher.flush()


def journeys(*passes, around=None):
    """Return the journeys of the passes as values of the model."""
    around = around or scene()
    return list(assemble.journeys(stitched(*passes, around=around), around))


def counted(*passes, around=None):
    """Return (summary, scene) of these passes, with few taps known."""
    around, summary = around or scene(taps=FEW), Summary()
    summary.add(stitched(*passes, around=around), around)
    return summary, around


def begun(trace, at=0):
    """Return the events at the beginning of the trace of this name."""
    return [
        {**one, "trace": trace, "time_ns": BEGIN_NS + at * 1000} if one["kind"] == "start" else one for one in events()
    ]


def record(path, *batches, force=False):
    """Write a recording. A batch is (passes, events), and is flushed at once. ``force`` overwrites."""
    with Recorder(path, force) as recorder:
        for passes, happened in batches:
            recorder.write(passes, happened)
            recorder.flush()
    return path


def in_parts(path, keep=None, **limits):
    """Write a recording of four batches, in parts; return the paths of the parts."""
    recorder = RotatingRecorder(path, keep=keep, **limits)
    recorder.write(EMPTY, begun("a"))
    for number, batch in enumerate((received(), refused(20_000), sent(40_000))):
        recorder.write(batch, [losses(50_000 * number, lost=[number])])
    recorder.close()
    return existing_parts(path)


def short_trace(path):
    """Write a trace with a reply, an ARP request on the backup slave, and a request sent; one tap is known."""
    return record(
        path,
        (EMPTY, events(taps={ON_BOND0: TAPS[ON_BOND0]})),
        (received(), []),
        (refused(30), []),
        (sent(60), [losses(70, lost=[0])]),
        (EMPTY, [{"kind": "end", "time_ns": start()["time_ns"]}]),
    )


def lossy(path):
    """Write a recording with every kind of packet that is built here, in which something was lost."""
    parts = [(received(100 * n, packet=reply(seq=n), skb=SKB + 64 * n), []) for n in range(5)]
    return record(
        path, (EMPTY, events()), *parts, (refused(700), []), (sent(800), []), (EMPTY, [losses(900, lost=[2, 0])])
    )


def altered(which, at=0, **more):
    """Return the event that one of the devices changed, ``at`` in µs."""
    return device_event(BEGIN_NS + at * 1000, replace(DEVICES[which], **more))
