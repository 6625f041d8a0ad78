# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the BPF programs with bcc: the only module that imports it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from ...errors import BondtraceError
from . import source
from .bpf_map import map_made_of
from .programs import Programs, with_maps

# bcc optimises the compiler's output, so the compiler need not. Nobody reads the programs' own debugging information.
# Together this saves 0.3 of 0.8 s.
OPTIONS = ("-Wno-macro-redefined", "-g0", "-Xclang", "-disable-llvm-passes")

_INSTALL = (
    "install it from your distribution: `apt install python3-bpfcc` (Debian, Ubuntu), "
    "`dnf install python3-bcc` (Fedora)"
)


def import_bcc() -> Any:
    """Return the module bcc. ``BondtraceError`` without it: PyPI's package of that name is an unrelated one."""
    try:
        import bcc
    except ImportError as error:
        if "bcc" not in str(error):
            raise BondtraceError(f"bcc does not load here ({error}); {_INSTALL}") from None
        raise BondtraceError(
            f"the BPF compiler collection (bcc) is not installed for this Python; {_INSTALL}"
        ) from None
    if not hasattr(bcc, "BPF"):
        where = getattr(bcc, "__file__", None) or "an unknown place"
        raise BondtraceError(
            f"the `bcc` that this Python imports ({where}) is another project's; `pip uninstall bcc` and {_INSTALL}"
        )
    return bcc


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Yield a list that in the end holds, as text, what bcc and LLVM wrote to file descriptor 2."""
    said: list[str] = []
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            said.append(file.read().decode("utf-8", "replace").strip())


def compile_programs(text: str) -> Programs:
    """Return the programs of this C text, and their maps. ``BondtraceError`` with the compiler's own line where it does
    not compile."""
    bcc = import_bcc()
    os.environ["BCC_KERNEL_SOURCE"] = str(source.bpf_dir())
    try:
        with captured_stderr() as said:
            compiled = bcc.BPF(text=text.encode(), cflags=list(OPTIONS))
    except Exception as error:
        raise BondtraceError(f"the BPF programs do not compile here: {_gist(said) or error}") from None
    try:
        return _taken_from(compiled, bcc.lib)
    finally:  # its own maps, and the compiler's memory
        compiled.cleanup()


def _taken_from(compiled: Any, lib: Any) -> Programs:
    """Return what bcc has compiled. It has also made the maps, to which the instructions refer by descriptor."""
    module = compiled.module
    maps = [lib.bpf_table_fd_id(module, number) for number in range(lib.bpf_num_tables(module))]
    names = [lib.bpf_function_name(module, number) for number in range(lib.bpf_num_functions(module))]
    places = {descriptor: place for place, descriptor in enumerate(maps)}
    return Programs(
        tuple(map_made_of(descriptor) for descriptor in maps),
        {name.decode(): with_maps(compiled.dump_func(name), places) for name in names},
    )


def _gist(said: list[str]) -> str:
    """Return the line of a compiler's output that says what is wrong."""
    lines = [line.strip() for line in "\n".join(said).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[0][:300]
