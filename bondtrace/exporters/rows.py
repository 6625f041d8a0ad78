# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys as flat rows, for tables (CSV, Parquet): a row per step, and a row per tap that was not offered the packet.

Text is made printable, as in JSON. What does not apply to a row is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from ..analysis import ends, socket_names
from ..analysis.scene import Scene
from ..model import Journey, Pass, Step
from ..net.dissect import one_line
from ..reporters.json_lines import tap_object
from ..reporters.text import recorded_namespace
from ..util.untrusted import printable

COLUMNS: tuple[tuple[str, str], ...] = (
    ("host", "string"),
    ("kernel", "string"),
    ("recording", "string"),
    ("journey", "int64"),
    ("time", "timestamp"),
    ("duration_ns", "int64"),
    ("direction", "string"),
    ("complete", "bool"),
    ("clean", "bool"),
    ("len", "int64"),
    ("ethertype", "string"),
    ("protocol", "string"),
    ("src", "string"),
    ("dst", "string"),
    ("info", "string"),
    ("vlan", "string"),
    ("pass", "int32"),
    ("pass_direction", "string"),
    ("cpu", "int32"),
    ("netns", "int64"),
    ("netns_name", "string"),
    ("step", "int32"),
    ("t_ns", "int64"),
    ("kind", "string"),
    ("round", "int32"),
    ("dev", "string"),
    ("orig_dev", "string"),
    ("function", "string"),
    ("tap", "int64"),
    ("tap_name", "string"),
    ("tap_pid", "int64"),
    ("tap_comm", "string"),
    ("tap_dev", "string"),
    ("tap_protocol", "string"),
    ("outcome", "string"),
    ("verdict", "string"),
    ("next_dev", "string"),
    ("reason", "string"),
    ("detail", "string"),
    ("inferred", "bool"),
    ("packet", "string"),
    ("pass_parent", "int32"),
    ("pass_shown", "bool"),
    ("pass_inferred", "bool"),
    ("socket", "int64"),
    ("socket_name", "string"),
    ("socket_state", "string"),
    ("ip_protocol", "int32"),
    ("end", "string"),
    ("end_detail", "string"),
    ("end_look_at", "string"),
)
"""(name, type) of every column, in order: string, bool, int32, int64, or timestamp (ns since the Unix epoch)."""

NAMES = tuple(name for name, _ in COLUMNS)
_NOTHING: dict[str, Any] = dict.fromkeys(NAMES)

Row = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a recording comes from, printable."""

    host: str
    kernel: str
    recording: str


def origin(scene: Scene, recording: str) -> Origin:
    """Return where a recording comes from, by its first event, which was read before its first journey."""
    return Origin(
        printable(str(scene.start.get("host") or "unknown")),
        printable(str(scene.start.get("kernel") or "unknown")),
        printable(recording),
    )


def rows(journey: Journey, scene: Scene, source: Origin) -> Iterator[Row]:
    """Yield the rows of one journey: its steps in order, then the taps that were not offered it."""
    common = {
        **_NOTHING,
        **_of_journey(journey, scene),
        "host": source.host,
        "kernel": source.kernel,
        "recording": source.recording,
    }
    for number, one in enumerate(journey.passes, 1):
        for place, step in enumerate(one.steps, 1):
            yield {
                **common,
                "pass": number,
                "step": place,
                **_of_step(step, one, scene),
                **_of_tap(step.tap, scene, journey.time_ns),
                **_of_socket(step, scene, journey.time_ns),
                **(_of_end(one, journey) if place == len(one.steps) else {}),
            }
    for missed in journey.unseen:
        yield {
            **common,
            "kind": "unseen",
            **_of_tap(missed.tap, scene, journey.time_ns),
            "reason": missed.reason,
            "detail": printable(missed.detail),
        }


def _of_journey(journey: Journey, scene: Scene) -> Row:
    packet = journey.packet
    return {
        "journey": journey.id,
        "time": journey.wall_ns,
        "duration_ns": journey.duration_ns,
        "direction": journey.direction,
        "complete": journey.complete,
        "clean": not scene.losses() and not scene.missing_stages(),
        "len": packet.length,
        "ethertype": f"0x{packet.ethertype:04x}",
        "protocol": printable(packet.protocol),
        "src": printable(packet.src),
        "dst": printable(packet.dst),
        "info": printable(packet.info),
        "vlan": " ".join(str(one) for one in packet.vlan),
    }


def _of_step(step: Step, one: Pass, scene: Scene) -> Row:
    netns = step.netns or one.netns
    return {
        "pass_direction": one.direction,
        "packet": printable(one_line(one.packet)),
        "pass_parent": None if one.parent is None else one.parent + 1,
        "pass_shown": one.shown,
        "pass_inferred": one.inferred,
        "cpu": one.cpu,
        "netns": netns,
        "netns_name": recorded_namespace(netns, scene),
        "t_ns": step.t_ns,
        "kind": step.kind,
        "round": step.round,
        "dev": printable(step.dev),
        "orig_dev": printable(step.orig_dev),
        "function": _printable(step.function),
        "outcome": step.outcome,
        "verdict": step.verdict,
        "next_dev": _printable(step.next_dev),
        "reason": _printable(step.reason),
        "inferred": step.inferred,
    }


def _of_socket(step: Step, scene: Scene, time_ns: int) -> Row:
    if step.ip_protocol is not None:
        return {"ip_protocol": step.ip_protocol}
    if step.socket is None:
        return {}
    name = printable(socket_names.of_step(step, scene, time_ns))
    return {"socket": step.socket, "socket_name": name, "socket_state": step.state}


def _of_end(one: Pass, journey: Journey) -> Row:
    """Return how the packet's way ended in a pass, for the row of its last step."""
    end = ends.of_pass(journey, one)
    if end is None:
        return {}
    return {"end": end.kind, "end_detail": printable(end.detail), "end_look_at": printable(end.look_at) or None}


def _printable(text: Optional[str]) -> Optional[str]:
    return None if text is None else printable(text)


def _of_tap(inode: Optional[int], scene: Scene, time_ns: int) -> Row:
    if inode is None:
        return {}
    tap = scene.tap(inode, time_ns)
    if tap is None:
        return {"tap": inode}
    told = tap_object(tap, scene, time_ns)
    return {
        "tap": inode,
        "tap_name": told["name"],
        "tap_pid": told["pid"],
        "tap_comm": told["comm"],
        "tap_dev": told["dev"],
        "tap_protocol": told["protocol"],
    }
