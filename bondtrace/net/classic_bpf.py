# SPDX-License-Identifier: GPL-2.0-or-later
"""Classic BPF, the language that libpcap compiles filters to: its encoding, and running a program on many packets at
once, in columns.

Invariant: a packet's verdict is the kernel's (a load beyond the packet's end and a division by zero refuse it), or
``BLIND`` where the program reads bytes that were not kept: never a guess.

Source: pcap/bpf.h for the encoding, net/core/filter.c for the meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

REJECT, ACCEPT, BLIND = 0, 1, 2

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
NEG = 0x80
SHIFTS = {0x60: "<<", 0x70: ">>"}
DIVISIONS = {0x30: "/", 0x90: "%"}


class Instruction(NamedTuple):
    """A struct bpf_insn (pcap/bpf.h)."""

    code: int
    jt: int
    jf: int
    k: int


def jumps(one: Instruction) -> tuple[int, ...]:
    """Return how many instructions a jump may pass over; none for what is no jump."""
    if one.code & 7 != JMP:
        return ()
    return (one.k,) if one.code & 0xF0 == 0 else (one.jt, one.jf)


def run(program: Sequence[Instruction], packets: Array, kept: Array, lengths: Array) -> Array:
    """Return the verdict on each packet: ``REJECT``, ``ACCEPT`` or ``BLIND``, shape (n,) of uint8.

    :param program: one whose jumps all go forward.
    :param packets: the first bytes of each, shape (n, m) of uint8.
    :param kept: how many of these are its own, shape (n,).
    :param lengths: of the whole packet in bytes, shape (n,).
    """
    return _Run(packets, kept.astype(np.int64), lengths.astype(np.int64)).verdicts(program)


class _Run:
    """A run on packets. ``_at`` has for each instruction the packets that come to it next; all jumps go forward, so
    each instruction is executed once."""

    def __init__(self, packets: Array, kept: Array, lengths: Array) -> None:
        self._packets, self._kept, self._lengths = packets, kept, lengths
        count = len(packets)
        self._a, self._x = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
        self._memory: dict[int, Array] = {}
        self._verdicts: Array = np.full(count, REJECT, np.uint8)
        self._at: dict[int, list[Array]] = {0: [np.arange(count)]}

    def verdicts(self, program: Sequence[Instruction]) -> Array:
        for place, one in enumerate(program):
            there = self._at.pop(place, ())
            some = there[0] if len(there) == 1 else np.concatenate([np.zeros(0, np.int64), *there])
            if len(some):
                self._execute(one, place, some)
        return self._verdicts

    def _execute(self, one: Instruction, place: int, some: Array) -> None:
        kind = one.code & 7
        if kind == RET:
            value = self._a[some] if one.code & 0x18 == 0x10 else np.uint32(one.k)
            self._verdicts[some] = np.where(value, ACCEPT, REJECT)
            return
        if kind == JMP:
            self._jump(one, place, some)
            return
        if kind in (LD, LDX):
            some = self._load(self._a if kind == LD else self._x, one, some)
        elif kind in (ST, STX):
            slot = self._memory.setdefault(one.k, np.zeros(len(self._a), np.uint32))
            slot[some] = (self._a if kind == ST else self._x)[some]
        elif kind == ALU:
            some = self._compute(one, some)
        elif one.code & 0x80:
            self._a[some] = self._x[some]
        else:
            self._x[some] = self._a[some]
        self._go(place + 1, some)

    def _go(self, place: int, some: Array) -> None:
        if len(some):
            self._at.setdefault(place, []).append(some)

    def _jump(self, one: Instruction, place: int, some: Array) -> None:
        test = _TESTS.get(one.code & 0xF0)
        if test is None:
            self._go(place + 1 + one.k, some)
            return
        is_so = test(self._a[some], self._operand(one, some))
        self._go(place + 1 + one.jt, some[is_so])
        self._go(place + 1 + one.jf, some[~is_so])

    def _operand(self, one: Instruction, some: Array) -> Array:
        return self._x[some] if one.code & 8 else np.full(len(some), one.k, np.uint32)

    def _load(self, register: Array, one: Instruction, some: Array) -> Array:
        """Carry out a load; return the packets that go on."""
        mode = one.code & 0xE0
        if mode == IMM:
            register[some] = np.uint32(one.k)
        elif mode == LEN:
            register[some] = self._lengths[some]
        elif mode == MEM:
            register[some] = self._memory[one.k][some] if one.k in self._memory else 0
        else:
            size = SIZES[one.code & 0x18]
            offsets = one.k + (self._x[some].astype(np.int64) if mode == IND else np.zeros(len(some), np.int64))
            some, offsets = self._readable(some, offsets, size)
            value = np.zeros(len(some), np.uint32)
            for nth in range(size):
                value = value << np.uint32(8) | self._packets[some, offsets + nth]
            register[some] = (value & np.uint32(0xF)) * np.uint32(4) if mode == MSH else value
        return some

    def _readable(self, some: Array, offsets: Array, size: int) -> tuple[Array, Array]:
        """Return those of which these bytes were kept, with their offsets; the others have their verdict."""
        ends = offsets + size
        is_beyond, is_kept = ends > self._lengths[some], ends <= self._kept[some]
        self._verdicts[some[~is_beyond & ~is_kept]] = BLIND
        is_there = is_kept & ~is_beyond
        return some[is_there], offsets[is_there]

    def _compute(self, one: Instruction, some: Array) -> Array:
        """Carry out arithmetic; return the packets that go on."""
        operation = one.code & 0xF0
        if operation in DIVISIONS:
            some = some[self._operand(one, some) != 0]
        a, operand = self._a[some], self._operand(one, some)
        if operation == NEG:
            self._a[some] = np.uint32(0) - a
        elif operation in SHIFTS:
            shifted = _ARITHMETIC[operation](a, operand & np.uint32(31))
            self._a[some] = np.where(operand < 32, shifted, np.uint32(0))
        else:
            self._a[some] = _ARITHMETIC[operation](a, operand)
        return some


_TESTS: dict[int, Callable[[Array, Array], Array]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: (a & b) != 0,
}
_ARITHMETIC: dict[int, Callable[[Array, Array], Array]] = {
    0x00: np.add,
    0x10: np.subtract,
    0x20: np.multiply,
    0x30: np.floor_divide,
    0x40: np.bitwise_or,
    0x50: np.bitwise_and,
    0x60: np.left_shift,
    0x70: np.right_shift,
    0x90: np.remainder,
    0xA0: np.bitwise_xor,
}
