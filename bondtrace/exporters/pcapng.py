# SPDX-License-Identifier: GPL-2.0-or-later
"""pcapng: every packet once on each device that it passed, with what happened to it there as comments.

A device of a recording is an interface; times are nanoseconds. All recordings are in one section: tshark 4.0 takes the
interfaces of a second one for those of the first. The four kinds of blocks that are needed are written here
(https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/): they are two dozen lines of struct, which a library
(python-pcapng) would not shorten, so pcapng needs nothing beyond the base install.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Optional

from ..analysis import ends, watched
from ..analysis.scene import Scene
from ..format.payload import Payloads
from ..format.wire import RECORD_LATE, RECORD_RX, Array
from ..model import Device, End, Journey, Pass, Step
from ..reporters.text import (
    beyond_ip_words,
    drop_words,
    queued_words,
    recorded_namespace,
    tap_name,
    trust_line,
    unknown_step,
    unseen_words,
)
from ..util.untrusted import printable
from ..version import __version__
from . import Exporter
from .frames import LINK_USER, NONE, frame, link_type
from .rounds import Round, rounds

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_COMMENT = 1
_APPLICATION = 4
_IF_NAME, _IF_DESCRIPTION, _IF_MAC, _IF_TSRESOL, _IF_OS, _EPB_FLAGS = 2, 3, 6, 9, 12, 2
_INBOUND, _OUTBOUND = 1, 2
# skb->pkt_type of a received packet to the reception type of epb_flags: unicast, broadcast, multicast, promiscuous.
_RECEPTION = {0: 1, 1: 3, 2: 2, 3: 4}
_TEXT_BYTES = 65_000

_Options = list[tuple[int, bytes]]
_Interface = tuple[int, int, str, int]
"""(netns, ifindex, name, link type)."""


class PcapngExporter(Exporter):
    """pcapng on a stream, with the packets' bytes where they were kept."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._interfaces: dict[_Interface, int] = {}
        self._described = 0  # interfaces of all recordings
        self._put(
            _SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), [_text(_APPLICATION, f"bondtrace {__version__}")]
        )

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self._interfaces = {}
        self.payloads = Payloads()

    def write(self, journey: Journey, records: Array) -> None:
        told = [
            (one, record, round_)
            for one, record in zip(journey.passes, records)
            for round_ in rounds(one, journey.time_ns)
        ]
        for place, (one, record, round_) in enumerate(told):
            how = "received, shown" if one.shown else one.direction
            comments = [
                f"journey #{journey.id}, {place + 1} of {len(told)}: {how} on "
                f"{printable(round_.dev)}, CPU {one.cpu}, pass {journey.passes.index(one) + 1}, "
                f"round {round_.number}"
            ]
            comments += self._happened(journey, one, record, round_)
            if place + 1 == len(told) or told[place + 1][0] is not one:
                comments += _end(ends.of_pass(journey, one))
            if place + 1 == len(told):
                comments += self._at_last(journey)
            self._packet(journey, one, record, round_, comments)

    def end(self) -> None:
        """Write what was lost as statistics of each interface."""
        for number in self._interfaces.values():
            self._put(_STATISTICS, struct.pack("<III", number, 0, 0), [_text(_COMMENT, trust_line(self.scene))])

    def flush(self) -> None:
        self._stream.flush()

    def _happened(self, journey: Journey, one: Pass, record: Array, round_: Round) -> list[str]:
        lines = ["its begin was not recorded"] if record["kind"] == RECORD_LATE else []
        lines += [self._step(step, journey) for step in round_.steps if step.kind != "enter"]
        return [*lines, *([f"{one.steps_lost} more steps did not fit the record"] if one.steps_lost else [])]

    def _step(self, step: Step, journey: Journey) -> str:
        because = f" ({step.reason})" if step.reason else ""
        if step.kind == "tap":
            how = "full: no room at" if step.outcome == "full" else f"{step.outcome} by"
            text = f"{how} {tap_name(step.tap or 0, self.scene, journey.time_ns)}{because}"
        elif step.kind == "fanout":
            text = "offered to a fanout group"
        elif step.kind == "queued":
            text = queued_words(step)
        elif step.kind == "drop":
            text = f"dropped {drop_words(step)}"
        elif step.verdict:
            onward = f", next {step.next_dev}" if step.next_dev else ""
            text = f"{step.function}: {step.verdict}{onward}{because}"
        elif step.kind == "protocol":
            text = f"delivered to {step.function}"
        elif step.kind in ends.BEYOND_IP:
            text = beyond_ip_words(step, self.scene, journey.time_ns)
        else:
            text = unknown_step(step)
        return text + (" (inferred)" if step.inferred else "")

    def _at_last(self, journey: Journey) -> list[str]:
        doubt = " (or it was lost)" if self.scene.losses() or self.scene.missing_stages() else ""
        lines = [f"note: {text}" for text in journey.notes]  # no text from outside begins a comment: bondtrace.lua
        lines += [
            f"{unseen_words(missed)} {tap_name(missed.tap, self.scene, journey.time_ns)}: {missed.detail} "
            f"({missed.reason}){'' if missed.reason in watched.OPEN else doubt}"
            for missed in journey.unseen
        ]
        return lines if journey.complete else [*lines, "the record of this journey is incomplete"]

    def _packet(self, journey: Journey, one: Pass, record: Array, round_: Round, comments: list[str]) -> None:
        data, length = frame(record, round_.untagged, self.payloads or NONE)
        received = record["kind"] == RECORD_RX
        flags = (_INBOUND if one.direction == "rx" else _OUTBOUND) | (
            _RECEPTION.get(int(record["pkt_type"]), 0) << 2 if received else 0
        )
        time_ns = journey.wall_ns + round_.begin_ns
        head = struct.pack(
            "<IIIII",
            self._interface(round_, record, journey.time_ns),
            time_ns >> 32,
            time_ns & 0xFFFFFFFF,
            len(data),
            length,
        )
        self._put(
            _PACKET,
            head + _padded(data),
            [*(_text(_COMMENT, line) for line in comments), (_EPB_FLAGS, struct.pack("<I", flags))],
        )

    def _interface(self, round_: Round, record: Array, time_ns: int) -> int:
        """Return the number of the device's interface, which is described before its first packet."""
        link = link_type(record)
        key = round_.netns, round_.ifindex, round_.dev, link
        if key not in self._interfaces:
            device = self.scene.device(round_.netns, round_.ifindex, time_ns)
            options = [_text(_IF_NAME, round_.dev), _text(_IF_DESCRIPTION, self._description(round_, device, record))]
            address = _mac(device.address if device else "")
            options += [(_IF_MAC, address)] if address else []
            options += [
                (_IF_TSRESOL, b"\x09"),
                _text(_IF_OS, f"Linux {self.scene.start.get('kernel', 'unknown')}"),
                _text(_COMMENT, f"from the recording {self.source}"),
            ]
            self._put(_INTERFACE, struct.pack("<HHI", link, 0, 0), options)
            self._interfaces[key] = self._described
            self._described += 1
        return self._interfaces[key]

    def _description(self, round_: Round, device: Optional[Device], record: Array) -> str:
        facts = [device.kind if device else "unknown device", f"ifindex {round_.ifindex}", f"netns {round_.netns}"]
        if round_.netns in self.scene.namespaces:
            facts[2] += f" ({recorded_namespace(round_.netns, self.scene)})"
        if device and device.bond_mode:
            facts[0] += f" ({device.bond_mode})"
        facts.append(f"host {self.scene.start.get('host', 'unknown')}")
        if link_type(record) == LINK_USER:
            facts.append(f"link type {record['arphrd']} (ARPHRD), its frames are not decoded")
        return ", ".join(facts)

    def _put(self, kind: int, body: bytes, options: _Options) -> None:
        parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
        content = body + b"".join(parts) + (b"\0\0\0\0" if parts else b"")
        size = struct.pack("<I", len(content) + 12)
        self._stream.write(struct.pack("<I", kind) + size + content + size)


def _end(end: Optional[End]) -> list[str]:
    """Return the comment on how a packet's way ended in a pass."""
    if end is None:
        return []
    return [f"end ({end.kind}): {end.detail}{f'; look at: {end.look_at}' if end.look_at else ''}"]


def _text(code: int, text: str) -> tuple[int, bytes]:
    """Return an option of text that no terminal would obey, cut to what an option can hold."""
    return code, printable(text).encode()[:_TEXT_BYTES].decode("utf-8", "ignore").encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _mac(address: str) -> bytes:
    try:
        data = bytes.fromhex(address.replace(":", ""))
    except ValueError:
        return b""
    return data if len(data) == 6 else b""
