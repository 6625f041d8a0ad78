# SPDX-License-Identifier: GPL-2.0-or-later
"""Chrome's trace event JSON, for ui.perfetto.dev: CPUs and devices as tracks.

A pass is a slice on its CPU's track, a round a slice on the track of its device and CPU (what two CPUs do on one device
at the same time would not nest on one track); steps are instants. Times are microseconds, with nanoseconds as decimals,
since the start of the earliest recording: doubles hold those for 100 days, but not nanoseconds since the Unix epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional, TextIO

from ..analysis import ends
from ..analysis.scene import Scene
from ..format.batch import Batch
from ..format.events import NAMES, event_time_ns, wall_offset_ns
from ..format.wire import Array
from ..model import Journey, Pass, Step
from ..net.dissect import one_line
from ..reporters.json_lines import timestamp
from ..reporters.text import beyond_ip_words, recorded_namespace, tap_name, trust_line, unseen_words
from ..util.untrusted import printable
from ..version import __version__
from . import Exporter
from .rounds import Round, rounds

_Track = tuple[int, int]
"""(pid, tid) of the format: a process for the CPUs of a recording, one for the devices of each namespace."""


def begin_ns(batch: Batch) -> Optional[int]:
    """Return the earliest time in a recording's first batch, in nanoseconds since the Unix epoch."""
    events = [event for event in batch.events if event.get("kind") not in NAMES]
    try:
        times_ns = [event_time_ns(event) for event in events]
        offset_ns = next((wall_offset_ns(event) for event in events if event.get("kind") == "start"), 0)
    except ValueError:
        return None  # reading it reports what is wrong
    times_ns += batch.passes.records["time_ns"].tolist()
    return min(times_ns) + offset_ns if times_ns else None


class PerfettoExporter(Exporter):
    """Trace events on a stream. ``base_ns`` is the time since the Unix epoch that is 0 in the file; ``None``: the start
    of the first recording, as it is found in it."""

    def __init__(self, stream: TextIO, base_ns: Optional[int]) -> None:
        self._stream, self._base_ns = stream, base_ns
        self._first = True
        self._groups: dict[tuple[Any, ...], int] = {}
        self._tracks: dict[tuple[Any, ...], int] = {}
        self._flow = 0
        self._recordings: list[dict[str, str]] = []
        stream.write('{"traceEvents": [')

    def begin(self, source: Path, scene: Scene) -> None:
        super().begin(source, scene)
        self._number = len(self._recordings)

    def write(self, journey: Journey, records: Array) -> None:
        if self._base_ns is None:
            start_ns = event_time_ns(self.scene.start) + self.scene.wall_offset_ns if self.scene.start else None
            self._base_ns = min(journey.wall_ns, start_ns or journey.wall_ns)
        flow = self._flow + 1 if len(journey.passes) > 1 else None
        self._flow = flow or self._flow
        for number, (one, record) in enumerate(zip(journey.passes, records)):
            title = f"#{journey.id} {printable(one_line(one.packet))}"
            self._pass(journey, one, int(record["duration_ns"]), title)
            if flow:
                self._follow(one, flow, number, len(journey.passes))

    def end(self) -> None:
        start = self.scene.start
        self._recordings.append(
            {
                "recording": printable(str(self.source)),
                "host": self._host(),
                "kernel": printable(str(start.get("kernel", "unknown"))),
                "trust": trust_line(self.scene),
            }
        )

    def close(self) -> None:
        about = {"bondtrace": __version__, "zero": timestamp(self._base_ns or 0), "recordings": self._recordings}
        self._stream.write(f'\n], "displayTimeUnit": "ns", "otherData": {json.dumps(about)}}}\n')

    def _pass(self, journey: Journey, one: Pass, lasted_ns: int, title: str) -> None:
        cpu, end = self._cpu(one), ends.of_pass(journey, one)
        begin_ns = one.time_ns + self.scene.wall_offset_ns
        self._slice(
            cpu,
            title,
            one.direction,
            begin_ns,
            lasted_ns,
            {
                "journey": journey.id,
                "direction": one.direction,
                "cpu": one.cpu,
                "device": printable(one.steps[0].dev) if one.steps else None,
                "skb": f"0x{one.skb:x}",
                "complete": journey.complete,
                "steps lost": one.steps_lost,
                **{word: True for word in ("shown", "inferred") if getattr(one, word)},
                **({"end": f"{end.kind}: {printable(end.detail)}"} if end else {}),
                **self._unseen(journey),
            },
        )
        for round_ in rounds(one, journey.time_ns):
            device = self._device(round_, one.cpu)
            round_begin_ns = journey.wall_ns + round_.begin_ns
            end_ns = min(journey.wall_ns + round_.end_ns, begin_ns + lasted_ns)  # what came late lies behind it
            self._slice(
                device,
                title,
                one.direction,
                round_begin_ns,
                max(end_ns - round_begin_ns, 0),
                {"journey": journey.id, "direction": one.direction, "round": round_.number},
            )
            for step in round_.steps:
                if step.kind != "enter":
                    self._instant(cpu, step, journey)
                    self._instant(device, step, journey)

    def _unseen(self, journey: Journey) -> dict[str, dict[str, str]]:
        told: dict[str, dict[str, str]] = {"not seen by": {}}
        for missed in journey.unseen:
            name = tap_name(missed.tap, self.scene, journey.time_ns)
            told.setdefault(unseen_words(missed), {})[name] = f"{missed.reason}: {printable(missed.detail)}"
        return told

    def _instant(self, track: _Track, step: Step, journey: Journey) -> None:
        tap = None if step.tap is None else tap_name(step.tap, self.scene, journey.time_ns)
        told: dict[str, Optional[Any]] = {
            "round": step.round,
            "dev": printable(step.dev),
            "orig_dev": printable(step.orig_dev),
            "function": _printable(step.function),
            "tap": tap,
            "outcome": step.outcome,
            "verdict": step.verdict,
            "next_dev": _printable(step.next_dev),
            "reason": _printable(step.reason),
            "netfilter": _printable(step.netfilter),
            "tc": _printable(step.tc),
            "inferred": step.inferred or None,
            "socket": step.socket,
            "state": step.state,
        }
        name = {
            "tap": f"{tap}: {step.outcome}",
            "drop": f"dropped in {told['function']}",
            "fanout": "fanout group",
            "queued": f"handed to {told['next_dev']}",
            **({step.kind: beyond_ip_words(step, self.scene, journey.time_ns)} if step.kind in ends.BEYOND_IP else {}),
        }.get(step.kind) or (f"{told['function']}: {step.verdict}" if step.verdict else str(told["function"]))
        self._put(
            {"ph": "i", "s": "t", "name": name, "cat": step.kind, "ts": journey.wall_ns + step.t_ns},
            track,
            {key: value for key, value in told.items() if value is not None},
        )

    def _slice(
        self, track: _Track, name: str, category: str, begin_ns: int, lasts_ns: int, args: dict[str, Any]
    ) -> None:
        self._put({"ph": "X", "name": name, "cat": category, "ts": begin_ns, "dur": lasts_ns}, track, args)

    def _follow(self, one: Pass, flow: int, number: int, passes: int) -> None:
        """Draw an arrow from pass to pass."""
        phase = "s" if number == 0 else "f" if number + 1 == passes else "t"
        event = {
            "ph": phase,
            "name": "journey",
            "cat": "journey",
            "id": flow,
            "ts": one.time_ns + self.scene.wall_offset_ns,
        }
        self._put(event if phase == "s" else {**event, "bp": "e"}, self._cpu(one), {})

    def _cpu(self, one: Pass) -> _Track:
        group = self._group((self._number,), lambda: f"CPUs of {self._host()}")
        return group, self._track((group, one.cpu), f"CPU {one.cpu}")

    def _device(self, round_: Round, cpu: int) -> _Track:
        group = self._group(
            (self._number, round_.netns),
            lambda: f"devices of {self._host()}, {recorded_namespace(round_.netns, self.scene)} [{round_.netns}]",
        )
        return group, self._track((group, round_.ifindex, round_.dev, cpu), f"{printable(round_.dev)}, CPU {cpu}")

    def _group(self, key: tuple[Any, ...], name: Any) -> int:
        if key not in self._groups:
            self._groups[key] = len(self._groups) + 1
            self._name("process_name", self._groups[key], 0, name())
        return self._groups[key]

    def _track(self, key: tuple[Any, ...], name: str) -> int:
        if key not in self._tracks:
            self._tracks[key] = len(self._tracks) + 1
            self._name("thread_name", key[0], self._tracks[key], name)
        return self._tracks[key]

    def _name(self, kind: str, pid: int, tid: int, name: str) -> None:
        self._put({"ph": "M", "name": kind}, (pid, tid), {"name": name})

    def _host(self) -> str:
        return printable(str(self.scene.start.get("host") or "unknown"))

    def _put(self, event: dict[str, Any], track: _Track, args: dict[str, Any]) -> None:
        """Write an event; ``ts`` is since the Unix epoch and ``dur`` a length, both in ns."""
        times = {
            key: (event[key] - (self._base_ns if key == "ts" else 0)) / 1000 for key in ("ts", "dur") if key in event
        }
        text = json.dumps(
            {**event, **times, "pid": track[0], "tid": track[1], **({"args": args} if args else {})}, ensure_ascii=False
        )
        self._stream.write(("\n" if self._first else ",\n") + text)
        self._first = False


def _printable(text: Optional[str]) -> Optional[str]:
    return None if text is None else printable(text)
