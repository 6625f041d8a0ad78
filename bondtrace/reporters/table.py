# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary: a row a tap, a column a device and direction, given/passed in each cell."""

from __future__ import annotations

import json
from typing import Any, TextIO

from tabulate import tabulate

from ..host.labels import label
from ..scene import Scene
from ..summary import Place, Summary
from .json_lines import bound_device, tap_object, trust_object
from .text import printable, trust_line

FORMATS = ("simple", "plain", "github", "tsv")
_NOW = 1 << 62
_OUTCOMES = ("captured", "filtered", "full", "ignored", "unknown")


def write(summary: Summary, scene: Scene, stream: TextIO, form: str = "simple") -> None:
    """The table and, but for tsv, what it means and what was lost."""
    headers, rows = table(summary, scene)
    print(tabulate(rows, headers=headers, tablefmt=form, disable_numparse=True), file=stream)
    if form == "tsv":
        return
    print(f"\n{summary.journeys} packets; a cell is given/passed: of the packets that passed the device, how many "
          "the tap was given.", file=stream)
    print(trust_line(scene), file=stream, flush=True)


def table(summary: Summary, scene: Scene) -> tuple[list[str], list[list[str]]]:
    """(headers, rows) as text."""
    places = summary.places()
    outcomes = [name for name in _OUTCOMES if any(outcome == name for _, outcome in summary.outcomes)]
    headers = ["tap", "bound to", *(_place_name(place, places, scene) for place in places), *outcomes]
    if summary.twice:
        headers.append("twice")
    rows = []
    for inode in summary.inodes(scene):
        tap = scene.tap(inode, _NOW)
        row = [printable(label(tap)) if tap else f"[{inode}]",
               printable(bound_device(tap, scene, _NOW)) if tap else "unknown"]
        row += [f"{summary.given[inode, place]}/{summary.passed[place]}" for place in places]
        row += [str(summary.outcomes[inode, name]) for name in outcomes]
        if summary.twice:
            row.append(str(summary.twice[inode]))
        rows.append(row)
    return headers, sorted(rows, key=lambda row: (row[1], row[0]))


def _place_name(place: Place, places: list[Place], scene: Scene) -> str:
    netns, ifindex, direction = place
    name = f"{printable(scene.device_name(netns, ifindex, _NOW))} {direction}"
    if len({one[0] for one in places}) > 1:
        name += f" ({printable(scene.namespaces.get(netns) or f'netns {netns}')})"
    return name


def summary_object(summary: Summary, scene: Scene) -> dict[str, Any]:
    """The summary as JSON tells it."""
    def place(where: Place) -> dict[str, Any]:
        return {"netns": where[0], "dev": printable(scene.device_name(where[0], where[1], _NOW)),
                "direction": where[2]}

    taps = {}
    for inode in summary.inodes(scene):
        tap = scene.tap(inode, _NOW)
        taps[str(inode)] = {
            **(tap_object(tap, scene, _NOW) if tap else {}),
            "devices": [{**place(where), "given": summary.given[inode, where], "passed": summary.passed[where]}
                        for where in summary.places()],
            "outcomes": {name: summary.outcomes[inode, name] for name in _OUTCOMES if summary.outcomes[inode, name]},
            "twice": summary.twice[inode]}
    return {"journeys": summary.journeys, "passed": [{**place(where), "packets": count}
                                                     for where, count in sorted(summary.passed.items())],
            "taps": taps, "trust": trust_object(scene)}


def write_json(summary: Summary, scene: Scene, stream: TextIO) -> None:
    """One object."""
    print(json.dumps(summary_object(summary, scene), ensure_ascii=False), file=stream, flush=True)
