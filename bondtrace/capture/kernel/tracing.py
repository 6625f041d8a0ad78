# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads and attaches fentry and fexit programs, and typed tracepoints, by bpf(2) itself.

bcc compiles them. Until 0.28 it cannot attach to functions of modules, and no version supports the typed form of
a raw tracepoint, whose program reads the kernel's structures without a call. Both need only a type's number and the
file descriptor of the type information it is in.

Invariant: the kernel's own message about why it refuses a program reaches the caller.

Source: union bpf_attr in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable
from typing import Optional

from .plan import FENTRY, FEXIT, TYPED_TRACEPOINT

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _RAW_TRACEPOINT_OPEN, _BTF_GET_FD_BY_ID, _OBJ_GET_INFO, _BTF_GET_NEXT_ID = 5, 17, 19, 15, 23
_TRACING = 26
ATTACH_TYPES = {TYPED_TRACEPOINT: 23, FENTRY: 24, FEXIT: 25}
_LOG_BYTES = 1 << 24
_LOG_INSTRUCTIONS, _LOG_STATISTICS = 1, 4
_INSTRUCTION_BYTES = 8
_NAME_BYTES = 16


def _bpf(command: int, attr: bytes) -> int:
    """Call bpf(2) and return its result. ``OSError`` when it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attr, len(attr))
    result = int(libc.syscall(_SYSCALL[platform.machine()], command, buffer, len(attr)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if command == _BTF_GET_NEXT_ID:
        return int(struct.unpack_from("<I", buffer.raw, 4)[0])
    return result


class LoadError(OSError):
    """The kernel refused a program; ``log`` is what its verifier said, "" where it said nothing."""

    def __init__(self, error: OSError, log: str) -> None:
        super().__init__(error.errno, error.strerror)
        self.log = log


def load(
    name: str, instructions: bytes, attach_type: int, type_id: int, module_btf: int = 0, kind: int = _TRACING
) -> int:
    """Load a program for the function or tracepoint of this type number; return its file descriptor. ``LoadError``
    where it is refused. ``bpftool`` shows it by 15 characters of its name. ``kind``: enum bpf_prog_type."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    short = (name if len(name) < _NAME_BYTES else f"{name[:9]}_{name[-5:].strip('_')}").encode()

    def attributes(log: Optional[ctypes.Array[ctypes.c_char]] = None, level: int = 0) -> bytes:
        return struct.pack(
            "<IIQQIIQII16sIIIIQIIQIII",
            kind,
            len(instructions) // _INSTRUCTION_BYTES,
            ctypes.addressof(code),
            ctypes.addressof(licence),
            level,
            len(log) if log else 0,
            ctypes.addressof(log) if log else 0,
            0,
            0,
            short,
            0,
            attach_type,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            type_id,
            module_btf,
        )

    try:
        return _bpf(_PROG_LOAD, attributes())
    except OSError as error:
        raise LoadError(error, _log_of(attributes)) from None


def _log_of(attributes: Callable[[ctypes.Array[ctypes.c_char], int], bytes]) -> str:
    """Return what the verifier says about a program that was refused; "" where it accepts it now. Kernels before 6.4
    keep the beginning of the log, and a long one loses its last sentence: then it is read without the instructions."""
    for level in (_LOG_INSTRUCTIONS, _LOG_STATISTICS):
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            os.close(_bpf(_PROG_LOAD, attributes(log, level)))
            return ""
        except OSError as error:
            if error.errno != errno.ENOSPC:
                break
    return log.value.decode("utf-8", "replace")


def attach(program: int) -> int:
    """Attach a loaded program where it belongs; return a file descriptor, which detaches it when it is closed."""
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program, 0))


def module_btf(module: str) -> int:
    """Return a file descriptor of the type information of a module; ``OSError`` where there is none (before 5.11)."""
    number = 0
    while True:
        number = _bpf(_BTF_GET_NEXT_ID, struct.pack("<II", number, 0) + bytes(8))
        descriptor = _bpf(_BTF_GET_FD_BY_ID, struct.pack("<I", number) + bytes(12))
        if _name(descriptor) == module:
            return descriptor
        os.close(descriptor)


def _name(descriptor: int) -> str:
    """Return the name of type information (struct bpf_btf_info); only the kernel's own and its modules' has one."""
    name = ctypes.create_string_buffer(64)
    info = ctypes.create_string_buffer(struct.pack("<QIIQII", 0, 0, 0, ctypes.addressof(name), len(name), 0), 32)
    with contextlib.suppress(OSError):
        _bpf(_OBJ_GET_INFO, struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info)))
    return name.value.decode()
