# SPDX-License-Identifier: GPL-2.0-or-later
"""What one kernel showed of a scenario, counted by class of packet, so that several kernels can be compared.

Two kernels' packets are never the same: ids, ports and sequence numbers differ from boot to boot. What can be compared
is what became of all echo requests, all ARP questions, all LLDP frames. A *class* is the protocol, its kind of message
where it has one, and the VLAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..analysis.scene import Scene
from ..model import Journey, Packet
from .summary import Summary

#: Protocols whose packets are told apart by the words that their description begins with.
_WITH_KINDS = frozenset(("ARP", "RARP", "ICMP", "ICMPv6", "IGMP"))
#: Words of a description that introduce a value.
_BEFORE_VALUES = frozenset(
    (
        "id",
        "seq",
        "mtu",
        "code",
        "at",
        "to",
        "hop",
        "records",
        "target",
        "group",
        "for",
        "type",
        "hardware",
        "tell",
        "who-is",
    )
)


@dataclass
class Observation:
    """A kernel's column: ``kernel`` is what the user calls it. With an ``error`` there is nothing else."""

    kernel: str
    release: str = ""
    out_dir: str = ""
    error: str = ""
    scene: Scene = field(default_factory=Scene)
    total: Summary = field(default_factory=Summary)
    classes: dict[str, Summary] = field(default_factory=dict)

    def count(self, journey: Journey) -> None:
        """Count a journey in its class."""
        self.classes.setdefault(packet_class(journey.packet), Summary()).count(journey)


def packet_class(packet: Packet) -> str:
    """What a packet is one of many of: "ICMP echo request", "ARP who-has", "LLDP", "UDP in VLAN 7"."""
    words = [packet.protocol]
    if packet.protocol in _WITH_KINDS:
        words += _kind(packet.info)
    if packet.vlan:
        words.append("in VLAN " + ".".join(map(str, packet.vlan)))
    return " ".join(words)


def _kind(info: str) -> list[str]:
    """The first words of a description that name no value; "is-at" follows the address that it is about."""
    words = info.replace(",", " ").split()
    if words[1:2] == ["is-at"]:
        return ["is-at"]
    kind = []
    for word in words:
        if word in _BEFORE_VALUES or not word.replace("-", "").replace("/", "").isalpha():
            break
        kind.append(word)
    return kind
