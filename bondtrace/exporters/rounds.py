# SPDX-License-Identifier: GPL-2.0-or-later
"""A pass cut into its rounds: where the packet was, from when to when, and what happened there."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model import Pass, Step


@dataclass
class Round:
    """One round of a pass, on one device.

    ``begin_ns`` and ``end_ns`` are since the start of the journey; ``untagged`` is how many VLAN tags VLAN devices had
    taken off the packet when the round began.
    """

    number: int
    netns: int
    ifindex: int
    dev: str
    begin_ns: int
    end_ns: int
    untagged: int = 0
    steps: list[Step] = field(default_factory=list)


def rounds(one: Pass, begin_ns: int) -> list[Round]:
    """Return every round of a pass in order, including those in which nothing more happened.

    :param begin_ns: ``time_ns`` of the journey.
    """
    found: dict[tuple[int, int, int], Round] = {}
    end_ns = one.end_ns - begin_ns

    def at(number: int, netns: int, ifindex: int, dev: str, t_ns: int) -> Round:
        return found.setdefault((number, netns, ifindex), Round(number, netns, ifindex, dev, t_ns, end_ns))

    for step in one.steps:
        at(step.round, step.netns, step.ifindex, step.dev, step.t_ns).steps.append(step)
        if step.next_ifindex is not None:
            at(step.round + 1, step.next_netns, step.next_ifindex, step.next_dev or "", step.t_ns)
    told = sorted(found.values(), key=lambda round_: round_.number)
    for before, after in zip(told, told[1:]):
        before.end_ns = max(before.begin_ns, after.begin_ns)
        taken = any(step.kind == "vlan" and step.verdict == "ANOTHER" for step in before.steps)
        after.untagged = before.untagged + (taken and after.number > before.number)
    return told
