# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads a small BPF program, made of raw instructions, and pins it: programs.py PATH WORD...

    xdp-drop                    XDP: drops everything
    xdp-redirect DEVICE         XDP: bpf_redirect() to that device
    tc-drop                     tc: drops everything
    peer DEVICE                 tc: bpf_redirect_peer() to the other end of this one
    neigh DEVICE                tc: bpf_redirect_neigh(), routed out of that device
    ingress DEVICE              tc: bpf_redirect(), received anew on that device

`tc filter ... bpf da object-pinned PATH` and `ip link set ... xdpgeneric pinned PATH` attach it. No compiler is needed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

BPF, PROG_LOAD, OBJ_PIN = 321, 5, 6  # bpf(2) on x86-64, and two of its commands
SCHED_CLS, XDP = 3, 6
MOV, CALL, EXIT = 0xB7, 0x85, 0x95
REDIRECT, REDIRECT_NEIGH, REDIRECT_PEER = 23, 152, 155
BPF_F_INGRESS = 1
#: By word: the program's type, the helper that it returns the answer of (or the answer), and what is passed behind the
#: device's number.
PROGRAMS = {
    "xdp-drop": (XDP, 0, (1,)),
    "xdp-redirect": (XDP, REDIRECT, (0,)),
    "tc-drop": (SCHED_CLS, 0, (2,)),
    "peer": (SCHED_CLS, REDIRECT_PEER, (0,)),
    "neigh": (SCHED_CLS, REDIRECT_NEIGH, (0, 0, 0)),
    "ingress": (SCHED_CLS, REDIRECT, (BPF_F_INGRESS,)),
}


def instruction(op: int, register: int, value: int) -> bytes:
    """Return one instruction, without an offset and a source register."""
    return struct.pack("<BBhi", op, register, 0, value)


def code(word: str, device: str | None) -> bytes:
    """Return the instructions of a program."""
    _, helper, values = PROGRAMS[word]
    if device is None:
        return instruction(MOV, 0, values[0]) + instruction(EXIT, 0, 0)
    passed = (socket.if_nametoindex(device), *values)
    moves = [instruction(MOV, number, value) for number, value in enumerate(passed, 1)]
    return b"".join(moves) + instruction(CALL, 0, helper) + instruction(EXIT, 0, 0)


def bpf(command: int, attributes: bytes) -> int:
    """Call bpf(2); return what it returns."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    answer = int(libc.syscall(BPF, command, buffer, len(attributes)))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def main() -> None:
    """Load and pin the program of the command line."""
    path, word = sys.argv[1:3]
    device = sys.argv[3] if len(sys.argv) > 3 else None
    program, licence = ctypes.create_string_buffer(code(word, device)), ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQ", PROGRAMS[word][0], (len(program) - 1) // 8, ctypes.addressof(program), ctypes.addressof(licence)
    )
    loaded = bpf(PROG_LOAD, attributes + bytes(96))
    where = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("<QI", ctypes.addressof(where), loaded) + bytes(52))


main()
