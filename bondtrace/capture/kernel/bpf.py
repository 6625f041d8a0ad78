# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads and attaches programs: bpf(2) itself, and for kprobes perf_event_open(2).

bcc compiles the programs (``compiler``). Until 0.28 it cannot attach to functions of modules, no version supports the
typed form of a raw tracepoint, and it can load nothing but what it has just compiled.

Invariants: the kernel's own message about why it refuses a program reaches the caller; what is loaded or attached ends
when its file descriptor is closed.

Sources: union bpf_attr in include/uapi/linux/bpf.h; struct perf_event_attr in include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import resource
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional, Union

import numpy as np

from .plan import FENTRY, FEXIT, KPROBE, KRETPROBE, TRACEPOINT, TYPED_TRACEPOINT

_LIBC = ctypes.CDLL(None, use_errno=True)
_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _RAW_TRACEPOINT_OPEN, _BTF_GET_FD_BY_ID, _OBJ_GET_INFO, _BTF_GET_NEXT_ID = 5, 17, 19, 15, 23
_KPROBE, _RAW_TRACEPOINT, _TRACING = 2, 17, 26
_PROGRAM_TYPES = {
    **{KPROBE: _KPROBE, KRETPROBE: _KPROBE, TRACEPOINT: _RAW_TRACEPOINT},
    **{TYPED_TRACEPOINT: _TRACING, FENTRY: _TRACING, FEXIT: _TRACING},
}
_ATTACH_TYPES = {TYPED_TRACEPOINT: 23, FENTRY: 24, FEXIT: 25}
_RECURSION_MISSES = 208  # offset in struct bpf_prog_info
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_OF_THE_KERNEL = {524: "this kernel does not support it (ENOTSUPP)"}  # include/linux/errno.h: the C library lacks it
_PERF_CLOSE_ON_EXEC = 8
_PERF_SET_BPF, _PERF_ENABLE = 0x40042408, 0x2400
_KPROBES = Path("/sys/bus/event_source/devices/kprobe")
_LOG_BYTES = 1 << 24
_LOG_INSTRUCTIONS, _LOG_STATISTICS = 1, 4
INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("number", "<i4")])  # struct bpf_insn
_CALL, _OF_KERNEL = 0x85, 2 << 4  # BPF_JMP | BPF_CALL; in its source register BPF_PSEUDO_KFUNC_CALL
_KERNEL_CALL = 0x40000000  # bpf/verifier.h
NAME_BYTES = 16


def _system_call(numbers: Mapping[str, int], *arguments: Union[int, ctypes.Array[ctypes.c_char]]) -> int:
    """Make a system call, by its number for each machine, and return its result. ``OSError`` when it fails."""
    result = int(_LIBC.syscall(numbers[platform.machine()], *arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, _OF_THE_KERNEL.get(number) or os.strerror(number))
    return result


def call(command: int, attr: bytes) -> int:
    """Call bpf(2) and return its result. ``OSError`` when it fails."""
    buffer = ctypes.create_string_buffer(attr, len(attr))
    result = _system_call(_BPF, command, buffer, len(attr))
    if command == _BTF_GET_NEXT_ID:
        return int(struct.unpack_from("<I", buffer.raw, 4)[0])
    return result


def membarrier(command: int) -> None:
    """Call membarrier(2). ``OSError`` when it fails."""
    _system_call(_MEMBARRIER, command, 0, 0)


def unlock_memory() -> None:
    """Let this process have maps and programs of any size: until Linux 5.11 they count as locked memory."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def info(descriptor: int, size: int, head: bytes = b"") -> bytes:
    """Return what the kernel tells of a program, a map or types, at most ``size`` bytes: as much as it knows."""
    told = ctypes.create_string_buffer(head, size)
    attr = ctypes.create_string_buffer(struct.pack("<IIQ", descriptor, size, ctypes.addressof(told)), 16)
    _system_call(_BPF, _OBJ_GET_INFO, attr, len(attr))
    return told.raw[: struct.unpack_from("<I", attr.raw, 4)[0]]


def misses_of(program: int) -> Optional[int]:
    """Return how often the kernel skipped a program because one was running on that CPU already; ``None`` where it
    does not count that (before 5.12).

    Source: recursion_misses of struct bpf_prog_info.
    """
    try:
        told = info(program, 256)
    except OSError:
        return None
    place = slice(_RECURSION_MISSES, _RECURSION_MISSES + 8)
    return int.from_bytes(told[place], "little") if len(told) >= place.stop else None


class LoadError(OSError):
    """The kernel refused a program; ``log`` is what its verifier said, "" where it said nothing."""

    def __init__(self, error: OSError, log: str) -> None:
        super().__init__(error.errno, error.strerror)
        self.log = log


def load(name: str, instructions: bytes, mechanism: str, type_id: int = 0, module_btf: int = 0) -> int:
    """Load a program; return its file descriptor. ``LoadError`` where it is refused. ``bpftool`` shows it by 15
    characters of its name.

    :param mechanism: how it will be attached (``plan``).
    :param type_id: the number of the type of the function or tracepoint of a program with typed arguments, and
    :param module_btf: the types that it is in, if they are a module's.
    """
    instructions = with_kernel_calls(instructions)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    short = (name if len(name) < NAME_BYTES else f"{name[:9]}_{name[-5:].strip('_')}").encode()

    def attributes(log: Optional[ctypes.Array[ctypes.c_char]] = None, level: int = 0) -> bytes:
        program = (_PROGRAM_TYPES[mechanism], len(instructions) // INSTRUCTION.itemsize)
        about_log = (level, len(log) if log else 0, ctypes.addressof(log) if log else 0)
        head = struct.pack("<IIQQIIQ8x16s", *program, *map(ctypes.addressof, (code, licence)), *about_log, short)
        return head + struct.pack("<4xI36xII", _ATTACH_TYPES.get(mechanism, 0), type_id, module_btf)

    try:
        return call(_PROG_LOAD, attributes())
    except OSError as error:
        raise LoadError(error, _log_of(attributes)) from None


def with_kernel_calls(instructions: bytes) -> bytes:
    """Return the instructions with calls of the kernel's own functions in place of the calls of helpers that stand for
    them, by the numbers of their types (KERNEL_CALL in bpf/verifier.h)."""
    code = np.frombuffer(instructions, INSTRUCTION).copy()
    stands = (code["code"] == _CALL) & (code["registers"] == 0) & (code["number"] & _KERNEL_CALL != 0)
    code["registers"][stands] = _OF_KERNEL
    code["number"][stands] &= ~_KERNEL_CALL
    return code.tobytes()


def _log_of(attributes: Callable[[ctypes.Array[ctypes.c_char], int], bytes]) -> str:
    """Return what the verifier says about a program that was refused; "" where it accepts it now. Kernels before 6.4
    keep the beginning of the log, and a long one loses its last sentence: then it is read without the instructions."""
    for level in (_LOG_INSTRUCTIONS, _LOG_STATISTICS):
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            os.close(call(_PROG_LOAD, attributes(log, level)))
            return ""
        except OSError as error:
            if error.errno != errno.ENOSPC:
                break
    return log.value.decode("utf-8", "replace")


def attach_typed(program: int) -> int:
    """Attach a loaded program with typed arguments where it belongs; return a file descriptor, which detaches it when
    it is closed, as those of the next two do."""
    return call(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program, 0))


def attach_raw_tracepoint(program: int, name: str) -> int:
    """Attach a loaded program to a tracepoint."""
    place = ctypes.create_string_buffer(name.encode())
    return call(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", ctypes.addressof(place), program, 0))


def attach_kprobe(program: int, symbol: str, at_return: bool) -> int:
    """Attach a loaded program to the begin of a function, or to its return. ``OSError`` where the kernel has no such
    function, or allows no probe at it."""
    place = ctypes.create_string_buffer(symbol.encode())
    # struct perf_event_attr as it was at first (PERF_ATTR_SIZE_VER1): type, size, config, sample_period, sample_type,
    # read_format, flags, wakeup_events, bp_type, kprobe_func, probe_offset
    attr = struct.pack(
        "<IIQQQQQIIQQ",
        int((_KPROBES / "type").read_text()),
        72,
        _return_bit() if at_return else 0,
        *(1, 0, 0, 0, 1, 0),
        ctypes.addressof(place),
        0,
    )
    buffer = ctypes.create_string_buffer(attr, len(attr))
    event = _system_call(_PERF_EVENT_OPEN, buffer, -1, 0, -1, _PERF_CLOSE_ON_EXEC)
    try:
        fcntl.ioctl(event, _PERF_SET_BPF, program)
        fcntl.ioctl(event, _PERF_ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event


def _return_bit() -> int:
    """Return the bit of ``config`` that means a function's return ("config:0")."""
    return 1 << int((_KPROBES / "format" / "retprobe").read_text().strip().rpartition(":")[2])


def module_btf(module: str) -> int:
    """Return a file descriptor of the type information of a module; ``OSError`` where there is none (before 5.11)."""
    number = 0
    while True:
        number = call(_BTF_GET_NEXT_ID, struct.pack("<II", number, 0) + bytes(8))
        descriptor = call(_BTF_GET_FD_BY_ID, struct.pack("<I", number) + bytes(12))
        if _name(descriptor) == module:
            return descriptor
        os.close(descriptor)


def _name(descriptor: int) -> str:
    """Return the name of type information (struct bpf_btf_info); only the kernel's own and its modules' has one."""
    name = ctypes.create_string_buffer(64)
    with contextlib.suppress(OSError):
        info(descriptor, 32, struct.pack("<QIIQII", 0, 0, 0, ctypes.addressof(name), len(name), 0))
    return name.value.decode()
