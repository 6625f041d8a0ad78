# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs loaded by bpf(2), and the kernel's own words for why it refuses one."""

import ctypes
import errno
import os
import struct
from types import SimpleNamespace

import pytest

from bondtrace.capture.kernel import bpf
from bondtrace.capture.kernel.plan import FENTRY


class Kernel:
    """bpf(2) that answers a load in turn: an error, or None for a program that is taken; what it writes into a log."""

    def __init__(self, *answers):
        self.answers, self.levels = list(answers), []

    def __call__(self, command, attr):
        level, _, address = struct.unpack_from("<IIQ", attr, 24)
        self.levels.append(level)
        number, said = self.answers.pop(0)
        if level:
            ctypes.memmove(address, said, len(said))
        if number:
            raise OSError(number, os.strerror(number))
        return os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize(
    ("answers", "levels", "log"),
    [
        ([(errno.EACCES, b""), (errno.EACCES, b"0: (95) exit\nR0 !read_ok\n")], [0, 1], "0: (95) exit\nR0 !read_ok\n"),
        # a log that does not fit loses the sentence: it is asked for alone
        (
            [(errno.E2BIG, b""), (errno.ENOSPC, b"0: (b7) r0 = 0\n"), (errno.E2BIG, b"BPF program is too large.\n")],
            [0, 1, 4],
            "BPF program is too large.\n",
        ),
        # taken at the second try: its log is of no refusal
        ([(errno.EAGAIN, b""), (0, b"0: (95) exit\n")], [0, 1], ""),
    ],
)
def test_the_log_of_a_refusal(answers, levels, log, monkeypatch):
    kernel = Kernel(*answers)
    monkeypatch.setattr(bpf, "call", kernel)
    with pytest.raises(bpf.LoadError) as raised:
        bpf.load("tap_ring_enter", bytes(8), FENTRY, 7)
    assert (kernel.levels, raised.value.log, raised.value.errno) == (levels, log, answers[0][0])


def test_a_number_that_only_the_kernel_has_a_name_for_is_explained(monkeypatch):
    # given Linux 6.1 for arm64, whose ftrace has no direct calls: fentry is refused by ENOTSUPP
    def refuse(*_):
        ctypes.set_errno(524)
        return -1

    monkeypatch.setattr(bpf, "_LIBC", SimpleNamespace(syscall=refuse))
    with pytest.raises(OSError) as raised:
        bpf.call(17, bytes(8))
    assert raised.value.strerror == "this kernel does not support it (ENOTSUPP)"


def test_a_call_of_a_kernels_own_function_takes_the_place_of_the_helper_that_stands_for_it():
    # given calls (0x85) of a helper, of another program's function (source register 1), and of what stands for the
    # function 65475; and a load of a number that looks like the latter
    lines = [
        (0x85, 0x00, 113, (0x00, 113)),
        (0x85, 0x10, 0x4000FFC3, (0x10, 0x4000FFC3)),
        (0x85, 0x00, 0x4000FFC3, (0x20, 65475)),
        (0xB7, 0x00, 0x4000FFC3, (0x00, 0x4000FFC3)),
    ]
    before = b"".join(struct.pack("<BBhI", code, registers, 0, number) for code, registers, number, _ in lines)

    after = bpf.with_kernel_calls(before)

    assert [struct.unpack_from("<BBhI", after, place) for place in range(0, len(after), 8)] == [
        (code, registers, 0, number) for code, _, _, (registers, number) in lines
    ]
