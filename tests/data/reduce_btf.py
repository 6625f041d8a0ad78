# SPDX-License-Identifier: GPL-2.0-or-later
"""Reduces a kernel's type information (BTF) to what bondtrace asks of it: 5 MB to some 20 KB.

    python tests/data/reduce_btf.py vmlinux.btf tests/data/btf/6.1.btf.gz

    python tests/data/reduce_btf.py vmlinux.btf tests/data/btf/6.1.nf_tables.btf.gz nf_tables

The input is a copy of /sys/kernel/btf/vmlinux; with a module's name, of that module's, which continues it, too
(nf_tables.btf, beside the input). Of a kernel that is not running it is found in its package:
scripts/extract-vmlinux of the kernel's sources unpacks boot/vmlinuz-*, and
`objcopy -O binary --only-section=.BTF vmlinux vmlinux.btf` takes the section out.

What stays: the structs of bondtrace.capture.kernel.layout with all their members at their places, the enum of drop
reasons, and the functions that bondtrace probes or calls, as far as the kernel describes them, with the number of their
arguments. A member on the way to a field
that is wanted, or without a name, keeps its type; of every other one only the size stays, as an array of bytes (a bit
field keeps its width). When layout or plan want more than before, the data is made again from the same kernels.

Reader and writer are this file's own, so that a mistake in bondtrace.capture.kernel.btf cannot hide in its test data.
"""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO = range(1, 14)
VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(14, 20)
WORDS_AFTER = {
    INT: (1, 0),
    ARRAY: (3, 0),
    STRUCT: (0, 3),
    UNION: (0, 3),
    ENUM: (0, 2),
    FUNC_PROTO: (0, 2),
    VAR: (1, 0),
    DATASEC: (0, 3),
    DECL_TAG: (1, 0),
    ENUM64: (0, 3),
}
QUALIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
INTEGERS = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long"}
SIZED = (INT, STRUCT, UNION, ENUM, FLOAT, ENUM64)


class Writer:
    """Builds a BTF blob, type by type. With a ``base`` it continues the base's numbers and strings, as a
    module's does; a module's strings begin with a name, not with the empty string."""

    def __init__(self, base: Writer | None = None) -> None:
        self._base = base
        self._types: list[bytes] = []
        self._offsets: dict[str, int] = {}
        self._strings = b"" if base else b"\0"

    @property
    def next_id(self) -> int:
        return (self._base.next_id if self._base else 1) + len(self._types)

    @property
    def string_bytes(self) -> int:
        return (self._base.string_bytes if self._base else 0) + len(self._strings)

    def string(self, text: str) -> int:
        if not text:
            return 0
        if self._base and text in self._base._offsets:
            return self._base._offsets[text]
        if text not in self._offsets:
            self._offsets[text] = self.string_bytes
            self._strings += text.encode() + b"\0"
        return self._offsets[text]

    def add(
        self, kind: int, name: str = "", size_or_type: int = 0, *words: int, count: int = 0, flag: bool = False
    ) -> int:
        """One type of any kind; ``words`` follow it as they are. Answers its number."""
        number = self.next_id
        info = flag << 31 | kind << 24 | count
        self._types.append(struct.pack(f"<{3 + len(words)}I", self.string(name), info, size_or_type, *words))
        return number

    def reserve(self) -> int:
        """A number for a type that follows later (``fill``)."""
        self._types.append(b"")
        return self.next_id - 1

    def fill(self, number: int, kind: int, *args: object, **kwargs: object) -> None:
        first = self.next_id - len(self._types)
        self.add(kind, *args, **kwargs)
        self._types[number - first] = self._types.pop()

    def integer(self, size: int, name: str = "") -> int:
        return self.add(INT, name or INTEGERS[size], size, 8 * size)

    def array(self, element: int, length: int) -> int:
        return self.add(ARRAY, "", 0, element, element, length)

    def struct(self, name: str, size: int, members: list[tuple], kind: int = STRUCT) -> int:
        """Members are (name, type, byte offset) or, for a bit field, (name, type, bit offset, width)."""
        number = self.reserve()
        self.fill_struct(number, name, size, members, kind)
        return number

    def fill_struct(self, number: int, name: str, size: int, members: list[tuple], kind: int = STRUCT) -> None:
        self.string(name)  # names in the order of the source, as the compiler and libbpf have them
        flag = any(len(member) == 4 for member in members)
        words = []
        for member_name, type_id, *place in members:
            offset = place[0] | place[1] << 24 if len(place) == 2 else place[0] * 8
            words += [self.string(member_name), type_id, offset]
        self.fill(number, kind, name, size, *words, count=len(members), flag=flag)

    def enum(self, name: str, values: dict[str, int]) -> int:
        words = [word for key, value in values.items() for word in (self.string(key), value)]
        return self.add(ENUM, name, 4, *words, count=len(values))

    def function(self, name: str, arguments: int = 0) -> int:
        """A function of so many arguments, of no names and types."""
        return self.add(FUNC, name, self.add(FUNC_PROTO, "", 0, *(0, 0) * arguments, count=arguments), count=1)

    def data(self) -> bytes:
        types = b"".join(self._types)
        return (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self._strings))
            + types
            + self._strings
        )


class Reader:
    """Every type of a blob, and of its base: ``types[number]`` is (name, kind, flag, count, size or type, words)."""

    def __init__(self, data: bytes, base: Reader | None = None) -> None:
        _, _, _, header, type_at, type_bytes, string_at, string_bytes = struct.unpack_from("<HBBIIIII", data)
        self._strings = (base._strings if base else b"") + data[header + string_at : header + string_at + string_bytes]
        self.types = list(base.types) if base else [("", 0, False, 0, 0, ())]
        at, end = header + type_at, header + type_at + type_bytes
        while at < end:
            name, info, size_or_type = struct.unpack_from("<III", data, at)
            kind, count = info >> 24 & 0x7F, info & 0xFFFFFF
            fixed, each = WORDS_AFTER.get(kind, (0, 0))
            words = struct.unpack_from(f"<{fixed + each * count}I", data, at + 12)
            self.types.append((self.string(name), kind, bool(info >> 31), count, size_or_type, words))
            at += 12 + 4 * len(words)

    def string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()

    def find(self, name: str, kind: int) -> int:
        return next((number for number, one in enumerate(self.types) if one[:2] == (name, kind)), 0)

    def size(self, number: int) -> int:
        _, kind, _, _, size_or_type, words = self.types[number]
        if kind in SIZED:
            return size_or_type
        if kind in QUALIFIERS:
            return self.size(size_or_type)
        if kind == ARRAY:
            return self.size(words[0]) * words[2]
        return 8 if kind == PTR else 0

    def members(self, number: int) -> list[tuple[str, int, int, int]]:
        """(name, type, bit offset, width of a bit field or 0)."""
        _, _, flag, _, _, words = self.types[number]
        return [
            (
                self.string(words[i]),
                words[i + 1],
                words[i + 2] & 0xFFFFFF if flag else words[i + 2],
                words[i + 2] >> 24 if flag else 0,
            )
            for i in range(0, len(words), 3)
        ]


class Reducer:
    """Copies types from ``old`` to ``new``; ``paths`` are the fields that are wanted inside a type."""

    def __init__(self, old: Reader) -> None:
        self.old, self.new = old, Writer()
        self._byte = self.new.integer(1)
        self._opaque: dict[int, int] = {1: self._byte}
        self._copied: dict[tuple[int, frozenset], int] = {}

    def opaque(self, number: int) -> int:
        """A type of the same size and nothing else."""
        size = self.old.size(number)
        if size not in self._opaque:
            self._opaque[size] = self.new.array(self._byte, size)
        return self._opaque[size]

    def copy(self, number: int, paths: frozenset = frozenset()) -> int:
        key = number, paths
        if key not in self._copied:
            self._copied[key] = self._copy(number, paths)
        return self._copied[key]

    def _copy(self, number: int, paths: frozenset) -> int:
        name, kind, flag, _, size_or_type, words = self.old.types[number]
        if kind in (STRUCT, UNION):
            members = [self._member(paths, flag, *member) for member in self.old.members(number)]
            return self.new.struct(name, size_or_type, members, kind)
        if kind in QUALIFIERS:
            return self.new.add(kind, name, self.copy(size_or_type, paths))
        if kind == INT:
            return self.new.add(kind, name, size_or_type, *words)
        if kind == ENUM:
            return self.new.integer(size_or_type)
        if kind == PTR:
            return self.new.add(PTR)
        return self.opaque(number)

    def _member(self, paths: frozenset, flag: bool, name: str, number: int, bit: int, width: int) -> tuple:
        inner = frozenset(path[1:] for path in paths if path[0] == name and len(path) > 1)
        wanted = any(path[0] == name for path in paths)
        if width:
            return name, self.copy(number), bit, width
        if not name:
            new = self.copy(number, paths)
        else:
            new = self.copy(number, inner) if wanted and (inner or not self._is_struct(number)) else self.opaque(number)
        return (name, new, bit, 0) if flag else (name, new, bit // 8)

    def _is_struct(self, number: int) -> bool:
        _, kind, _, _, target, _ = self.old.types[number]
        return kind in (STRUCT, UNION) or (kind in QUALIFIERS and self._is_struct(target))

    def enum(self, name: str) -> None:
        number = self.old.find(name, ENUM)
        if number:
            words = self.old.types[number][5]
            self.new.enum(name, {self.old.string(words[i]): words[i + 1] for i in range(0, len(words), 2)})


def wanted_paths() -> dict[str, set[tuple[str, ...]]]:
    """Struct name to the paths that bondtrace.capture.kernel.layout looks for."""
    from bondtrace.capture.kernel import layout

    paths: dict[str, set[tuple[str, ...]]] = {
        "pt_regs": {("di",)},
        "socket_alloc": {("socket",), ("vfs_inode", "i_ino")},
        "xt_table": {("name",)},
    }
    for wanted in layout.WANTED:
        paths.setdefault(wanted.struct, set()).add(tuple(wanted.path.split(".")))
    return paths


def reduce_module(data: bytes, base: bytes, module: str) -> bytes:
    """What bondtrace asks of a module's types, as a blob of its own."""
    from bondtrace.capture.kernel import netfilter

    reducer = Reducer(Reader(data, Reader(base)))
    for struct_name in sorted({struct_name for struct_name, _ in netfilter.WANTED[module].values()}):
        paths = frozenset((path,) for one, path in netfilter.WANTED[module].values() if one == struct_name)
        reducer.copy(reducer.old.find(struct_name, STRUCT), paths)
    return reducer.new.data()


def reduce(data: bytes) -> bytes:
    """A vmlinux BTF blob, reduced."""
    from bondtrace.capture.kernel.layout import CALLED
    from bondtrace.capture.kernel.stage_specs import wanted_functions

    reducer = Reducer(Reader(data))
    for name, paths in sorted(wanted_paths().items()):
        if reducer.old.find(name, STRUCT):  # some are a module's
            reducer.copy(reducer.old.find(name, STRUCT), frozenset(paths))
    reducer.enum("skb_drop_reason")
    for name in sorted({*wanted_functions(), *CALLED}):
        number = reducer.old.find(name, FUNC)
        if number:
            reducer.new.function(name, reducer.old.types[reducer.old.types[number][4]][3])
    return reducer.new.data()


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3:
        module = sys.argv[3]
        reduced = reduce_module((source.parent / f"{module}.btf").read_bytes(), source.read_bytes(), module)
    else:
        reduced = reduce(source.read_bytes())
    target.write_bytes(gzip.compress(reduced, mtime=0))
    print(f"{target}: {target.stat().st_size} bytes")
