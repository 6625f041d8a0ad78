# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets' bytes that --snaplen keeps are those of the taps' own files, and come out of export."""

import os

import numpy as np
import pytest
from truth import disagreement, in_file, traced_span, traced_time, untagged

from bondtrace.format.payload import Payloads
from bondtrace.format.recording import Recording
from bondtrace.format.wire import STEP_TAP, concatenate
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

SNAPLEN = 300
COMMAND = f'exec bondtrace record $LAB_TRACE --snaplen {SNAPLEN} -o "$LAB_OUT/trace.arrows"'


PLAYED = {None: ("gro",)}
if os.environ.get("BONDTRACE_KERNELS"):  # `make test-kernels`; a veth of 5.10 receives in no lists
    PLAYED |= {"5.10": ("mixed",)}


@pytest.fixture(
    scope="module",
    params=[(kernel, name) for kernel, names in PLAYED.items() for name in names],
    ids=lambda case: f"{case[0] or 'default'}-{case[1]}",
)
def run(request, play_all):
    kernel, name = request.param
    return play_all(kernel, PLAYED[kernel], COMMAND)[name]


def test_the_bytes_are_those_of_the_taps_files(run):
    recording = run.out / "trace.arrows"
    contents, pipeline = Payloads(), Pipeline()
    batches = list(Recording(recording).batches())
    contents.take(event for batch in batches for event in batch.events)
    pipeline.run(batches)
    assert pipeline.scene.losses() == {} and pipeline.scene.filter_words() == []
    begin_ns, end_ns = traced_span(recording)
    passes = concatenate([batch.passes for batch in batches])
    passes = passes.take((passes.records["time_ns"] >= begin_ns) & (passes.records["time_ns"] <= end_ns))
    owner = np.repeat(np.arange(len(passes)), np.diff(passes.offsets))
    longest = 0
    for inode, history in pipeline.scene.taps.items():
        name = next(
            (
                words
                for one in history.last_known().processes
                for words in one.cmdline.split()
                if words.endswith(".pcap")
            ),
            None,
        )
        if name is None or history.last_known().kind == "cooked":
            continue
        steps = passes.steps
        mine = owner[(steps["kind"] == STEP_TAP) & (steps["arg"] == inode) & (steps["result"] == 1)]
        said = [(int(one["len"]), contents[int(one["cpu"]), int(one["seq"])]) for one in passes.records[mine]]
        truth = in_file(run.out / name.rpartition("/")[2], *traced_time(recording), most=SNAPLEN)
        wrong, _ = disagreement([untagged(*one, SNAPLEN) for one in said], [untagged(*one, SNAPLEN) for one in truth])
        assert wrong == []
        assert all(len(data) <= SNAPLEN for _, data in said)
        longest = max(longest, *(len(data) for _, data in said))
    assert longest > 80


def test_export_has_them(run):
    done = run.bondtrace("export", "trace.arrows", "--format", "pcapng", "-o", "out.pcapng", "--force")
    assert done.returncode == 0, done.stderr
    data = (run.out / "out.pcapng").read_bytes()
    contents = Payloads()
    contents.take(event for batch in Recording(run.out / "trace.arrows").batches() for event in batch.events)
    long = [one for one in contents.values() if len(one) > 80]
    assert long and all(one[12:] in data for one in long)  # but for a tag that is put back behind the addresses
