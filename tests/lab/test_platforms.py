# SPDX-License-Identifier: GPL-2.0-or-later
"""Every compiler with every kernel: bcc compiles on the user's machine, so each pair of user land and kernel has
programs of its own. In each cell all stages and filters of all sizes load, by fentry and by kprobes, and what the taps
captured in the ping is what their files hold.

`make test` holds two cells, with some of the filters; `make test-platforms` all, and prints them.
"""

import json
import os
from pathlib import Path

import pytest
from truth import captured_by, disagreement, in_file, traced_time

from bondtrace.recording import Recording

pytestmark = pytest.mark.lab

USERLANDS, KERNELS = ("bookworm", "trixie", "sid"), ("5.10", "6.1", "6.12", "6.18", "7.3")
ALL = os.environ.get("BONDTRACE_PLATFORMS") == "all"
CELLS = ([(userland, kernel) for kernel in KERNELS for userland in USERLANDS] if ALL else
         [("trixie", "6.12"), ("trixie", "7.3")])
EVERY = 1 if ALL else 6
HERE = Path(__file__).parent / "platforms"
FILTERS = [line for line in (HERE / "filters.txt").read_text().splitlines() if not line.startswith("#")]
WANTED = FILTERS[4::EVERY] if EVERY > 1 else FILTERS  # "tcp port 4242" among them
COMMAND = f"exec bash {HERE / 'tracers.sh'} {EVERY}"
HOW = ("fentry", "kprobes")


@pytest.fixture(scope="session", params=CELLS, ids=lambda cell: f"{cell[0]}-{cell[1]}")
def cell(request, play_all, platform):
    """(user land, kernel, the run of the ping)"""
    userland, kernel = request.param
    platform(userland, kernel)
    played = play_all(kernel, (str(HERE / "ping.sh"),), COMMAND, cpus=2, memory_mb=2048, userland=userland)
    return userland, kernel, played["ping"]


def doctor(run, how):
    return json.loads((run.out / f"doctor-{how}.json").read_text())


@pytest.mark.parametrize("how", HOW)
def test_all_that_is_essential_is_seen_and_no_program_is_refused(cell, how):
    told = doctor(cell[2], how)
    assert told["refusals"] == []
    assert {stage["stage"]: stage["missing"] for stage in told["stages"] if not stage["available"]} == {}
    assert (told["can_trace"], told["does_not_see"]) == (True, [])
    assert (cell[2].out / f"doctor-{how}.status").read_text() == "0\n"


def test_the_mechanism_is_what_was_asked_for(cell):
    by = {how: {probe.split()[0] for stage in doctor(cell[2], how)["stages"] for probe in stage["probes"]}
          for how in HOW}
    assert by["kprobes"] == {"kprobe", "kretprobe", "raw_tracepoint", "typed_tracepoint"}
    assert {"fentry", "fexit"} <= by["fentry"]


@pytest.mark.parametrize("how", HOW)
def test_every_filter_is_taken(cell, how):
    told = [json.loads(line) for line in (cell[2].out / f"filters-{how}.jsonl").read_text().splitlines()]
    assert [one["filter"] for one in told] == WANTED, (cell[2].out / f"filters-{how}.err").read_text()
    assert len(FILTERS) == 30 and "tcp port 4242" in WANTED
    assert [one for one in told if one["refused"]] == []


@pytest.mark.parametrize("how", HOW)
def test_what_the_taps_captured_is_what_their_files_hold(cell, platform, how):
    userland, kernel, run = cell
    trace = run.out / f"{how}.arrows"
    taps = {event["tap"]["processes"][0]["cmdline"].split()[-1]: event["tap"]["inode"]
            for batch in Recording(trace).batches() for event in batch.events
            if event["kind"] == "tap" and event["tap"]["processes"]}
    compared = 0
    for device in ("eth0", "eth1", "bond0"):
        [inode] = [inode for file, inode in taps.items() if file.endswith(f"{device}.pcap")]
        truth = in_file(run.out / f"{device}.pcap", *traced_time(trace))
        assert disagreement(captured_by(trace, inode), truth) == ([], [])
        compared += len(truth)
    assert compared >= 10
    filters = [json.loads(line) for line in (run.out / f"filters-{how}.jsonl").read_text().splitlines()]
    taken = sum(not one["refused"] for one in filters)
    platform(userland, kernel, f"{how}: {taken} filters, {compared} deliveries")
