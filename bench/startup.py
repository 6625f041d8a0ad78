#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what happens before `bondtrace live` is attached: imports, the kernel's types and symbols, compiling,
loading.

    sudo .venv/bin/python bench/startup.py [--runs 5]
    startup.py --runs 1 --attach kprobes|fentry --packet COMMAND

Attaching, and the first journey, need a kernel with kprobes and a bond0: the second form, in the guest of bench/lab.py;
COMMAND causes a packet to arrive. Every figure is the minimum of several runs, each in a process of its own, after one
that fills the caches: whatever else the machine does only adds to it. `cpu_s` is the CPU time of one process from its
start to the end of all steps. Prints one JSON object, in seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import bondtrace.cli, bondtrace.commands.live, bondtrace.capture.live.source"
STEPS = f"""
import json, sys, time
{IMPORTS}
from bondtrace.capture.kernel import bpf, compiler, loader
how = sys.argv[1]
told, last = dict(), time.perf_counter()
def step(name):
    global last
    now = time.perf_counter()
    told[name], last = now - last, time.perf_counter()
kernel = loader.read_kernel()
step("types_and_symbols_s")
plan = loader.make_plan(kernel, fentry=how == "fentry", handlers=("bond_handle_frame",),
                        refused=frozenset() if how else frozenset(["netif_receive_skb"]))
step("plan_s")
compiler.import_bcc()
step("bcc_import_s")
loader.Tracer(kernel, plan, ring_bytes=4 << 20, compile_anew=True).close()
step("compile_s")
loader.Tracer(kernel, plan, ring_bytes=4 << 20).close()
step("to_keep_s")
tracer = loader.Tracer(kernel, plan, ring_bytes=4 << 20)
step("kept_s")
programs = sorted(set("bt_" + probe.program for probe in plan.probes))
if how:
    tracer.attach()
    step("attach_s")
else:
    for name in programs:
        bpf.load(name, tracer.programs.for_kernel(name, tracer.maps), "kprobe")
    step("load_s")
told["programs"], told["probes"] = len(programs), len(tracer.plan.probes)
told["cpu_s"] = time.process_time()
print(json.dumps(told))
"""


def main() -> None:
    """Run the measurement of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--attach", choices=("kprobes", "fentry"), default="")
    parser.add_argument("--packet", type=shlex.split, help="a command that causes a packet to arrive on bond0")
    options = parser.parse_args()
    told = run(options.runs, options.attach)
    print(json.dumps({**told, **first_journey(options.attach, options.packet)} if options.packet else told))


def run(runs: int = 5, attach: str = "") -> dict[str, float]:
    """Return the minimum of each step."""
    told = [{**imports(), **steps(attach)} for _ in range(runs + 1)][1:]
    return {name: round(min(one[name] for one in told), 3) for name in told[0]}


def first_journey(attach: str, packet: list[str]) -> dict[str, float]:
    """Return the seconds from the packet to its journey's line."""
    words = ["live", "--json", "--count", "1", "--iface", "bond0", *(["--kprobes"] if attach == "kprobes" else [])]
    with subprocess.Popen(
        [sys.executable, "-m", "bondtrace", *words], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tracer:
        assert tracer.stdout and tracer.stderr
        while "attached" not in (line := tracer.stderr.readline()):
            if not line:
                raise SystemExit(f"bondtrace ended with status {tracer.wait()}")
        with subprocess.Popen(packet, stdout=subprocess.DEVNULL):
            journey = json.loads(tracer.stdout.readline())
            told_s = time.time() - datetime.fromisoformat(journey["time"][:26] + "+00:00").timestamp()
        tracer.communicate()
    return {"packet_to_line_s": round(told_s, 3)}


def imports() -> dict[str, float]:
    """Return the seconds of all that `live` imports except bcc: bondtrace's own modules, without what they import, and
    the others."""
    said = _python("-X", "importtime", "-c", IMPORTS).stderr
    own = others = 0
    for self_us, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", said, re.MULTILINE):
        if name.split(".")[0] == "bondtrace":
            own += int(self_us)
        else:
            others += int(self_us)
    return {"own_import_s": own / 1e6, "other_import_s": others / 1e6}


def steps(attach: str = "") -> dict[str, float]:
    """Return the seconds of the steps after that, as the loader does them."""
    told: dict[str, float] = json.loads(_python("-c", STEPS, attach).stdout)
    return told


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


if __name__ == "__main__":
    main()
