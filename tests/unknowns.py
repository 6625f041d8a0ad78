# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds taps that are told as ``unknown`` for want of a rule: beside a step that decided, that is a fault.

``unknown`` is right where the facts do not decide: a tap that came or went at that time, or a probe that is not
attached. Their details say so, and they are none of these.
"""

from bondtrace.analysis.why_unseen import NO_RULE


def unruled(journey):
    """Return (tap, last steps of the passes) for every tap for which no rule explains why it was not offered it."""
    last = tuple(_words(one.steps[-1]) for one in journey.passes if one.steps)
    return [(one.tap, last) for one in journey.unseen if (one.reason, one.detail) == ("unknown", NO_RULE)]


def listed(journeys):
    """Return a line for each of these in these journeys."""
    return [
        f"#{journey.id}: tap {tap} is unknown beside {', '.join(last)}"
        for journey in journeys
        for tap, last in unruled(journey)
    ]


def faults(journeys):
    """Return those lines that are of a journey of which a pass ended with a step that decides."""
    return listed(one for one in journeys if any(_decides(passed.steps[-1]) for passed in one.passes if passed.steps))


def _decides(step):
    return step.kind in ("drop", "vlan") or step.verdict in ("CONSUMED", "EXACT")


def _words(step):
    return " ".join(str(word) for word in (step.dev, step.kind, step.function, step.verdict, step.reason) if word)
