# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices and taps of the host a trace does not cover, and what would include them.

Nothing of what passes there is recorded, so nothing is said of it: neither that a tap was given a packet nor that it
was not (``watched.outside``).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Tap
from . import watched
from .history import LAST_NS
from .scene import Scene
from .tap_names import label

_SHOWN = 5


@dataclass(frozen=True)
class Uncovered:
    """A device (``dev`` of the namespace ``netns``), or, where ``dev`` is "", any device of a namespace, with the taps
    that are bound to it; ``option`` of the command line would have it traced."""

    netns: int
    dev: str
    taps: tuple[Tap, ...]
    option: str


def uncovered(scene: Scene) -> list[Uncovered]:
    """Return what taps are bound to and is not traced, in the order in which the taps were read."""
    found: dict[tuple[int, str], list[Tap]] = {}
    for inode in scene.taps:
        tap = scene.tap(inode, LAST_NS)
        if tap is None or not watched.is_outside(tap, scene):
            continue
        is_here = tap.netns in scene.start.get("namespaces", ())
        dev = scene.device_name(tap.netns, tap.ifindex, LAST_NS) if is_here and tap.ifindex else ""
        found.setdefault((tap.netns, dev), []).append(tap)
    return [
        Uncovered(netns, dev, tuple(taps), f"--iface {dev}" if dev else f"--netns {_namespace(netns, scene)}")
        for (netns, dev), taps in found.items()
    ]


def _namespace(netns: int, scene: Scene) -> str:
    """Return what `--netns` takes for it."""
    return scene.namespace_name(netns) or str(netns)


def line(scene: Scene) -> str:
    """Return the same in a line for people, "" where there is nothing to say."""
    found = uncovered(scene)
    if not found:
        return ""
    items = [f"{one.dev or f'network namespace {_namespace(one.netns, scene)}'} ({_taps(one)})" for one in found]
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    options = " ".join(one.option for one in found[:_SHOWN])
    what = "it" if len(found) == 1 else "them"
    return f"not traced: {', '.join(items[:_SHOWN])}{more}; `{options}` would include {what}"


def _taps(one: Uncovered) -> str:
    if len(one.taps) > 1:
        return f"{len(one.taps)} taps"
    return f"{label(one.taps[0])} [{one.taps[0].inode}]"
