# SPDX-License-Identifier: GPL-2.0-or-later
"""Every compiler with every kernel: bcc compiles on the user's machine, so each pair of user land and kernel has
programs of its own. In each cell all stages load, by fentry and by kprobes, filters of all sizes are taken, and what
the taps captured in the ping is what their files hold.

The filters are compiled on the host, in the user land's root directory, for the types and symbols that a first machine
has written down, and loaded in the guest. `make test` holds two cells; `make test-platforms` all, and prints them.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from truth import captured_by, disagreement, in_file, traced_time

from bondtrace.format.recording import Recording
from bondtrace.lab import kernels, machine, userlands

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter a root directory")]

USERLANDS, KERNELS = ("bookworm", "trixie", "sid"), ("5.10", "6.1", "6.12", "6.18", "7.3")
CELLS = (
    [(userland, kernel) for kernel in KERNELS for userland in USERLANDS]
    if os.environ.get("BONDTRACE_PLATFORMS") == "all"
    else [("trixie", "6.12"), ("trixie", "7.3")]
)
HERE = Path(__file__).parent / "platforms"
FILTERS = [line for line in (HERE / "filters.txt").read_text().splitlines() if not line.startswith("#")]
COMMAND = f"exec bash {HERE / 'tracers.sh'}"
HOW = ("fentry", "kprobes")

# In a root directory, nothing of which is changed: what is mounted goes with the namespace.
IN_ROOT = """set -e
root=$1 checkout=$2 facts=$3
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/tmp/checkout" "$root/tmp/facts"
mount --rbind /proc "$root/proc"
mount --rbind "$checkout" "$root/tmp/checkout"
mount --rbind "$facts" "$root/tmp/facts"
export PYTHONPATH=/tmp/checkout PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
platforms=/tmp/checkout/tests/system/platforms
exec chroot "$root" /usr/bin/python3 $platforms/compile_programs.py /tmp/facts $platforms/filters.txt /tmp/facts/$4
"""


@pytest.fixture(scope="session")
def facts(tmp_path_factory):
    """facts(kernel): a directory with its type information and symbols."""
    done = {}

    def of(kernel):
        if kernel not in done:
            directory = tmp_path_factory.mktemp("facts")
            copy = "cat /sys/kernel/btf/vmlinux >vmlinux && cat /proc/kallsyms >kallsyms"
            assert machine.run(kernels.resolve(kernel), ["sh", "-c", copy], directory, cpus=1, timeout_s=3000) == 0
            done[kernel] = directory
        return done[kernel]

    return of


@pytest.fixture(scope="session", params=CELLS, ids=lambda cell: f"{cell[0]}-{cell[1]}")
def cell(request, play_all, platform, facts):
    """(user land, kernel, the run of the ping)"""
    userland, kernel = request.param
    platform(userland, kernel)
    compiled = f"{userland}.jsonl"
    subprocess.run(
        [
            "unshare",
            "--mount",
            "bash",
            "-c",
            IN_ROOT,
            "bash",
            str(userlands.resolve(userland).root),
            str(HERE.parents[2]),
            str(facts(kernel)),
            compiled,
        ],
        check=True,
    )
    played = play_all(
        kernel,
        (str(HERE / "ping.sh"),),
        COMMAND,
        cpus=2,
        memory_mb=2048,
        userland=userland,
        files={"compiled.jsonl": facts(kernel) / compiled},
    )
    return userland, kernel, played["ping"]


def loaded(run, how):
    """What became of the filters' programs that are attached so."""
    return [one for one in map(json.loads, (run.out / "loaded.jsonl").read_text().splitlines()) if one["how"] == how]


def doctor(run, how):
    return json.loads((run.out / f"doctor-{how}.json").read_text())


@pytest.mark.parametrize("how", HOW)
def test_all_that_is_essential_is_seen_and_no_program_is_refused(cell, how):
    told = doctor(cell[2], how)
    assert told["refusals"] == []
    # None: not tried, as the module that it is needed for is not loaded
    assert {stage["stage"]: stage["missing"] for stage in told["stages"] if stage["available"] is False} == {}
    assert (told["can_trace"], told["does_not_see"]) == (True, [])
    assert (cell[2].out / f"doctor-{how}.status").read_text() == "0\n"


def test_the_mechanism_is_what_was_asked_for(cell):
    by = {
        how: {probe.split()[0] for stage in doctor(cell[2], how)["stages"] for probe in stage["probes"]} for how in HOW
    }
    # a tracepoint is typed where the kernel takes that
    assert by["kprobes"] - {"raw_tracepoint"} == {"kprobe", "kretprobe", "typed_tracepoint"}
    assert {"fentry", "fexit"} <= by["fentry"]


@pytest.mark.parametrize("how", HOW)
def test_every_filter_is_taken(cell, how):
    told = [one for one in loaded(cell[2], how) if not one["filter"].startswith("--")]
    assert [one["filter"] for one in told] == FILTERS, (cell[2].out / "loaded.err").read_text()
    assert len(FILTERS) == 30 and min(one["programs"] for one in told) >= 5
    assert [one for one in told if one["refused"]] == []


@pytest.mark.parametrize("how", HOW)
def test_every_way_of_tracing_is_taken(cell, how):
    told = [one for one in loaded(cell[2], how) if one["filter"].startswith("--")]
    assert len(told) == 6 and min(one["programs"] for one in told) > 20
    assert [one for one in told if one["refused"]] == []


@pytest.mark.parametrize("how", HOW)
def test_what_the_taps_captured_is_what_their_files_hold(cell, platform, how):
    userland, kernel, run = cell
    trace = run.out / f"{how}.arrows"
    taps = {
        event["tap"]["processes"][0]["cmdline"].split()[-1]: event["tap"]["inode"]
        for batch in Recording(trace).batches()
        for event in batch.events
        if event["kind"] == "tap" and event["tap"]["processes"]
    }
    compared = 0
    for device in ("eth0", "eth1", "bond0"):
        [inode] = [inode for file, inode in taps.items() if file.endswith(f"{device}.pcap")]
        truth = in_file(run.out / f"{device}.pcap", *traced_time(trace))
        assert disagreement(captured_by(trace, inode), truth) == ([], [])
        compared += len(truth)
    assert compared >= 10
    taken = sum(not one["refused"] for one in loaded(run, how) if one["filter"] in FILTERS)
    platform(userland, kernel, f"{how}: {taken} filters, {compared} deliveries")
