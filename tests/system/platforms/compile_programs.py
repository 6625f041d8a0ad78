# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs on the host, in a user land's root directory: the programs that its compiler makes for a kernel, of filters and
of all stages in the ways that `live` and `record` have them, for load_programs.py. An emulated machine takes many
times as long to compile.

compile_programs.py FACTS FILTERS OUT

FACTS is a directory with that kernel's type information (vmlinux) and symbols (kallsyms). OUT gets a JSON object a
line: the filter or way, how it is attached, the programs' instructions, the maps that they use.
"""

import json
import struct
import sys
from pathlib import Path

from bondtrace.capture.kernel import loader, source, symbols
from bondtrace.capture.kernel.btf import Btf
from bondtrace.capture.kernel.plan import TYPED
from bondtrace.capture.kernel.stage_specs import wanted_functions
from bondtrace.format.stages import OF_DIRECTION
from bondtrace.net.pcap import make_filter

LD_IMM64, PSEUDO_MAP_FD, INSTRUCTION = 0x18, 1, struct.Struct("<BBhi")


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
    with loader.Tracer(kernel, plan, 1 << 20, packet_filter, count_only, snaplen) as tracer:
        maps = {}
        programs = [
            {
                "program": probe.program,
                "probe": f"{probe.mechanism} {probe.symbol}",
                "mechanism": probe.mechanism,
                "type_id": kernel.type_id(probe) if probe.mechanism in TYPED else 0,
                "instructions": code_of(tracer.bpf, probe, maps).hex(),
            }
            for probe in plan.probes
            if not probe.module or probe.mechanism not in TYPED
        ]
    return {"filter": name, "how": how, "programs": programs, "maps": maps}


def code_of(bpf, probe, maps):
    """Its instructions, with the numbers of ``maps`` in place of descriptors."""
    code = bytearray(bpf.dump_func(source.program_name(probe.program).encode()))
    for at in range(0, len(code), INSTRUCTION.size):
        opcode, registers, _, descriptor = INSTRUCTION.unpack_from(code, at)
        if opcode == LD_IMM64 and registers >> 4 == PSEUDO_MAP_FD:
            struct.pack_into("<i", code, at + 4, maps.setdefault(str(descriptor), [len(maps), *made_of(descriptor)])[0])
    return bytes(code)


def made_of(descriptor):
    """(type, bytes of a key, bytes of a value, entries, flags) of a map, as the kernel tells them."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines())
    return [int(told[name], 0) for name in ("map_type", "key_size", "value_size", "max_entries", "map_flags")]


if __name__ == "__main__":
    main(*sys.argv[1:])
