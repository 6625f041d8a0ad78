# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters of tc as the kernel side has read them."""

import ctypes
import sys

import pytest

from bondtrace.capture.kernel.tc import TcFilter, read


class Leaf(ctypes.Structure):
    """``struct tc_filter``, as bcc makes a class of it."""

    _fields_ = [
        ("chain", ctypes.c_uint),
        ("priority", ctypes.c_ushort),
        ("protocol", ctypes.c_ushort),
        ("actions", ctypes.c_uint),
        ("unused", ctypes.c_uint),
        ("kind", ctypes.c_char * 16),
        ("action_kinds", ctypes.c_ubyte * 64),
    ]


class Table(dict):
    def __getitem__(self, key):
        return super().__getitem__(key.value)


def leaf(kinds, actions, kind=b"flower"):
    padded = b"".join(one.ljust(16, b"\0") for one in kinds).ljust(64, b"\0")
    protocol = 0x0800 if sys.byteorder == "big" else 0x0008
    return Leaf(7, 11, protocol, actions, 0, kind, (ctypes.c_ubyte * 64)(*padded))


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
    table = Table({9: leaf(kinds, actions)})
    assert read(table, {9, 10}) == {9: TcFilter("flower", 0x0800, 11, 7, told, left)}


def test_a_name_of_any_bytes_is_text():
    assert read(Table({1: leaf([b"\xff"], 1, b"x" * 15)}), [1])[1][::4] == ("x" * 15, ("\ufffd",))
