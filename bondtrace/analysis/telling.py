# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reasons for not having seen a packet tell something, and which are trivial.

A tap on a device that the packet never came near did not see it: that is true, expected, and of as many taps as there
are elsewhere. It is said once of all of them; a reason that tells something is said of each tap.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Journey, Unseen
from . import watched
from .scene import Scene

#: Reasons that are trivial of a tap whose device has nothing to do with the packet's way, and what is said of all.
SHARED = {
    "bound-elsewhere": "bound to devices that the packet did not come near",
    "netns": "in network namespaces that the packet did not come to",
    watched.NOT_TRACED: "on devices that are not traced",
}


def groups(journey: Journey, scene: Scene) -> list[tuple[Unseen, ...]]:
    """Return the taps that were not offered the packet: each that tells something by itself, in order, then those with
    the same trivial reason together."""
    found: list[tuple[Unseen, ...]] = []
    alike: dict[str, list[Unseen]] = {reason: [] for reason in SHARED}
    near = _near(journey, scene) if len(journey.unseen) > 1 else set()
    for one in journey.unseen:
        if one.reason in SHARED and _device(one, journey, scene) not in near:
            alike[one.reason].append(one)
        else:
            found.append((one,))
    return [*found, *(tuple(same) for same in alike.values() if same)]


def main_reason(reasons: Sequence[tuple[str, int]]) -> str:
    """Return, of (reason, packets) with the most frequent first, the one to name in a word: the most frequent that is
    not trivial, with its share where a trivial one is more frequent; "" of none."""
    if not reasons:
        return ""
    reason, count = next((one for one in reasons if one[0] not in SHARED), reasons[0])
    if reason == reasons[0][0]:
        return reason
    return f"{reason} ({count} of {sum(packets for _, packets in reasons)})"


def _device(one: Unseen, journey: Journey, scene: Scene) -> tuple[int, int]:
    tap = scene.tap(one.tap, journey.time_ns)
    return (tap.netns, tap.ifindex) if tap else (0, 0)


def _near(journey: Journey, scene: Scene) -> set[tuple[int, int]]:
    """Return the devices that the packet visited, and those that are stacked on them."""
    visited = {(step.netns, step.ifindex) for one in journey.passes for step in one.steps}
    return visited.union(*(scene.above(key, journey.time_ns) for key in visited))
