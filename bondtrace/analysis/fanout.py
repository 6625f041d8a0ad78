# SPDX-License-Identifier: GPL-2.0-or-later
"""Fanout groups: which one a packet was offered to, and whether it holds the packet for reassembly.

A group is one entry in the kernel's list of taps; ``packet_rcv_fanout`` chooses a member and calls its function within.
It calls none where ``ip_check_defrag`` keeps a fragment of an IPv4 packet (PACKET_FANOUT_FLAG_DEFRAG): with the last
fragment a member gets the whole datagram.

Source: ``packet_rcv_fanout``, ``fanout_add`` (net/packet/af_packet.c), ``ip_check_defrag`` (net/ipv4/ip_fragment.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..model import Step, Tap
from .contents import Contents
from .scene import Scene
from .tap_history import Presence

#: Flags of a group, in ``Tap.fanout_type``: they are known only where they could be read from a member's process.
DEFRAG, IGNORE_OUTGOING = 0x8000, 0x4000
HELD = "holds the fragment for reassembly"

Group = tuple[int, int]
"""A group: (netns, id)."""


def group_of(tap: Optional[Tap]) -> Optional[Group]:
    """Return the group that a tap is in."""
    return (tap.netns, tap.fanout_id) if tap is not None and tap.fanout_id is not None else None


def has_flag(tap: Tap, flag: int) -> bool:
    """Has the tap's group this flag, as far as that is known?"""
    return tap.fanout_id is not None and bool((tap.fanout_type or 0) & flag)


def named(steps: Sequence[Step], contents: Contents, scene: Scene, time_ns: int) -> tuple[Step, ...]:
    """Return a pass's steps; those of fanout groups have as their reason which group it is, where that is known, and
    whether it holds the fragment."""
    if not any(step.kind == "fanout" for step in steps):
        return tuple(steps)
    return tuple(
        replace(step, reason=_reason(place, steps, contents, scene, time_ns)) if step.kind == "fanout" else step
        for place, step in enumerate(steps)
    )


def _reason(place: int, steps: Sequence[Step], contents: Contents, scene: Scene, time_ns: int) -> Optional[str]:
    following = _following(place, steps)
    if following is not None:
        tap = scene.tap_surely(following, time_ns)
        if tap is None:
            return None
        if tap.fanout_id is not None:
            return f"group {tap.fanout_id}"
    groups = _there(steps[place], steps, scene, time_ns)
    name = f"group {groups[0][1]}" if len(groups) == 1 else "it"
    if contents.fragment:
        return f"{name} {HELD}"
    return name if len(groups) == 1 else None


def _following(place: int, steps: Sequence[Step]) -> Optional[int]:
    """Return the tap that was offered the packet right after the group at this place: its member, if it is in one."""
    following = steps[place + 1] if place + 1 < len(steps) else None
    if following is None or following.kind != "tap" or following.inferred != steps[place].inferred:
        return None
    return following.tap if following.ifindex == steps[place].ifindex else None


def _there(step: Step, steps: Sequence[Step], scene: Scene, time_ns: int) -> list[Group]:
    """Return the groups that can have been offered the packet at this step: those on its device, but for those whose
    member has it there."""
    has_it = {step.tap for step in steps if step.tap is not None}
    groups: dict[Group, None] = {}
    served: set[Group] = set()
    for tap, presence in scene.taps_at(time_ns):
        group = group_of(tap)
        if group is None or tap.netns != step.netns or tap.ifindex not in (0, step.ifindex):
            continue
        if presence is Presence.HOOKED:
            groups[group] = None
        if tap.inode in has_it:
            served.add(group)
    return [group for group in groups if group not in served]
