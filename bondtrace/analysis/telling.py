# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reasons for not having seen a packet tell something, and which are trivial.

A tap on a device that the packet did not pass did not see it: that is true, expected, and of as many taps as there are
elsewhere. It is said once of all of them; a reason that tells something is said of each tap.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Journey, Unseen
from . import watched

#: The reasons that can be trivial, and what is said of all taps with such a one.
SHARED = {
    "bound-elsewhere": "bound to devices that the packet did not pass",
    "netns": "in network namespaces that the packet did not come to",
    watched.NOT_TRACED: "on devices that are not traced",
}


def groups(journey: Journey) -> list[tuple[Unseen, ...]]:
    """Return the taps that were not offered the packet: each that tells something by itself, in order, then those with
    the same trivial reason together."""
    found: list[tuple[Unseen, ...]] = []
    alike: dict[str, list[Unseen]] = {reason: [] for reason in SHARED}
    for one in journey.unseen:
        if _is_trivial(one):
            alike[one.reason].append(one)
        else:
            found.append((one,))
    return [*found, *(tuple(same) for same in alike.values() if same)]


def _is_trivial(one: Unseen) -> bool:
    """Does the detail only say that the tap is bound to one device, and the packet passed others? What more there is to
    say comes after a colon, which no device has in its name."""
    if one.reason == "bound-elsewhere":
        return one.detail.startswith("bound to ") and ":" not in one.detail
    return one.reason in SHARED


def main_reason(reasons: Sequence[tuple[str, int]]) -> str:
    """Return, of (reason, packets) with the most frequent first, the one to name in a word: the most frequent that is
    not trivial, with its share where a trivial one is more frequent; "" of none."""
    if not reasons:
        return ""
    reason, count = next((one for one in reasons if one[0] not in SHARED), reasons[0])
    if reason == reasons[0][0]:
        return reason
    return f"{reason} ({count} of {sum(packets for _, packets in reasons)})"
