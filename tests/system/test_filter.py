# SPDX-License-Identifier: GPL-2.0-or-later
"""FILTER in a real kernel: what is told is what libpcap finds in the taps' own, unfiltered capture files, no less and
no more; of tagged packets, too, and of packets that came in lists."""

import os

import numpy as np
import pytest
from truth import captured_by, disagreement, in_file, traced_time, untagged

from bondtrace.format.recording import Recording
from bondtrace.format.wire import RECORD_LATE, RECORD_LIST, STEP_PROTOCOL
from bondtrace.net import pcap
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

EXPRESSION = "udp or arp or (vlan 100 and icmp)"
COMMAND = f'exec bondtrace record $LAB_TRACE -o "$LAB_OUT/trace.arrows" "{EXPRESSION}"'


PLAYED = {None: ("vlan", "gro"), "5.10": ("vlan",)}
if os.environ.get("BONDTRACE_KERNELS"):  # `make test-kernels`
    PLAYED |= {"7.3": ("gro",)}


@pytest.fixture(
    scope="module",
    params=[(kernel, name) for kernel, names in PLAYED.items() for name in names],
    ids=lambda case: f"{case[0] or 'default'}-{case[1]}",
)
def run(request, play_all):
    kernel, name = request.param
    return play_all(kernel, PLAYED[kernel], COMMAND)[name]


@pytest.fixture(scope="module")
def told(run):
    """(the scene, the journeys)"""
    journeys = []
    pipeline = Pipeline(show=journeys.append)
    pipeline.run(Recording(run.out / "trace.arrows").batches())
    assert pipeline.scene.losses() == {}
    assert pipeline.scene.counters.get("filter_blind", [0]) and sum(pipeline.scene.counters["filter_blind"]) == 0
    return pipeline.scene, journeys


@pytest.mark.parametrize("device", ["eth0", "bond0"])
def test_what_is_told_is_what_libpcap_finds_in_the_file(run, told, device):
    scene, _ = told
    tap = next(
        one
        for history in scene.taps.values()
        for one in [history.last_known()]
        if one.processes and f"{device}.pcap" in one.processes[0].cmdline
    )
    everything = in_file(run.out / f"{device}.pcap", *traced_time(run.out / "trace.arrows"))
    chosen = [
        packet
        for packet, match in zip(everything, pcap.verdicts(EXPRESSION, [data for _, data in everything]))
        if match
    ]
    assert 0 < len(chosen) < len(everything)

    said = captured_by(run.out / "trace.arrows", tap.inode)

    assert disagreement([untagged(*one) for one in said], [untagged(*one) for one in chosen]) == ([], [])


def test_no_journey_is_of_another_packet(told):
    assert told[1] and {one.packet.protocol for one in told[1]} <= {"UDP", "ARP", "ICMP"}
    assert all(
        one.packet.vlan[:1] == (100,) or one.passes[0].steps[0].dev == "bond0.100"
        for one in told[1]
        if one.packet.protocol == "ICMP"
    )


def test_no_late_step_is_of_another_packet(run):
    told, late, in_lists = set(), set(), 0
    for batch in Recording(run.out / "trace.arrows").batches():
        for record, steps in zip(batch.passes.records, np.split(batch.passes.steps, batch.passes.offsets[1:-1])):
            where = int(record["cpu"]), int(record["frame"])
            in_lists += int(record["flags"]) & RECORD_LIST
            if record["kind"] == RECORD_LATE:
                late |= {
                    (*where, int(step["skb_low"] if step["kind"] == STEP_PROTOCOL else record["skb"]) & 0xFFFFFFFF)
                    for step in steps
                }
            else:
                told.add((*where, int(record["skb"]) & 0xFFFFFFFF))
    assert late - told == set()
    assert late or not in_lists


def test_the_filter_is_told_with_the_losses(run):
    assert f"; only packets that match '{EXPRESSION}'\n" in run.bondtrace("summary", "trace.arrows").stdout
