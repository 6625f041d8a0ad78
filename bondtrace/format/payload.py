# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets' bytes that `--snaplen` keeps: as events of a recording, and in memory while they may be needed.

Invariant: memory is bounded; the oldest bytes are forgotten first.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping

from .events import Event

PACKETS_AN_EVENT = 256
BYTES_MAX = 256 << 20

_Key = tuple[int, int]


def bytes_events(time_ns: int, packets: list[tuple[int, int, bytes]]) -> list[Event]:
    """Return events with these packets, each (cpu, seq of the pass, first bytes)."""
    texts = [[cpu, seq, base64.b64encode(data).decode()] for cpu, seq, data in packets]
    return [
        {"kind": "bytes", "time_ns": time_ns, "packets": texts[at : at + PACKETS_AN_EVENT]}
        for at in range(0, len(texts), PACKETS_AN_EVENT)
    ]


class Payloads(Mapping[_Key, bytes]):
    """The first bytes of packets, by (cpu, seq) of their pass."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._known: dict[_Key, bytes] = {}
        self._bytes, self._bytes_max = 0, bytes_max

    def take(self, events: Iterable[Event]) -> None:
        """Remember the bytes in these events. Malformed ones are ignored: the pass still has the headers."""
        for event in events:
            packets = event.get("packets") if event.get("kind") == "bytes" else None
            for one in packets if isinstance(packets, list) else ():
                try:
                    cpu, seq, text = one
                    self._put((int(cpu), int(seq)), base64.b64decode(text, validate=True))
                except (TypeError, ValueError, OverflowError, binascii.Error):
                    continue

    def _put(self, key: _Key, data: bytes) -> None:
        self._bytes += len(data) - len(self._known.pop(key, b""))
        self._known[key] = data
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._known.pop(next(iter(self._known))))

    def __getitem__(self, key: _Key) -> bytes:
        return self._known[key]

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
