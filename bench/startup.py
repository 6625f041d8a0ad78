#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes before `bondtrace live` is attached: imports, the kernel's types and symbols, compiling, loading.

    sudo .venv/bin/python bench/startup.py [--runs 5]

Attaching, and the first journey, need a kernel with kprobes; they are measured in the guest. Every figure is the least
of several runs, each in a process of its own, after one that fills the caches: whatever else the machine does only
adds to it. `cpu_s` is the CPU time of one process from its begin to the end of all steps. Prints one JSON object, in
seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import bondtrace.cli, bondtrace.commands.live, bondtrace.sources.live"
STEPS = f"""
import json, time
{IMPORTS}
from bondtrace.kernel import loader
told, last = dict(), time.perf_counter()
def step(name):
    global last
    now = time.perf_counter()
    told[name], last = now - last, time.perf_counter()
bcc = loader.import_bcc()
step("bcc_import_s")
kernel = loader.read_kernel()
step("types_and_symbols_s")
plan = loader.make_plan(kernel, fentry=False, refused=frozenset(["netif_receive_skb"]), handlers=("bond_handle_frame",))
step("plan_s")
tracer = loader.Tracer(kernel, plan, ring_bytes=4 << 20)
step("compile_s")
programs = sorted(set("bt_" + probe.program for probe in plan.probes))
for program in programs:
    tracer._bpf.load_func(program.encode(), bcc.BPF.KPROBE)
step("load_s")
told["programs"] = len(programs)
told["cpu_s"] = time.process_time()
print(json.dumps(told))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    print(json.dumps(run(parser.parse_args().runs)))


def run(runs: int = 5) -> dict[str, float]:
    """The least of each step."""
    told = [{**imports(), **steps()} for _ in range(runs + 1)][1:]
    return {name: round(min(one[name] for one in told), 3) for name in told[0]}


def imports() -> dict[str, float]:
    """Seconds of all that `live` imports but bcc: bondtrace's own modules, without what they import in turn, and the
    others."""
    said = _python("-X", "importtime", "-c", IMPORTS).stderr
    own = others = 0
    for self_us, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", said, re.MULTILINE):
        if name.split(".")[0] == "bondtrace":
            own += int(self_us)
        else:
            others += int(self_us)
    return {"own_import_s": own / 1e6, "other_import_s": others / 1e6}


def steps() -> dict[str, float]:
    """Seconds of what follows, as the loader does it."""
    told: dict[str, float] = json.loads(_python("-c", STEPS).stdout)
    return told


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


if __name__ == "__main__":
    main()
