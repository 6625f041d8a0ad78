# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the kernel's own type information (BTF) and finds where a field is.

Source of the format: Documentation/bpf/btf.rst. Only what finding a field needs is decoded:
structs, unions, typedefs, modifiers, enums and functions. A module's BTF continues the type
numbers and strings of vmlinux's, so it is read with its base.

Invariant: a field that does not exist is ``None``, never a guess; bytes that are no BTF
give ``BtfError``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from ...errors import BondtraceError

KERNEL_BTF_DIR = Path("/sys/kernel/btf")

_MAGIC = 0xEB9F
# Bits of the word `info` of `struct btf_type`; before Linux 7.1 they were 5 and 16, the others 0.
_KIND_MASK, _COUNT_MASK = 0x7F, 0xFFFFFF
_KIND_STRUCT, _KIND_UNION, _KIND_ENUM, _KIND_TYPEDEF, _KIND_FUNC = 4, 5, 6, 8, 12
_MODIFIERS = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag
# What an fentry or fexit program takes on x86-64; 12 since 6.6 (473e3150e30a).
_TYPED_ARGUMENTS = 6
# Words that follow the three of `struct btf_type`: per kind, fixed and per member.
_EXTRA_WORDS = {
    1: (1, 0),
    3: (3, 0),
    4: (0, 3),
    5: (0, 3),
    6: (0, 2),
    13: (0, 2),
    14: (1, 0),
    15: (0, 3),
    17: (1, 0),
    19: (0, 3),
}


class BtfError(BondtraceError):
    """The bytes are not BTF, or a part that is needed is missing."""


@dataclass(frozen=True)
class Field:
    """The place of a field in its struct: ``offset`` and ``size`` in bytes; for a bit field also the
    ``shift`` within the (little-endian) word at ``offset`` and the width in ``bits`` (else 0)."""

    offset: int
    size: int
    shift: int = 0
    bits: int = 0


class Btf:
    """One BTF blob, vmlinux's or (with ``base``) a module's."""

    def __init__(self, data: bytes, base: Optional[Btf] = None) -> None:
        if len(data) < 24:
            raise BtfError("the kernel's type information is too short to be BTF")
        magic, _version, _flags, hdr_len, type_off, type_len, str_off, str_len = struct.unpack_from("<HBBIIIII", data)
        end = hdr_len + max(type_off + type_len, str_off + str_len)
        if magic != _MAGIC or end > len(data) or type_len % 4:
            raise BtfError("the kernel's type information is not BTF (bad magic or length)")
        self._base = base
        self._first_id = base.type_count if base else 1
        self._first_string = base.string_bytes if base else 0
        self._strings = data[hdr_len + str_off : hdr_len + str_off + str_len]
        words = data[hdr_len + type_off : hdr_len + type_off + type_len]
        self._words = memoryview(words).cast("I")
        self._starts = self._index()
        heads = np.frombuffer(words, "=u4")
        starts = np.array(self._starts, np.int64)
        self._names, self._kinds = heads.take(starts), heads.take(starts + 1) >> 24 & _KIND_MASK

    @property
    def type_count(self) -> int:
        """Return the number that the next type would have."""
        return self._first_id + len(self._starts)

    @property
    def string_bytes(self) -> int:
        """Return the length of the strings, including the base's."""
        return self._first_string + len(self._strings)

    def _index(self) -> list[int]:
        """Return the index of every type's first word, in one pass: it determines the start-up time."""
        starts: list[int] = []
        words, at, end = self._words, 0, len(self._words)
        append, extra = starts.append, _EXTRA_WORDS
        while at + 2 < end:
            append(at)
            info = words[at + 1]
            kind = (info >> 24) & _KIND_MASK
            step = extra.get(kind)
            if step is not None:
                at += 3 + step[0] + step[1] * (info & _COUNT_MASK)
            elif kind in (2, 7, 8, 9, 10, 11, 12, 16, 18):
                at += 3
            else:
                raise BtfError(f"unknown BTF kind {kind} (a newer kernel than this bondtrace knows)")
        if at != end:
            raise BtfError("the kernel's type information ends in the middle of a type")
        return starts

    def _at(self, type_id: int) -> tuple[Btf, int]:
        """Return the blob that holds a type and the index of its first word there."""
        if type_id < self._first_id:
            if self._base is None:
                raise BtfError("BTF type number out of range")
            return self._base._at(type_id)
        try:
            return self, self._starts[type_id - self._first_id]
        except IndexError:
            raise BtfError("BTF type number out of range") from None

    def _string(self, offset: int) -> bytes:
        if offset < self._first_string and self._base is not None:
            return self._base._string(offset)
        offset -= self._first_string
        return self._strings[offset : self._strings.find(b"\0", offset)]

    def _string_offset(self, name: str) -> Iterator[int]:
        """Yield every offset at which this blob (or its base) has exactly this name."""
        if self._base is not None:
            yield from self._base._string_offset(name)
        needle, at = b"\0" + name.encode() + b"\0", -1
        if self._strings.startswith(needle[1:]):  # a module's strings begin with a name
            yield self._first_string
        while (at := self._strings.find(needle, at + 1)) >= 0:
            yield self._first_string + at + 1

    def find_many(self, names: set[str], kinds: tuple[int, ...] = (_KIND_STRUCT, _KIND_UNION)) -> dict[str, int]:
        """Return the numbers of these types, by default structs and unions, in one walk. A module's own come before its
        base's."""
        others = self._base.find_many(names, kinds) if self._base else {}
        found: dict[str, int] = {}
        wanted = {offset: name for name in names for offset in self._string_offset(name)}
        known = np.isin(self._names, np.array(list(wanted), np.uint32)) & np.isin(self._kinds, kinds)
        for number in np.flatnonzero(known).tolist():
            found.setdefault(wanted[int(self._names[number])], self._first_id + number)
        return {**others, **found}

    def functions(self, names: set[str]) -> set[str]:
        """Return at which of these functions programs with typed arguments can be attached."""
        return set(self.function_ids(names))

    def function_ids(self, names: set[str]) -> dict[str, int]:
        """Return the numbers of the types of these functions, of those that the blob (or its base) describes and that
        have not more arguments than programs can take on every kernel."""
        found = self.find_many(names, (_KIND_FUNC,))
        return {name: number for name, number in found.items() if self._arguments(number) <= _TYPED_ARGUMENTS}

    def _arguments(self, function_id: int) -> int:
        blob, at = self._at(function_id)
        blob, at = self._at(blob._words[at + 2])
        return int(blob._words[at + 1] & _COUNT_MASK)

    def tracepoint_ids(self, names: set[str]) -> dict[str, int]:
        """Return the numbers of the types of these tracepoints' functions."""
        found = self.find_many({f"btf_trace_{name}" for name in names}, (_KIND_TYPEDEF,))
        return {name[len("btf_trace_") :]: number for name, number in found.items()}

    def enum(self, name: str) -> dict[int, str]:
        """Return the names of an enum's values (32 bit); empty where there is no such enum."""
        type_id = self.find_many({name}, (_KIND_ENUM,)).get(name)
        if type_id is None:
            return {}
        blob, at = self._at(type_id)
        words, count = blob._words, blob._words[at + 1] & _COUNT_MASK
        return {words[i + 1]: blob._string(words[i]).decode() for i in range(at + 3, at + 3 + 2 * count, 2)}

    def drop_reasons(self) -> dict[int, str]:
        """Return the kernel's names of drop reasons, without their prefix; empty before 5.17."""
        prefixes = ("SKB_DROP_REASON_", "SKB_")
        named = {}
        for number, name in self.enum("skb_drop_reason").items():
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
            named[number] = name[len(prefix) :]
        return named

    def _size(self, type_id: int) -> int:
        """Return the size of a type in bytes; 0 where it has none."""
        for _ in range(32):
            blob, at = self._at(type_id)
            kind = (blob._words[at + 1] >> 24) & _KIND_MASK
            if kind in (1, _KIND_STRUCT, _KIND_UNION, _KIND_ENUM, 16, 19):
                return blob._words[at + 2]
            if kind == 2:
                return 8
            if kind == 3:
                return self._size(blob._words[at + 3]) * blob._words[at + 5]
            if kind not in _MODIFIERS:
                return 0
            type_id = blob._words[at + 2]
        return 0

    def _struct_id(self, type_id: int) -> Optional[int]:
        """Return the struct or union behind typedefs and qualifiers."""
        for _ in range(32):
            blob, at = self._at(type_id)
            kind = (blob._words[at + 1] >> 24) & _KIND_MASK
            if kind in (_KIND_STRUCT, _KIND_UNION):
                return type_id
            if kind not in _MODIFIERS:
                return None
            type_id = blob._words[at + 2]
        return None

    def _members(self, type_id: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Yield (name, type, bit offset, bit-field width) of each member."""
        blob, at = self._at(type_id)
        words, info = blob._words, blob._words[at + 1]
        has_bits = info >> 31
        for i in range(at + 3, at + 3 + 3 * (info & _COUNT_MASK), 3):
            offset = words[i + 2]
            yield (
                blob._string(words[i]),
                words[i + 1],
                offset & 0xFFFFFF if has_bits else offset,
                offset >> 24 if has_bits else 0,
            )

    def _locate(self, type_id: int, name: bytes, base_bit: int) -> Optional[tuple[int, int, int]]:
        """Return (type, bit offset, width) of a member, also inside anonymous structs and unions."""
        for member, member_type, offset, bits in self._members(type_id):
            if member == name:
                return member_type, base_bit + offset, bits
            if not member:
                inner = self._struct_id(member_type)
                found = self._locate(inner, name, base_bit + offset) if inner else None
                if found:
                    return found
        return None

    def field(self, struct_id: int, path: str) -> Optional[Field]:
        """Return where ``a.b.c`` is inside a struct; ``None`` where the kernel has no such field."""
        bit, width, type_id = 0, 0, struct_id
        for name in path.split("."):
            owner = self._struct_id(type_id)
            found = self._locate(owner, name.encode(), bit) if owner else None
            if found is None:
                return None
            type_id, bit, width = found
        if width:
            return Field(offset=bit // 8, size=(bit % 8 + width + 7) // 8, shift=bit % 8, bits=width)
        return Field(offset=bit // 8, size=self._size(type_id))


def have_modules_btf(directory: Path = KERNEL_BTF_DIR) -> bool:
    """Do modules have types here (since 5.11, if the kernel was built so)? Also false where none is loaded."""
    return any(one.name != "vmlinux" for one in directory.glob("*"))


def read_kernel_btf(module: Optional[str] = None, base: Optional[Btf] = None, directory: Path = KERNEL_BTF_DIR) -> Btf:
    """Return the running kernel's BTF, or a loaded module's. ``BtfError`` where there is none."""
    path = directory / (module or "vmlinux")
    try:
        return Btf(path.read_bytes(), base if module else None)
    except OSError as error:
        if module:
            raise BtfError(f"no type information for module {module} ({path}: {error.strerror})") from None
        raise BtfError(
            f"this kernel has no type information ({path}: {error.strerror}); bondtrace needs a "
            "kernel built with CONFIG_DEBUG_INFO_BTF=y"
        ) from None
