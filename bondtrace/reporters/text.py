# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys as text for people: a heading per packet, then a line per step, then the taps that did not see it.

Invariant: names that come from the kernel or from processes are printed as printable text (``util.untrusted``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Callable, Optional, TextIO

from ..analysis import watched
from ..analysis.scene import Scene
from ..analysis.tap_names import label
from ..model import Journey, Pass, Step, Unseen
from ..net.dissect import one_line
from ..util.untrusted import printable

_COLOURS = {
    "captured": "32",
    "filtered": "33",
    "full": "31",
    "ignored": "33",
    "ANOTHER": "36",
    "EXACT": "33",
    "PASS": "36",
    "CONSUMED": "31",
    "dropped": "31",
    "heading": "1",
    "unseen": "2",
}


def clock(wall_ns: int) -> str:
    """Return the local time of day with microseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06d}"


def duration(value_ns: int) -> str:
    """Return a short time for people: 850 ns, 21.3 µs, 4.2 ms, 1.50 s."""
    for limit, unit, scale, digits in (
        (1_000, "ns", 1, 0),
        (1_000_000, "µs", 1_000, 1),
        (1_000_000_000, "ms", 1_000_000, 1),
    ):
        if value_ns < limit:
            return f"{value_ns / scale:.{digits}f} {unit}"
    return f"{value_ns / 1e9:.2f} s"


def write(journey: Journey, scene: Scene, stream: TextIO, colour: bool = False, more: Sequence[str] = ()) -> None:
    """Write a journey, with ``more`` lines below it, and flush it; ``colour`` adds terminal colours."""
    print("\n".join([*lines(journey, scene, colour), *more]), file=stream, flush=True)


def lines(journey: Journey, scene: Scene, colour: bool = False) -> list[str]:
    """Return the lines of one journey, without their ends."""
    paint = _coloured if colour else _plain
    marks = "" if journey.complete else " (incomplete)"
    heading = (
        f"{clock(journey.wall_ns)} {journey.direction} {_first_device(journey)} #{journey.id} "
        f"{printable(one_line(journey.packet))} ({duration(journey.duration_ns)}){marks}"
    )
    result = [paint(heading, "heading")]
    for number, one in enumerate(journey.passes):
        if number:
            result.append(f"    {_pass_heading(one, journey, scene)}")
        result += [
            _step_line(step, one.direction, scene, journey.time_ns, paint) for step in one.steps if step.kind != "enter"
        ]
        if all(step.kind == "enter" for step in one.steps):
            result.append(
                _row(
                    0 if not one.steps else one.steps[0].t_ns,
                    one.steps[0] if one.steps else None,
                    watched.nothing_took_it(scene, one.direction),
                )
            )
        if one.steps_lost:
            result.append(f"    {one.steps_lost} more steps did not fit the record")
    result += [f"    {printable(note)}" for note in journey.notes]
    result += [paint(line, "unseen") for line in _unseen_lines(journey, scene)]
    return result


def _coloured(text: str, style: Optional[str]) -> str:
    code = _COLOURS.get(style or "")
    return f"\033[{code}m{text}\033[0m" if code else text


def _plain(text: str, style: Optional[str]) -> str:
    return text


def _first_device(journey: Journey) -> str:
    steps = journey.passes[0].steps
    return printable(steps[0].dev) if steps else "?"


def _pass_heading(one: Pass, journey: Journey, scene: Scene) -> str:
    where = f" {printable(one.steps[0].dev)}" if one.steps else ""
    how = {"rx": "then received on", "tx": "then sent on"}[one.direction]
    namespace = f" ({namespace_name(one.netns, scene)})" if one.netns != journey.passes[0].netns else ""
    return f"{how}{where}{namespace}" + (f", CPU {one.cpu}" if one.cpu != journey.passes[0].cpu else "")


def namespace_name(netns: int, scene: Scene) -> str:
    """Return what people call a network namespace."""
    return printable(scene.namespaces.get(netns) or f"netns {netns}")


def _row(t_ns: int, step: Optional[Step], what: str) -> str:
    where = ""
    if step is not None:
        where = printable(step.dev)
        if step.orig_dev != step.dev:
            where += f" (orig {printable(step.orig_dev)})"
    return f"    {duration(t_ns):>9}  {where:<20} {what}"


def _step_line(
    step: Step, direction: str, scene: Scene, time_ns: int, paint: Callable[[str, Optional[str]], str]
) -> str:
    mark = " (inferred)" if step.inferred else ""
    because = f" ({step.reason})" if step.reason else ""
    if step.kind == "tap":
        outcome = paint(step.outcome or "", step.outcome)
        what = f"{direction} tap {tap_name(step.tap or 0, scene, time_ns)}: {outcome}{because}"
    elif step.kind == "fanout":
        what = f"{direction} tap: offered to a fanout group{because}"
    elif step.kind == "drop":
        what = f"{paint('dropped', 'dropped')} by the kernel in {step.function}: {step.reason or 'it gives no reason'}"
    elif step.kind in ("rx_handler", "vlan"):
        onward = f", next {printable(step.next_dev)}" if step.next_dev else ""
        what = f"{step.function} → {paint(step.verdict or '', step.verdict)}{onward}{because}"
    else:
        what = f"→ {step.function}"
    return _row(step.t_ns, step, what + mark)


def tap_name(inode: int, scene: Scene, time_ns: int) -> str:
    """Return what people call the tap, always with its inode."""
    tap = scene.tap(inode, time_ns)
    return f"{printable(label(tap))} [{inode}]" if tap else f"[{inode}] (known only by its inode)"


def _unseen_lines(journey: Journey, scene: Scene) -> list[str]:
    doubt = " (or it was lost)" if scene.losses() or scene.missing_stages() else ""
    name = {one.tap: tap_name(one.tap, scene, journey.time_ns) for one in journey.unseen}
    return [
        f"    {unseen_words(one)} {name[one.tap]}: {printable(one.detail)} ({one.reason})"
        f"{'' if one.reason in watched.OPEN else doubt}"
        for one in journey.unseen
    ]


def unseen_words(one: Unseen) -> str:
    """Return how a line about an unseen tap begins: whether it claims that the tap did not see the packet."""
    return "not known of" if one.reason in watched.OPEN else "not seen by"


def trust_line(scene: Scene) -> str:
    """Return what was lost, or that nothing was: every claim of absence is only as good as this.

    Then how many taps were given packets but are in no list, and what the trace was narrowed to.
    """
    losses = [f"{text} {count}" for text, count in scene.losses().items()]
    missing = scene.missing_stages()
    lost = "; ".join([*losses, *missing]) + " (so an absence may be a loss)" if losses or missing else "none"
    unknown = scene.taps.strangers()
    more = [f"taps known only by inode: {len(unknown)}"] if unknown else []
    return "; ".join([f"losses: {lost}", *more, *(printable(words) for words in scene.filter_words())])
