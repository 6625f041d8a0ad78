# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a packet filter into C: every classic BPF instruction becomes a statement, its jumps (forward only) gotos.

The functions read the frame through bpf/filter.c.

Invariant: none of the user's text reaches the C source, only the numbers that libpcap compiled it to.

Source: pcap/bpf.h for the encoding, net/core/filter.c for the meaning (a load beyond the packet's end and a
division by zero refuse the packet).
"""

from __future__ import annotations

from ...errors import UsageError
from ...net.classic_bpf import (
    ALU,
    DIVISIONS,
    IMM,
    IND,
    JMP,
    LD,
    LDX,
    LEN,
    MEM,
    MSH,
    NEG,
    RET,
    SHIFTS,
    SIZES,
    ST,
    STX,
    Instruction,
    jumps,
)
from ...net.pcap import Filter

_MEMORY_WORDS = 16
_ALU_SIGNS = {0x00: "+", 0x10: "-", 0x20: "*", 0x40: "|", 0x50: "&", 0xA0: "^"}
_JUMPS = {0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&"}


def c_text(filter_: Filter) -> str:
    """Return the C functions of a filter, which follow bpf/filter.c."""
    return function("filter_ethernet", filter_.ethernet) + function("filter_raw", filter_.raw)


def function(name: str, program: tuple[Instruction, ...]) -> str:
    """Return the C function ``u8 NAME(struct view *)``, which returns FILTER_ACCEPT, FILTER_REJECT or FILTER_BLIND."""
    targets = {place + 1 + jump for place, one in enumerate(program) for jump in jumps(one)}
    stores, loads = (ST, STX), (LD | MEM, LDX | MEM)
    slots = sorted({one.k for one in program if one.code in stores or one.code & 0xE7 in loads})
    if slots and slots[-1] >= _MEMORY_WORDS:
        raise UsageError(f"the filter uses memory word {slots[-1]}, which classic BPF does not have")
    lines = [
        f"static __always_inline u8 {name}(struct view *view)",
        "{",
        "\tu32 a = 0, x = 0;",
        "\tu8 fate = FILTER_ACCEPT;",
        *(f"\tu32 m{slot} = 0;" for slot in slots),
    ]
    for place, one in enumerate(program):
        if place in targets:
            lines.append(f"l{place}:")
        lines += [f"\t{line}" for line in _statement(one, place)]
    return "\n".join([*lines, "}", ""])


def _statement(one: Instruction, place: int) -> list[str]:
    kind = one.code & 7
    if kind in (LD, LDX):
        return _load("a" if kind == LD else "x", one)
    if kind == ST:
        return [f"m{one.k} = a;"]
    if kind == STX:
        return [f"m{one.k} = x;"]
    if kind == ALU:
        return _arithmetic(one)
    if kind == JMP:
        return _jump(one, place)
    if kind == RET:
        value = "a" if one.code & 0x18 == 0x10 else f"{one.k}U"
        return [f"return {value} ? FILTER_ACCEPT : FILTER_REJECT;"]
    return ["a = x;" if one.code & 0x80 else "x = a;"]


def _load(register: str, one: Instruction) -> list[str]:
    mode = one.code & 0xE0
    if mode == IMM:
        return [f"{register} = {one.k}U;"]
    if mode == LEN:
        return [f"{register} = view->len;"]
    if mode == MEM:
        return [f"{register} = m{one.k};"]
    size = SIZES[one.code & 0x18]
    offset = f"(u64)x + {one.k}U" if mode == IND else f"{one.k}U"
    value = f"view_load(view, {offset}, {size}, &fate)"
    return [
        f"{register} = ({value} & 0xf) * 4;" if mode == MSH else f"{register} = {value};",
        "if (fate != FILTER_ACCEPT)",
        "\treturn fate;",
    ]


def _arithmetic(one: Instruction) -> list[str]:
    operation, operand = one.code & 0xF0, "x" if one.code & 8 else f"{one.k}U"
    if operation == NEG:
        return ["a = -a;"]
    if operation in SHIFTS:
        return [f"a = {operand} < 32 ? a {SHIFTS[operation]} ({operand} & 31) : 0;"]
    if operation in DIVISIONS:
        return [f"if (!{operand})", "\treturn FILTER_REJECT;", f"a = a {DIVISIONS[operation]} {operand};"]
    return [f"a = a {_ALU_SIGNS[operation]} {operand};"]


def _jump(one: Instruction, place: int) -> list[str]:
    operation, operand = one.code & 0xF0, "x" if one.code & 8 else f"{one.k}U"
    if operation == 0:
        return [f"goto l{place + 1 + one.k};"]
    return [f"if (a {_JUMPS[operation]} {operand})", f"\tgoto l{place + 1 + one.jt};", f"goto l{place + 1 + one.jf};"]
