# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: does this kernel's verifier take the programs that compile_programs.py has made?

load_programs.py COMPILED

Prints a JSON object a line of COMPILED: the filter or way, how it is attached, and what was refused, with the
verifier's sentence.
"""

import ctypes
import json
import os
import resource
import struct
import sys
from pathlib import Path

from bondtrace.capture.kernel import tracing
from bondtrace.capture.kernel.plan import TYPED
from bondtrace.capture.kernel.verifier import Refusal

MAP_CREATE, KPROBE, RAW_TRACEPOINT, TRACING = 0, 2, 17, 26


def main(file):
    # Until 5.11 maps and programs count as locked memory; bcc raises the limit, too.
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for one in map(json.loads, Path(file).read_text().splitlines()):
        descriptors = {
            number: tracing._bpf(MAP_CREATE, struct.pack("<IIIII", *made_of))
            for number, *made_of in one["maps"].values()
        }
        refused = [refusal for program in one["programs"] for refusal in load(program, descriptors)]
        for descriptor in descriptors.values():
            os.close(descriptor)
        print(
            json.dumps(
                {"filter": one["filter"], "how": one["how"], "refused": refused, "programs": len(one["programs"])}
            ),
            flush=True,
        )


def load(program, descriptors):
    code = bytearray.fromhex(program["instructions"])
    for at in range(0, len(code), 8):
        if code[at] == 0x18 and code[at + 1] >> 4 == 1:
            struct.pack_into("<i", code, at + 4, descriptors[struct.unpack_from("<i", code, at + 4)[0]])
    attach_type = tracing.ATTACH_TYPES.get(program["mechanism"], 0)
    kind = (
        TRACING
        if program["mechanism"] in TYPED
        else (RAW_TRACEPOINT if program["mechanism"] == "raw_tracepoint" else KPROBE)
    )
    try:
        os.close(tracing.load(program["program"], bytes(code), attach_type, program["type_id"], kind=kind))
    except OSError as error:
        log = getattr(error, "log", "") or os.strerror(error.errno or ctypes.get_errno())
        return [str(Refusal(program["probe"], program["program"], log))]
    return []


if __name__ == "__main__":
    main(*sys.argv[1:])
