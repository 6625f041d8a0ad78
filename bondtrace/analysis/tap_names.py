# SPDX-License-Identifier: GPL-2.0-or-later
"""The short name of a tap for people: "tcpdump -i eth0 icmp", "lldpd", "dhclient".

Of a capture tool's command line only the device and the filter are kept; of any other process only the program. The
arguments come joined by spaces, so one that contains spaces is read as several.

Invariant: a label is one printable line of at most ``LABEL_CHARS`` characters, whatever bytes a process put into its
name or arguments.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple, Optional

from ..model import Process, Tap
from ..util.untrusted import printable, raw

LABEL_CHARS = 80
NO_PROCESS = "(no process: held by the kernel or hidden)"

_COMM_BYTES = 15
_WITH_INODE = re.compile(r".*\[(\d{1,20})\]")
_PROGRAMS = {"systemd-network": "systemd-networkd", "Suricata-Main": "suricata"}


class _Syntax(NamedTuple):
    """How a capture tool parses its options: the letters and long names that take a value, and the letter that takes
    the filter ("" where the remaining words are the filter)."""

    letters: str
    names: frozenset[str]
    filter_letter: str


_TCPDUMP = _Syntax(
    "BcCEFGijmMQrsTVwWyzZ",
    frozenset(
        (
            "interface",
            "buffer-size",
            "direction",
            "linktype",
            "list-remote-interfaces",
            "relinquish-privileges",
            "skip",
            "snapshot-length",
            "time-stamp-precision",
            "time-stamp-type",
        )
    ),
    "",
)
_WIRESHARK = _Syntax(
    "aAbBcCdeEfFHiIjJKMNoOrRsStTuUwWXyYzZ",
    frozenset(("interface", "autostop", "ring-buffer", "snapshot-length", "linktype", "time-stamp-type")),
    "f",
)
_CAPTURE_TOOLS = {"tcpdump": _TCPDUMP, "dumpcap": _WIRESHARK, "tshark": _WIRESHARK}


def label(tap: Tap) -> str:
    """Return the name of what holds ``tap``.

    Of several processes it is the first by pid (process 1, which only hands sockets on, comes last), with the number of
    those that have other names.
    """
    return _label(tap.processes)


@lru_cache(maxsize=1 << 14)  # a host may have thousands of taps, and each packet names all that did not see it
def _label(holders: tuple[Process, ...]) -> str:
    if not holders:
        return NO_PROCESS
    processes = sorted(holders, key=lambda process: (process.pid == 1, process.pid))
    names = list(dict.fromkeys(process_label(process) for process in processes))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return _cut(names[0], LABEL_CHARS - len(more)) + more


def answers_to(name: str, inode: int, tap: Optional[Tap]) -> bool:
    """Is the tap with this inode meant by a name? It is by one of its ``names``; also as outputs name it with the inode
    in brackets (``tcpdump -i eth0 [41001]``), where only the inode counts.

    :param tap: as it was at the time; ``None`` where it is known only by its inode.
    """
    numbered = _WITH_INODE.fullmatch(name)
    if numbered:
        return inode == int(numbered.group(1))
    wanted = str(int(name)) if name.isdecimal() else name
    return wanted == str(inode) or wanted in names(tap)


def names(tap: Optional[Tap]) -> tuple[str, ...]:
    """Return what a tap can be called, besides its inode: its label, also with what tells it apart from others; and the
    pid, the program and the label of each of its processes."""
    return _names(tap) if tap is not None else ()


@lru_cache(maxsize=1 << 14)
def _names(tap: Tap) -> tuple[str, ...]:
    each = ((str(one.pid), one.comm, _program(one), process_label(one)) for one in tap.processes)
    marks = [mark for mark in _marks(tap) if mark]
    some = (chosen for count in range(1, len(marks) + 1) for chosen in combinations(marks, count))
    apart = (_with_marks(label(tap), chosen) for chosen in some)
    return tuple(dict.fromkeys((label(tap), *(name for several in each for name in several), *apart)))


def told_apart(taps: Iterable[Tap]) -> dict[int, str]:
    """Return the name of each tap by its inode. To names that several have what differs is added: a capture tool's
    direction and file, else the pid."""
    alike: dict[str, list[Tap]] = {}
    for tap in taps:
        alike.setdefault(label(tap), []).append(tap)
    found = {tap.inode: name for name, same in alike.items() for tap in same}
    for name, same in alike.items():
        marks = [_marks(tap) for tap in same] if len(same) > 1 else []
        differ = [len(set(values)) > 1 for values in zip(*marks)]
        if any(differ[:-1]) and len({values[:-1] for values in marks}) == len(marks):
            differ[-1] = False  # the pid only where nothing else tells them apart
        for tap, values in zip(same, marks):
            found[tap.inode] = _with_marks(name, [value for value, is_told in zip(values, differ) if value and is_told])
    return found


def _with_marks(name: str, marks: Iterable[str]) -> str:
    more = "".join(f" {mark}" for mark in marks)
    return _cut(name, LABEL_CHARS - len(more)) + more


def _marks(tap: Tap) -> tuple[str, ...]:
    """Return what may tell a tap from others of its name: the direction, the file, and the pid; "" for none."""
    holder = _holder(tap)
    if holder is None:
        return "", "", ""
    direction = direction_of(tap)
    file = posixpath.basename((option_values(holder, "w") or [""])[-1])
    return (
        f"-Q {_cut(printable(direction), 8)}" if direction else "",
        f"-w {_cut(printable(file), 24)}" if file else "",
        f"pid {holder.pid}",
    )


def direction_of(tap: Tap) -> str:
    """Return the direction that tcpdump was asked to capture ("in", "out", "inout"); "" where none was asked for."""
    holder = _holder(tap)
    if holder is None or _CAPTURE_TOOLS.get(_program(holder)) is not _TCPDUMP:
        return ""
    asked = option_values(holder, "Q") or option_values(holder, "direction")
    return asked[-1] if asked else ""


def is_capture_tool(tap: Tap) -> bool:
    """Does a tool hold it that captures by libpcap?"""
    holder = _holder(tap)
    return holder is not None and _program(holder) in _CAPTURE_TOOLS


def _holder(tap: Tap) -> Optional[Process]:
    """Return the first process by pid that holds a tap; process 1, which only hands sockets on, comes last."""
    return min(tap.processes, key=lambda one: (one.pid == 1, one.pid), default=None)


def process_label(process: Process) -> str:
    """Return the name of one process: the program, with device and filter for a capture tool."""
    program = _program(process)
    syntax = _CAPTURE_TOOLS.get(program)
    if syntax is not None:
        devices, words = _parse(process.cmdline.split()[1:], syntax)
        options = [word for device in devices for word in ("-i", device)]
        program = " ".join([program, *options, *words])
    return _cut(printable(program), LABEL_CHARS)


def option_values(process: Process, letter: str) -> list[str]:
    """Return the values of an option (its letter, or long name) on a capture tool's command line; none of another
    program's."""
    syntax = _CAPTURE_TOOLS.get(_program(process))
    pending = process.cmdline.split()[1:] if syntax else []
    found = []
    while pending and syntax:
        word = pending.pop(0)
        if word == "--":
            break
        option, value = _option(word, pending, syntax)
        found += [value] if option == letter and value else []
    return found


def _program(process: Process) -> str:
    """Return the program's name: comm, completed from the command line where the kernel cut it."""
    words = process.cmdline.split()
    name = posixpath.basename(words[0]) if words else ""
    if process.comm in _PROGRAMS:
        return _PROGRAMS[process.comm]
    was_cut = len(raw(process.comm)) == _COMM_BYTES
    if was_cut and name.startswith(process.comm):
        return name
    return process.comm or name or f"pid {process.pid}"


def _parse(words: Sequence[str], syntax: _Syntax) -> tuple[list[str], list[str]]:
    """Return (devices, filter words) of a capture tool's arguments."""
    devices: list[str] = []
    filter_words: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word == "--":
            filter_words += [] if syntax.filter_letter else pending
            break
        option, value = _option(word, pending, syntax)
        if option is None and not syntax.filter_letter:
            filter_words.append(word)
        elif option in ("i", "interface") and value:
            devices.append(value)
        elif option and option == syntax.filter_letter and value:
            filter_words += [value, *_take_plain(pending)]
    return devices, filter_words


def _option(word: str, pending: list[str], syntax: _Syntax) -> tuple[Optional[str], Optional[str]]:
    """Return the option that ``word`` is and its value, taken off ``pending`` where it is the next word; (``None``,
    ``None``) for a plain word. Of a bundle (`-nni`) it is the option with a value."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        if equals or name not in syntax.names:
            return name, value or None
        return name, pending.pop(0) if pending else None
    if not word.startswith("-") or word == "-":
        return None, None
    for position, letter in enumerate(word[1:], 2):
        if letter in syntax.letters:
            return letter, word[position:] or (pending.pop(0) if pending else None)
    return word[1:], None


def _take_plain(pending: list[str]) -> list[str]:
    """Take off ``pending`` the words up to the next option: the rest of a filter with spaces."""
    taken = []
    while pending and not pending[0].startswith("-"):
        taken.append(pending.pop(0))
    return taken


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
