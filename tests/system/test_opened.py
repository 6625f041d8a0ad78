# SPDX-License-Identifier: GPL-2.0-or-later
"""A tap without a ring that opens in the middle of a flood: what shows its outcomes is attached only then. No packet of
it is missed, what is not known is told as unknown, and nothing that is told is wrong."""

import json
import os
import re

import pytest
from stacks import file_of
from truth import captured_by, read_pcap, traced_time

from bondtrace.format.recording import Recording
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

KERNELS = [one for one in os.environ.get("BONDTRACE_KERNELS", "").split(",") if one] or [None]
OPTIONS = {"fentry": "", "kprobes": " --kprobes"}
NUMBER = re.compile(rb"number (\d{8})")


@pytest.fixture(scope="module", params=[(kernel, how) for kernel in KERNELS for how in OPTIONS], ids=str)
def trace(play, request):
    """(the journeys of numbered datagrams, their scene, the directory) of the scenario `opened`."""
    kernel, how = request.param
    command = f"exec bondtrace record --iface bond0{OPTIONS[how]} -o $LAB_OUT/trace.arrows"
    out = play("opened", command, kernel, cpus=2).out
    journeys = []
    pipeline = Pipeline(show=journeys.append)
    pipeline.run(Recording(out / "trace.arrows").batches())
    return journeys, pipeline.scene, out


def number_in(data):
    """The number of a datagram; None of others."""
    found = NUMBER.search(data)
    return int(found[1]) if found else None


EARLY = re.compile(rb"early (\d{8})")


def test_from_its_start_on_a_trace_tells_what_is_in_the_taps_files(trace):
    # given datagrams that came before the trace, and while it began
    _, scene, out = trace
    begin_ns, end_ns = traced_time(out / "trace.arrows")
    taps = {file_of(tap): tap.inode for history in scene.taps.values() for tap in [history.last_known()]}
    for name in ("eth0", "bond0"):
        packets = read_pcap(out / f"{name}.pcap")
        early = [(wall_ns, found[1]) for wall_ns, _, data in packets if (found := EARLY.search(data))]
        assert early[0][0] < begin_ns < early[-1][0] < end_ns, "some before and some after the start"
        said = {found[1] for _, data in captured_by(out / "trace.arrows", taps[name]) if (found := EARLY.search(data))}
        assert {number for wall_ns, number in early if wall_ns >= begin_ns} <= said, name


def sockets(out):
    """{name: what the kernel counted} of the taps without a ring."""
    told = [one for path in sorted(out.glob("sockets-*.json")) for one in json.loads(path.read_text())]
    return {one["name"]: one for one in told}


def told_of(journeys, numbers, inode):
    """{number: [outcome]} of the datagrams that a tap was given."""
    told = {}
    for journey in journeys:
        steps = [step.outcome for one in journey.passes for step in one.steps if step.tap == inode]
        number = numbers.get((journey.passes[0].time_ns, journey.passes[0].skb))
        if steps and number is not None:
            told.setdefault(number, []).extend(steps)
    return told


@pytest.fixture(scope="module")
def numbers(trace):
    """{(time, skb) of a pass: the number of its datagram}."""
    _, _, out = trace
    found = {}
    for batch in Recording(out / "trace.arrows").batches():
        for record in batch.passes.records:
            found[int(record["time_ns"]), int(record["skb"])] = number_in(record["packet"].tobytes())
    return found


@pytest.mark.parametrize("name", ["opened-bond0", "opened-eth0"])
def test_what_is_told_of_a_tap_that_opened_in_the_flood_is_what_it_read(trace, numbers, name):
    journeys, scene, out = trace
    assert scene.losses() == {}
    tap = sockets(out)[name]
    told = told_of(journeys, numbers, tap["inode"])
    read = {number for _, _, data in read_pcap(out / f"{name}.pcap") if (number := number_in(data)) is not None}
    by_outcome = {
        outcome: {number for number, outcomes in told.items() if outcome in outcomes}
        for outcome in ("captured", "full", "unknown", "filtered", "ignored")
    }
    # then each packet that it read was seen, and what is told to be captured it has read
    assert read and read <= by_outcome["captured"] | by_outcome["unknown"]
    assert by_outcome["captured"] <= read and not by_outcome["full"] & read
    assert not by_outcome["filtered"] and not by_outcome["ignored"]
    # and all of the flood is told of, from its first packet on to its last
    whole = {number for number in numbers.values() if number is not None and number >= min(told)}
    assert whole == told.keys() and all(len(outcomes) == 1 for outcomes in told.values())


def test_from_when_it_is_watched_every_outcome_is_known(trace, numbers):
    journeys, _, out = trace
    watched = [
        event["stage"]
        for batch in Recording(out / "trace.arrows").batches()
        for event in batch.events
        if event["kind"] == "stage" and event["stage"]["name"] == "queue outcomes"
    ]
    assert len(watched) == 1, "it is attached once, with the first of the two"
    second = sockets(out)["opened-eth0"]["inode"]
    outcomes = {outcome for one in told_of(journeys, numbers, second).values() for outcome in one}
    skipped = {"unknown"} if any("kprobe" in probe for probe in watched[0]["probes"]) else set()
    assert outcomes - skipped <= {"captured", "full"} and "captured" in outcomes
