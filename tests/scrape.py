# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what Prometheus gets: from a tally, and from a recording over HTTP."""

import socket
import urllib.request
from collections import Counter
from dataclasses import replace

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bondtrace.commands.exporter import Updating, serve
from bondtrace.format.recording import Recording
from bondtrace.model import Process
from bondtrace.pipeline import Pipeline
from bondtrace.reporters.prometheus import Metrics
from bondtrace.reporters.table import summary_object
from bondtrace.stats.metrics import NamedCounts
from build import ON_ETH0, TAPS, journeys, rx, tap

FORMATS = [(generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)]


def tally_of(around, told, **more):
    """Return a tally of journeys."""
    made = NamedCounts(around, **more)
    for one in told:
        made.count(one)
    return made


def series_of(tally, generate=generate_latest, parse=parse_text):
    """Return {name: {labels: value}} of a tally; checks that each series occurs once."""
    metrics, registry = Metrics(), CollectorRegistry(auto_describe=False)
    metrics.update(tally, tally.scene)
    registry.register(metrics)
    found = {}
    for family in parse(generate(registry).decode()):
        for one in family.samples:
            series = found.setdefault(one.name, {})
            labels = tuple(sorted(one.labels.items()))
            assert labels not in series, (one.name, labels)
            series[labels] = one.value
    return found


def by(series, *labels):
    """Return the sums by these labels."""
    sums = Counter()
    for names, value in series.items():
        sums[tuple(dict(names)[label] for label in labels)] += value
    return dict(sums)


def taps_called(*names):
    """Return taps whose processes have these names, by inode."""
    return {
        41000 + place: replace(TAPS[ON_ETH0], inode=41000 + place, processes=(Process(7 + place, name, ""),))
        for place, name in enumerate(names)
    }


def offered_to(taps, around, **more):
    """Return the journey of a packet that was offered to these taps."""
    return journeys(rx("eth0", *(tap(inode) for inode in taps), **more), around=around)


def free_port():
    """Return a free TCP port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scraped(path):
    """Return ({(metric, labels): value} over HTTP, the summary object) of a recording."""
    pipeline = Pipeline()
    updating = Updating(pipeline)
    pipeline.run(Recording(path).batches())
    updating.update()
    port = free_port()
    server, thread = serve(updating.metrics, "127.0.0.1", port)
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    samples = {}
    for family in parse_text(text):
        for one in family.samples:
            assert (one.name, tuple(sorted(one.labels.items()))) not in samples
            samples[one.name, tuple(sorted(one.labels.items()))] = one.value
    return samples, summary_object(pipeline.summary, pipeline.scene)


def summed(samples, name, *labels):
    """Return {label values: sum} of a metric."""
    found = Counter()
    for (metric, pairs), value in samples.items():
        if metric == name:
            found[tuple(dict(pairs)[one] for one in labels)] += int(value)
    return +found
