# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page's script draws, as one object: labels for people, and numbers.

Invariant: every name in it is printable. That none becomes markup is up to the code that puts the object into a page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...analysis import beyond_ip
from ...analysis.scene import Scene
from ...format.wire import STEP_DROP, STEP_FANOUT, STEP_HANDLER, STEP_PROTOCOL, STEP_QUEUED, STEP_TAP, STEP_VLAN
from ...stats.latency import EDGES_NS, Kind, Spread
from ...stats.paths import Node, Path, picture
from ...stats.report_data import Listed, ReportData
from ...stats.summary import Place
from ...util.untrusted import printable
from .. import story
from ..json_lines import timestamp
from ..table import place_name
from ..text import heading, in_brackets, namespace_name, telling_lines, trivial_lines, trivial_words, trust_line
from .by_kind import clock_object, kinds_object, names_object, place_in, timeline_object
from .lanes import lanes_object

PATHS_MAX = 200
STEPS_MAX = 300
_SOURCES = {"received": "received", "sent": "sent by this host", "unknown": "begin not recorded"}
_ENDS = {"driver": "on to the driver", "nothing": "nothing more is known"}
_DROPS = {"drop": "dropped in ", "by-design": "dropped by design in "}
_STEPS = {
    STEP_TAP: "tap",
    STEP_FANOUT: "fanout",
    STEP_HANDLER: "rx_handler",
    STEP_VLAN: "vlan",
    STEP_PROTOCOL: "protocol",
    STEP_DROP: "drop",
    STEP_QUEUED: "queued",
    **beyond_ip.KINDS,
}


def report_object(data: ReportData, name: str, notes: Sequence[str]) -> dict[str, Any]:
    """Return all that the page shows besides the summary.

    :param name: of the recording.
    :param notes: sentences about it, for the top of the page.
    """
    scene, timeline = data.scene, data.timeline
    offset_ns = scene.wall_offset_ns
    paths = _paths(data)
    return {
        "trace": {
            "name": printable(name),
            "host": printable(str(scene.start.get("host") or "unknown host")),
            "kernel": printable(str(scene.start.get("kernel") or "unknown")),
            "filter": printable(str(scene.start.get("filter") or "")),
            "directions": list(data.directions),
            "first": None if timeline.begin_ns is None else timestamp(timeline.begin_ns + offset_ns),
            "last": None if timeline.begin_ns is None else timestamp(timeline.last_ns + offset_ns),
            "notes": [printable(note) for note in notes],
        },
        "namespaces": {str(place[0]): in_brackets(namespace_name(place[0], scene)) for place in data.summary.places()},
        "trust_line": printable(trust_line(scene)),
        "names": names_object(data),
        "clock": clock_object(data),
        "kinds": kinds_object(data, {path: nth for nth, path in enumerate(paths)}),
        "flow": _paths_object(data, paths),
        "timeline": timeline_object(data),
        "latencies": _latencies_object(data),
        "journeys": _journeys_object(data),
    }


def label(node: Node, places: list[Place], scene: Scene) -> tuple[str, str]:
    """Return the name of a node of the flow, and what happened there or "".

    Protocol handlers and drops are named with their namespace where the trace has several.
    """
    if node.kind == "source":
        return _SOURCES[node.what], ""
    if node.kind == "end":
        return _ENDS[node.what], ""
    if node.kind == "device":
        return place_name(node.place, places, scene), ""
    if node.kind == "taps":  # they stand behind their device
        return "taps", node.result
    text = printable(node.what) or "?"
    several = len({place[0] for place in places}) > 1 and node.kind in ("protocol", *_DROPS)
    where = f" {in_brackets(namespace_name(node.place[0], scene))}" if several else ""
    return _DROPS.get(node.kind, "") + text + where, printable(node.result)


def style(node: Node) -> str:
    """Return the name of a node's colour: an outcome, a verdict, "protocol", "drop", "by-design", or "plain"."""
    if node.kind in ("taps", "rx_handler", "vlan"):
        return node.result
    return node.kind if node.kind in ("protocol", *_DROPS) else "plain"


def _paths(data: ReportData) -> list[Path]:
    """Return the paths that the page has, the most frequent first: as many as the table shows, and those of kinds."""
    of_kinds = {kind.path for kind in data.kinds.numbers}
    ordered = [path for path, _ in data.paths.most_common()]
    return [path for nth, path in enumerate(ordered) if nth < PATHS_MAX or path in of_kinds]


def _paths_object(data: ReportData, paths: list[Path]) -> dict[str, Any]:
    scene, places = data.scene, data.summary.places()
    drawn = picture(paths)
    return {
        "stops": [{**_stop_object(stop.node, places, scene), "again": stop.turn > 0} for stop in drawn.stops],
        "paths": [
            {"packets": data.paths.paths[path], "example": data.paths.examples[path].id, "stops": way}
            for path, way in zip(paths, drawn.ways)
        ],
        "paths_total": len(data.paths.paths),
        "listed": PATHS_MAX,
    }


def _stop_object(node: Node, places: list[Place], scene: Scene) -> dict[str, Any]:
    name, detail = label(node, places, scene)
    return {"label": name, "detail": detail, "style": style(node), "verdict": node.kind in ("rx_handler", "vlan")}


def _latencies_object(data: ReportData) -> dict[str, Any]:
    scene, places = data.scene, data.summary.places()
    ordered = sorted(data.latencies.spreads.items(), key=lambda one: (-one[1].count, one[0]))
    shown = sorted(ordered[:STEPS_MAX], key=lambda one: (one[0][:3], one[1].quantile_ns(0.5), one[0]))
    return {
        "edges_ns": EDGES_NS.tolist(),
        "left_out": len(ordered) - len(shown),
        "steps": [_spread_object(kind, spread, places, scene) for kind, spread in shown],
    }


def _spread_object(kind: Kind, spread: Spread, places: list[Place], scene: Scene) -> dict[str, Any]:
    used = spread.bins.nonzero()[0]
    first, last = int(used[0]), int(used[-1])
    return {
        "device": place_name((kind.netns, kind.ifindex, "tx" if kind.sent else "rx"), places, scene),
        "kind": _STEPS.get(kind.step, f"unknown-{kind.step}"),
        "function": printable(kind.function(scene) or "?"),
        "count": spread.count,
        "least_ns": spread.least_ns,
        "mean_ns": spread.total_ns // spread.count,
        "median_ns": spread.quantile_ns(0.5),
        "p99_ns": spread.quantile_ns(0.99),
        "most_ns": spread.most_ns,
        "first_bin": first,
        "bins": spread.bins[first : last + 1].tolist(),
    }


def _journeys_object(data: ReportData) -> dict[str, Any]:
    """Return the list of journeys. What many have in common is there once: ``absences`` and ``ways``."""
    absences: dict[tuple[str, ...], int] = {}
    ways: dict[str, int] = {}
    each = []
    for listed in data.journeys():
        journey = listed.journey
        lines = tuple(f"{line[0].upper()}{line[1:]}." for line in trivial_lines(journey, data.scene))
        way = json.dumps(lanes_object(journey, data.scene) if len(journey.passes) > 1 else [])
        common = {"trivial": place_in(absences, lines), "way": place_in(ways, way)}
        each.append({**_journey_object(listed, data), **common})
    return {
        "total": data.sample.seen,
        "absences": list(absences),
        "ways": [json.loads(way) for way in ways],
        "list": each,
    }


def _journey_object(listed: Listed, data: ReportData) -> dict[str, Any]:
    """Return a journey. What was lost is not in its story: the page has that at its top."""
    journey, scene = listed.journey, data.scene
    return {
        "id": journey.id,
        "kind": listed.kind,
        "since_ns": journey.time_ns - (data.timeline.begin_ns or 0),
        "took_ns": journey.duration_ns,
        "heading": heading(journey),
        "story": story.told(journey, scene, telling_lines(journey, scene, True)),
        "no_news": trivial_words(journey, scene),
    }
