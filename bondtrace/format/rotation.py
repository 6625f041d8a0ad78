# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording in parts: FILE-0001, FILE-0002, ... each of which can be read by itself.

A new part begins with the events of the earlier ones that still hold (devices, taps, names), marked ``again``, so that
nothing is missing where only later parts are kept.

Invariant: every batch is in one part, complete.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

from ..errors import UsageError
from .events import Event
from .recording import Recorder
from .wire import EMPTY, Passes

SOCKETS_KEPT = 4096  # the last ones that were told of: they come and go, and nothing tells when they have gone

_KEYS = {
    "namespace": ("netns",),
    "device": ("device", "netns", "ifindex"),
    "device-gone": ("netns", "ifindex"),
    "tap": ("tap", "inode"),
    "tap-gone": ("inode",),
    "socket": ("socket", "inode"),
    "ip-settings": ("ip_settings", "netns", "ifindex"),
    "symbol": ("address",),
    "chain": ("number",),
    "tc-filter": ("number",),
    "stage": ("stage", "name"),
    "losses": (),
    "start": (),
}


class Surroundings:
    """The events so far that still hold."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Event] = {}
        self._sockets: dict[tuple[object, ...], None] = {}  # keys of those among them, in the order they were told of

    def learn(self, events: list[Event]) -> None:
        """Take events in."""
        for event in events:
            kind = str(event.get("kind"))
            if kind not in _KEYS:
                continue
            inner = _KEYS[kind][0] if _KEYS[kind] and isinstance(event.get(_KEYS[kind][0]), dict) else None
            names = _KEYS[kind][1:] if inner else _KEYS[kind]
            values = event[inner] if inner else event
            key = (kind.removesuffix("-gone"), *(values.get(name) for name in names))
            if kind.endswith("-gone"):
                self._known.pop(key, None)
            else:
                self._known[key] = event
            if kind == "socket":
                self._keep_last(key)

    def _keep_last(self, key: tuple[object, ...]) -> None:
        """Let the socket with this key be the last; forget the first where there are too many."""
        self._sockets.pop(key, None)
        self._sockets[key] = None
        if len(self._sockets) > SOCKETS_KEPT:
            first = next(iter(self._sockets))
            del self._sockets[first], self._known[first]

    def told_again(self, part: int) -> list[Event]:
        """Return the events with which a further part begins. A tap that opened in an earlier part was there when this
        one began, so ``not_before_ns`` is left out."""
        return [
            {
                **{name: value for name, value in event.items() if name != "not_before_ns"},
                "again": True,
                **({"part": part} if event["kind"] == "start" else {}),
            }
            for event in self._known.values()
        ]


class RotatingRecorder:
    """A writer of parts of about ``part_bytes`` or ``part_s`` seconds at most; only the last ``keep`` are kept.

    :raises UsageError: where a part of that name exists and ``force`` is not set.
    """

    def __init__(
        self,
        path: Path,
        force: bool = False,
        part_bytes: Optional[int] = None,
        part_s: Optional[float] = None,
        keep: Optional[int] = None,
    ) -> None:
        self.path, self._force = path, force
        self._part_bytes, self._part_s, self._keep = part_bytes, part_s, keep
        there = existing_parts(path)
        if there and not force:
            raise UsageError(f"{there[0]} already exists; name another file, or use --force to overwrite it")
        self._surroundings = Surroundings()
        self._parts: list[Path] = []
        self._number, self._bytes, self._passes = 0, 0, 0
        self._next()
        for old in there[1:]:  # parts of an earlier recording, which would be taken for this one's
            old.unlink(missing_ok=True)

    def _next(self) -> None:
        self._number += 1
        self._recorder = Recorder(part_path(self.path, self._number), self._force)
        self._begin_s = time.monotonic()
        self._parts.append(self._recorder.path)
        if self._number > 1:
            self._recorder.write(EMPTY, self._surroundings.told_again(self._number))

    @property
    def bytes(self) -> int:
        """The number of bytes written so far, including parts that were not kept."""
        return self._bytes + self._recorder.bytes

    @property
    def passes(self) -> int:
        """The number of passes written so far."""
        return self._passes + self._recorder.passes

    def write(self, passes: Passes, events: list[Event]) -> None:
        """Append a batch; then begin the next part if this one is full or old enough."""
        self._recorder.write(passes, events)
        self._surroundings.learn(events)
        full = self._part_bytes is not None and self._recorder.bytes >= self._part_bytes
        old = self._part_s is not None and time.monotonic() - self._begin_s >= self._part_s
        if self._recorder.bytes and (full or old):
            self.close()
            self._bytes, self._passes = self.bytes, self.passes
            self._next()
            while self._keep is not None and len(self._parts) > self._keep:
                self._parts.pop(0).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the current part."""
        self._recorder.close()


def part_path(path: Path, number: int) -> Path:
    """Return the path of a part: trace-0001.arrows for trace.arrows."""
    return path.with_name(f"{path.stem}-{number:04d}{path.suffix}")


def existing_parts(path: Path) -> list[Path]:
    """Return the parts of that name that exist, in order."""
    if not path.parent.is_dir():
        return []
    return sorted(
        one
        for one in path.parent.iterdir()
        if one.name.startswith(f"{path.stem}-")
        and one.suffix == path.suffix
        and len(number := one.stem[len(path.stem) + 1 :]) >= 4
        and number.isdigit()
    )
