# SPDX-License-Identifier: GPL-2.0-or-later
"""What was traced of a scenario on one kernel, counted by class of packet, so that several kernels can be compared.

Two kernels' packets are never the same: ids, ports and sequence numbers differ from boot to boot. What can be compared
is what became of all echo requests, all ARP requests, all LLDP frames. A *class* is the protocol, its kind of message
where it has one, and the VLAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..analysis.scene import Scene
from ..model import Journey, Packet
from ..net.dissect import tag_words
from .summary import Summary

#: Protocols whose packets are distinguished by their messages.
_WITH_MESSAGES = frozenset(("ARP", "RARP", "ICMP", "ICMPv6", "IGMP"))
#: The words of a class for a message, where they are not the message's name. Programs use these words: do not change.
_CLASS_WORDS = {
    "fragment": "fragment offset",
    "net unreachable for TOS": "net unreachable",
    "host unreachable for TOS": "host unreachable",
    "redirect net for TOS": "redirect net",
    "redirect host for TOS": "redirect host",
    "v1 report": "",
    "v2 report": "",
    "v3 report": "",
    "MLDv2 report": "",
    "not decoded": "link",
}


@dataclass
class Observation:
    """A kernel's column; ``kernel`` is the user's name for it. With an ``error`` there is nothing else."""

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
    """Return the class of a packet: "ICMP echo request", "ARP who-has", "LLDP", "UDP in VLAN 7"."""
    words = [packet.protocol]
    if packet.protocol in _WITH_MESSAGES:
        words.append(_CLASS_WORDS.get(packet.message, packet.message))
    if packet.tags:
        plain = [replace(tag, priority=0, drop_eligible=False) for tag in packet.tags]
        words.append("in " + tag_words(plain, where=False).replace("vlan", "VLAN"))
    return " ".join(filter(None, words))
