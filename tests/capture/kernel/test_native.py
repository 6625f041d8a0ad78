# SPDX-License-Identifier: GPL-2.0-or-later
"""The verifier of the kernel that the tests run on takes every program that can be loaded without attaching it."""

import os
import sys

import pytest
from shell import ROOT, as_root

from bondtrace.capture.kernel import bpf, compiler, layout, loader, plan, source
from bondtrace.capture.kernel.programs import make_maps
from bondtrace.errors import BondtraceError
from bondtrace.format.stages import BEYOND_IP
from bondtrace.net.pcap import make_filter

VARIANTS = {
    "plain": {},
    "filtered": {"packet_filter": make_filter("udp port 53 or host 10.0.0.1"), "snaplen": 500},
    "counted": {"count_only": True},
}


def refusal(programs, maps, probe):
    """Why the kernel does not take the program of this probe; ``None`` where it does."""
    name = source.program_name(probe.program)
    try:
        os.close(bpf.load(name, programs.for_kernel(name, maps), probe.mechanism))
    except bpf.LoadError as error:
        return f"{probe.program}: {error} {error.log}"
    return None


@as_root
@pytest.mark.parametrize("variant", VARIANTS)
def test_this_kernel_takes_every_program_that_is_attached_by_kprobe_or_tracepoint(variant):
    # given a kernel that lets the tests load programs
    try:
        kernel = loader.read_kernel()
    except BondtraceError as error:
        pytest.skip(str(error))
    made = loader.make_plan(kernel, fentry=False, needed=("queued", "nft_do_chain", "ipt_do_table"), asked=BEYOND_IP)
    header = layout.header(kernel.btf)
    options = {"count_only": False, "snaplen": 0, "packet_filter": None, **VARIANTS[variant]}
    try:
        programs = compiler.compile_programs(source.join(header, made, 1 << 20, 4096, **options))
        maps = make_maps(programs.maps)
    except BondtraceError as error:
        if "map" in str(error):  # compiled, but not even a map may be made
            pytest.skip(str(error))
        raise
    probes = {probe.program: probe for probe in made.compiled if probe.mechanism != plan.TYPED_TRACEPOINT}
    # when each is loaded
    refused = [why for probe in probes.values() if (why := refusal(programs, maps, probe))]
    for one in maps.values():
        one.close()
    if len(refused) == len(probes) and "not permitted" in refused[0]:
        pytest.skip("this kernel lets nobody load programs")
    # then none is refused
    assert len(probes) >= 20 and refused == []


@as_root
@pytest.mark.parametrize("counted", [False, True])
def test_the_empty_programs_that_the_benchmark_attaches_have_the_maps_that_a_tracer_opens(counted, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "bench")])
    import floor

    monkeypatch.setattr(loader.source, "join", floor.empty_text)
    try:
        kernel = loader.read_kernel()
    except BondtraceError as error:
        pytest.skip(str(error))
    made = floor.attached_plan(kernel, fentry=False, counted=counted)
    try:
        tracer = loader.Tracer(kernel, made, compile_anew=True)
    except BondtraceError as error:
        if "makes no maps" in str(error):
            pytest.skip(str(error))
        raise
    with tracer:
        assert {source.program_name(probe.program) for probe in made.probes} <= set(tracer.programs.code)
