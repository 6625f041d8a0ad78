# SPDX-License-Identifier: GPL-2.0-or-later
"""Several kernels side by side: a column per kernel; rows say what each tap saw of each class of packets.

Taps are matched by name and binding, devices by name: inodes, pids and ifindexes differ from boot to boot.

Invariant: a row is marked ``≠`` only where a kernel *answers* differently (another tap sees the packet, another
outcome, another reason); where only the numbers differ, as noise makes them differ, it is marked ``~``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional, TextIO

from ..analysis import watched
from ..analysis.history import LAST_NS
from ..analysis.scene import Scene
from ..analysis.tap_names import label
from ..model import Tap
from ..stats.kernel_comparison import Observation
from ..stats.summary import Place, Summary
from ..util.untrusted import printable
from .fitting import Column, drawn, width_of
from .json_lines import bound_device, protocol_name, trust_object
from .text import trust_line

_MARKS = {"answer": "≠", "count": "~", "": ""}
_NOT_WATCHED = "?"
_TOTAL, _OFFERED, _OUTCOME, _UNSEEN = "packets", "offered", "outcome", "unseen"

Counts = dict[str, int]


@dataclass(frozen=True, order=True)
class TapName:
    """What a tap is recognised by on every kernel. ``number`` distinguishes taps that are otherwise alike."""

    dev: str
    name: str
    netns: str
    protocol: str
    kind: str
    buffer: str
    number: int = 1

    def __str__(self) -> str:
        more = f" #{self.number}" if self.number > 1 else ""
        return f"{self.name}{more}{f' ({self.netns})' if self.netns else ''}"


@dataclass(frozen=True)
class Row:
    """One aspect of a class of packets on every kernel.

    ``aspect`` says what is counted: "packets" (all of the class; no tap), "offered" (and captured, at ``where``),
    "outcome" (those other than captured) or "unseen" (by reason). ``cells`` are in the order of the kernels, ``None``
    for a kernel that failed; ``differs`` is "answer", "count" or "".
    """

    tap: Optional[TapName]
    packets: str
    aspect: str
    where: str
    cells: tuple[Optional[Counts], ...]
    differs: str


# --- matching ------------------------------------------------------------------------------------------


class _Kernel:
    """A kernel's counts, with names in place of inodes and ifindexes."""

    def __init__(self, observation: Observation) -> None:
        self._scene = observation.scene
        self._classes = observation.classes
        self.taps = _named_taps(observation)
        self._inodes = {name: inode for inode, name in self.taps.items()}

    def watches(self, tap: TapName) -> bool:
        """Is it known what this tap was given?"""
        return watched.totals_known(self._scene.tap(self._inodes.get(tap, -1), LAST_NS), self._scene)

    def packets(self, packets: str) -> Counts:
        summary = self._classes.get(packets)
        return {"packets": summary.journeys} if summary else {}

    def places(self, packets: str, tap: TapName) -> dict[str, Counts]:
        """Return {"eth0 rx": offered and captured} of a tap."""
        summary, inode = self._find(packets, tap)
        return {
            _place_name(place, self._scene): {"offered": offered, "captured": summary.captured[inode, place]}
            for (one, place), offered in sorted(summary.offered.items())
            if one == inode and offered
        }

    def outcomes(self, packets: str, tap: TapName) -> Counts:
        summary, inode = self._find(packets, tap)
        found = {outcome: count for (one, outcome), count in summary.outcomes.items() if one == inode}
        return _sorted({outcome: count for outcome, count in found.items() if count and outcome != "captured"})

    def unseen(self, packets: str, tap: TapName) -> Counts:
        summary, inode = self._find(packets, tap)
        return dict(summary.reasons(inode))

    def _find(self, packets: str, tap: TapName) -> tuple[Summary, int]:
        return self._classes.get(packets) or Summary(), self._inodes.get(tap, -1)


def _named_taps(observation: Observation) -> dict[int, TapName]:
    """Return {inode: name}; taps that are alike are numbered in the order of their inodes."""
    scene, seen = observation.scene, Counter[TapName]()
    names = {}
    for inode in sorted(observation.total.inodes(scene)):
        name = _tap_name(scene.tap(inode, LAST_NS), scene)
        seen[name] += 1
        names[inode] = replace(name, number=seen[name])
    return names


def _tap_name(tap: Optional[Tap], scene: Scene) -> TapName:
    if tap is None:
        return TapName("unknown", "(known only by its inode)", "", "", "", "")
    return TapName(
        printable(bound_device(tap, scene, LAST_NS)),
        printable(label(tap)),
        _netns_name(tap.netns, scene),
        protocol_name(tap.protocol),
        tap.kind,
        tap.buffer or "",
    )


def _netns_name(netns: int, scene: Scene) -> str:
    """Return "" for the namespace that is traced, for others the name that `ip netns` has, if any."""
    if netns == scene.start.get("netns"):
        return ""
    return printable(scene.namespace_name(netns)) or "unnamed namespace"


def _place_name(place: Place, scene: Scene) -> str:
    netns, ifindex, direction = place
    where = _netns_name(netns, scene)
    return f"{printable(scene.device_name(netns, ifindex, LAST_NS))} {direction}{f' ({where})' if where else ''}"


def _sorted(counts: Counts) -> Counts:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


# --- rows ----------------------------------------------------------------------------------------------


def rows(observations: Sequence[Observation]) -> list[Row]:
    """Return the rows of all kernels that did not fail: for each class of packets the total, then each tap."""
    kernels = [None if one.error else _Kernel(one) for one in observations]
    there = [kernel for kernel in kernels if kernel]
    taps = sorted({tap for kernel in there for tap in kernel.taps.values()})
    classes = sorted({packets for one in observations if not one.error for packets in one.classes})
    result = []
    for packets in classes:
        cells = [kernel.packets(packets) if kernel else None for kernel in kernels]
        # A class that a kernel never had says nothing about its taps.
        had = [bool(cell) for cell in cells]
        result.append(_row(None, packets, _TOTAL, "", cells, had))
        for tap in taps:
            result += _rows_of(kernels, packets, tap, had)
    return result


def _rows_of(kernels: Sequence[Optional[_Kernel]], packets: str, tap: TapName, had: list[bool]) -> list[Row]:
    # Where a tap was not watched there is no answer to compare: None, as for a kernel that failed.
    kernels = [kernel if kernel and kernel.watches(tap) else None for kernel in kernels]
    by_place = [kernel.places(packets, tap) if kernel else None for kernel in kernels]
    places = sorted({place for one in by_place for place in one or ()})
    found = [
        _row(tap, packets, _OFFERED, place, [None if one is None else one.get(place, {}) for one in by_place], had)
        for place in places
    ]
    found.append(
        _row(tap, packets, _OUTCOME, "", [kernel.outcomes(packets, tap) if kernel else None for kernel in kernels], had)
    )
    found.append(
        _row(tap, packets, _UNSEEN, "", [kernel.unseen(packets, tap) if kernel else None for kernel in kernels], had)
    )
    return [row for row in found if any(row.cells)]


def _row(
    tap: Optional[TapName],
    packets: str,
    aspect: str,
    where: str,
    cells: Sequence[Optional[Counts]],
    had: Sequence[bool],
) -> Row:
    told = [cell for cell in cells if cell is not None]
    answers = {_answer(cell) for cell, there in zip(cells, had) if cell is not None and there}
    differs = "answer" if len(answers) > 1 else "count" if any(cell != told[0] for cell in told) else ""
    return Row(tap, packets, aspect, where, tuple(cells), differs)


def _answer(cell: Counts) -> frozenset[str]:
    """Return what a cell says apart from its numbers: the outcomes or reasons that occurred."""
    return frozenset(name for name, count in cell.items() if count)


# --- text ----------------------------------------------------------------------------------------------


def write(observations: Sequence[Observation], stream: TextIO) -> None:
    """Write the table, what its marks mean, and for each kernel what was lost and where its files are."""
    found = rows(observations)
    kernels = (Column((printable(one.kernel),), least=12, wraps=True) for one in observations)
    heads = [Column(("packets",)), Column(("tap",), least=16), Column(("bound to",), tells=(1, 0)), Column(("where",))]
    table = [*_text_rows(found, [one.error for one in observations]), _last_row(observations)]
    print(drawn([*heads, *kernels, Column(("",))], table, "simple", width_of(stream), "--json has all"), file=stream)
    print(f"\na cell is offers/captures, or how many and why; {_verdict(found)}", file=stream)
    if any(_NOT_WATCHED in line for line in table):
        print(f"{_NOT_WATCHED}: not watched on that kernel", file=stream)
    for one in observations:
        print(_kernel_line(one), file=stream)
    stream.flush()


def _text_rows(found: Sequence[Row], failures: Sequence[str]) -> list[list[str]]:
    """Return the rows as text; none repeats what the row above says, except under a total, which begins each class."""
    names = _tap_texts(found)
    result, packets, tap = [], "", None
    for row in found:
        heads = [row.packets if row.packets != packets else "", "", ""]
        if row.tap and row.tap != tap:
            heads[1:] = [names[row.tap], row.tap.dev]
        elif row.tap is None:
            heads[1] = "(packets)"
        packets, tap = row.packets, row.tap
        where = {_OFFERED: row.where, _OUTCOME: "not captured", _UNSEEN: "not offered"}.get(row.aspect, "")
        cells = [
            _text(row, cell) if cell is not None or failed else _NOT_WATCHED
            for cell, failed in zip(row.cells, failures)
        ]
        result.append([*heads, where, *cells, _MARKS[row.differs]])
    return result


def _tap_texts(found: Sequence[Row]) -> dict[TapName, str]:
    """Return the names of taps; where names are the same, with what distinguishes the taps."""
    taps = {row.tap for row in found if row.tap}
    alike = Counter((str(tap), tap.dev) for tap in taps)
    return {
        tap: f"{tap} {tap.protocol} {tap.kind} {tap.buffer}".rstrip() if alike[str(tap), tap.dev] > 1 else str(tap)
        for tap in taps
    }


def _text(row: Row, cell: Optional[Counts]) -> str:
    if cell is None:
        return ""
    if row.aspect == _TOTAL:
        return str(cell.get("packets", 0))
    if row.aspect == _OFFERED:
        return f"{cell['offered']}/{cell['captured']}" if cell else "-"
    return ", ".join(f"{count} {name}" for name, count in cell.items()) or "-"


def _last_row(observations: Sequence[Observation]) -> list[str]:
    cells = [
        "failed" if one.error else "none" if trust_object(one.scene)["clean"] else "see below" for one in observations
    ]
    return ["(losses)", "", "", "", *cells, ""]


def _verdict(found: Sequence[Row]) -> str:
    differing = {row.differs for row in found}
    if "answer" in differing:
        return "≠ the kernels answer differently, ~ only the numbers differ."
    return "the kernels answer alike" + (", ~ only the numbers differ." if "count" in differing else ".")


def _kernel_line(one: Observation) -> str:
    name = f"{printable(one.kernel)} ({one.release})" if one.release and one.release != one.kernel else one.kernel
    if one.error:
        return f"{name}: failed: {one.error}"
    return f"{name}: {trust_line(one.scene)}; capture files and logs: {one.out_dir}"


# --- JSON ----------------------------------------------------------------------------------------------


def comparison_object(observations: Sequence[Observation], scenario: str) -> dict[str, Any]:
    """Return the comparison for JSON."""
    kernels = [
        {
            "kernel": one.kernel,
            "release": one.release or None,
            "error": one.error or None,
            "directory": one.out_dir,
            "packets": one.total.journeys,
            "trust": None if one.error else trust_object(one.scene),
        }
        for one in observations
    ]
    return {
        "scenario": scenario,
        "kernels": kernels,
        "rows": [
            {
                "packets": row.packets,
                "tap": asdict(row.tap) if row.tap else None,
                "aspect": row.aspect,
                "where": row.where or None,
                "differs": row.differs or None,
                "cells": {one.kernel: cell for one, cell in zip(observations, row.cells)},
            }
            for row in rows(observations)
        ],
    }


def write_json(observations: Sequence[Observation], stream: TextIO, scenario: str) -> None:
    """Write the comparison as one object."""
    print(json.dumps(comparison_object(observations, scenario), ensure_ascii=False), file=stream, flush=True)
