# SPDX-License-Identifier: GPL-2.0-or-later
"""The passes of a journey as the page draws them: a lane for each branch, and what was rewritten on the way to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...analysis.scene import Scene
from ...model import OUTCOMES, Journey, Pass
from ...util.untrusted import printable
from ..text import changed, in_brackets, namespace_name, way_words

PASSES_MAX = 40
_ONWARD = ("rx_handler", "vlan")


def lanes_object(journey: Journey, scene: Scene) -> list[dict[str, Any]]:
    """Return the first passes of a journey, in the order in which they began.

    ``lane``: its branch. ``devices``: where the packet was, in order. ``taps``: how many were offered it with which
    outcome. ``ends``: a protocol handler or a drop, with the name of its colour. ``changed``: what was rewritten since
    the pass that it ``follows``.
    """
    shown = journey.passes[:PASSES_MAX]
    return [_pass_object(one, lane, journey, scene) for one, lane in zip(shown, lanes(journey.passes))]


def _pass_object(one: Pass, lane: int, journey: Journey, scene: Scene) -> dict[str, Any]:
    is_elsewhere = one.netns != journey.passes[0].netns
    outcomes = Counter(step.outcome or "unknown" for step in one.steps if step.kind == "tap")
    return {
        "lane": lane,
        "follows": one.follows,
        "is_branch": one.parent is not None,
        "is_inferred": one.inferred,
        "way": way_words(one),
        "where": in_brackets(namespace_name(one.netns, scene)) if is_elsewhere else "",
        "devices": [printable(name) for name in _devices(one)],
        "taps": [[name, outcomes[name]] for name in OUTCOMES if outcomes[name]],
        "ends": [{"style": style, "text": printable(text)} for style, text in _ends(one)],
        "changed": changed(one, journey),
    }


def _devices(one: Pass) -> list[str]:
    names = [name for step in one.steps for name in (step.dev, step.next_dev if step.kind in _ONWARD else None) if name]
    return [name for nth, name in enumerate(names) if not nth or name != names[nth - 1]]


def _ends(one: Pass) -> Iterator[tuple[str, str]]:
    for step in one.steps:
        if step.kind == "drop":
            yield "by-design" if step.harmless else "drop", f"dropped: {step.reason or step.function}"
        elif step.kind == "protocol":
            yield "protocol", step.function or "?"
        elif step.verdict in ("CONSUMED", "EXACT"):
            yield step.verdict, f"{step.function}: {step.verdict}"


def lanes(passes: tuple[Pass, ...]) -> list[int]:
    """Return the lane of each pass: that of the last one before it on the same branch, else a new one."""
    found: list[int] = []
    for nth, one in enumerate(passes):
        same = next((place for place in _before(nth, passes) if passes[place].parent == one.parent), None)
        found.append(max(found, default=-1) + 1 if same is None else found[same])
    return found


def _before(nth: int, passes: tuple[Pass, ...]) -> Iterator[int]:
    """Yield the place of the pass that one follows, of that which this one follows, and so on."""
    follows = passes[nth].follows
    while follows is not None and follows < nth:
        yield follows
        nth, follows = follows, passes[follows].follows
