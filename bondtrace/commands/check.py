# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace check`: the taps' own capture files against a recording."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import click

from ..analysis import watched
from ..analysis.capture_files import writer
from ..analysis.scene import Scene
from ..analysis.stitch import Journeys
from ..errors import BondtraceError, UsageError
from ..format.batch import Batch
from ..format.capture_file import CaptureFile, is_capture
from ..format.events import event_time_ns
from ..format.trace_set import TraceSet
from ..format.wire import RECORD_HOOK
from ..model import Journey
from ..pipeline import Pipeline
from ..reporters import check as view
from ..stats.agreement import doubts
from ..stats.check import Check, Found, Span
from ..stats.comparable import ETHERNET, require_comparable
from ..stats.held import Capture
from .options import json_option
from .replaying import only_trace, refuse_piped, replay

_TIME_END_NS = 1 << 62


@click.command()
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--tap",
    "named",
    multiple=True,
    metavar="CAPTURE=TAP",
    help="The tap that wrote a capture: its inode, its process's pid or name, or the device it was bound to. Default: "
    "the one whose command line names the file (-w).",
)
@click.option("-l", "--list", "listed", is_flag=True, help="Also list every packet that a capture has or lacks.")
@json_option
def check(files: tuple[Path, ...], named: tuple[str, ...], listed: bool, as_json: bool) -> int:
    """Compare the taps' own capture files (pcap, pcapng) with a recording, packet by packet.

    FILE is a capture, or the recording: the parts of one, or a directory of them, are one. Exits with 1 where they do
    not agree.
    """
    captures = [path for path in files if is_capture(path)]
    recordings = tuple(path for path in files if path not in captures)
    trace = _recording(captures, recordings)
    scene, span = _surroundings(trace)
    pipeline = Pipeline()
    found, left_out = _watched(_captures(captures, _told(named, captures), scene), scene)
    checks = [Check(one, span, pipeline.scene) for one in found]
    if listed:
        _list(checks, pipeline, as_json)
    _compare(checks, pipeline, trace)
    result = view.Result(
        trace.name,
        pipeline.summary.journeys,
        pipeline.scene,
        checks,
        doubts(pipeline.scene, trace.missing_words),
        left_out,
    )
    if as_json:
        view.write_json(view.check_object(result), sys.stdout)
    else:
        view.write(result, sys.stdout)
    return 0 if result.agrees else 1


def _recording(captures: list[Path], recordings: tuple[Path, ...]) -> TraceSet:
    if not captures or not recordings:
        raise UsageError("check needs capture files (pcap, pcapng) and a recording, e.g. eth0.pcap trace.arrows")
    refuse_piped(recordings, "check")
    return only_trace(recordings, "check")


def _surroundings(trace: TraceSet) -> tuple[Scene, Span]:
    """Return all that the recording says of taps and devices, and the time in which everything was traced."""
    pipeline, traced = Pipeline(stitching=False), _Traced()
    pipeline.run(traced.noted(trace.batches()))
    scene = pipeline.scene
    if not scene.start:
        raise BondtraceError(f"{trace.name} does not hold the start of a trace: its packets have no time of day")
    if scene.start.get("privacy"):
        raise UsageError(f"{trace.name} was made with --privacy: its packets cannot be compared")
    begin_ns = event_time_ns(scene.start)
    if not 0 <= begin_ns + scene.wall_offset_ns < _TIME_END_NS:
        raise BondtraceError(f"{trace.name} is damaged: it begins at an impossible time")
    if trace.numbers[0] > 1:  # parts before were deleted
        begin_ns = max(begin_ns, traced.first_ns or 0)
    end_ns = traced.last_ns if traced.end_ns is None else traced.end_ns
    return scene, Span(begin_ns + scene.wall_offset_ns, end_ns + scene.wall_offset_ns)


@dataclass
class _Traced:
    """When the first and the last pass were recorded, and when the trace says that it ended."""

    first_ns: Optional[int] = None
    last_ns: int = 0
    end_ns: Optional[int] = None

    def noted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches."""
        for batch in batches:
            times_ns = batch.passes.records["time_ns"][batch.passes.records["kind"] != RECORD_HOOK]
            if len(times_ns):
                self.last_ns = max(self.last_ns, int(times_ns.max()))
                self.first_ns = int(times_ns.min()) if self.first_ns is None else self.first_ns
            yield batch  # after which its events are known to be sound
            for event in batch.events:
                if event.get("kind") == "end":
                    told = event.get("not_before_ns")
                    self.end_ns = min(told if isinstance(told, int) else event_time_ns(event), _TIME_END_NS)


def _told(named: Iterable[str], captures: list[Path]) -> dict[Path, str]:
    """Return which tap the user named for which capture."""
    found = {}
    for words in named:
        name, equals, tap = words.rpartition("=")
        paths = [path for path in captures if name in (str(path), path.name)]
        if not equals or not tap or not paths:
            raise UsageError(f"--tap {words} is not CAPTURE=TAP with one of the captures given, e.g. eth0.pcap=41001")
        found.update(dict.fromkeys(paths, tap))
    return found


def _captures(paths: list[Path], told: dict[Path, str], scene: Scene) -> list[Capture]:
    """Return the captures, those of one tap together, in the order given."""
    found: dict[int, list[tuple[int, CaptureFile, int]]] = {}
    for path in dict.fromkeys(paths):
        file = CaptureFile(path)
        first = file.begin()
        link, device = file.interface or (None, "")
        require_comparable(ETHERNET if link is None else link, str(path))
        tap = writer(path, link, device, told.get(path, ""), scene)
        begin_ns = int(first.times_ns[0]) if first is not None else 0
        found.setdefault(tap.inode, []).append((begin_ns, file, ETHERNET if link is None else link))
    for files in found.values():
        files.sort(key=lambda one: one[0])
        if len({link for _, _, link in files}) > 1:
            names = ", ".join(str(one.path) for _, one, _ in files)
            raise UsageError(f"{names} would be of one tap and have several link types: name their taps with --tap")
    return [Capture(inode, tuple(one for _, one, _ in files), files[0][2]) for inode, files in found.items()]


def _watched(captures: list[Capture], scene: Scene) -> tuple[list[Capture], list[Capture]]:
    """Return the captures of taps of which the recording says what they were given, and the others."""
    is_open = [watched.open_reason(scene.taps[one.inode].last_known(), scene) is not None for one in captures]
    found = [one for one, left_out in zip(captures, is_open) if not left_out]
    if not found:
        raise UsageError(
            f"the recording does not say what the taps of these captures were given ({captures[0].name}, ...): their "
            "devices were not traced, or a stage was missing; `bondtrace summary` says which"
        )
    return found, [one for one, left_out in zip(captures, is_open) if left_out]


def _list(checks: list[Check], pipeline: Pipeline, as_json: bool) -> None:
    """Have every packet written as soon as it is decided."""

    def teller(one: Check) -> Callable[[Found], None]:
        if as_json:
            return lambda found: view.write_json(view.found_object(found, one), sys.stdout)
        return lambda found: view.write_found(found, one, sys.stdout)

    for one in checks:
        one.tell = teller(one)

    def show(journey: Journey) -> None:
        for one in checks:
            one.show(journey)

    pipeline.show = show


def _compare(checks: list[Check], pipeline: Pipeline, trace: TraceSet) -> None:
    def count(journey: Journey, times: int) -> None:
        for one in checks:
            one.count(journey, times)

    def add(columns: Journeys) -> None:
        for one in checks:
            one.add(columns)

    pipeline.summary.also, pipeline.columns = count, add
    replay(pipeline, trace)
    for one in checks:
        one.end()
