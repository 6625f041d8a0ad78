# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that take turns in the receive path of one CPU, as PREEMPT_RT has them since Linux 6.18: the steps of each
packet are its own. `make test-rt` plays it; on other kernels no task is interrupted there by another one that receives.
"""

import os

import numpy as np
import pytest
from stacks import file_of
from truth import captured_by, disagreement, in_file, traced_time

from bondtrace.format.recording import Recording
from bondtrace.format.wire import RECORD_RX, RECORD_TX, concatenate
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

KERNELS = [one for one in os.environ.get("BONDTRACE_KERNELS", "").split(",") if "-rt" in one]
OPTIONS = {"fentry": "", "kprobes": " --kprobes"}
LOSSES = {"probe firings missed", "begins or ends missed"}


@pytest.fixture(scope="module", params=[(kernel, how) for kernel in KERNELS for how in OPTIONS], ids=str)
def trace(play, request):
    """(the journeys, their scene, the directory) of the scenario `turns`."""
    kernel, how = request.param
    out = play("turns", f"exec bondtrace record --iface bond0{OPTIONS[how]} -o $LAB_OUT/trace.arrows", kernel).out
    journeys = []
    pipeline = Pipeline(show=journeys.append)
    pipeline.run(Recording(out / "trace.arrows").batches())
    return journeys, pipeline.scene, out


def interleaved(out):
    """How many passes began while another one, in which they are not nested, was open on the same CPU."""
    records = concatenate([batch.passes for batch in Recording(out / "trace.arrows").batches()]).records
    records = records[np.isin(records["kind"], (RECORD_RX, RECORD_TX))]
    records = records[np.argsort(records["time_ns"], kind="stable")]
    ends_ns = np.maximum.accumulate(records["time_ns"] + records["duration_ns"])
    inside = records["time_ns"][1:] < ends_ns[:-1]
    return int((inside & (records["parent"][1:] == 0)).sum())


def takes_turns(scene):
    """May a task that receives be interrupted by another one that does on the same CPU?"""
    kernel = scene.start["kernel"]
    return "-rt" in kernel and tuple(int(one) for one in kernel.split(".")[:2]) >= (6, 18)


def missed(scene):
    """How many firings the kernel skipped, as the task was inside that very program when another one came to it, and
    how many brackets lacked their begin or end for that. They are told as losses, and so is nothing else."""
    losses = scene.losses()
    assert set(losses) <= (LOSSES if takes_turns(scene) else set())
    return sum(losses.values())


def untold(scene):
    """How many steps may be missing. By kprobes also some that no kernel counts: it skips their programs on a CPU where
    a task is inside of a call of bpf(2) about a map, and such a task can be interrupted (docs/receive-path.md)."""
    return missed(scene) + 5 * by_kprobes(scene)


def by_kprobes(scene):
    """Are tasks interrupted inside of kprobes' programs? The kernel skips those of the other task, mostly uncounted."""
    probes = [probe for one in scene.stages.values() for probe in one["probes"]]
    return takes_turns(scene) and any("kprobe" in probe for probe in probes)


def test_they_did_take_turns(trace, figure):
    _, scene, out = trace
    if not takes_turns(scene):
        pytest.skip("softirqs are not interrupted by others here")
    count = interleaved(out)
    figure(f"turns, kernel {scene.start['kernel']}: {count} passes within others' time, {missed(scene)} firings missed")
    assert count > 20 and missed(scene) <= count


def test_each_tap_captured_what_is_in_its_file(trace):
    journeys, scene, out = trace
    begin_ns, end_ns = traced_time(out / "trace.arrows")
    taps = {file_of(tap): tap.inode for history in scene.taps.values() for tap in [history.last_known()]}
    for name in ("eth0", "eth1", "bond0"):
        truth = in_file(out / f"{name}.pcap", begin_ns, end_ns)
        assert len(truth) > 100
        told_wrongly, left = disagreement(captured_by(out / "trace.arrows", taps[name]), truth)
        assert told_wrongly == [] and len(left) <= untold(scene) + len(of_unknown_outcome(journeys, taps[name])), name


def of_unknown_outcome(journeys, tap):
    """The packets that this tap was offered, of which it is not known whether it took them."""
    steps = ((journey.id, step) for journey in journeys for one in journey.passes for step in one.steps)
    return {number for number, step in steps if step.tap == tap and step.outcome == "unknown"}


def test_what_a_tap_did_is_rarely_unknown(trace, figure):
    journeys, scene, _ = trace
    count = sum(len(of_unknown_outcome(journeys, tap)) for tap in scene.taps)
    figure(f"turns, kernel {scene.start['kernel']}: {count} deliveries of unknown outcome, {len(journeys)} journeys")
    assert count <= (len(journeys) / 50 if by_kprobes(scene) else missed(scene))


def test_each_packet_has_the_steps_that_its_way_demands(trace):
    journeys, scene, _ = trace
    taps = {tap.inode: file_of(tap) for history in scene.taps.values() for tap in [history.last_known()]}
    wrong, seen = [], 0
    for journey in journeys:
        way = [
            (one.direction, step.dev, taps.get(step.tap))
            for one in journey.passes
            for step in one.steps
            if step.kind == "tap" and step.outcome in ("captured", "full", "unknown")
        ]
        device = journey.passes[0].steps[0].dev if journey.direction == "rx" else journey.passes[-1].steps[0].dev
        both = [(journey.direction, dev, dev) for dev in (device, "bond0")]
        if journey.packet.ethertype != 0x88B5 and journey.packet.protocol != "UDP":
            continue
        seen += 1
        if way != (both if journey.direction == "rx" else both[::-1]):
            wrong.append((journey.id, way))
    assert seen > 2000 and len(wrong) <= untold(scene), wrong
