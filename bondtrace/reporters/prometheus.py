# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace has counted, as metrics for Prometheus (docs/prometheus.md).

Metrics are made at times, not when they are asked for: a scrape gets the last ones whole and disturbs nothing. What it
keeps true: counters only grow, series of the same labels are added up, and labels are printable text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .. import __version__
from ..errors import BondtraceError
from ..host.labels import label
from ..model import Journey
from ..scene import Scene
from ..summary import Place, Summary
from .json_lines import bound_device
from .text import namespace_name, printable

OUTCOMES = ("captured", "filtered", "full", "ignored", "unknown")
_NOW = 1 << 62
_TAP = ("tap", "bound_to")
_PLACE = ("device", "namespace", "direction")


def client() -> Any:
    """The official client library, or a clear error."""
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError:
        raise BondtraceError("the exporter needs the Python package prometheus_client: `pip install "
                             "'bondtrace[exporter]'`, or `apt install python3-prometheus-client` (Debian, "
                             "Ubuntu)") from None
    return prometheus_client


class Tallies:
    """Counts that a summary does not keep: outcomes by device, and verdicts. ``count`` is for ``Summary.also``."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[int, Place, str]] = Counter()
        self.verdicts: Counter[tuple[int, int, str, str]] = Counter()

    def count(self, journey: Journey, times: int) -> None:
        """Count a journey as so many."""
        for one in journey.passes:
            for step in one.steps:
                if step.tap is not None:
                    place = step.netns, step.ifindex, one.direction
                    self.outcomes[step.tap, place, step.outcome or "unknown"] += times
                elif step.verdict:
                    self.verdicts[step.netns, step.ifindex, step.function or "?", step.verdict] += times


class Metrics:
    """A collector of prometheus_client: ``update`` makes the metrics, ``collect`` hands out the last ones."""

    def __init__(self) -> None:
        self._core = client().core
        self._families: list[Any] = []

    def collect(self) -> Iterable[Any]:
        """For prometheus_client."""
        return self._families

    def update(self, summary: Summary, tallies: Tallies, scene: Scene) -> None:
        """Make the metrics of what is counted now."""
        self._families = [*self._of_taps(summary, tallies, scene), *self._of_devices(summary, tallies, scene),
                          *self._of_the_trace(summary, scene)]

    def _of_taps(self, summary: Summary, tallies: Tallies, scene: Scene) -> Iterable[Any]:
        yield self._counter("bondtrace_tap_offered", "Packets that a tap was offered.", (*_TAP, *_PLACE), {
            (*_tap(inode, scene), *_place(place, scene), inode): count
            for (inode, place), count in summary.offered.items()})
        for outcome in OUTCOMES:
            yield self._counter(f"bondtrace_tap_{outcome}", _MEANS[outcome], (*_TAP, *_PLACE), {
                (*_tap(inode, scene), *_place(place, scene), inode): count
                for (inode, place, name), count in tallies.outcomes.items() if name == outcome})
        yield self._counter("bondtrace_tap_unseen", "Packets that a tap was not offered, by the reason.",
                            (*_TAP, "reason"), {(*_tap(inode, scene), reason, inode): count
                                                for (inode, reason), count in summary.unseen.items()})

    def _of_devices(self, summary: Summary, tallies: Tallies, scene: Scene) -> Iterable[Any]:
        yield self._counter("bondtrace_device_packets", "Packets that passed a device's taps.", _PLACE, {
            (*_place(place, scene), place): count for place, count in summary.passed.items()})
        yield self._counter("bondtrace_verdicts", "Answers of rx_handlers and VLAN handling.",
                            ("device", "namespace", "function", "verdict"), {
                                (*_device(netns, ifindex, scene), printable(function), verdict, (netns, ifindex)): count
                                for (netns, ifindex, function, verdict), count in tallies.verdicts.items()})
        yield self._counter("bondtrace_drops", "Packets that the kernel dropped, by its function and reason.",
                            ("device", "namespace", "function", "reason"), {
                                (*_device(netns, ifindex, scene), printable(function), reason or "", (netns, ifindex)):
                                count for (netns, ifindex, function, reason), count in summary.dropped.items()})

    def _of_the_trace(self, summary: Summary, scene: Scene) -> Iterable[Any]:
        yield self._counter("bondtrace_journeys", "Packets that were told.", (), {(0,): summary.journeys})
        yield self._counter("bondtrace_incomplete_journeys", "Packets of which a part was not seen.", (), {
            (0,): summary.incomplete})
        kinds = {"lost": 0, "steps_lost": 0, "too_deep": 0, "unbalanced": 0,
                 **{name: sum(values) for name, values in scene.counters.items()}}
        yield self._counter("bondtrace_losses", "What could not be told, by kind (docs/recording.md, losses).",
                            ("kind",), {(name, 0): count for name, count in kinds.items()
                                        if name not in ("sent", "filter_blind")})
        attached = self._core.GaugeMetricFamily(
            "bondtrace_stage_attached", "Whether a stage of the probe plan is attached.", labels=("stage",))
        for name, stage in scene.stages.items():
            attached.add_metric((printable(name),), 0 if stage.get("missing") else 1)
        yield attached
        yield self._core.InfoMetricFamily("bondtrace", "The tracer.", value={
            "version": __version__, "kernel": printable(str(scene.start.get("kernel", "")))})

    def _counter(self, name: str, means: str, labels: tuple[str, ...], values: Mapping[tuple[Any, ...], int]) -> Any:
        """A counter; the last part of a key only keeps things of the same labels apart until they are added up."""
        family = self._core.CounterMetricFamily(name, means, labels=labels)
        sums: Counter[tuple[str, ...]] = Counter()
        for key, count in values.items():
            sums[tuple(str(one) for one in key[:-1])] += count
        for key, count in sums.items():
            family.add_metric(key, count)
        return family


_MEANS = {
    "captured": "Packets that a tap took.",
    "filtered": "Packets that a tap's filter refused.",
    "full": "Packets for which a tap had no room.",
    "ignored": "Packets that the kernel offered a tap and dropped before its filter ran.",
    "unknown": "Packets of which it is not known what a tap did with them.",
}


def _tap(inode: int, scene: Scene) -> tuple[str, str]:
    tap = scene.tap(inode, _NOW)
    return (printable(label(tap)), printable(bound_device(tap, scene, _NOW))) if tap else ("unknown", "unknown")


def _device(netns: int, ifindex: int, scene: Scene) -> tuple[str, str]:
    return printable(scene.device_name(netns, ifindex, _NOW)), namespace_name(netns, scene)


def _place(place: Place, scene: Scene) -> tuple[str, str, str]:
    return (*_device(place[0], place[1], scene), place[2])
