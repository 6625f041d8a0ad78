# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters of tc as the kernel side has read them."""

import struct
import sys

import pytest
from kernel_map import KernelMap

from bondtrace.capture.kernel.maps import word
from bondtrace.capture.kernel.tc import TcFilter, read


def one_filter(kinds, actions, kind=b"flower"):
    """``struct tc_filter`` (bpf/tc.c): a filter for IPv4, of chain 7 and priority 11."""
    padded = b"".join(one.ljust(16, b"\0") for one in kinds)
    protocol = 0x0800 if sys.byteorder == "big" else 0x0008
    return struct.pack("=IHHII16s64s", 7, 11, protocol, actions, 0, kind, padded)


@pytest.mark.parametrize(
    ("kinds", "actions", "told", "left"),
    [
        ([], 0, (), 0),
        ([b"gact"], 1, ("gact",), 0),
        ([b"mirred", b"gact"], 2, ("mirred", "gact"), 0),
        ([b"a", b"b", b"c", b"d"], 6, ("a", "b", "c", "d"), 2),
    ],
)
def test_a_filter_is_read_with_the_kinds_of_its_first_actions(kinds, actions, told, left):
    table = KernelMap({word(9): one_filter(kinds, actions)})
    assert read(table, {9, 10}) == {9: TcFilter("flower", 0x0800, 11, 7, told, left)}


def test_a_name_of_any_bytes_is_text():
    assert read(KernelMap({word(1): one_filter([b"\xff"], 1, b"x" * 15)}), [1])[1][::4] == ("x" * 15, ("\ufffd",))
