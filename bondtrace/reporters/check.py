# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture files against a recording: the table, what the files lack and why, and whether the two agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, TextIO

from ..analysis import watched
from ..analysis.history import LAST_NS
from ..analysis.scene import Scene
from ..stats.agreement import Agreement, Doubt, agreement, moved_clock
from ..stats.check import Check, Found
from ..stats.held import Capture
from ..util.untrusted import printable
from .fitting import Column, drawn, width_of
from .json_lines import tap_object, timestamp, trust_object
from .text import clock, tap_name, trust_line

_WORDS = {
    "has": "has",
    "lacks": "lacks",
    "missing": "captured, and not in the file",
    "contradicted": "in the file, and not told as captured",
    "open": "in the file, and not known",
    "untold": "in the file, and not in the recording",
    "outside": "not in the traced time",
}


@dataclass(frozen=True)
class Result:
    """What is reported of all captures: the recording's name, its number of packets, and the captures; ``left_out``
    are those of taps of which the recording does not say what they were given."""

    recording: str
    journeys: int
    scene: Scene
    checks: Sequence[Check]
    doubts: Sequence[Doubt]
    left_out: Sequence[Capture] = ()

    def of(self, check: Check) -> Agreement:
        """Return what a capture and the recording do not agree on."""
        return agreement(check, self.scene, self.doubts)

    @property
    def agrees(self) -> bool:
        """Do they all agree?"""
        return all(self.of(one).agrees for one in self.checks)


def write(result: Result, stream: TextIO) -> None:
    """Write the table, what is to be said of each capture, and in the last line whether they agree."""
    rows = [_row(one, result.scene) for one in result.checks]
    counts = ("packets", "has", "twice", "lacks", "outside")
    columns = [Column(("capture",), least=16), Column(("tap",), least=16), *(Column((name,)) for name in counts)]
    lines = [drawn(columns, rows, "simple", width_of(stream), "--json has all"), ""]
    lines.append(f"{_packets(result.journeys)} in the recording; has, twice and lacks count these.")
    for check in result.checks:
        lines += [f"{printable(check.capture.name)}: {line}" for line in _lines(check, result)]
    for capture in result.left_out:
        name = tap_name(capture.inode, result.scene, LAST_NS)
        reason = watched.open_reason(result.scene.tap(capture.inode, LAST_NS), result.scene)
        lines.append(f"{printable(capture.name)}: not compared: it is not known what {name} was given ({reason})")
    print("\n".join([*lines, trust_line(result.scene), verdict(result)]), file=stream, flush=True)


def _row(check: Check, scene: Scene) -> list[str]:
    tally = check.tally
    counts = (check.packets, tally.has, tally.twice, _lacks(check), tally.outside)
    return [printable(check.capture.name), tap_name(check.capture.inode, scene, LAST_NS), *map(str, counts)]


def _lacks(check: Check) -> int:
    return sum(check.tally.lacks.values()) + check.tally.missing + check.tally.unread


def _lines(check: Check, result: Result) -> list[str]:
    """Return what is to be said of a capture besides the numbers."""
    tally, lines = check.tally, []
    reasons = ", ".join(f"{count} {reason} (#{tally.examples[reason]})" for reason, count in tally.lacks.most_common())
    lines += [f"lacks {reasons}"] if reasons else []
    if tally.unread:
        lines.append(
            f"lacks {_packets(tally.unread)} captured before its first or after its last one (not read by the process "
            "when it ended, or in another file of it)"
        )
    lines += _disagreements(check, result.of(check), result)
    if tally.outside:
        lines.append(f"{_packets(tally.outside)} outside the traced time: not compared")
    if tally.open:
        lines.append(f"{_packets(tally.open)} of which the recording does not know whether the tap was given them")
    return [*lines, *(f"{printable(name)} ends in the middle of a packet" for name in check.capture.cut_off)]


def _disagreements(check: Check, found: Agreement, result: Result) -> list[str]:
    tally, lines = check.tally, []
    if tally.missing:
        lines.append(
            f"{_packets(tally.missing)} captured, and not in the file (#{tally.examples['missing']}): did the process "
            "write to another file, too, leave packets out itself (tcpdump -Q), or was the file changed?"
        )
    if tally.contradicted:
        told = ", ".join(
            f"{count} {word} (#{tally.examples[f'not {word}']})" for word, count in tally.contradicted.most_common()
        )
        lines.append(f"has packets that the recording does not call captured by this tap: {told}")
    if tally.untold:
        lines.append(f"has {_packets(tally.untold)} that the recording does not have")
    if found.excused:
        why = [one.words for one in result.doubts] or ["as many were lost, or are fragments joined"]
        lines.append(f"{_packets(found.excused)} of these may rightly be untold: {'; '.join(map(printable, why))}")
    if not tally.found and check.packets and not found.agrees:
        lines.append("nothing in it is in the recording: is it of another tap or host, or of another time?")
    return lines


def verdict(result: Result) -> str:
    """Return the one line that says whether all agree."""
    wrong = [(one, result.of(one)) for one in result.checks if not result.of(one).agrees]
    if not wrong:
        captured = sum(one.tally.found for one in result.checks)
        if not captured:
            return "they agree: neither has a packet that the other has not" + _but(result)
        return f"they agree: {captured} captured, {captured} in the files{_but(result)}"
    told = []
    for check, found in wrong:
        parts = [f"{found.missing} captured and not in the file"] if found.missing else []
        claims = found.contradicted + found.untold
        parts += [f"{claims} in the file and not told (a fault of bondtrace, or of the comparison)"] if claims else []
        told.append(f"{printable(check.capture.name)}: {', '.join(parts)}")
    clock_moved = " (the time of day moved during the trace, and packets are compared by it)"
    return f"they do not agree: {'; '.join(told)}{clock_moved if moved_clock(result.scene) else ''}"


def _but(result: Result) -> str:
    """Return what the agreement leaves out."""
    unread = sum(one.tally.unread for one in result.checks)
    excused = sum(result.of(one).excused for one in result.checks)
    parts = [f"{unread} captured before or after what a file has"] if unread else []
    parts += [f"{excused} in the files that the recording may not know of"] if excused else []
    parts += [f"captures of taps that were not watched: {len(result.left_out)}"] if result.left_out else []
    return f"; left out: {', '.join(parts)}" if parts else ""


def _packets(count: int) -> str:
    return f"{count} packet{'s' * (count != 1)}"


# --- packet by packet ---


def write_found(found: Found, check: Check, stream: TextIO) -> None:
    """Write a packet of the list."""
    name, number = check.capture.place_of(found.which) if found.which is not None else (check.capture.name, None)
    place = f"{printable(name)}{f' {number}' if number else ''}"
    journey = f" #{found.journey}" if found.journey else ""
    reason = f" ({found.reason})" if found.reason else ""
    print(f"{clock(found.time_ns)} {place}{journey} {_WORDS[found.what]}{reason}", file=stream)


def found_object(found: Found, check: Check) -> dict[str, Any]:
    """Return a packet of the list for JSON."""
    file, number = check.capture.place_of(found.which) if found.which is not None else (None, None)
    return {
        "capture": printable(check.capture.name),
        "what": found.what,
        "time": timestamp(found.time_ns),
        "file": None if file is None else printable(file),
        "number": number,
        "journey": found.journey,
        "reason": found.reason or None,
    }


# --- JSON ---


def check_object(result: Result) -> dict[str, Any]:
    """Return the result for JSON."""
    return {
        "recording": result.recording,
        "agrees": result.agrees,
        "journeys": result.journeys,
        "captures": [_capture_object(one, result) for one in result.checks],
        "left_out": [printable(one.name) for one in result.left_out],
        "doubts": [printable(one.words) for one in result.doubts],
        "trust": trust_object(result.scene),
    }


def _capture_object(check: Check, result: Result) -> dict[str, Any]:
    tally, found = check.tally, result.of(check)
    tap = result.scene.tap(check.capture.inode, LAST_NS)
    return {
        "capture": printable(check.capture.name),
        "files": [printable(str(one.path)) for one in check.capture.files],
        "cut_off": [printable(one) for one in check.capture.cut_off],
        "inode": check.capture.inode,
        "tap": tap_object(tap, result.scene, LAST_NS) if tap else None,
        "agrees": found.agrees,
        "packets": check.packets,
        "outside": tally.outside,
        "found": tally.found,
        "has": tally.has,
        "twice": tally.twice,
        "lacks": {
            reason: {"packets": count, "example": tally.examples[reason]} for reason, count in tally.lacks.most_common()
        },
        "unread": tally.unread,
        "missing": _with_example(tally.missing, tally.examples.get("missing")),
        "contradicted": {
            word: {"packets": count, "example": tally.examples[f"not {word}"]}
            for word, count in tally.contradicted.most_common()
        },
        "open": tally.open,
        "untold": tally.untold,
        "excused": found.excused,
    }


def _with_example(count: int, example: Optional[int]) -> dict[str, Optional[int]]:
    return {"packets": count, "example": example if count else None}


def write_json(value: dict[str, Any], stream: TextIO) -> None:
    """Write an object as one line."""
    print(json.dumps(value, ensure_ascii=False), file=stream, flush=True)
