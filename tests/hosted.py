# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of bpf/ as a library of this process, called as the kernel would call them, on memory that looks like that
of Linux 6.1 (tests/native has the C beside them)."""

import ctypes
import gzip
import re
import struct
import subprocess
from pathlib import Path

from bondtrace.capture.kernel import layout, plan, source
from bondtrace.capture.kernel.btf import Btf
from bondtrace.capture.kernel.stage_specs import TRACEPOINTS, wanted_functions
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.format.stages import QUEUE_OUTCOMES, RING_MEMBERS, RING_REFUSALS
from bondtrace.format.wire import FUNCTIONS

HERE = Path(__file__).parent
FILES = (
    *("wire.h", "probe.h", "pass.c", "state.c", "record.c", "device.c", "stack.c", "filter.c", "packet.c"),
    *("tap.c", "handler.c"),
)
# Without calls of helpers by number, which are the kernel's.
TYPES = Btf(gzip.decompress((HERE / "data" / "btf" / "6.1.btf.gz").read_bytes()))
HEADER = layout.header(TYPES, "x86_64").replace("#define GET_FUNC_ARG 1\n", "")
AT = {name: int(number) for name, number in re.findall(r"^#define (\w+) (\d+)$", HEADER, re.M)}


def _plan(fentry):
    """The plan of a kernel that has every function."""
    found = {name: Symbol(name) for name in wanted_functions() if name != "sk_skb_reason_drop"}
    abilities = plan.Abilities(found, lambda name, module: fentry, fentry, TRACEPOINTS if fentry else ())
    return plan.make(abilities, ("bond_handle_frame",), (QUEUE_OUTCOMES, RING_REFUSALS, RING_MEMBERS))


def build(directory, fentry, real_time=False):
    """The library, of programs with typed arguments or of such with registers; for a PREEMPT_RT kernel, or another."""
    files = [(source.bpf_dir() / name).read_text() for name in FILES]
    host, by_hand = ((HERE / "native" / name).read_text() for name in ("host.h", "programs_host.c"))
    (directory / "programs.c").write_text(
        "\n".join(
            [host, HEADER + "#define BY_TASK 1\n" * real_time, source.program_names(_plan(fentry)), *files, by_hand]
        )
    )
    command = ["gcc", "-O1", "-w", "-fno-strict-aliasing", "-shared", "-fPIC", "-o", "programs.so", "programs.c"]
    subprocess.run(command, check=True, cwd=directory)
    return ctypes.CDLL(str(directory / "programs.so"))


class Memory:
    """A structure of the kernel: zeroes, and what is put at its fields."""

    def __init__(self, size=2048):
        self.room = ctypes.create_string_buffer(size)
        self.address = ctypes.addressof(self.room)

    def put(self, field, value, form="Q"):
        struct.pack_into(f"<{form}", self.room, AT[field], value)
        return self

    def add(self, field, form="I"):
        self.put(field, struct.unpack_from(f"<{form}", self.room, AT[field])[0] + 1, form)


def device(ifindex, net, handler=0):
    """A network device in a namespace."""
    made = Memory(4096).put("NET_DEVICE__IFINDEX", ifindex, "I").put("NET_DEVICE__NET", net.address)
    return made.put("NET_DEVICE__RX_HANDLER", handler)


class Cpu:
    """A CPU that receives a packet, which is ``skb`` on the device ``dev``: a pass of it is open.

    :param library: ``build``.
    :param typed: its programs have typed arguments.
    """

    def __init__(self, library, typed):
        self.library, self.typed = library, typed
        self.net = Memory().put("NET__INUM", 0xF0000001, "I")
        self.skb, self.dev = Memory(), device(2, self.net, 0x1234)
        self.open()

    def open(self, pkt_type=0):
        """Open the pass anew, without steps."""
        self.library.open_by_hand(
            ctypes.c_uint64(self.skb.address), ctypes.c_uint64(self.dev.address), ctypes.c_uint8(pkt_type)
        )

    def run(self, program, *arguments, result=0):
        """Run a program: typed ones have the arguments, and the result behind them, the others registers."""
        if self.typed:
            context = ctypes.create_string_buffer(struct.pack(f"<{len(arguments) + 1}Q", *arguments, result))
        else:
            context = ctypes.create_string_buffer(512)
            struct.pack_into("<Q", context, AT["PT_REGS__RESULT"], result)
            for number, value in enumerate(arguments):
                struct.pack_into("<Q", context, AT[f"PT_REGS__ARG{number}"], value)
        getattr(self.library, f"bt_{program}")(context)

    def step(self, place=0):
        """A step of the record, {field: value}; None where there is none. ``func`` is a name."""
        found = (ctypes.c_uint32 * 8)()
        if not self.library.step_at(ctypes.c_uint32(place), found):
            return None
        names = ("kind", "func", "result", "round", "ifindex", "arg", "skb_low", "t_ns")
        step = dict(zip(names, found))
        return {**step, "func": FUNCTIONS.get(step["func"], step["func"])}
