# SPDX-License-Identifier: GPL-2.0-or-later
"""Which absences tell something, and which are trivial.

A tap on a device that the packet did not come near did not see it: that is true, expected, and so of as many taps as
there are elsewhere. So is the absence of a tap for another protocol, and one that the tap itself asked for. Those are
counted; an absence where the packet was, or was on its way to, is told.

Invariant: what leaves open whether the tap was given the packet is never trivial, but for a device that is not traced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..model import Journey, Tap, Unseen
from . import watched
from .contents import Contents
from .ways import Ways

#: What is said of all taps with the same trivial reason, where they are named.
SHARED = {
    "bound-elsewhere": "bound to devices that the packet did not pass",
    "netns": "in network namespaces that the packet did not come to",
    watched.NOT_TRACED: "on devices that are not traced",
}
#: The reasons that can be trivial, and what is said of taps with such a one, where they are counted.
COUNTED = {
    "bound-elsewhere": "not on its way",
    "netns": "not on its way",
    "protocol": "for other protocols",
    "outgoing-not-offered": "for other protocols",
    "outgoing-ignored": "without what is sent, as they asked",
    "own-packet": "that sent it",
    "fanout-other-member": "in a fanout group of which another member got it",
    "not-running": "not hooked in",
    "not-yet-open": "not open yet",
    watched.NOT_TRACED: SHARED[watched.NOT_TRACED],
}
_ALWAYS = ("netns", "own-packet", "fanout-other-member", watched.NOT_TRACED)


def is_trivial(tap: Tap, reason: str, detail: str, ways: Ways, contents: Iterable[Contents]) -> bool:
    """Is it no news that this tap was not offered the packet, for this reason?

    What more than usual there is to say of a reason comes after a colon, which no device has in its name.
    """
    if reason in _ALWAYS:
        return True
    if reason in ("bound-elsewhere", "protocol", "outgoing-ignored", "outgoing-not-offered") and ":" in detail:
        return False
    if reason in ("protocol", "outgoing-ignored"):
        return True
    if reason == "outgoing-not-offered":
        return all(its.protocol not in (tap.protocol, None) for its in contents)
    if reason == "not-running" and tap.protocol == 0:
        return True
    if reason in ("bound-elsewhere", "not-running", "not-yet-open"):
        return tap.ifindex != -1 and not ways.concerns(tap)
    return False


class Absences(NamedTuple):
    """The taps that were not offered a packet: ``told`` are those of which each tells something, those with the same
    answer together; ``trivial`` are the others."""

    told: tuple[tuple[Unseen, ...], ...]
    trivial: tuple[Unseen, ...]


def absences(journey: Journey) -> Absences:
    """Return the taps that were not offered the packet, in order."""
    groups: dict[tuple[str, str], list[Unseen]] = {}
    for one in journey.unseen:
        if not one.trivial:
            groups.setdefault((one.reason, one.detail), []).append(one)
    trivial = tuple(one for one in journey.unseen if one.trivial)
    return Absences(tuple(map(tuple, groups.values())), trivial)


def alike(trivial: Sequence[Unseen]) -> list[tuple[Unseen, ...]]:
    """Return trivial absences for a list of them: those with the same answer together, those of which nothing more is
    to be said than what is ``SHARED`` last."""
    groups: dict[tuple[str, str], list[Unseen]] = {}
    for one in sorted(trivial, key=lambda one: one.reason in SHARED):
        groups.setdefault((one.reason, "" if one.reason in SHARED else one.detail), []).append(one)
    return list(map(tuple, groups.values()))


def counted(trivial: Sequence[Unseen]) -> str:
    """Return how many taps these are and why that is no news: "4 other taps: not on its way"."""
    words = Counter(COUNTED[one.reason] for one in trivial)
    several = (f"{count} {word}" for word, count in words.most_common())
    why = ", ".join(several) if len(words) > 1 else next(iter(words), "")
    return f"{len(trivial)} other tap{'s' * (len(trivial) != 1)}: {why}"


def main_reason(ranked: Sequence[tuple[str, int]]) -> str:
    """Return, of (reason, packets) with the most telling first, the one to name in a word: the first, with its share
    where another one is more frequent; "" of none."""
    if not ranked:
        return ""
    reason, count = ranked[0]
    if count == max(packets for _, packets in ranked):
        return reason
    return f"{reason} ({count} of {sum(packets for _, packets in ranked)})"
