# SPDX-License-Identifier: GPL-2.0-or-later
"""Taps that did not listen any more when the trace ended, and why, as far as that is known.

Invariant: a cause is only named where it was so by the time when the tap was found closed; that it was the cause is not
claimed.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..model import Tap
from .history import LAST_NS
from .scene import Scene


class TapEnd(NamedTuple):
    """How a tap ended: ``mark`` in a word, ``detail`` as a phrase, and by when (``None``: not known)."""

    mark: str
    detail: str
    by_ns: Optional[int] = None


def of_tap(inode: int, scene: Scene) -> Optional[TapEnd]:
    """Return how a tap ended; ``None`` of one that listened to the end, or never was bound to a protocol."""
    history = scene.taps.get(inode)
    tap = history.last_known() if history else None
    if history is None or tap is None:
        return None
    closed_ns = history.closed_ns
    if closed_ns is not None:
        state = _device_state(tap, closed_ns, scene)
        return TapEnd("closed", f"its socket was closed{f'; {state} by then' if state else ''}", closed_ns)
    if tap.protocol == 0 or tap.running is not False:
        return None
    state = _device_state(tap, LAST_NS, scene)
    return TapEnd("not hooked in", state) if state else None


def _device_state(tap: Tap, time_ns: int, scene: Scene) -> str:
    """Return what had become of a tap's device, as a phrase; "" where nothing did, or that is not known."""
    if tap.ifindex == -1:
        return "its device had gone"
    history = scene.devices.get((tap.netns, tap.ifindex)) if tap.ifindex else None
    if history is None:
        return ""
    device, last = history.at(time_ns), history.last_known()
    if device is None:
        return f"its device {last.name} had gone" if last else ""
    return "" if device.up else f"its device {device.name} was down"
