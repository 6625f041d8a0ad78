# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs on the host, in a user land's root directory: the programs that its compiler makes for a kernel, of filters and
of all stages in the ways that `live` and `record` have them, for load_programs.py. An emulated machine takes many
times as long to compile.

compile_programs.py FACTS FILTERS OUT

FACTS is a directory with that kernel's type information (vmlinux) and symbols (kallsyms). OUT gets a JSON object a
line: the filter or way, how it is attached, the programs, their instructions and maps.
"""

import json
import sys
from pathlib import Path

from bondtrace.capture.kernel import loader, symbols
from bondtrace.capture.kernel.btf import Btf
from bondtrace.capture.kernel.plan import TYPED
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.format.stages import OF_DIRECTION
from bondtrace.net.pcap import make_filter

# What `doctor` does not try: what Tracer is given, and the symbols that the plan is not to find.
WAYS = {
    "--summary-only": ({"count_only": True}, ()),
    "--snaplen 64": ({"snaplen": 64}, ()),
    "--snaplen 1500": ({"snaplen": 1500}, ()),
    "--snaplen 1500 FILTER": ({"snaplen": 1500, "filter": "port 53"}, ()),
    "--summary-only FILTER": ({"count_only": True, "filter": "port 53"}, ()),
    "--without brackets": ({}, ("__netif_receive_skb_one_core",)),
}


def main(facts, filters, out):
    btf = Btf((Path(facts) / "vmlinux").read_bytes())
    found = symbols.find(symbols.read_kallsyms(Path(facts) / "kallsyms"), wanted_functions())
    kernel = loader.Kernel(btf, found, {"": btf.function_ids(wanted_functions())})
    with open(out, "w") as file:
        for name, (options, hidden) in WAYS.items():
            symbols_left = {symbol: one for symbol, one in found.items() if symbol not in hidden}
            for how in ("fentry", "kprobes"):
                there = loader.Kernel(btf, symbols_left, kernel.functions)
                plan = loader.make_plan(there, fentry=how == "fentry", handlers=("bond_handle_frame",))
                file.write(json.dumps(compiled(there, plan, how, name, **options)) + "\n")
        for expression in (line for line in Path(filters).read_text().splitlines() if not line.startswith("#")):
            for how in ("fentry", "kprobes"):
                plan = loader.make_plan(kernel, fentry=how == "fentry", handlers=())
                plan = plan.only(lambda one: one.name in OF_DIRECTION.values())
                file.write(json.dumps(compiled(kernel, plan, how, expression, filter=expression)) + "\n")


def compiled(kernel, plan, how, name, filter=None, count_only=False, snaplen=0):
    packet_filter = make_filter(filter) if filter else None
    with loader.Tracer(kernel, plan, 1 << 20, packet_filter, count_only, snaplen, compile_anew=True) as tracer:
        programs = [
            {
                "program": probe.program,
                "probe": f"{probe.mechanism} {probe.symbol}",
                "mechanism": probe.mechanism,
                "type_id": kernel.type_id(probe) if probe.mechanism in TYPED else 0,
            }
            for probe in plan.probes
            if not probe.module or probe.mechanism not in TYPED
        ]
        code = tracer.programs.to_bytes().hex()
    return {"filter": name, "how": how, "programs": programs, "code": code}


if __name__ == "__main__":
    main(*sys.argv[1:])
