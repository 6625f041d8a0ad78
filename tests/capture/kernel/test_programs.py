# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiled programs: the maps that they refer to, and what is kept of them."""

import json
import struct
import zlib
from types import SimpleNamespace

import pytest

from bondtrace.capture.kernel.bpf_map import MapSpec
from bondtrace.capture.kernel.programs import Programs, with_maps

INSTRUCTION = struct.Struct("<BBhi")
MAPS = (MapSpec("cpus", 6, 4, 100, 1, 0), MapSpec("events", 27, 0, 0, 1 << 20, 0))


def code(*numbers):
    """Instructions that refer to these maps, between others that look alike."""
    plain = INSTRUCTION.pack(0x18, 0x01, 0, 1) + bytes(8)  # a constant
    exits = INSTRUCTION.pack(0x95, 0, 0, 0)
    return plain + b"".join(INSTRUCTION.pack(0x18, 0x12, 0, number) + bytes(8) for number in numbers) + exits


PROGRAMS = Programs(MAPS, {"bt_one": code(1, 0, 1), "bt_two": code()})


def test_a_program_refers_to_the_maps_by_their_descriptors():
    maps = {"cpus": SimpleNamespace(fd=40), "events": SimpleNamespace(fd=7)}
    assert PROGRAMS.for_kernel("bt_one", maps) == code(7, 40, 7)
    assert PROGRAMS.for_kernel("bt_two", maps) == code()


def test_every_descriptor_becomes_a_place():
    assert with_maps(code(40, 7), {40: 0, 7: 1}) == code(0, 1)


def test_what_is_kept_is_what_was_compiled():
    assert Programs.from_bytes(PROGRAMS.to_bytes()) == PROGRAMS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        PROGRAMS.to_bytes()[:-5],
        *(zlib.compress(json.dumps(one).encode()) for one in ([], {"maps": []}, {"maps": [[1]], "code": {}})),
        zlib.compress(b'{"maps": [], "code": {"a": "no base64!"}}'),
    ],
)
def test_what_is_damaged_is_no_programs(data):
    with pytest.raises(ValueError):
        Programs.from_bytes(data)
