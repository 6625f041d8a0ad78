# SPDX-License-Identifier: GPL-2.0-or-later
"""Joins the BPF source: the generated headers and the files of bpf/, in order, as one text.

bcc rewrites only the main text (probes and ``map.lookup()`` do not work in an included header), so the
files are joined, each after a ``#line`` that makes the compiler's messages name it.

Invariant: what varies is set by ``#define``, never by replacing words.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from ...errors import BondtraceError
from ...net.arphrd import WITH_ETHERNET_HEADER, WITHOUT_HEADER
from ...net.pcap import Filter
from .filter import c_text
from .plan import TYPED, Plan, programs
from .stage_specs import ATTACHED_LATER

FILES = (
    "wire.h",
    "probe.h",
    "verifier.h",
    "pass.c",
    "state.c",
    "count.c",
    "record.c",
    "device.c",
    "stack.c",
    "filter.c",
    "packet.c",
    "rx.c",
    "tx.c",
    "tap.c",
    "hook.c",
    "join.c",
    "handler.c",
    "protocol.c",
    "queue.c",
    "socket.c",
    "netfilter.c",
    "tc.c",
    "drop.c",
)
DEVICE_PLACES = 4096  # a power of two
LISTED_MIN, LISTED_OF_CPU = 4096, 256  # packets of list receives that the filter accepted (bpf/filter.c)
COUNT_KEYS = 16384
RECENTS = 64  # a power of two


def bpf_dir() -> Path:
    """Return the directory of the BPF sources: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for place in (package / "bpf", package.parent / "bpf"):
        if (place / "wire.h").is_file():
            return place
    raise BondtraceError(f"the BPF sources are missing beside {package}; install bondtrace again")


def join(
    layout: str,
    plan: Plan,
    ring_bytes: int,
    page_bytes: int,
    packet_filter: Optional[Filter] = None,
    count_only: bool = False,
    snaplen: int = 0,
) -> str:
    """Return the whole C text.

    :param ring_bytes: a power of two, whole pages.
    :param count_only: steps are counted in the kernel, and no passes are sent.
    :param snaplen: this many bytes of each packet are also sent.
    """
    parts = [
        "#define BPF_LICENSE GPL\n#include <linux/types.h>\n",
        layout,
        f"#define PAGE_SIZE {page_bytes}\n#define RING_PAGES {ring_bytes // page_bytes}\n",
        f"#define DEVICE_PLACES {DEVICE_PLACES}\n",
        f"#define FILTER 1\n#define LISTED_MAX {_listed_max()}\n" if packet_filter else "",
        device_types(),
        "#define COUNT_ONLY 1\n" if count_only else "",
        f"#define COUNT_KEYS {COUNT_KEYS}\n#define RECENTS {RECENTS}\n" if count_only else "",
        f"#define SNAPLEN {snaplen}\n" if snaplen else "",
        program_names(plan),
    ]
    for name in FILES:
        parts.append(f'#line 1 "bpf/{name}"\n')
        parts.append((bpf_dir() / name).read_text())
    if packet_filter:
        parts += ['#line 1 "filter"\n', c_text(packet_filter)]
    return "".join(parts)


def device_types() -> str:
    """Return how the types of devices are told apart by what their packets begin with (``net.arphrd``)."""
    lists = {"IS_WITH_ETHERNET_HEADER": WITH_ETHERNET_HEADER, "IS_WITHOUT_HEADER": WITHOUT_HEADER}
    return "".join(
        f"#define {name}(type) ({' || '.join(f'(type) == {one}' for one in types)})\n" for name, types in lists.items()
    )


def _listed_max() -> int:
    return max(LISTED_MIN, LISTED_OF_CPU * os.sysconf("SC_NPROCESSORS_CONF"))


def program_name(program: str) -> str:
    """Return the name of a program's C function, from which bcc must not infer its type."""
    return f"bt_{program}"


def program_names(plan: Plan) -> str:
    """Return PROG_x, TYPED_x and LINKAGE_x for every program in the source; what is never attached is not compiled."""
    probes = {probe.program: probe for probe in plan.compiled}
    lines = []
    for program in programs():
        probe = probes.get(program)
        mechanism = probe.mechanism if probe else ""
        lines.append(f"#define PROG_{program} {program_name(program)}")
        lines.append(f"#define TYPED_{program} {int(mechanism in TYPED)}")
        needed = probe or program in ATTACHED_LATER
        lines.append(f"#define LINKAGE_{program}{'' if needed else ' static __attribute__((unused))'}")
    if "tap_refused" in probes and probes["tap_refused"].function == "sk_skb_reason_drop":
        lines.append("#define TAP_REFUSED_HAS_REASON 1")
    if any(probe.program == "rx_core_enter" for probe in plan.probes):
        lines.append("#define PROBE_RX_CORE 1")
    if "ip_deliver" in probes or "ip6_deliver" in probes:
        lines.append("#define PROBE_SOCKETS 1")
    return "\n".join(lines) + "\n"
