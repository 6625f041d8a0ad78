# SPDX-License-Identifier: GPL-2.0-or-later
"""What taps got of the packets of a trace, with a packet as the example of everything, for answers to questions.

Counted beside a ``Summary`` (as its ``also``): a journey of each shape, and how many have it. So memory grows with
taps and reasons, not with packets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..analysis.telling import SHARED
from ..model import Journey, Step
from .summary import Absence

_ENDS = ("socket", "refused", "answered", "unanswered", "forwarded", "protocol", "consumed", "handed-on")
Drop = tuple[str, str, str, str, str]
"""Device, function, the kernel's reason, who decided (a chain, a filter of tc), why nobody lost it; "" for none."""


@dataclass
class TapAnswers:
    """Of one tap: with how many packets it did what (a packet that it was offered several times counts once for each
    outcome), ``captured`` at least once, and of these ``twice`` several times; ``missed`` by reason."""

    captured: int = 0
    twice: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Journey] = field(default_factory=dict)  # by outcome
    missed: dict[str, Absence] = field(default_factory=dict)

    @property
    def ranked(self) -> list[Absence]:
        """The reasons, those that tell something first, then the most frequent ones."""
        return sorted(self.missed.values(), key=lambda one: (one.is_trivial, -one.packets, one.unseen.reason in SHARED))


@dataclass
class Answers:
    """The answers of all taps, by inode; ``ends`` has how ways of received packets ended, but for drops, what was sent
    and what is not known; ``directions`` and ``devices`` count the packets that began so and passed
    there; ``drops`` has for each ``Drop`` how many packets, and one of them."""

    packets: int = 0
    taps: dict[int, TapAnswers] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    directions: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    drops: dict[Drop, tuple[int, Journey, Step]] = field(default_factory=dict)

    def count(self, journey: Journey, times: int) -> None:
        """Count a journey ``times`` times."""
        self.packets += times
        self.directions[journey.direction] += times
        steps = [step for one in journey.passes for step in one.steps]
        self.devices.update(dict.fromkeys((step.dev for step in steps), times))
        self._count_taps(journey, steps, times)
        self.ends.update({end.detail: times for end in journey.ends if end.kind in _ENDS})
        for missed in journey.unseen:
            reasons = self.taps.setdefault(missed.tap, TapAnswers()).missed
            reasons.setdefault(missed.reason, Absence(journey, missed)).count(journey, missed, times)
        for step in {_drop(step): step for step in steps if step.kind == "drop"}.values():
            count, example, first = self.drops.get(_drop(step), (0, journey, step))
            self.drops[_drop(step)] = count + times, example, first

    def _count_taps(self, journey: Journey, steps: list[Step], times: int) -> None:
        offers = ((step.tap, step.outcome or "unknown") for step in steps if step.tap is not None)
        for inode, outcome in dict.fromkeys(offers):
            told = self.taps.setdefault(inode, TapAnswers())
            told.outcomes[outcome] += times
            told.captured += times if outcome == "captured" else 0
            told.examples.setdefault(outcome, journey)
        captures = Counter(step.tap for step in steps if step.outcome == "captured")
        for again, count in captures.items():
            if again in self.taps and count > 1:
                self.taps[again].twice += times


def _drop(step: Step) -> Drop:
    return step.dev, step.function or "?", step.reason or "", step.netfilter or step.tc or "", step.harmless or ""
