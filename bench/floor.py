#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaches bondtrace's probes with programs that do nothing, which shows what the firings themselves cost. Runs in the
guest.

    floor.py [--kprobes] [--counted]

The plan, the loader and bcc are bondtrace's own; only the text differs. ``--counted``: the stages of `--summary-only`.
Prints `bondtrace: attached`, and ends with SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import sys

from bondtrace.capture.kernel import loader, netfilter, source
from bondtrace.capture.kernel.plan import Plan
from bondtrace.capture.live.source import NOT_COUNTED

HANDLERS = ("bond_handle_frame",)


def main() -> None:
    """Attach, and wait for SIGINT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kprobes", action="store_true")
    parser.add_argument("--counted", action="store_true")
    options = parser.parse_args()
    loader.source.join = empty_text
    kernel = loader.read_kernel()
    plan = attached_plan(kernel, not options.kprobes, options.counted)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with loader.Tracer(kernel, plan) as tracer:
        tracer.attach()
        for stage in tracer.plan.stages:
            if stage.missing:
                print(f"bondtrace: without {stage.name}: {stage.missing}", file=sys.stderr)
        print(f"bondtrace: attached: {len(tracer.plan.probes)} probes", file=sys.stderr, flush=True)
        signal.sigwait({signal.SIGINT})


def attached_plan(kernel: loader.Kernel, fentry: bool, counted: bool) -> Plan:
    """Return what is attached; ``counted``: for counting alone."""
    plan = loader.make_plan(kernel, fentry=fentry, handlers=HANDLERS)
    return plan.only(lambda stage: stage.name not in NOT_COUNTED) if counted else plan


def empty_text(layout: str, plan: Plan, ring_bytes: int, page_bytes: int, *_: object) -> str:
    """Return, in place of ``source.join``, empty programs of the same names, and the maps that a tracer uses."""
    names = {source.program_name(probe.program) for probe in plan.probes}
    return "\n".join(
        [
            "#define BPF_LICENSE GPL",
            "#include <linux/types.h>",
            f"#define PAGE_SIZE {page_bytes}",
            f"BPF_RINGBUF_OUTPUT(events, {ring_bytes // page_bytes});",
            f"struct netfilter_layout {{ char bytes[{netfilter.LAYOUT.itemsize}]; }};",
            "BPF_ARRAY(netfilter, struct netfilter_layout, 1);",
            "BPF_HASH(chains, u32, u64, 1);",
            "BPF_ARRAY(hook_changes, u64, 1);",
            "BPF_ARRAY(watched, u64, 2);",
            f"BPF_ARRAY(places, u64, {source.DEVICE_PLACES});",
            "BPF_HASH(devices, u64, u8, 16);",
            "BPF_PERCPU_ARRAY(counters, u64, 8);",
            *(f"int {name}(void *ctx) {{ return 0; }}" for name in sorted(names)),
            "",
        ]
    )


if __name__ == "__main__":
    main()
