# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between a packet and the same one at a later time, in words; what stayed is not said."""

from __future__ import annotations

from typing import Optional

from ...model import Packet, Tag
from .lines import described, tag_words


def changes(before: Packet, after: Packet) -> list[str]:
    """Return a phrase for each thing that differs: "destination 10.9.0.2:8080 now 172.17.0.2:80".

    What is not known of one of the two (it was cut off, or not recorded) is not compared.
    """
    if not before.length or not after.length:  # its begin was not recorded
        return []
    return [*_tags(before, after), *_contents(before, after), *_length(before, after)]


def _contents(before: Packet, after: Packet) -> list[str]:
    if _depth(after) > _depth(before):
        return [f"encapsulated as {described(_untagged(after))}"]
    if _depth(after) < _depth(before):
        return [f"taken out of {before.encapsulation}, it is {described(_untagged(after))}"]
    if (before.protocol, before.encapsulation) != (after.protocol, after.encapsulation):
        return [f"now {described(_untagged(after))}"]
    return [
        f"{word} {old} now {new}"
        for word, old, new in (
            ("source", _end(before, 0), _end(after, 0)),
            ("destination", _end(before, 1), _end(after, 1)),
        )
        if old and new and old != new
    ]


def _depth(packet: Packet) -> int:
    """How many tunnels is it in?"""
    return (1 if packet.encapsulation else 0) + (_depth(packet.inner) if packet.inner else 0)


def _untagged(packet: Packet) -> Packet:
    """Return the packet without its tags, of which a phrase of its own speaks."""
    return Packet(packet.length, packet.ethertype, packet.protocol, packet.src, packet.dst, packet.info)


def _end(packet: Packet, place: int) -> str:
    """Return the source (0) or destination (1): its address, with the port."""
    address = (packet.src, packet.dst)[place]
    if packet.ports is None or not address:
        return address
    return f"[{address}]:{packet.ports[place]}" if ":" in address else f"{address}:{packet.ports[place]}"


def _tags(before: Packet, after: Packet) -> list[str]:
    if not before.tags and not after.tags:
        return []
    if not after.tags:
        return [f"{tag_words(before.tags, where=False)} taken off"]
    if not before.tags:
        return [f"tagged {tag_words(after.tags)}"]
    if not _alike(before.tags, after.tags):
        return [f"tagged {tag_words(after.tags)}, was {tag_words(before.tags)}"]
    if before.tags[0].in_frame != after.tags[0].in_frame:
        where = "in the frame" if after.tags[0].in_frame else "beside the frame"
        return [f"{tag_words(after.tags, where=False)} now {where}"]
    return []


def _alike(before: tuple[Tag, ...], after: tuple[Tag, ...]) -> bool:
    """Are these the same tags, wherever they lie?"""
    return len(before) == len(after) and all(
        (old.id, old.priority, old.drop_eligible) == (new.id, new.priority, new.drop_eligible)
        and _same_type(old.tpid, new.tpid)
        for old, new in zip(before, after)
    )


def _same_type(old: Optional[int], new: Optional[int]) -> bool:
    return old == new or old is None or new is None


def _length(before: Packet, after: Packet) -> list[str]:
    """Return the lengths where they differ by more than the tags in the frame."""
    if after.length - _tag_bytes(after) == before.length - _tag_bytes(before):
        return []
    return [f"{after.length} bytes, were {before.length}"]


def _tag_bytes(packet: Packet) -> int:
    return 4 * sum(tag.in_frame for tag in packet.tags)
