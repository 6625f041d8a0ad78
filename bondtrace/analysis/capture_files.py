# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tap wrote a capture file: by the file's name on the command line of the tap's process, or as told.

Invariant: nothing is guessed. Where more than one tap is possible, or none, that is an error that lists them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from ..errors import UsageError
from ..model import Process, Tap
from ..util.untrusted import printable
from .scene import Scene
from .tap_names import answers_to, option_values, told_apart

_LISTED = 8
_COOKED_LINKS = (113, 276)  # LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2
_PER_FILE = re.compile(r"\d*")  # tcpdump -C appends a number
_OF_RING = re.compile(r"_\d{5}_\d{14}")  # dumpcap -b puts these in


def writer(path: Path, link: Optional[int], device: str, told: str, scene: Scene) -> Tap:
    """Return the tap whose process wrote this file.

    :param link: the link type of the file, ``None`` where it is empty.
    :param device: the name of the interface in it, "" where it has none.
    :param told: the tap as the user named it, "" where that is left to bondtrace.
    :raises UsageError: where that is not one tap.
    """
    taps = [tap for one in scene.taps.values() if (tap := one.last_known()) is not None]
    found = [tap for tap in taps if _is(tap, told)] if told else _by_name(path, taps)
    if not told and not found:
        found = [tap for tap in taps if _can_have_written(tap, link, device)]
    if len(found) != 1:
        raise UsageError(_not_one(path, told, found or taps, bool(found)))
    return found[0]


def _is(tap: Tap, told: str) -> bool:
    """Is this the tap that the user named: by its device, or in any other way?"""
    device = tap.dev if tap.ifindex else "any"
    return told == device or answers_to(told, tap.inode, tap)


def _by_name(path: Path, taps: Sequence[Tap]) -> list[Tap]:
    """Return the taps whose processes were told to write a file of that name: if one names its whole path, only that
    one."""
    whole = os.path.abspath(path)
    words = {tap.inode: [word for process in tap.processes for word in _written(process)] for tap in taps}
    exactly = [tap for tap in taps if whole in words[tap.inode]]
    return exactly or [tap for tap in taps if any(_is_name_of(word, path.name) for word in words[tap.inode])]


def _written(process: Process) -> list[str]:
    return option_values(process, "w")


def _is_name_of(word: str, name: str) -> bool:
    """Does ``-w word`` write files of this name? What `tcpdump -C` appends to it, `-G` puts in for `%H` and the like,
    and `dumpcap -b` puts in, may be there."""
    base = word.rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    is_like = dot and name.startswith(stem) and name.endswith(dot + suffix)
    if is_like and _OF_RING.fullmatch(name[len(stem) : -len(dot + suffix)]):
        return True
    first, *parts = re.split(r"%[A-Za-z]", base)
    if not base or not name.startswith(first):
        return False
    at = len(first)
    for nth, part in enumerate(parts):
        is_last = nth + 1 == len(parts)  # it ends with this one, but for a number
        found = name.rfind(part, at + 1) if is_last else name.find(part, at + 1)
        if found < 0:
            return False
        at = found + len(part)
    return _PER_FILE.fullmatch(name[at:]) is not None


def _can_have_written(tap: Tap, link: Optional[int], device: str) -> bool:
    """Can a tap of this kind have written a file of this link type, with this name of a device?"""
    own = tap.dev if tap.ifindex else "any"
    is_kind = link is None or (tap.kind == "cooked") == (link in _COOKED_LINKS)
    return is_kind and device in ("", own)


def _not_one(path: Path, told: str, taps: Sequence[Tap], possible: bool) -> str:
    """Return the message where it is not one tap."""
    there = {tap.inode: "" if tap.ifindex else " on any device" for tap in taps}
    names = [f"{printable(name)} [{inode}]{there[inode]}" for inode, name in told_apart(taps).items()]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(names[:_LISTED]) + more
    if told:
        problem = f"several taps are {told!r}" if possible else f"no tap of this recording is {told!r}"
        return f"{problem}: name the one that wrote {path} by its inode, one of {listed or '(it has none)'}"
    problem = "may be of several taps" if possible else "is of no tap that this recording has"
    return f"{path} {problem}; --tap {path.name}=INODE names its own, one of {listed or '(it has none)'}"
