# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiled programs and their maps: as the compiler made them, and as the kernel is given them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ...format.wire import Array
from .bpf import INSTRUCTION
from .bpf_map import Map, MapSpec

_LOAD_WORD, _OF_MAP = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW; in its source register BPF_PSEUDO_MAP_FD


@dataclass(frozen=True)
class Programs:
    """Programs that no kernel has yet: instructions by the name of their C function. Where they refer to a map, its
    place in ``maps`` stands."""

    maps: tuple[MapSpec, ...]
    code: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """Return what ``from_bytes`` reads."""
        code = {name: base64.b64encode(code).decode() for name, code in self.code.items()}
        return zlib.compress(json.dumps({"maps": self.maps, "code": code}).encode(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Programs:
        """Return what was kept. ``ValueError`` where that is damaged."""
        try:
            kept = json.loads(zlib.decompress(data))
            maps = tuple(MapSpec(*one) for one in kept["maps"])
            return cls(maps, {name: base64.b64decode(code, validate=True) for name, code in kept["code"].items()})
        except (zlib.error, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no compiled programs: {error}") from None

    def for_kernel(self, name: str, maps: Mapping[str, Map]) -> bytes:
        """Return the instructions of a program, which refer to these maps."""
        return with_maps(self.code[name], {place: maps[spec.name].fd for place, spec in enumerate(self.maps)})


def with_maps(code: bytes, numbers: Mapping[int, int]) -> bytes:
    """Return the instructions with other numbers for the maps that they refer to."""
    instructions = np.frombuffer(code, INSTRUCTION).copy()
    places = np.flatnonzero(_references(instructions))
    instructions["number"][places] = [numbers[number] for number in instructions["number"][places].tolist()]
    return instructions.tobytes()


def _references(instructions: Array) -> Array:
    found: Array = (instructions["code"] == _LOAD_WORD) & (instructions["registers"] >> 4 == _OF_MAP)
    return found


def make_maps(specs: Collection[MapSpec]) -> dict[str, Map]:
    """Make maps in the kernel; return them by name. ``OSError`` where it makes one not, and then it keeps none."""
    made: dict[str, Map] = {}
    try:
        for spec in specs:
            made[spec.name] = Map(spec)
    except BaseException:
        for one in made.values():
            one.close()
        raise
    return made
