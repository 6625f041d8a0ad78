# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the screen show, as lines: the list, a story, the table, the help.

Invariant: every text is printable, as it comes from the reporters or from ``util.untrusted``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Optional

from ..analysis import telling, watched
from ..analysis.eras import Era
from ..analysis.scene import Scene
from ..analysis.select import visited
from ..model import Journey
from ..net.dissect import one_line
from ..reporters import as_if, story, table, text
from ..util.untrusted import printable
from .lines import Line, cut, fitted, padded, spans, width, wrapped
from .search import Tally

_WIDE = 100  # columns of a list with numbers and microseconds
_HANG = 8
_UNLIMITED = 1 << 20  # columns of a table that is not fitted

KEYS = (
    ("↑ ↓  j k", "the journey before, the next one"),
    ("PgUp PgDn  b Space", "a page; Ctrl-U Ctrl-D: half of one"),
    ("Home End  g G", "the first, the last"),
    ("Enter", "the story in sentences, or as steps"),
    ("→ ←  l h", "scroll the story, or the list again"),
    ("v", "name the taps whose absence is no news, too"),
    ("n N", "the next journey, or the one before, with the same steps and answers"),
    ("u U", "the next, or the one before, with other ones"),
    ("/", "select journeys, as you type; Tab completes, Enter keeps it, Esc takes it back"),
    ("Tab", "the table of taps and devices, of what is selected"),
    ("Enter  (table)", "with the reasons why taps did not see packets"),
    ("w  → ←  (table)", "all of a table that does not fit, and move it"),
    ("?  Esc", "this help, and back"),
    ("q  Ctrl-C", "quit; Ctrl-Z stops, Ctrl-L draws the screen again"),
)

_SELECT = (
    "A selection is a tcpdump filter (icmp and host 10.9.0.1), or options as of `bondtrace show` (--tap tcpdump "
    "--unseen inactive-slave --slower 1ms), or both. A wrong one changes nothing.",
    "taps: how many captured the packet, of those that were offered it or could have been expected to see it. "
    "!: one had no room for it. ?: of one it is not known. ×: the kernel dropped it, and not by design.",
)


# --- the list ------------------------------------------------------------------------------------------


def list_lines(journeys: Sequence[Journey], at: Optional[int], columns: int) -> list[Line]:
    """Return the heading and a line for each journey, of exactly so many columns; the one ``at`` has the cursor."""
    sizes = _sizes(columns)
    heads = {"number": "#", "time": "time", "way": "", "path": "devices", "taps": "taps"}
    head = "".join(f"{padded(heads[name], size)} " for name, size in sizes.items() if size)
    found: list[Line] = [[("bold", padded(f"{head}packet", columns))]]
    for place, journey in enumerate(journeys):
        line = fitted(_row(journey, sizes), columns)
        found.append([("cursor", piece) for _, piece in line] if place == at else line)
    return found


def _sizes(columns: int) -> dict[str, int]:
    """Return the columns that each part of a line gets, but the packet; 0 leaves it out."""
    is_wide = columns >= _WIDE
    return {
        "number": 8 if is_wide else 0,
        "time": 15 if columns >= 80 else 12 if columns >= 60 else 0,
        "way": 2,
        "path": max(columns // 6, min(13, columns // 3)),
        "taps": 6,
    }


def _row(journey: Journey, sizes: dict[str, int]) -> Line:
    seen, of, mark = seen_by(journey)
    path, dropped = _path(journey), is_dropped(journey)
    room = sizes["path"] - 2 * dropped
    line: Line = [("", f"{f'#{journey.id}':<{sizes['number']}} ")] if sizes["number"] else []
    line += [("", f"{text.clock(journey.wall_ns)[: sizes['time']]} ")] if sizes["time"] else []
    line += [("", f"{journey.direction:<2} {_shortened(path, room)}")]
    line += [("red", " ×")] if dropped else []
    line += [("", " " * (room - width(_shortened(path, room)) + 1))]
    line += [("", f"{seen}/{of}"), ("red" if mark == "!" else "yellow", mark)]
    line += [("", " " * max(sizes["taps"] - len(f"{seen}/{of}{mark}"), 0) + " ")]
    return [*line, ("", printable(one_line(journey.packet)))]


def _path(journey: Journey) -> str:
    return ">".join(printable(name) for name, _ in groupby(visited(journey)))


def _shortened(path: str, room: int) -> str:
    """Return a path that fits: the devices at its end are kept, and the first where there is room."""
    if width(path) <= room:
        return path
    first, *rest = path.split(">")
    while rest and width(f"{first}>…>{'>'.join(rest)}") > room:
        rest = rest[1:]
    return f"{first}>…>{'>'.join(rest)}" if rest else cut(path, room)


def seen_by(journey: Journey) -> tuple[int, int, str]:
    """Return how many taps captured a packet, of how many that were offered it or whose absence tells something
    (``telling``); and "!" where one had no room for it, "?" where of one it is not known."""
    outcomes: dict[int, set[str]] = {}
    for one in journey.passes:
        for step in one.steps:
            if step.tap is not None and step.outcome != "ignored":
                outcomes.setdefault(step.tap, set()).add(step.outcome or "unknown")
    told = [one for group in telling.absences(journey).told for one in group]
    captured = sum("captured" in found for found in outcomes.values())
    is_open = any(one.reason in watched.OPEN or one.reason == "unknown" for one in told)
    is_full = any("full" in found for found in outcomes.values())
    is_open |= any("unknown" in found for found in outcomes.values()) or not journey.complete
    return captured, len(outcomes.keys() | {one.tap for one in told}), "!" if is_full else "?" if is_open else ""


def is_dropped(journey: Journey) -> bool:
    """Did the kernel drop the packet, or a copy of it, and not by design?"""
    return any(step.kind == "drop" and not step.harmless for one in journey.passes for step in one.steps)


# --- a story -------------------------------------------------------------------------------------------


def story_lines(
    journey: Journey, scene: Scene, columns: int, sentences: bool, verbose: bool, era: Optional[Era] = None
) -> list[Line]:
    """Return the story of a journey, as steps or in sentences, wrapped."""
    if sentences:
        told = [*story.paragraphs(journey, scene, verbose), *(as_if.paragraphs(journey, scene, era) if era else ())]
        hang = 2
    else:
        detail = text.Detail.VERBOSE if verbose else text.Detail.USUAL
        told = [*text.lines(journey, scene, True, detail), *(as_if.lines(journey, scene, era) if era else ())]
        hang = _HANG
    return [part for line in told for part in wrapped(spans(line), columns, hang)]


# --- the table, the help -------------------------------------------------------------------------------


def table_lines(tallies: Sequence[Tally], columns: int, why: bool, whole: bool) -> list[Line]:
    """Return the tables of what is selected, one a trace, with what is to be said of them; ``whole``: not fitted."""
    told: list[str] = []
    for tally in tallies:
        scene = tally.trace.scene
        told += [""] if told else []
        told += [f"== {tally.trace.name}"] if len(tallies) > 1 else []
        told += [printable(line) for line in tally.trace.reservations()]
        told += tally.selection.lines(scene) if tally.selection else []
        told += table.lines(tally.summary, scene, _UNLIMITED if whole else columns, why=why)
        told += ["", *as_if.table_lines(tally.counts, _UNLIMITED if whole else columns)] if tally.counts else []
    if whole:
        return [[("", line)] for line in told]
    return [part for line in told for part in wrapped([("", line)], columns, _HANG)]


def help_lines(columns: int) -> list[Line]:
    """Return what the keys do, and what is selected how."""
    size = min(20, columns // 3)
    told = [[("bold", padded(keys, size)), ("", f" {meaning}")] for keys, meaning in KEYS]
    found = [part for line in told for part in wrapped(line, columns, size + 1)]
    return [*found, *(part for line in _SELECT for part in ([], *wrapped([("", line)], columns, 0)))]


# --- around them ---------------------------------------------------------------------------------------


def bar(left: str, right: str, columns: int, style: str = "bar") -> Line:
    """Return a line with something at its left and at its right, of which the latter is kept longer."""
    right = cut(right, columns)
    return [(style, padded(f"{padded(left, max(columns - width(right) - 1, 0))} {right}", columns))]


def beside(left: Sequence[Line], right: Sequence[Line], columns: int) -> list[Line]:
    """Return lines next to one another; the left ones are of ``columns``."""
    count = max(len(left), len(right))
    rows = zip([*left, *[[]] * (count - len(left))], [*right, *[[]] * (count - len(right))])
    return [[*fitted(list(first), columns), ("bar", " "), ("", " "), *second] for first, second in rows]


def part_of(lines: Sequence[Line], top: int, rows: int, aside: int = 0) -> list[Line]:
    """Return those lines that are shown, so many rows; ``aside`` columns are left out at their begin."""
    shown = [_without(line, aside) for line in lines[top : top + rows]]
    return [*shown, *[[] for _ in range(rows - len(shown))]]


def _without(line: Line, count: int) -> Line:
    found: Line = []
    for style, piece in line:
        found.append((style, piece[count:]))
        count = max(count - len(piece), 0)
    return found
