# SPDX-License-Identifier: GPL-2.0-or-later
"""libpcap by ctypes: compiles a tcpdump filter expression to classic BPF, and runs it on frames.

Nothing is captured here.

Invariant: an expression means what it means to tcpdump reading a file of that link type, as libpcap itself compiles it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import BondtraceError, UsageError
from .classic_bpf import RET, Instruction, jumps

ETHERNET, RAW_IP = 1, 12  # DLT_EN10MB, DLT_RAW (pcap/dlt.h)

_SNAPLEN = 262144
_NETMASK_UNKNOWN = 0xFFFFFFFF


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction))]


class _Header(ctypes.Structure):
    _fields_ = [
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    ]


def _library() -> Any:
    for name in ("libpcap.so.0.8", "libpcap.so.1", ctypes.util.find_library("pcap")):
        if name:
            try:
                library = ctypes.CDLL(name)
            except OSError:
                continue
            library.pcap_open_dead.restype = ctypes.c_void_p
            library.pcap_geterr.restype = ctypes.c_char_p
            library.pcap_offline_filter.argtypes = [ctypes.POINTER(_Program), ctypes.POINTER(_Header), ctypes.c_char_p]
            return library
    raise BondtraceError(
        "a filter needs libpcap, which is not installed here: `apt install libpcap0.8` (Debian, "
        "Ubuntu), `dnf install libpcap` (Fedora)"
    )


@contextmanager
def _compiled(expression: str, link_type: int) -> Iterator[tuple[Any, _Program]]:
    if "\0" in expression:
        raise UsageError("a filter cannot contain a zero byte")
    library = _library()
    handle = ctypes.c_void_p(library.pcap_open_dead(link_type, _SNAPLEN))
    program = _Program()
    try:
        if library.pcap_compile(
            handle,
            ctypes.byref(program),
            expression.encode("utf-8", "surrogateescape"),
            1,
            ctypes.c_uint32(_NETMASK_UNKNOWN),
        ):
            reason = library.pcap_geterr(handle).decode("utf-8", "replace")
            raise UsageError(
                f"the filter {expression!r} is not a tcpdump filter: {reason}; `man pcap-filter` has the language"
            )
        try:
            yield library, program
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)


def compile_filter(expression: str, link_type: int = ETHERNET) -> list[Instruction]:
    """Return the expression as classic BPF.

    :raises UsageError: with libpcap's own message, for an expression that it does not accept.
    """
    with _compiled(expression, link_type) as (_, program):
        return [Instruction(one.code, one.jt, one.jf, one.k) for one in program.instructions[: program.length]]


def verdicts(expression: str, frames: list[bytes], link_type: int = ETHERNET) -> list[bool]:
    """Return for each whole frame whether libpcap says that the expression matches it."""
    with _compiled(expression, link_type) as (library, program):
        found = []
        for frame in frames:
            header = _Header(0, 0, len(frame), len(frame))
            found.append(bool(library.pcap_offline_filter(ctypes.byref(program), ctypes.byref(header), frame)))
        return found


@dataclass(frozen=True)
class Filter:
    """A compiled filter: the user's expression, and its programs for Ethernet and for raw IP devices."""

    expression: str
    ethernet: tuple[Instruction, ...]
    raw: tuple[Instruction, ...]


_NEVER = (Instruction(RET, 0, 0, 0),)


def make_filter(expression: str) -> Filter:
    """Compile an expression with libpcap. ``UsageError`` with libpcap's message. What only Ethernet has (addresses,
    tags) matches nothing on a device without it."""
    ethernet = tuple(compile_filter(expression, ETHERNET))
    if any(jump > len(ethernet) for one in ethernet for jump in jumps(one)):  # backward
        raise UsageError(
            f"the filter {expression!r} needs a loop (protochain), which the kernel's verifier does not "
            "accept: use `proto`"
        )
    try:
        raw = tuple(compile_filter(expression, RAW_IP))
    except UsageError:
        raw = _NEVER
    return Filter(expression, ethernet, raw)
