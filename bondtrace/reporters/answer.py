# SPDX-License-Identifier: GPL-2.0-or-later
"""The answer to a question about a tap, or about packets, as people put it: a paragraph each.

What it got; what it did not get, and the main cause; the packet that shows it; what to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from ..analysis import coverage, look_at, remedies, tap_ends, watched
from ..analysis.history import LAST_NS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..model import ETH_P_ALL, Journey, Tap
from ..net.dissect import one_line
from ..stats.answers import Answers, TapAnswers
from ..stats.summary import Absence
from ..util.untrusted import printable
from .json_lines import bound_device, protocol_name
from .text import ended_by

_OTHERS = ("filtered", "full", "ignored", "unknown")
_SAID = {
    "filtered": "were refused by its filter",
    "full": "found no room in its buffer",
    "ignored": "were not for it after all",
    "unknown": "it was given, and what it did with them is not known",
}
_TAPS_NAMED, _ENDS_TOLD = 8, 5  # in an answer about packets


def of_tap(inode: int, answers: Answers, scene: Scene, file: str) -> list[str]:
    """Return the answer for a tap as paragraphs.

    :param file: as it is to be typed, for the command that shows more.
    """
    tap, told = scene.tap(inode, LAST_NS), answers.taps.get(inode, TapAnswers())
    found = [f"{_name(inode, last_labels(scene))} {_binding(tap, scene)}".rstrip() + "."]
    open_reason = watched.open_reason(tap, scene)
    if open_reason:
        line = printable(coverage.line(scene)) if open_reason == watched.NOT_TRACED else ""
        why = f" ({open_reason})" + (f": {line}" if line else "")
        return [*found, f"What it got is not known from this recording{why}. {_remedy_of(open_reason)}".rstrip()]
    of = f"of the {_packets(answers.packets)} of this recording" if answers.packets else "and this recording has none"
    found.append(f"It captured {told.captured:,} {of}{_again(told)}.{_otherwise(told, tap)}")
    found += _end(inode, scene)
    reasons = told.ranked
    found += _missed(reasons, tap, scene)
    example = next((one.journey for one in reasons), None) or next(iter(told.examples.values()), None)
    return [*found, *_more(example, file)]


def of_packets(words: str, answers: Answers, scene: Scene, file: str) -> list[str]:
    """Return the answer for the packets that a filter matches, as paragraphs."""
    if not answers.packets:
        return [f"No packet of this recording matches {printable(words)!r}."]
    ways = " and ".join(
        f"{count:,} {'received' if direction == 'rx' else 'sent'}" for direction, count in answers.directions.items()
    )
    devices = ", ".join(f"{printable(dev)} ({count:,})" for dev, count in answers.devices.most_common(_TAPS_NAMED))
    verb = "matches" if answers.packets == 1 else "match"
    found = [f"{_packets(answers.packets)} {verb} {printable(words)!r}: {ways}, on {devices}."]
    found += [*_drops(answers), *_ends(answers)]
    inodes = sorted(answers.taps, key=lambda inode: (-answers.taps[inode].captured, inode))
    telling = [inode for inode in inodes if _tells(answers.taps[inode])]
    labels = last_labels(scene)
    found += [_of_one(inode, _name(inode, labels), answers, scene) for inode in telling[:_TAPS_NAMED]]
    rest = len(inodes) - len(telling[:_TAPS_NAMED])
    if rest:
        found.append(f"{rest} other tap{'s' * (rest != 1)} got none of them: not on their way, or not for them.")
    reasons = [reason for inode in telling for reason in answers.taps[inode].ranked]
    first = next((one.journey for one in reasons if not one.is_trivial), None)
    example = first or next((journey for _, journey, _ in answers.drops.values()), None)
    example = example or next((one for inode in inodes for one in answers.taps[inode].examples.values()), None)
    return [*found, *_more(example, file)]


def _end(inode: int, scene: Scene) -> list[str]:
    """Return how a tap ended, if it did: it did not listen for the packets that came later."""
    end = tap_ends.of_tap(inode, scene)
    if end is None:
        return []
    return [f"It did not listen to the end ({end.mark}{ended_by(end, scene)}: {printable(end.detail)})."]


def _name(inode: int, labels: Mapping[int, str]) -> str:
    name = labels.get(inode)
    return f"{printable(name)} [{inode}]" if name else f"The tap [{inode}]"


def _binding(tap: Optional[Tap], scene: Scene) -> str:
    if tap is None:
        return "is known only by its inode"
    where = printable(bound_device(tap, scene, LAST_NS))
    what = "all protocols" if tap.protocol == ETH_P_ALL else protocol_name(tap.protocol)
    return f"listens on {where} for {what}"


def _packets(count: int) -> str:
    return f"{count:,} packet{'s' * (count != 1)}"


def _again(told: TapAnswers) -> str:
    if not told.twice:
        return ""
    return f", {told.twice:,} of them several times: a tap that is bound to no device is offered a packet on each"


def _otherwise(told: TapAnswers, tap: Optional[Tap]) -> str:
    """Return what it did with what it was offered and did not capture."""
    said = []
    for outcome in _OTHERS:
        count = told.outcomes[outcome]
        if count:
            advice = remedies.of_outcome(outcome, tap)
            said.append(f" {count:,} {_SAID[outcome]}{f': {advice}' if advice else ''}.")
    return "".join(said)


def _missed(reasons: list[Absence], tap: Optional[Tap], scene: Scene) -> list[str]:
    """Return paragraphs on what it was not offered, the main cause first."""
    if not reasons:
        return ["It was offered every packet of this recording."]
    first, *others = reasons
    total = sum(one.packets for one in reasons)
    share = f", mostly ({first.packets:,})" if others else ""
    verb = "may not have been" if first.unseen.reason in watched.OPEN else "was not"
    found = [
        f"It {verb} offered {_packets(total)}{share} because of {first.unseen.reason}: "
        f"{printable(first.unseen.detail)}. "
        f"For example #{first.journey.id}: {printable(one_line(first.journey.packet))}."
    ]
    remedy = remedies.of_unseen(first.unseen.reason, tap, first.journey, scene) if tap else ""
    found += [f"What to change: {printable(remedy)}."] if remedy else []
    if others:
        words = ", ".join(f"{one.unseen.reason} ({one.packets:,}, for example #{one.journey.id})" for one in others)
        found.append(f"The others: {words}.")
    return found


def _remedy_of(reason: str) -> str:
    known = {"not-watched": "`bondtrace doctor` says what is not watched, and why."}
    return known.get(reason, "")


def _tells(told: TapAnswers) -> bool:
    """Did it get some of the packets, or is it news that it did not?"""
    return bool(told.outcomes) or any(not one.is_trivial for one in told.missed.values())


def _of_one(inode: int, name: str, answers: Answers, scene: Scene) -> str:
    tap, told = scene.tap(inode, LAST_NS), answers.taps[inode]
    open_reason = watched.open_reason(tap, scene)
    if open_reason:
        return f"{name}: what it got is not known ({open_reason})."
    if told.captured == answers.packets:
        return f"{name} captured all of them."
    reasons = told.ranked
    words = f"{name} captured {told.captured:,} of them.{_otherwise(told, tap)}"
    if reasons:
        first = reasons[0]
        remedy = remedies.of_unseen(first.unseen.reason, tap, first.journey, scene) if tap else ""
        words += (
            f" {first.packets:,} it was not offered because of {first.unseen.reason}: "
            f"{printable(first.unseen.detail)} (#{first.journey.id})."
        )
        words += f" What to change: {printable(remedy)}." if remedy else ""
    return words


def _drops(answers: Answers) -> list[str]:
    """Return a sentence for each place where the kernel dropped some of them, losses first."""
    found = []
    for (dev, function, reason, by, harmless), (count, journey, step) in sorted(
        answers.drops.items(), key=lambda one: (bool(one[0][4]), -one[1][0])
    ):
        who = f" by {by}" if by else ""
        why = f"{reason or 'the kernel gives no reason'}{who}" + (f"; {harmless}: nobody lost it" if harmless else "")
        advice = "" if harmless else look_at.after_drop(step, journey.packet)
        more = f" Look at: {printable(advice)}{'' if advice.endswith('?') else '.'}" if advice else ""
        found.append(
            f"The kernel dropped {count:,} of them on {printable(dev)} in {function}: {printable(why)} "
            f"(#{journey.id}).{more}"
        )
    return found


def _ends(answers: Answers) -> list[str]:
    """Return a sentence on where their ways ended otherwise, where that was watched."""
    told = [f"{printable(detail)} ({count:,})" for detail, count in answers.ends.most_common(_ENDS_TOLD)]
    return [f"Their ways ended: {'; '.join(told)}."] if told else []


def _more(journey: Optional[Journey], file: str) -> list[str]:
    if journey is None:
        return []
    return [f"`bondtrace explain {file} --journey {journey.id}` tells all of that packet's way."]
