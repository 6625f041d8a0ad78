# SPDX-License-Identifier: GPL-2.0-or-later
"""The exporter: what is scraped over HTTP is what `summary --json` counts."""

import socket
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bondtrace.commands.exporter import Updating, parse_listen, serve
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.model import Process
from bondtrace.pipeline import Pipeline
from bondtrace.recording import Recording
from bondtrace.reporters.table import summary_object
from build import ON_ETH0, TAPS, events, losses, received, record, refused

PING = Path(__file__).parents[1] / "examples" / "ping.arrows"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scraped(path):
    """({(metric, labels): value} over HTTP, the summary as JSON has it) of a recording."""
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
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            assert (one.name, tuple(sorted(one.labels.items()))) not in samples
            samples[one.name, tuple(sorted(one.labels.items()))] = one.value
    return samples, summary_object(pipeline.summary, pipeline.scene)


def summed(samples, name, *labels):
    """{label values: sum} of a metric."""
    found = Counter()
    for (metric, pairs), value in samples.items():
        if metric == name:
            found[tuple(dict(pairs)[one] for one in labels)] += int(value)
    return +found


def test_the_numbers_are_those_of_the_summary():
    samples, summary = scraped(PING)

    for name in ("offered", "captured"):
        expected = Counter()
        for tap in summary["taps"].values():
            for one in tap["devices"]:
                expected[tap["dev"], one["dev"], one["direction"]] += one[name]
        assert summed(samples, f"bondtrace_tap_{name}_total", "bound_to", "device", "direction") == +expected
    outcomes, unseen = Counter(), Counter()
    for tap in summary["taps"].values():
        outcomes.update({(tap["dev"], name): count for name, count in tap["outcomes"].items()})
        unseen.update({(tap["dev"], reason): one["packets"] for reason, one in tap["unseen"].items()})
    for name in ("captured", "filtered", "full", "ignored", "unknown"):
        assert summed(samples, f"bondtrace_tap_{name}_total", "bound_to") == {
            (dev,): count for (dev, outcome), count in outcomes.items() if outcome == name}
    assert summed(samples, "bondtrace_tap_unseen_total", "bound_to", "reason") == unseen and unseen
    assert summed(samples, "bondtrace_device_packets_total", "device", "direction") == {
        (one["dev"], one["direction"]): one["packets"] for one in summary["passed"]}
    assert summed(samples, "bondtrace_journeys_total") == {(): summary["journeys"]}
    assert summed(samples, "bondtrace_drops_total", "function", "reason") == {
        (one["function"], one["reason"]): one["packets"] for one in summary["dropped"]}


def test_the_probe_plan():
    samples, _ = scraped(PING)

    stages = {dict(pairs)["stage"]: value for (name, pairs), value in samples.items()
              if name == "bondtrace_stage_attached"}
    assert stages["receive"] == stages["bond_handle_frame"] == 1 and set(stages.values()) == {1}


def test_verdicts_and_losses(tmp_path):
    path = record(tmp_path / "trace.arrows", (received(), events()), (refused(9_000_000), [losses(0, lost=[2, 3])]))

    samples, _ = scraped(path)

    assert summed(samples, "bondtrace_verdicts_total", "device", "function", "verdict") == {
        ("eth0", "bond_handle_frame", "ANOTHER"): 1, ("eth1", "bond_handle_frame", "EXACT"): 1}
    assert summed(samples, "bondtrace_losses_total", "kind") == {("lost",): 5}
    assert samples["bondtrace_losses_total", (("kind", "unbalanced"),)] == 0


def test_names_that_are_no_text_are_printable(tmp_path):
    strange = replace(TAPS[ON_ETH0], processes=(Process(7, 'e\x1b[31m"\n\\', "\udcff\n"),))
    path = record(tmp_path / "trace.arrows", (received(), events(taps={ON_ETH0: strange})))

    samples, _ = scraped(path)

    names = {dict(pairs)["tap"] for (metric, pairs) in samples if metric == "bondtrace_tap_offered_total"}
    assert names and all(name.isprintable() for name in names)


@pytest.mark.parametrize("text", ["9435", ":9435", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "h:-1", "h:²"])
def test_where_to_listen_must_be_an_address_and_a_port(text):
    with pytest.raises(UsageError, match="is no ADDRESS:PORT: give one as"):
        parse_listen(text)


def test_an_ipv6_address_stands_in_brackets():
    assert parse_listen("[::1]:9435") == ("::1", 9435)


def test_an_address_in_use_is_told():
    updating = Updating(Pipeline())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(BondtraceError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
            serve(updating.metrics, "127.0.0.1", port)

