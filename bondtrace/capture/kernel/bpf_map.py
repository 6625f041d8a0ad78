# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps of the kernel, by bpf(2): what they are, what is in them.

Source: union bpf_attr and struct bpf_map_info in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Optional

from . import bpf

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = range(5)
_PER_CPU = (5, 6, 10)  # BPF_MAP_TYPE_PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH


class MapSpec(NamedTuple):
    """A map as it is to be made; ``kind``: enum bpf_map_type."""

    name: str
    kind: int
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int


class Map:
    """A map of the kernel. Keys and values are bytes; a value of a map that has one for each possible CPU is all of
    them in a row, each in whole words of 8 bytes."""

    def __init__(self, spec: MapSpec) -> None:
        self.spec = spec
        name = spec.name.encode()[: bpf.NAME_BYTES - 1]
        attr = struct.pack("<IIIIIII16s", *spec[1:], 0, 0, name)
        self.fd = bpf.call(_MAP_CREATE, attr)

    @cached_property
    def _value_bytes(self) -> int:
        size = self.spec.value_bytes
        return (size + 7) // 8 * 8 * possible_cpus() if self.spec.kind in _PER_CPU else size

    def get(self, key: bytes) -> Optional[bytes]:
        """Return the value of a key; ``None`` where the map has none."""
        value = ctypes.create_string_buffer(self._value_bytes)
        return value.raw if self._call(_MAP_LOOKUP, key, value) else None

    def set(self, key: bytes, value: bytes) -> None:
        """Give a key this value. ``OSError`` where the map is full."""
        assert len(value) == self._value_bytes, self.spec
        self._call(_MAP_UPDATE, key, ctypes.create_string_buffer(value, len(value)))

    def delete(self, key: bytes) -> None:
        """Delete a key, if it is there."""
        self._call(_MAP_DELETE, key, None)

    def items(self) -> dict[bytes, bytes]:
        """Return all that is there; of what changes meanwhile, the one or the other."""
        found: dict[bytes, bytes] = {}
        key: Optional[bytes] = None
        for _ in range(self.spec.entries):
            following = ctypes.create_string_buffer(self.spec.key_bytes)
            if not self._call(_MAP_NEXT_KEY, key, following):
                break
            key = following.raw
            value = self.get(key)
            if value is not None:
                found[key] = value
        return found

    def close(self) -> None:
        """Give the map up; programs that use it keep it."""
        os.close(self.fd)

    def _call(self, command: int, key: Optional[bytes], value: Optional[ctypes.Array[ctypes.c_char]]) -> bool:
        """Return False where there is no such key."""
        assert key is None or len(key) == self.spec.key_bytes, self.spec
        place = ctypes.create_string_buffer(key, len(key)) if key is not None else None
        addresses = [ctypes.addressof(one) if one is not None else 0 for one in (place, value)]
        try:
            bpf.call(command, struct.pack("<IIQQQ", self.fd, 0, *addresses, 0))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True


def possible_cpus() -> int:
    """Return for how many CPUs the kernel keeps values."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().replace(",", "-").rpartition("-")[2]
    return int(last) + 1


def map_made_of(descriptor: int) -> MapSpec:
    """Return what a map is (struct bpf_map_info)."""
    info = bpf.info(descriptor, 56)
    kind, _, key_bytes, value_bytes, entries, flags, name = struct.unpack_from("<IIIIII16s", info)
    return MapSpec(name.rstrip(b"\0").decode(), kind, key_bytes, value_bytes, entries, flags)
