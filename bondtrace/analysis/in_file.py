# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that a tap captured and its capture tool leaves out of its file: libpcap discards them after the kernel.

Invariant: it is only said of tools that use libpcap, with the options of their command line, and of packets that were
seen to be captured.

Source: ``linux_check_direction`` (libpcap, pcap-linux.c); docs/receive-path.md, "Limits".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..model import Tap
from .history import LAST_NS
from .scene import Scene
from .tap_names import direction_of, is_capture_tool

_ONLY = {"in": "tx", "out": "rx"}
_WORDS = {"rx": "received", "tx": "sent"}


def left_out(tap: Tap, captured: Mapping[tuple[int, int, str], int], scene: Scene) -> Iterator[str]:
    """Yield, as phrases, which of the packets that a tap captured are not in its file.

    :param captured: how many, by (netns, ifindex, direction).
    """
    if not is_capture_tool(tap):
        return
    wanted = direction_of(tap)
    other = _ONLY.get(wanted, "")
    count = sum(number for (_, _, direction), number in captured.items() if direction == other)
    if count:
        yield f"captured {_packets(count)} {_WORDS[other]}, which -Q {wanted} discards in user space"
    looped = sum(
        number
        for (netns, ifindex, direction), number in captured.items()
        if direction == "tx" and other != "tx" and _is_loopback(netns, ifindex, scene)
    )
    if looped:
        yield f"captured {_packets(looped)} sent on a loopback device, which libpcap discards: received there, too"


def _packets(count: int) -> str:
    return f"{count} packet{'s' * (count != 1)}"


def _is_loopback(netns: int, ifindex: int, scene: Scene) -> bool:
    device = scene.device(netns, ifindex, LAST_NS)
    return device is not None and device.kind == "loopback"
