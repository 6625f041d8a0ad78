# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page's script draws, as one object: labels for people, and numbers.

Invariant: every name in it is printable. That none becomes markup is up to the code that puts the object into a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...analysis import beyond_ip
from ...analysis.scene import Scene
from ...format.wire import STEP_DROP, STEP_FANOUT, STEP_HANDLER, STEP_PROTOCOL, STEP_QUEUED, STEP_TAP, STEP_VLAN
from ...model import Journey
from ...stats.latency import EDGES_NS, Kind, Spread
from ...stats.paths import Graph, Node
from ...stats.report_data import ReportData
from ...stats.summary import Place
from ...stats.timeline import DROPPED, FATES
from ...util.untrusted import printable
from ..json_lines import timestamp
from ..story import paragraphs
from ..table import place_name
from ..text import in_brackets, lines, namespace_name, trust_line

PATHS_MAX = 200
STEPS_MAX = 300
_SOURCES = {"received": "received", "sent": "sent by this host", "unknown": "begin not recorded"}
_ENDS = {"driver": "on to the driver", "nothing": "nothing more is known"}
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
    listed = data.journeys()
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
        "flow": _paths_object(data),
        "timeline": _timeline_object(data),
        "latencies": _latencies_object(data),
        "journeys": {"total": data.sample.seen, "list": [_journey_object(one, scene) for one in listed]},
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
    several = len({place[0] for place in places}) > 1 and node.kind in ("protocol", "drop")
    where = f" {in_brackets(namespace_name(node.place[0], scene))}" if several else ""
    return ("dropped in " if node.kind == "drop" else "") + text + where, printable(node.result)


def style(node: Node) -> str:
    """Return the name of a node's colour: an outcome, a verdict, "protocol", "drop", or "plain"."""
    if node.kind in ("taps", "rx_handler", "vlan"):
        return node.result
    return node.kind if node.kind in ("protocol", "drop") else "plain"


def link_style(source: Node, target: Node) -> str:
    """Return the name of a link's colour: that of what it leads to, or of the verdict that it comes from."""
    if style(target) == "plain" and source.kind in ("rx_handler", "vlan"):
        return style(source)
    return style(target)


def _paths_object(data: ReportData) -> dict[str, Any]:
    scene, places = data.scene, data.summary.places()
    graph = data.paths.graph()
    ordered = data.paths.most_common()
    return {
        **_graph_object(graph, places, scene),
        "paths": [
            {
                "packets": count,
                "example": data.paths.examples[way].id,
                "stops": [_stop_object(node, places, scene) for node in way],
            }
            for way, count in ordered[:PATHS_MAX]
        ],
        "paths_total": len(ordered),
    }


def _stop_object(node: Node, places: list[Place], scene: Scene) -> dict[str, Any]:
    name, detail = label(node, places, scene)
    return {"label": name, "detail": detail, "style": style(node)}


def _graph_object(graph: Graph, places: list[Place], scene: Scene) -> dict[str, Any]:
    nodes, columns = [stop.node for stop in graph.stops], graph.columns()
    return {
        "stops": [
            {**_stop_object(stop.node, places, scene), "again": stop.turn > 0, "column": column}
            for stop, column in zip(graph.stops, columns)
        ],
        "links": [
            {
                "source": link.source,
                "target": link.target,
                "packets": link.packets,
                "style": link_style(nodes[link.source], nodes[link.target]),
            }
            for link in graph.links
        ],
        "columns": max(columns, default=0) + 1,
        "paths_left_out": graph.paths_left_out,
        "packets_left_out": graph.packets_left_out,
    }


def _timeline_object(data: ReportData) -> dict[str, Any]:
    timeline, scene = data.timeline, data.scene
    places = data.summary.places()
    series = [
        {"device": place_name(place, places, scene), "fate": fate, "journeys": row[: timeline.used].tolist()}
        for (place, fate), row in sorted(
            timeline.counts.items(), key=lambda one: (one[0][0], (*FATES, DROPPED).index(one[0][1]))
        )
    ]
    return {"width_ns": timeline.width_ns, "fates": list(FATES), "extra": DROPPED, "series": series}


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


def _journey_object(journey: Journey, scene: Scene) -> dict[str, Any]:
    """Return a journey without its story's last paragraph, the trust line: the page has that at its top."""
    return {"id": journey.id, "heading": lines(journey, scene)[0], "story": paragraphs(journey, scene)[:-1]}
