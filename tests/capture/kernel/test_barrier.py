# SPDX-License-Identifier: GPL-2.0-or-later
"""The barrier on machines that need one, and on those that do not."""

import errno
import os

import pytest

from bondtrace.capture.kernel import barrier, bpf
from bondtrace.errors import BondtraceError


def test_a_machine_that_keeps_the_order_asks_the_kernel_for_nothing(monkeypatch):
    monkeypatch.setattr(bpf, "membarrier", lambda command: pytest.fail("a system call for nothing"))
    barrier.make("x86_64")()


def test_another_one_registers_once_and_then_asks_each_time(monkeypatch):
    commands = []
    monkeypatch.setattr(bpf, "membarrier", commands.append)
    fence = barrier.make("aarch64")
    fence()
    fence()
    # then by the numbers of enum membarrier_cmd: to register for GLOBAL_EXPEDITED, and that one
    assert commands == [4, 2, 2]


def test_this_kernel_takes_both():
    try:
        bpf.membarrier(0)
    except OSError as error:
        pytest.skip(f"no membarrier(2) here: {error.strerror}")
    barrier.make("aarch64")()


def test_a_kernel_that_refuses_is_no_machine_to_trace_on(monkeypatch):
    def refuse(command):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(bpf, "membarrier", refuse)
    with pytest.raises(BondtraceError, match=r"membarrier\(2\) is refused \(Operation not permitted\); allow it"):
        barrier.make("aarch64")
