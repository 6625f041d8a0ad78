# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace has counted, as metrics for Prometheus (docs/prometheus.md).

Metrics are made periodically, not on request: a scrape gets the last ones whole and disturbs nothing.

Invariant: counters only grow; labels are printable text, and counts whose labels become the same text are added up, as
a scrape that has a series twice is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..analysis.scene import Scene
from ..errors import missing_package
from ..model import OUTCOMES
from ..stats.metrics import NamedCounts
from ..util.untrusted import printable
from ..version import __version__

_TAP = ("tap", "bound_to", "kind")
_DEVICE = ("device", "namespace")
_PLACE = (*_DEVICE, "direction")


def client() -> Any:
    """Return the official client library.

    :raises BondtraceError: if it is missing.
    """
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError:
        raise missing_package("the exporter", "prometheus_client", "exporter", "python3-prometheus-client") from None
    return prometheus_client


class Metrics:
    """A collector of prometheus_client: ``update`` makes the metrics, ``collect`` returns the last ones."""

    def __init__(self) -> None:
        self._core = client().core
        self._families: list[Any] = []

    def collect(self) -> Iterable[Any]:
        """Return the metrics to prometheus_client."""
        return self._families

    def update(self, counts: NamedCounts, scene: Scene) -> None:
        """Make the metrics of what is counted now."""
        self._families = [*self._of_taps(counts), *self._of_devices(counts), *self._of_the_trace(counts, scene)]

    def _of_taps(self, counts: NamedCounts) -> Iterable[Any]:
        offered: Counter[tuple[str, ...]] = Counter()
        for names, count in counts.outcomes.items():
            offered[names[:-1]] += count
        yield self._counter("bondtrace_tap_offered", "Packets that a tap was offered.", (*_TAP, *_PLACE), offered)
        for outcome in OUTCOMES:
            yield self._counter(
                f"bondtrace_tap_{outcome}",
                _MEANS[outcome],
                (*_TAP, *_PLACE),
                {names[:-1]: count for names, count in counts.outcomes.items() if names[-1] == outcome},
            )
        yield self._counter(
            "bondtrace_tap_unseen",
            "Packets that a tap was not offered, by the reason (not-watched: it may have been).",
            (*_TAP, "reason"),
            counts.unseen,
        )

    def _of_devices(self, counts: NamedCounts) -> Iterable[Any]:
        yield self._counter("bondtrace_device_packets", "Packets that passed a device's taps.", _PLACE, counts.passed)
        yield self._counter(
            "bondtrace_verdicts",
            "Answers of rx_handlers and VLAN handling.",
            (*_DEVICE, "function", "verdict"),
            counts.verdicts,
        )
        yield self._counter(
            "bondtrace_drops",
            "Packets that the kernel dropped, by its function and reason.",
            (*_DEVICE, "function", "reason"),
            counts.drops,
        )

    def _of_the_trace(self, counts: NamedCounts, scene: Scene) -> Iterable[Any]:
        yield self._counter("bondtrace_journeys", "Packets that were reported.", (), {(): counts.journeys})
        yield self._counter(
            "bondtrace_incomplete_journeys", "Packets of which a part was not seen.", (), {(): counts.incomplete}
        )
        kinds = {
            "lost": 0,
            "steps_lost": 0,
            "too_deep": 0,
            "unbalanced": 0,
            "probe_misses": 0,
            **{name: sum(values) for name, values in scene.counters.items()},
        }
        yield self._counter(
            "bondtrace_losses",
            "What could not be reported, by kind (docs/recording.md, losses).",
            ("kind",),
            {(name,): count for name, count in kinds.items() if name not in ("sent", "filter_blind", "data_lost")},
        )
        attached = self._core.GaugeMetricFamily(
            "bondtrace_stage_attached", "Whether a stage of the probe plan is attached.", labels=("stage",)
        )
        for name, stage in scene.stages.items():
            attached.add_metric((printable(name),), 0 if stage.get("missing") else 1)
        yield attached
        yield self._core.InfoMetricFamily(
            "bondtrace",
            "The tracer.",
            value={"version": __version__, "kernel": printable(str(scene.start.get("kernel", "")))},
        )

    def _counter(self, name: str, means: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]) -> Any:
        family = self._core.CounterMetricFamily(name, means, labels=labels)
        sums: Counter[tuple[str, ...]] = Counter()
        for names, count in values.items():
            sums[tuple(printable(one) for one in names)] += count
        for names, count in sums.items():
            family.add_metric(names, count)
        return family


_MEANS = {
    "captured": "Packets that a tap took.",
    "filtered": "Packets that a tap's filter refused.",
    "full": "Packets for which a tap had no room.",
    "ignored": "Packets that the kernel offered a tap and dropped before its filter ran.",
    "unknown": "Packets of which it is not known what a tap did with them.",
}
