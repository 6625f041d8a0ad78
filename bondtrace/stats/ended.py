# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of where packets ended: what the kernel dropped, which sockets were given packets and what became of these,
which ports nobody had, and how the ways of received packets ended.

Invariant: memory does not grow with the number of packets. Of more sockets than ``KEPT`` the further ones are counted
together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Optional

from ..analysis import look_at
from ..analysis.ends import REFUSED
from ..model import Journey, Pass, Step

KEPT = 1 << 15

Holder = tuple[int, str]
"""What was given packets: (a socket's inode, ""), or (0, its state) of TCP's sockets that no process holds."""
Refusal = tuple[str, Optional[str]]
"""(the outcome, the kernel's reason)."""
Drop = tuple[int, int, str, Optional[str]]
"""(netns, ifindex, the kernel's function, its reason)."""
Port = tuple[str, int]
"""(the protocol over IP, the port)."""

OTHERS: Holder = (0, "others")


@dataclass(frozen=True)
class Example:
    """The first packet of its kind: its journey's number, and what to look at where it ended."""

    journey: int
    look_at: str = ""


@dataclass
class Given:
    """What a socket was given: by the device (netns, ifindex), by what became of it, and what it refused."""

    devices: Counter[tuple[int, int]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[Refusal] = field(default_factory=Counter)
    examples: dict[Refusal, Example] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How often it was given a packet."""
        return sum(self.devices.values())

    def count(self, step: Step, one: Pass, journey: Journey, times: int) -> None:
        """Count a step by which it was given a packet."""
        outcome = step.outcome or "unknown"
        self.devices[step.netns, step.ifindex] += times
        self.outcomes[outcome] += times
        if outcome in REFUSED:
            refusal = outcome, step.reason
            self.refused[refusal] += times
            if refusal not in self.examples:
                self.examples[refusal] = Example(journey.id, look_at.after_drop(step, one.packet))

    def refusals(self) -> list[tuple[Refusal, int]]:
        """Return what it refused, with counts, the most frequent first."""
        return sorted(self.refused.items(), key=lambda one: (-one[1], one[0][0], one[0][1] or ""))


@dataclass
class Ended:
    """The counts so far.

    ``dropped`` is by (netns, ifindex, the kernel's function, its reason), ``by_design`` those of them by which nobody
    lost anything, by why that is so, too. ``ports`` (those that no socket had) by the
    packets' destination as they came, with the first of each in ``examples``; ``ends`` by their kind (``model.ENDS``).
    """

    dropped: Counter[Drop] = field(default_factory=Counter)
    by_design: Counter[tuple[Drop, str]] = field(default_factory=Counter)
    sockets: dict[Holder, Given] = field(default_factory=dict)
    ports: Counter[Port] = field(default_factory=Counter)
    examples: dict[Port, Example] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    harmless_ends: int = 0

    def count(self, journey: Journey, times: int) -> None:
        """Count a journey ``times`` times."""
        for end in journey.ends:
            self.ends[end.kind] += times
            self.harmless_ends += times if end.harmless else 0
        for one in journey.passes:
            is_local = any(step.kind == "local" for step in one.steps)
            for step in one.steps:
                if step.kind == "socket":
                    self._of(step).count(step, one, journey, times)
                elif step.kind == "drop":
                    self._drop(step, times)
                    if is_local and step.reason == "NO_SOCKET":
                        self._no_socket(step, one, journey, times)

    def _drop(self, step: Step, times: int) -> None:
        drop = step.netns, step.ifindex, step.function or "?", step.reason
        self.dropped[drop] += times
        if step.harmless:
            self.by_design[drop, step.harmless] += times

    def drops(self) -> list[tuple[Drop, Optional[str], int]]:
        """Return (what was dropped, why nobody lost anything by it, packets): those by design last, and the most
        frequent first."""
        harmless: Counter[Drop] = Counter()
        for (drop, _), count in self.by_design.items():
            harmless[drop] += count
        lost = [(drop, None, count - harmless[drop]) for drop, count in self.dropped.most_common()]
        return [
            *sorted((one for one in lost if one[2]), key=lambda one: -one[2]),
            *((drop, why, count) for (drop, why), count in self.by_design.most_common()),
        ]

    def _of(self, step: Step) -> Given:
        holder = (step.socket, "") if step.socket else (0, step.state or "")
        known = holder in self.sockets or len(self.sockets) < KEPT
        return self.sockets.setdefault(holder if known else OTHERS, Given())

    def _no_socket(self, step: Step, one: Pass, journey: Journey, times: int) -> None:
        port = look_at.port_of(one.packet)
        if port:
            self.ports[port] += times
            if port not in self.examples:
                self.examples[port] = Example(journey.id, look_at.after_drop(step, one.packet))

    def in_order(self) -> list[tuple[Holder, Given]]:
        """Return the sockets that were given packets: by how many they refused, then by how many they were given."""
        found = self.sockets.items()
        return sorted(found, key=lambda one: (-sum(one[1].refused.values()), -one[1].total, one[0]))
