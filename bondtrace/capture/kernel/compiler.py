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

# bcc optimises the compiler's output, so the compiler need not. Nobody reads the programs' own debugging information.
# Together this saves 0.3 of 0.8 s.
_COMPILER = ("-Wno-macro-redefined", "-g0", "-Xclang", "-disable-llvm-passes")

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


def _quiet_bpf(bcc: Any) -> Any:
    """Return bcc's BPF class without its habit of attaching by function name at once."""

    class Bpf(bcc.BPF):  # type: ignore[misc]
        def _trace_autoload(self) -> None:
            return None

        def detach_kprobe_event_by_fn(self, ev_name: bytes, fn_name: bytes) -> None:
            """Detach a probe, which ends with its descriptor; then bcc looks for its name in a file that only root can
            read."""
            with contextlib.suppress(Exception):
                super().detach_kprobe_event_by_fn(ev_name, fn_name)

    return Bpf


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


def compile_programs(text: str) -> Any:
    """Return the programs of this C text as a ``bcc.BPF`` that attaches nothing by itself. ``BondtraceError`` with the
    compiler's own line where it does not compile."""
    bcc = import_bcc()
    os.environ["BCC_KERNEL_SOURCE"] = str(source.bpf_dir())
    try:
        with captured_stderr() as said:
            return _quiet_bpf(bcc)(text=text.encode(), cflags=list(_COMPILER))
    except Exception as error:
        raise BondtraceError(f"the BPF programs do not compile here: {_gist(said) or error}") from None


def _gist(said: list[str]) -> str:
    """Return the line of a compiler's output that says what is wrong."""
    lines = [line.strip() for line in "\n".join(said).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[0][:300]
