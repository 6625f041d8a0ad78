# SPDX-License-Identifier: GPL-2.0-or-later
"""Joins the BPF source: the generated headers and the files of bpf/, in order, as one text.

bcc rewrites only the main text (probes and ``map.lookup()`` cannot live in an included header), so the
files are joined, each behind a ``#line`` that makes the compiler's messages name it. What varies is told
by ``#define``, never by replacing words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ..errors import BondtraceError
from .filter import Filter, c_text
from .plan import FENTRY, FEXIT, Plan, programs

FILES = ("wire.h", "probe.h", "pass.c", "filter.c", "packet.c", "rx.c", "tx.c", "tap.c", "hook.c", "handler.c",
         "protocol.c", "drop.c")
IFINDEX_WORDS = 1024
COUNT_KEYS = 16384


def bpf_dir() -> Path:
    """Where the BPF sources are: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "bpf", package.parent / "bpf"):
        if (place / "wire.h").is_file():
            return place
    raise BondtraceError(f"the BPF sources are missing beside {package}; install bondtrace again")


def join(layout: str, plan: Plan, ring_bytes: int, page_bytes: int, kfunc_prefix: str,
         packet_filter: Optional[Filter] = None, count_only: bool = False, snaplen: int = 0) -> str:
    """The whole C text. ``ring_bytes`` is a power of two of whole pages; ``kfunc_prefix`` is what this
    bcc wants between ``kfunc__`` and the function ("" before 0.28, "vmlinux__" or the module's since). ``count_only``:
    steps are counted in the kernel, and no passes are sent. ``snaplen``: so many bytes of each packet are sent, too."""
    parts = ["#define BPF_LICENSE GPL\n#include <linux/types.h>\n", layout,
             f"#define PAGE_SIZE {page_bytes}\n#define RING_PAGES {ring_bytes // page_bytes}\n",
             f"#define IFINDEX_WORDS {IFINDEX_WORDS}\n",
             "#define FILTER 1\n" if packet_filter else "",
             f"#define COUNT_ONLY 1\n#define COUNT_KEYS {COUNT_KEYS}\n" if count_only else "",
             f"#define SNAPLEN {snaplen}\n" if snaplen else "",
             program_names(plan, kfunc_prefix)]
    for name in FILES:
        parts.append(f'#line 1 "bpf/{name}"\n')
        parts.append((bpf_dir() / name).read_text())
    if packet_filter:
        parts += ['#line 1 "filter"\n', c_text(packet_filter)]
    parts.append('#line 1 "handlers"\n')
    for function in map(_identifier, plan.fentry_handlers):
        parts.append(f"RX_HANDLER_ENTER({function})\nRX_HANDLER_EXIT({function})\n")
    return "".join(parts)


def _identifier(name: str) -> str:
    """A name of the kernel's that is put into the text: it is none of C's if it is more than a name."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise BondtraceError(f"the kernel's function {name!r} has no name that C can have: use --kprobes")
    return name


def program_name(probe_program: str, mechanism: str, function: str, module: str, kfunc_prefix: str) -> str:
    """The C function's name of a program: bcc tells an fentry or fexit program by it."""
    if mechanism not in (FENTRY, FEXIT):
        return f"bt_{probe_program}"
    kind = "kfunc__" if mechanism == FENTRY else "kretfunc__"
    middle = f"{module}__" if module and kfunc_prefix else kfunc_prefix
    return _identifier(f"{kind}{middle}{function}")


def program_names(plan: Plan, kfunc_prefix: str) -> str:
    """PROG_x and FENTRY_x for every program in the source."""
    probes = {probe.program: probe for probe in plan.probes}
    lines = []
    for program in programs(plan.fentry_handlers):
        probe = probes.get(program)
        mechanism = probe.mechanism if probe else ""
        name = (program_name(program, mechanism, probe.function, probe.module, kfunc_prefix) if probe
                else f"bt_{program}")
        lines.append(f"#define PROG_{program} {name}")
        lines.append(f"#define FENTRY_{program} {int(mechanism in (FENTRY, FEXIT))}")
    if "tap_freed" in probes and probes["tap_freed"].function == "sk_skb_reason_drop":
        lines.append("#define TAP_FREED_HAS_REASON 1")
    if any(probe.program == "rx_core_enter" for probe in plan.probes):
        lines.append("#define PROBE_RX_CORE 1")
    return "\n".join(lines) + "\n"
