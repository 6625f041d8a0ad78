# SPDX-License-Identifier: GPL-2.0-or-later
"""The names that a trace has, and which of those that somebody asks for it has not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from .history import LAST_NS
from .scene import Scene
from .select import Criteria
from .tap_names import answers_to, told_apart

_NAMED = 8  # candidates in a sentence


def taps(scene: Scene) -> list[str]:
    """Return the taps by name and inode, as outputs name them: "tcpdump -i eth0 [41001]"."""
    labels = last_labels(scene)
    named = [f"{labels[inode]} [{inode}]" if inode in labels else f"[{inode}]" for inode in scene.taps]
    return [*named, *(f"[{inode}]" for inode in scene.taps.strangers())]


def last_labels(scene: Scene) -> dict[int, str]:
    """Return what people call the taps as they last were, by inode, told apart; without those of which only the inode
    is known."""
    last = (history.last_known() for history in scene.taps.values())
    return told_apart(tap for tap in last if tap is not None)


def devices(scene: Scene) -> list[str]:
    """Return all names that devices had, each once."""
    return list(dict.fromkeys(one.name for history in scene.devices.values() for one in history.until(LAST_NS)))


def drop_reasons(scene: Scene) -> list[str]:
    """Return the reasons that the kernel has for dropping packets; none before 5.17."""
    return [str(name) for name in (scene.start.get("drop_reasons") or {}).values()]


def unknown(criteria: Criteria, scene: Scene) -> list[str]:
    """Return a sentence for each name among the criteria that nothing in the trace has, with those that there are."""
    return list(_unknown(criteria, scene))


def _unknown(criteria: Criteria, scene: Scene) -> Iterator[str]:
    for name in criteria.taps:
        ever = [(inode, tap) for inode, history in scene.taps.items() for tap in (None, *history.ever())]
        strangers = [(inode, None) for inode in scene.taps.strangers()]
        if not any(answers_to(name, inode, tap) for inode, tap in (*ever, *strangers)):
            yield _sentence("tap", name, taps(scene))
    there = devices(scene)
    for name in dict.fromkeys([*criteria.devices, *(one for path in criteria.paths for one in path)]):
        if name not in there:
            yield _sentence("device", name, there)
    reasons = drop_reasons(scene)
    for name in criteria.dropped:
        if name and not reasons:
            yield f"the kernel of this trace tells no reasons for drops (before 5.17): leave out {name!r}"
        elif name and name not in reasons:
            yield _sentence("drop reason", name, reasons)


def _sentence(what: str, name: str, there: Collection[str]) -> str:
    close = difflib.get_close_matches(name, there, _NAMED, 0.5)
    named = [*close, *(one for one in there if one not in close)]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    told = f"there are {', '.join(named[:_NAMED])}{more}" if named else "there is none"
    return f"no {what} {name!r} is in this trace: {told}"
