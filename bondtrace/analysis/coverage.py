# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices and taps of the host a trace does not cover, and what would include them.

Nothing of what passes there is recorded, so nothing is said of it: neither that a tap was given a packet nor that it
was not (``watched.outside``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..model import Tap
from ..net.topology import is_tunnel
from . import watched
from .history import LAST_NS
from .scene import Scene
from .tap_names import label

_SHOWN = 5


@dataclass(frozen=True)
class Uncovered:
    """A device (``dev`` of the namespace ``netns``), or, where ``dev`` is "", all of a namespace, with the taps that
    are bound to it. A trace with ``option`` on its command line would cover it."""

    netns: int
    dev: str
    taps: tuple[Tap, ...]
    option: str


def uncovered(scene: Scene) -> list[Uncovered]:
    """Return what taps are bound to and is not traced, in the order in which the taps were read."""
    found: dict[tuple[int, str], list[Tap]] = {}
    touched = _touched(scene)
    for inode in scene.taps:
        tap = scene.tap(inode, LAST_NS)
        if tap is None or not watched.is_outside(tap, scene):
            continue
        is_named = tap.netns in touched and tap.ifindex
        dev = scene.device_name(tap.netns, tap.ifindex, LAST_NS) if is_named else ""
        found.setdefault((tap.netns, dev), []).append(tap)
    return [Uncovered(netns, dev, tuple(taps), _option([(netns, dev)], scene)) for (netns, dev), taps in found.items()]


def _touched(scene: Scene) -> set[int]:
    """Return the namespaces of which anything is traced."""
    return {*scene.start.get("namespaces", ()), *(netns for netns, _ in scene.traced(LAST_NS) or ())}


def _option(places: Iterable[tuple[int, str]], scene: Scene) -> str:
    """Return the options of a trace that covers these devices, or all of a namespace where one has no name."""
    traced = scene.start.get("namespaces", ())
    further = [netns for netns, _ in places if netns not in traced]
    namespaces = dict.fromkeys([*traced, *further] if further else ())  # one that is given replaces the default
    names = dict.fromkeys(dev for _, dev in places if dev)
    wholly = any(not dev for _, dev in places)
    return " ".join(
        [
            *(f"--netns {_namespace(one, scene)}" for one in namespaces),
            *(f"--iface {one}" for one in names if not wholly),
        ]
    )


def _namespace(netns: int, scene: Scene) -> str:
    """Return what `--netns` takes for it."""
    return scene.namespace_name(netns) or str(netns)


def line(scene: Scene) -> str:
    """Return the same in a line for people, "" where there is nothing to say."""
    found = uncovered(scene)
    if not found:
        return ""
    items = [f"{_place(one, scene)} ({_taps(one)}{_why(one, scene)})" for one in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    option = _option([(one.netns, one.dev) for one in found[:_SHOWN]], scene)
    what = "it" if len(found) == 1 else "them"
    return f"not traced: {', '.join(items)}{more}; `{option}` would include {what}"


def _place(one: Uncovered, scene: Scene) -> str:
    if one.netns in scene.start.get("namespaces", ()) and one.dev:
        return one.dev
    namespace = f"network namespace {_namespace(one.netns, scene)}"
    return f"{one.dev} in {namespace}" if one.dev else namespace


def _why(one: Uncovered, scene: Scene) -> str:
    """Return why a device is not traced that may well carry packets of the traced ones: a tunnel of which it is not
    known what it runs over."""
    device = scene.device(one.netns, one.taps[0].ifindex, LAST_NS) if one.dev else None
    is_unknown = device is not None and is_tunnel(device) and not device.underlay
    return "; what this tunnel runs over is not known" if is_unknown else ""


def _taps(one: Uncovered) -> str:
    if len(one.taps) > 1:
        return f"{len(one.taps)} taps"
    return f"{label(one.taps[0])} [{one.taps[0].inode}]"
