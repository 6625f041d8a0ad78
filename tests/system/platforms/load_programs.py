# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: does this kernel's verifier take the programs that compile_programs.py has made?

load_programs.py COMPILED

Prints a JSON object a line of COMPILED: the filter or way, how it is attached, and what was refused, with the
verifier's sentence.
"""

import json
import os
import sys
from pathlib import Path

from bondtrace.capture.kernel import bpf, source
from bondtrace.capture.kernel.programs import Programs, make_maps
from bondtrace.capture.kernel.verifier import Refusal


def main(file):
    bpf.unlock_memory()
    for one in map(json.loads, Path(file).read_text().splitlines()):
        compiled = Programs.from_bytes(bytes.fromhex(one["code"]))
        maps = make_maps(compiled.maps)
        refused = [refusal for program in one["programs"] for refusal in load(program, compiled, maps)]
        for made in maps.values():
            made.close()
        print(
            json.dumps(
                {"filter": one["filter"], "how": one["how"], "refused": refused, "programs": len(one["programs"])}
            ),
            flush=True,
        )


def load(program, compiled, maps):
    name = source.program_name(program["program"])
    instructions = compiled.for_kernel(name, maps)
    try:
        os.close(bpf.load(name, instructions, program["mechanism"], program["type_id"]))
    except bpf.LoadError as error:
        return [str(Refusal(program["probe"], program["program"], error.log or error.strerror))]
    return []


if __name__ == "__main__":
    main(*sys.argv[1:])
