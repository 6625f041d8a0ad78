# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys as JSON, one per line, and the objects that all JSON shares: the contract for programs (docs/json.md).

Text from the kernel or from a process that is not valid UTF-8 is written as ``\\xNN``.
"""

from __future__ import annotations

import json
import time
from typing import Any, Optional, TextIO

from ..analysis import socket_names, watched
from ..analysis.scene import Scene
from ..model import End, Journey, Packet, Pass, Process, Socket, Step, Tap
from ..util.untrusted import printable


def timestamp(wall_ns: int) -> str:
    """Return a time as RFC 3339 in UTC with nanoseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def protocol_name(number: int) -> str:
    """Return a tap's protocol: ALL, none (not hooked) or its Ethernet type."""
    return {3: "ALL", 0: "none"}.get(number, f"0x{number:04x}")


def bound_device(tap: Tap, scene: Scene, time_ns: int) -> str:
    """Return the device that a tap is bound to; "any" for none, "gone" where it no longer exists."""
    if tap.ifindex == 0:
        return "any"
    if tap.ifindex == -1:
        return "gone"
    return scene.device_name(tap.netns, tap.ifindex, time_ns)


def tap_object(tap: Tap, scene: Scene, time_ns: int, name: Optional[str] = None) -> dict[str, Any]:
    """Return a tap for JSON; ``name``: what it is called there, by default as at that time."""
    first = tap.processes[0] if tap.processes else None
    return {
        "pid": first.pid if first else None,
        "comm": printable(first.comm) if first else None,
        "name": printable(name or scene.tap_label(tap.inode, time_ns) or ""),
        "dev": printable(bound_device(tap, scene, time_ns)),
        "protocol": protocol_name(tap.protocol),
        "kind": tap.kind,
        "buffer": tap.buffer,
        "ring_version": tap.ring_version,
        "ring_bytes": tap.ring_bytes,
        "netns": tap.netns,
        "uid": tap.uid,
        "running": tap.running,
        "fanout_id": tap.fanout_id,
        "has_filter": tap.has_filter,
        "promiscuous": tap.promiscuous,
        "ignore_outgoing": tap.ignore_outgoing,
        "origdev": tap.origdev,
        "processes": _process_objects(tap.processes),
    }


def _step_object(step: Step, netns: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "t_ns": step.t_ns,
        "kind": step.kind,
        "round": step.round,
        "dev": printable(step.dev),
        "orig_dev": printable(step.orig_dev),
    }
    optional: dict[str, Optional[Any]] = {
        "function": step.function,
        "tap": step.tap,
        "outcome": step.outcome,
        "verdict": step.verdict,
        "next_dev": printable(step.next_dev) if step.next_dev else None,
        "reason": step.reason,
        "netns": step.netns if step.netns not in (0, netns) else None,
        "inferred": step.inferred or None,
        "clone": step.clone or None,
        "netfilter": printable(step.netfilter) if step.netfilter else None,
        "tc": printable(step.tc) if step.tc else None,
        "harmless": printable(step.harmless) if step.harmless else None,
        "socket": step.socket,
        "state": step.state,
        "ip_protocol": step.ip_protocol,
    }
    values.update({name: value for name, value in optional.items() if value is not None})
    return values


def _packet_object(packet: Packet) -> dict[str, Any]:
    values: dict[str, Any] = {
        "len": packet.length,
        "ethertype": f"0x{packet.ethertype:04x}",
        "protocol": packet.protocol,
        "src": packet.src,
        "dst": packet.dst,
        "info": packet.info,
        "vlan": list(packet.vlan),
        "tags": [
            {
                "id": tag.id,
                "tpid": None if tag.tpid is None else f"0x{tag.tpid:04x}",
                "in_frame": tag.in_frame,
                "priority": tag.priority,
                "drop_eligible": tag.drop_eligible,
            }
            for tag in packet.tags
        ],
        "ports": None if packet.ports is None else list(packet.ports),
        "encapsulation": packet.encapsulation or None,
    }
    if packet.segments is not None:
        values["segments"] = packet.segments or None
    if packet.inner is not None:
        values["inner"] = _packet_object(packet.inner)
    return values


def _pass_object(one: Pass) -> dict[str, Any]:
    values: dict[str, Any] = {
        "direction": one.direction,
        "cpu": one.cpu,
        "netns": one.netns,
        "skb": f"0x{one.skb:x}",
        "parent": one.parent,
        "packet": _packet_object(one.packet),
        "steps_lost": one.steps_lost,
        "steps": [_step_object(step, one.netns) for step in one.steps],
    }
    if one.shown:
        values["shown"] = True
    if one.inferred:
        values["inferred"] = True
    return values


def journey_object(journey: Journey, scene: Scene) -> dict[str, Any]:
    """Return a journey for JSON."""
    taps = {inode: scene.tap(inode, journey.time_ns) for inode in sorted(journey.taps)}
    return {
        "id": journey.id,
        "time": timestamp(journey.wall_ns),
        "duration_ns": journey.duration_ns,
        "direction": journey.direction,
        "complete": journey.complete,
        "packet": _packet_object(journey.packet),
        "passes": [_pass_object(one) for one in journey.passes],
        "unseen": [{"tap": one.tap, "reason": one.reason, "detail": printable(one.detail)} for one in journey.unseen],
        "notes": [printable(note) for note in journey.notes],
        "ends": [_end_object(end) for end in journey.ends],
        "taps": {str(inode): tap_object(tap, scene, journey.time_ns) for inode, tap in taps.items() if tap},
        "sockets": _sockets(journey, scene),
        "trust": trust_object(scene),
    }


def _end_object(end: End) -> dict[str, Any]:
    values = {"kind": end.kind, "pass": end.place, "detail": printable(end.detail)}
    more = {"look_at": end.look_at, "harmless": end.harmless}
    return {**values, **{name: printable(text) for name, text in more.items() if text}}


def _sockets(journey: Journey, scene: Scene) -> dict[str, Any]:
    """Return the sockets that the journey names, by inode, as they were when they were last given the packet."""
    given = sorted((step.t_ns, step.socket) for one in journey.passes for step in one.steps if step.socket)
    found = {inode: scene.sockets.at(inode, journey.time_ns + t_ns) for t_ns, inode in given}
    return {str(inode): socket_object(one, scene, journey.time_ns) for inode, one in sorted(found.items()) if one}


def socket_object(socket: Socket, scene: Scene, time_ns: int) -> dict[str, Any]:
    """Return a socket for JSON."""
    return {
        "name": printable(socket_names.label(socket, scene, time_ns)),
        "netns": socket.netns,
        "family": {2: "inet", 10: "inet6"}.get(socket.family, str(socket.family)),
        "type": {1: "stream", 2: "dgram", 3: "raw"}.get(socket.type, str(socket.type)),
        "protocol": socket.protocol,
        "address": socket.address or None,
        "port": socket.port or None,
        "remote": socket.remote or None,
        "remote_port": socket.remote_port or None,
        "dev": printable(scene.device_name(socket.netns, socket.ifindex, time_ns)) if socket.ifindex else None,
        "uid": socket.uid,
        "processes": _process_objects(socket.processes),
    }


def _process_objects(processes: tuple[Process, ...]) -> list[dict[str, Any]]:
    return [{"pid": one.pid, "comm": printable(one.comm), "cmdline": printable(one.cmdline)} for one in processes]


def trust_object(scene: Scene) -> dict[str, Any]:
    """Return whether an absence can be believed: ``clean``, else what was lost and what is not attached.

    Taps of which only the inode is known are listed, but are not a loss.
    """
    losses, missing = scene.losses(), scene.missing_stages()
    return {
        "clean": not losses and not missing,
        "losses": losses,
        "not_attached": missing,
        "does_not_see": watched.does_not_see(scene),
        "unknown_taps": scene.taps.strangers(),
        "filter": scene.start.get("filter"),
        "selection": scene.start.get("selection"),
        "filter_blind": sum(scene.counters.get("filter_blind", ())),
        "bytes_lost": sum(scene.counters.get("data_lost", ())),
    }


def write_json(journey: Journey, scene: Scene, stream: TextIO, more: Optional[dict[str, Any]] = None) -> None:
    """Write a journey, with the keys of ``more``, as one line and flush it."""
    print(json.dumps({**journey_object(journey, scene), **(more or {})}, ensure_ascii=False), file=stream, flush=True)
