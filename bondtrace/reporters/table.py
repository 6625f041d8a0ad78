# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary: a row per tap, a column per device and direction, offered/captured in each cell; and the sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Optional, TextIO

from ..analysis import coverage, in_file, tap_ends, telling, watched
from ..analysis.history import LAST_NS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..model import OUTCOMES, Tap
from ..stats.ended import Drop
from ..stats.summary import Place, Summary
from ..util.untrusted import printable
from . import sockets
from .fitting import Column, drawn, width_of
from .json_lines import bound_device, tap_object, trust_object
from .text import ended_by, in_brackets, namespace_name, trust_line

_UNKNOWN = "?"
_ENDED_MAX = 20


def write(summary: Summary, scene: Scene, stream: TextIO, form: str = "simple", why: bool = False) -> None:
    """Write the table and, except as tsv, what it means, ``why`` taps did not see packets, and what was lost."""
    if form == "tsv":  # tabulate would pad the cells
        blocks = (
            "\n".join("\t".join(row) for row in ([one.name for one in columns], *rows))
            for columns, rows in _tables(summary, _tap_labels(summary, scene), scene)
        )
        print("\n\n".join(blocks), file=stream, flush=True)
        return
    print("\n".join(lines(summary, scene, width_of(stream), form, why)), file=stream, flush=True)


def lines(summary: Summary, scene: Scene, width: int, form: str = "simple", why: bool = False) -> list[str]:
    """Return the lines that ``write`` writes, in any form but tsv; tables for people fit the width."""
    names = _tap_labels(summary, scene)
    tables = [drawn(*one, form, width) for one in _tables(summary, names, scene)]
    notes = [*_notes(summary, scene), *_ended_lines(names, scene), *_file_lines(summary, names, scene)]
    told = [*tables[0].splitlines(), "", *notes, *drop_lines(summary, scene)]
    told += ["", *(line for one in tables[1:] for line in one.splitlines()), ""] if tables[1:] else []
    told += [] if summary.counted else sockets.lines_below(summary, scene)
    told += ["", *_why_lines(summary, names, scene), *sockets.why_lines(summary, scene)] if why else []
    not_traced = printable(coverage.line(scene))
    return [*told, *([not_traced] if not_traced else []), trust_line(scene)]


def _tables(summary: Summary, names: dict[int, str], scene: Scene) -> list[tuple[list[Column], list[list[str]]]]:
    return [_table(summary, names, scene), *([sockets.table(summary, scene)] if summary.ended.sockets else [])]


def _notes(summary: Summary, scene: Scene) -> list[str]:
    """Return what the cells of the table mean."""
    meaning = "a cell is offers/captures; an unbound tap is offered a bonded packet once per device."
    found = {watched.open_reason(scene.tap(inode, LAST_NS), scene) for inode in summary.inodes(scene)}
    words = " or ".join(sorted(reason.replace("-", " ") for reason in found if reason))
    unknown = [f"{_UNKNOWN}: {words} in this trace."] if found & watched.OPEN else []
    return [f"{_what(summary, scene)}; {meaning}", *unknown]


def _ended_lines(names: dict[int, str], scene: Scene) -> list[str]:
    """Return which taps did not listen any more when the trace ended, and why, as far as that is known."""
    ends = ((name, tap_ends.of_tap(inode, scene)) for inode, name in names.items())
    lines = [
        f"{end.mark}: {name}{ended_by(end, scene)}: {printable(end.detail)}" for name, end in ends if end is not None
    ]
    more = [f"and {len(lines) - _ENDED_MAX} more taps that ended"] if len(lines) > _ENDED_MAX else []
    return [*lines[:_ENDED_MAX], *more]


def _file_lines(summary: Summary, names: dict[int, str], scene: Scene) -> list[str]:
    """Return which of the packets that taps captured are not in their files."""
    places, lines = summary.places(), []
    for inode, name in names.items():
        tap = scene.tap(inode, LAST_NS)
        captured = {where: summary.captured[inode, where] for where in places}
        lines += [f"{name}: {note}" for note in in_file.left_out(tap, captured, scene)] if tap else []
    return lines[:_ENDED_MAX]


def of_those(scene: Scene) -> str:
    """Return what qualifies a number of packets where those of a direction may be missing."""
    return " of those that are watched" if watched.misses_packets(scene) else ""


def _what(summary: Summary, scene: Scene) -> str:
    those = of_those(scene)
    if summary.counted:
        return (
            f"{summary.journeys} passes{those}, counted in the kernel: why a tap was not offered a packet is not known"
        )
    incomplete = f" ({summary.incomplete} of them incomplete)" if summary.incomplete else ""
    return f"{summary.journeys} packets{those}{incomplete}"


def _table(summary: Summary, names: dict[int, str], scene: Scene) -> tuple[list[Column], list[list[str]]]:
    """Return (columns, rows): a row per tap, and what passed each device."""
    places = summary.places()
    kinds = [name for name in OUTCOMES if any(outcome == name for _, outcome in summary.outcomes)]
    columns = [
        Column(("tap",), least=24),
        Column(("bound to",), tells=(1, 0)),
        *(_column(place, places, summary, scene) for place in places),
        *(Column((kind,)) for kind in (*kinds, *(["twice"] if summary.twice else []))),
        *([] if summary.counted else [Column(("unseen",)), Column(("mostly", "because"), least=16)]),
    ]
    rows = []
    for inode, name in names.items():
        tap = scene.tap(inode, LAST_NS)
        end = tap_ends.of_tap(inode, scene)
        row = [name, bound_name(tap, scene) + (f" ({end.mark})" if end else "")]
        open_ = watched.open_reason(tap, scene)
        known = open_ is None
        cells_known = watched.cells_known(tap, scene)
        row += [_cell(*_offers(inode, place, summary, cells_known)) for place in places]
        row += [str(summary.outcomes[inode, name]) if known else _UNKNOWN for name in kinds]
        row += [str(summary.twice[inode]) if known else _UNKNOWN] if summary.twice else []
        if not summary.counted:
            reasons = summary.ranked(inode)
            unseen = str(sum(count for _, count in reasons)) if known else _UNKNOWN
            row += [unseen, open_ or telling.main_reason(reasons)]
        rows.append(row)
    rows.sort(key=lambda row: (row[1], row[0]))
    passed = ["(packets that passed)", "", *(str(summary.passed[place]) for place in places)]
    return columns, [*rows, passed + [""] * (len(columns) - len(passed))]


def _column(place: Place, places: list[Place], summary: Summary, scene: Scene) -> Column:
    """Return the column of a device and direction. Of those where no tap was offered anything the others tell more."""
    netns, ifindex, direction = place
    is_offered = any(where == place for _, where in summary.offered)
    return Column(
        (printable(scene.device_name(netns, ifindex, LAST_NS)), direction),
        group=namespace_name(netns, scene) if len({one[0] for one in places}) > 1 else "",
        tells=(2 if is_offered else 0, summary.passed[place]),
    )


def _offers(inode: int, place: Place, summary: Summary, cells_known: bool) -> tuple[Optional[int], Optional[int]]:
    """Return (offered, captured) of a tap at a place; ``None`` where that is not known (``watched.cells_known``)."""
    offered = summary.offered[inode, place]
    return (offered, summary.captured[inode, place]) if offered or cells_known else (None, None)


def _cell(offered: Optional[int], captured: Optional[int]) -> str:
    return _UNKNOWN if offered is None else f"{offered}/{captured}" if offered else "-"


def drop_lines(summary: Summary, scene: Scene) -> list[str]:
    """Return how many packets the kernel dropped where and why, the most frequent first; those last by which nobody
    lost anything."""
    return [
        f"dropped by {'design' if harmless else 'the kernel'}: {count} on "
        f"{printable(scene.device_name(netns, ifindex, LAST_NS))} in {function}: {reason or 'it gives no reason'}"
        f"{f' ({printable(harmless)})' if harmless else ''}"
        for (netns, ifindex, function, reason), harmless, count in summary.ended.drops()
    ]


def _why_lines(summary: Summary, names: dict[int, str], scene: Scene) -> list[str]:
    """Return for each tap the reasons with counts, and one journey as an example of each."""
    lines = []
    for inode, name in names.items():
        reasons = summary.ranked(inode)
        tap = scene.tap(inode, LAST_NS)
        if reasons and tap:
            verb = "did not see" if watched.totals_known(tap, scene) else "may have seen or not"
            lines.append(f"{name} {verb}")
        for reason, count in reasons:
            one = summary.absences[inode, reason]
            lines.append(f"  {count:>8}  {reason}: {printable(one.unseen.detail)} (for example #{one.journey.id})")
    return lines


def _tap_labels(summary: Summary, scene: Scene) -> dict[int, str]:
    """Return the names of the taps of a summary with their inodes, told apart, by inode."""
    labels = last_labels(scene)
    return {
        inode: f"{printable(labels[inode])} [{inode}]" if inode in labels else f"[{inode}]"
        for inode in summary.inodes(scene)
    }


def bound_name(tap: Optional[Tap], scene: Scene) -> str:
    """Return what a tap is bound to, as the tables call it."""
    return printable(bound_device(tap, scene, LAST_NS)) if tap else "unknown"


def place_name(place: Place, places: list[Place], scene: Scene) -> str:
    """Return a device and direction, with its namespace where ``places`` are in several."""
    netns, ifindex, direction = place
    name = f"{printable(scene.device_name(netns, ifindex, LAST_NS))} {direction}"
    if len({one[0] for one in places}) > 1:
        name += f" {in_brackets(namespace_name(netns, scene))}"
    return name


def summary_object(summary: Summary, scene: Scene) -> dict[str, Any]:
    """Return the summary for JSON."""
    labels = last_labels(scene)
    packets = {"journeys": summary.journeys, "incomplete": summary.incomplete}
    return {
        **({"passes": summary.journeys} if summary.counted else packets),
        "passed": [{**_place(where, scene), "packets": summary.passed[where]} for where in summary.places()],
        "taps": {str(inode): _tap_counts(inode, labels.get(inode), summary, scene) for inode in summary.inodes(scene)},
        "dropped": [
            {**drop_object(drop, harmless, scene), "packets": count} for drop, harmless, count in summary.ended.drops()
        ],
        **sockets.objects(summary, scene),
        "not_traced": [_uncovered_object(one) for one in coverage.uncovered(scene)],
        "trust": trust_object(scene),
    }


def drop_object(drop: Drop, harmless: Optional[str], scene: Scene) -> dict[str, Any]:
    """Return what was dropped where, and why; ``harmless``: why nobody lost anything by it."""
    netns, ifindex, function, reason = drop
    values = {**_device(netns, ifindex, scene), "function": function, "reason": reason}
    return {**values, **({"harmless": printable(harmless)} if harmless else {})}


def _uncovered_object(one: coverage.Uncovered) -> dict[str, Any]:
    return {
        "netns": one.netns,
        "dev": printable(one.dev) or None,
        "taps": [tap.inode for tap in one.taps],
        "option": printable(one.option),
    }


def _device(netns: int, ifindex: int, scene: Scene) -> dict[str, Any]:
    return {"netns": netns, "dev": printable(scene.device_name(netns, ifindex, LAST_NS))}


def _place(where: Place, scene: Scene) -> dict[str, Any]:
    return {**_device(*where[:2], scene), "direction": where[2]}


def _tap_counts(inode: int, name: Optional[str], summary: Summary, scene: Scene) -> dict[str, Any]:
    tap = scene.tap(inode, LAST_NS)
    known, cells_known = watched.totals_known(tap, scene), watched.cells_known(tap, scene)
    end = tap_ends.of_tap(inode, scene)
    outcomes = {name: summary.outcomes[inode, name] for name in OUTCOMES if summary.outcomes[inode, name]}
    return {
        **(tap_object(tap, scene, LAST_NS, name) if tap else {}),
        "watched": known,
        "ended": printable(end.detail) if end else None,
        "devices": [_offers_object(inode, where, summary, scene, cells_known) for where in summary.places()],
        "outcomes": outcomes if known else None,
        "unseen": None if summary.counted else dict(_unseen_counts(inode, summary)),
        "twice": summary.twice[inode] if known and not summary.counted else None,
    }


def _offers_object(inode: int, where: Place, summary: Summary, scene: Scene, cells_known: bool) -> dict[str, Any]:
    offered, captured = _offers(inode, where, summary, cells_known)
    return {**_place(where, scene), "passed": summary.passed[where], "offered": offered, "captured": captured}


def _unseen_counts(inode: int, summary: Summary) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each reason with its count and an example."""
    for reason, count in summary.reasons(inode):
        example = summary.absences[inode, reason]
        yield (
            reason,
            {
                "packets": count,
                "trivial": example.trivial,
                "example": example.journey.id,
                "detail": printable(example.unseen.detail),
            },
        )


def write_json(summary: Summary, scene: Scene, stream: TextIO, more: Optional[dict[str, Any]] = None) -> None:
    """Write the summary as one object, with the keys of ``more``."""
    print(json.dumps({**summary_object(summary, scene), **(more or {})}, ensure_ascii=False), file=stream, flush=True)
