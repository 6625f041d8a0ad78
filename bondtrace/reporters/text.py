# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys as text for people: a heading per packet, then a line per step in order of time, branches indented, then
the taps that did not see it although they could have been expected to, and how many others there were.

Invariant: names that come from the kernel or from processes are printed as printable text (``util.untrusted``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Callable, Optional, TextIO

from ..analysis import ends, socket_names, telling, watched
from ..analysis.scene import Scene
from ..analysis.tap_ends import TapEnd
from ..model import OUTCOMES, Journey, Pass, Step, Unseen
from ..net.dissect import changes, one_line
from ..util.untrusted import printable
from .outline import Line, outline

_COLOURS = {
    "captured": "32",
    "filtered": "33",
    "full": "31",
    "ignored": "33",
    "ANOTHER": "36",
    "EXACT": "33",
    "PASS": "36",
    "CONSUMED": "31",
    "queued": "32",
    "taken": "32",
    "backlog": "32",
    "tunnel": "36",
    "checksum": "31",
    "policy": "31",
    "refused": "31",
    "dropped": "31",
    "by-design": "2",
    "heading": "1",
    "unseen": "2",
}


TAPS_NAMED = 10  # in a line on several
DEPTH_MAX = 4  # further branches are not indented more
Paint = Callable[[str, Optional[str]], str]


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


class Detail(Enum):
    """How much is said of a journey: in one line who saw it and who did not; its steps, and the absences that tell
    something; or all absences."""

    QUIET = "quiet"
    USUAL = "usual"
    VERBOSE = "verbose"


def write(
    journey: Journey,
    scene: Scene,
    stream: TextIO,
    colour: bool = False,
    more: Sequence[str] = (),
    detail: Detail = Detail.USUAL,
) -> None:
    """Write a journey, with ``more`` lines below it, and flush it; ``colour`` adds terminal colours."""
    print("\n".join([*lines(journey, scene, colour, detail), *more]), file=stream, flush=True)


def lines(journey: Journey, scene: Scene, colour: bool = False, detail: Detail = Detail.USUAL) -> list[str]:
    """Return the lines of one journey, without their ends."""
    paint = _coloured if colour else _plain
    if detail is Detail.QUIET:
        return [f"{paint(heading(journey), 'heading')}: {'; '.join(_in_short(journey, scene, paint))}"]
    result = [paint(heading(journey), "heading")]
    for line in outline(journey):
        result.append(_line(line, journey, scene, paint))
    result += [f"    {printable(words)}" for words in ends.beside_steps(journey, scene)]
    result += [f"    {printable(note)}" for note in journey.notes]
    result += [paint(f"    {line}", "unseen") for line in unseen_lines(journey, scene, detail is Detail.VERBOSE)]
    return result


def heading(journey: Journey) -> str:
    """Return the line that a journey begins with: when and where it began, and the packet."""
    marks = "" if journey.complete else " (incomplete)"
    return (
        f"{clock(journey.wall_ns)} {journey.direction} {_first_device(journey)} #{journey.id} "
        f"{printable(one_line(journey.packet))} ({duration(journey.duration_ns)}){marks}"
    )


def _in_short(journey: Journey, scene: Scene, paint: Paint) -> Iterator[str]:
    """Yield who saw a packet and who did not although it could have been expected to, and who dropped it."""
    steps = [step for one in journey.passes for step in one.steps]
    by_outcome: dict[str, dict[int, None]] = {}
    for step in steps:
        if step.kind == "tap":
            by_outcome.setdefault(step.outcome or "unknown", {})[step.tap or 0] = None
    if not by_outcome:
        yield "seen by no tap"
    for outcome in sorted(by_outcome, key=lambda one: OUTCOMES.index(one) if one in OUTCOMES else len(OUTCOMES)):
        names = ", ".join(tap_name(inode, scene, journey.time_ns) for inode in by_outcome[outcome])
        yield f"seen by {names}" if outcome == "captured" else f"{paint(outcome, outcome)}: {names}"
    for group in telling.absences(journey).told:
        yield f"{unseen_words(group[0])} {_tap_names(group, journey, scene, TAPS_NAMED)} ({group[0].reason})"
    for step in steps:
        if step.kind == "drop" and not step.harmless:
            yield f"{paint('dropped', 'dropped')} in {step.function}{f': {step.reason}' if step.reason else ''}"


def _coloured(text: str, style: Optional[str]) -> str:
    code = _COLOURS.get(style or "")
    return f"\033[{code}m{text}\033[0m" if code else text


def _plain(text: str, style: Optional[str]) -> str:
    return text


def _first_device(journey: Journey) -> str:
    steps = journey.passes[0].steps
    return printable(steps[0].dev) if steps else "?"


def _line(line: Line, journey: Journey, scene: Scene, paint: Paint) -> str:
    if line.kind == "step" and line.step is not None:
        return _step_line(line, line.step, scene, journey, paint)
    if line.kind == "nothing":
        t_ns = line.step.t_ns if line.step else line.one.time_ns - journey.time_ns
        return _row(t_ns, line.step, watched.nothing_took_it(scene, line.one.direction), line.depth)
    if line.kind == "lost":
        return f"{_margin(line.depth)}{line.one.steps_lost} more steps did not fit the record"
    return _margin(line.depth) + _pass_heading(line, journey, scene)


def _margin(depth: int) -> str:
    return "    " + "  " * min(depth, DEPTH_MAX)


def _pass_heading(line: Line, journey: Journey, scene: Scene) -> str:
    one, first = line.one, journey.passes[0]
    namespace = f" {in_brackets(namespace_name(one.netns, scene))}" if one.netns != first.netns else ""
    cpu = f", CPU {one.cpu}" if one.cpu != first.cpu else ""
    if line.kind == "back":
        return f"back to it, {way_words(one)}{namespace}{cpu}"
    inferred = " (inferred)" if one.inferred else ""
    return f"then {way_words(one)}{namespace}{cpu}{inferred}{_changes(one, journey)}"


def way_words(one: Pass) -> str:
    """Return how a packet came to a pass: "received on eth0", "sent on bond0", "shown to red's taps (VRF)"."""
    if one.shown:
        return f"shown to {_device(one)}'s taps (VRF)"
    return f"{'received' if one.direction == 'rx' else 'sent'} on {_device(one)}"


def _device(one: Pass) -> str:
    return printable(one.steps[0].dev) if one.steps else "?"


def _changes(one: Pass, journey: Journey) -> str:
    phrases = changed(one, journey)
    return f": {'; '.join(phrases)}" if phrases else ""


def changed(one: Pass, journey: Journey) -> list[str]:
    """Return what was rewritten in the packet since the pass that this one follows, a phrase for each."""
    if one.follows is None:
        return []
    return [printable(phrase) for phrase in changes(journey.passes[one.follows].packet, one.packet)]


def namespace_name(netns: int, scene: Scene) -> str:
    """Return what people call a network namespace."""
    return printable(scene.namespace_label(netns))


def recorded_namespace(netns: int, scene: Scene) -> str:
    """Return what a namespace was called when it was recorded, for files that are read together with those of other
    hosts."""
    return printable(scene.namespaces.get(netns) or f"netns {netns}")


def in_brackets(name: str) -> str:
    """Return the name of a namespace in brackets: "(this one)" has them."""
    return name if name.startswith("(") else f"({name})"


def _row(t_ns: int, step: Optional[Step], what: str, depth: int) -> str:
    where = "  " * min(depth, DEPTH_MAX)
    if step is not None:
        where += printable(step.dev)
        if step.orig_dev != step.dev:
            where += f" (orig {printable(step.orig_dev)})"
    return f"    {duration(t_ns):>9}  {where:<20} {what}"


def _step_line(line: Line, step: Step, scene: Scene, journey: Journey, paint: Paint) -> str:
    mark = " (inferred)" if step.inferred else ""
    because = f" ({step.reason})" if step.reason else ""
    taps = f"{line.one.direction} tap" if not line.one.shown else "tap"
    if step.kind == "tap":
        outcome = paint(step.outcome or "", step.outcome)
        what = f"{taps} {tap_name(step.tap or 0, scene, journey.time_ns)}: {outcome}{because}"
    elif step.kind == "fanout":
        what = f"{taps}: offered to a fanout group{because}"
    elif step.kind == "drop":
        what = f"{paint('dropped', 'by-design' if step.harmless else 'dropped')} {drop_words(step)}"
    elif step.kind in ("rx_handler", "vlan"):
        onward = f", next {printable(step.next_dev)}" if step.next_dev else ""
        what = f"{step.function} → {paint(step.verdict or '', step.verdict)}{onward}{because}"
    elif step.kind == "queued":
        what = queued_words(step)
    elif step.kind == "protocol":
        what = f"→ {step.function}{_beyond(line, journey, paint)}"
    elif step.kind in ends.BEYOND_IP:
        what = beyond_ip_words(step, scene, journey.time_ns, paint)
    else:
        what = unknown_step(step)
    return _row(step.t_ns, step, what + mark, line.depth)


def beyond_ip_words(step: Step, scene: Scene, time_ns: int, paint: Paint = _plain) -> str:
    """Return what a step beyond IP is: "→ UDP", "given to dnsmasq's UDP socket *:53 [12385]: queued"."""
    if step.kind == "local":
        return f"→ {socket_names.protocol_name(step.ip_protocol or 0)}"
    if step.kind == "answered":
        return f"answered by this host ({step.function})"
    if step.kind == "forwarded":
        return f"→ forwarded to {printable(step.next_dev or '?')} ({step.function})"
    name = socket_names.of_step(step, scene, time_ns)
    return f"given to {printable(name)}: {paint(ends.outcome_words(step), step.outcome)}"


def _beyond(line: Line, journey: Journey, paint: Paint) -> str:
    """Return what is said where the trace does not see what becomes of a packet that a protocol handler was given."""
    is_open = any(end.kind == "not-watched" and end.place == line.place for end in journey.ends)
    delivered = [step for step in line.one.steps if step.kind == "protocol"]
    return paint(f" ({ends.NOT_WATCHED})", "unseen") if is_open and line.step is delivered[-1] else ""


def drop_words(step: Step) -> str:
    """Return where and why a packet was dropped, as it follows "dropped"; with netfilter's chain or tc's filter, and
    why nobody loses anything by it where that is so."""
    chain = f"; netfilter: {printable(step.netfilter)}" if step.netfilter else ""
    chain += f"; tc: {printable(step.tc)}" if step.tc else ""
    of = " (a copy of it)" if step.clone else ""
    by = "design" if step.harmless else "the kernel"
    harmless = f" ({printable(step.harmless)})" if step.harmless else ""
    return f"by {by} in {step.function}: {step.reason or 'it gives no reason'}{chain}{of}{harmless}"


def queued_words(step: Step) -> str:
    """Return to which device a packet was handed, to be received there later."""
    return f"handed to {printable(step.next_dev or '?')} ({step.function}): to be received there later"


def unknown_step(step: Step) -> str:
    """Return what can be said of a kind of step that only a newer version knows."""
    where = f" in {printable(step.function)}" if step.function else ""
    return f"{step.kind}{where}{f': {printable(step.reason)}' if step.reason else ''}"


def tap_name(inode: int, scene: Scene, time_ns: int) -> str:
    """Return what people call the tap, always with its inode."""
    name = scene.tap_label(inode, time_ns)
    return f"{printable(name)} [{inode}]" if name else f"[{inode}] (known only by its inode)"


def ended_by(end: TapEnd, scene: Scene) -> str:
    """Return by when a tap had ended, "" where that is not known."""
    return f" by {clock(end.by_ns + scene.wall_offset_ns)}" if end.by_ns is not None else ""


def unseen_lines(journey: Journey, scene: Scene, verbose: bool) -> list[str]:
    """Return the taps that did not see the packet, and why: a line for those with the same answer. The trivial absences
    are only counted, unless ``verbose``."""
    if verbose:
        return [*telling_lines(journey, scene, verbose), *trivial_lines(journey, scene)]
    trivial = telling.absences(journey).trivial
    hint = f" (-v lists {'them' if len(trivial) > 1 else 'it'})"
    return [*telling_lines(journey, scene), *([trivial_words(journey, scene) + hint] if trivial else [])]


def telling_lines(journey: Journey, scene: Scene, verbose: bool = False) -> list[str]:
    """Return the same for the absences that tell something; ``verbose``: with the names of all taps."""
    return _absence_lines(telling.absences(journey).told, journey, scene, verbose)


def trivial_lines(journey: Journey, scene: Scene) -> list[str]:
    """Return the same for the others."""
    return _absence_lines(telling.alike(telling.absences(journey).trivial), journey, scene, True)


def trivial_words(journey: Journey, scene: Scene) -> str:
    """Return how many absences are trivial, and why; "" where none is."""
    trivial = telling.absences(journey).trivial
    if not trivial:
        return ""
    is_open = all(one.reason in watched.OPEN for one in trivial)
    return telling.counted(trivial) + ("" if is_open else _doubt(scene))


def _absence_lines(groups: Iterable[Sequence[Unseen]], journey: Journey, scene: Scene, verbose: bool) -> list[str]:
    return [
        f"{unseen_words(group[0])} {_unseen_sentence(group, journey, scene, verbose)}"
        f"{'' if group[0].reason in watched.OPEN else _doubt(scene)}"
        for group in groups
    ]


def _doubt(scene: Scene) -> str:
    return " (or it was lost)" if scene.losses() or scene.missing_stages() else ""


def _unseen_sentence(group: Sequence[Unseen], journey: Journey, scene: Scene, verbose: bool) -> str:
    first = group[0]
    is_one_answer = all(one.detail == first.detail for one in group)
    why = printable(first.detail) if is_one_answer else telling.SHARED[first.reason]
    return f"{_tap_names(group, journey, scene, len(group) if verbose else TAPS_NAMED)}: {why} ({first.reason})"


def _tap_names(group: Sequence[Unseen], journey: Journey, scene: Scene, named: int) -> str:
    taps = ", ".join(tap_name(one.tap, scene, journey.time_ns) for one in group[:named])
    return taps + (f" and {len(group) - named} more" if len(group) > named else "")


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
