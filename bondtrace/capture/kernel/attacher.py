# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaches compiled programs to the kernel's functions and tracepoints, and detaches them.

Kprobes and raw tracepoints by bcc; what has typed arguments by bpf(2) itself (``tracing``).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any, Callable, Optional

from . import source, tracing
from .plan import KPROBE, KRETPROBE, TYPED, Probe

_RECURSION_MISSES = 208  # offset in struct bpf_prog_info


class Attacher:
    """The attached probes.

    :param bpf: the compiled programs (``compiler.compile_programs``).
    :param bcc: the module bcc.
    :param type_id: the number of the type of a probe's function or tracepoint.
    """

    def __init__(self, bpf: Any, bcc: Any, type_id: Callable[[Probe], int]) -> None:
        self._bpf, self._bcc, self._type_id = bpf, bcc, type_id
        self._attached: set[Probe] = set()
        self._links: dict[Probe, list[int]] = {}  # of typed ones: program, attachment; of the second program the same
        self._modules: dict[str, int] = {}  # their types

    def __contains__(self, probe: object) -> bool:
        return probe in self._attached

    def __iter__(self) -> Iterator[Probe]:
        return iter(self._attached)

    def attach(self, probe: Probe) -> None:
        """Load its program and attach it. Raises the error of bcc or of the kernel where that is refused."""
        bpf, bcc = self._bpf, self._bcc
        name = source.program_name(probe.program).encode()
        if probe.mechanism in TYPED:
            self._attach_typed(probe, name.decode(), bpf.dump_func(name))
        elif probe.mechanism == KPROBE:
            bpf.load_func(name, bcc.BPF.KPROBE)
            bpf.attach_kprobe(event=probe.symbol.encode(), fn_name=name)
        elif probe.mechanism == KRETPROBE:
            bpf.load_func(name, bcc.BPF.KPROBE)
            bpf.attach_kretprobe(event=probe.symbol.encode(), fn_name=name)
        else:
            bpf.attach_raw_tracepoint(tp=probe.symbol.encode(), fn_name=name)
        self._attached.add(probe)

    def _attach_typed(self, probe: Probe, name: str, instructions: bytes) -> None:
        if probe.module and probe.module not in self._modules:
            self._modules[probe.module] = tracing.module_btf(probe.module)
        kind, module = tracing.ATTACH_TYPES[probe.mechanism], self._modules.get(probe.module, 0)
        done = self._links[probe] = []
        try:
            for _ in range(1 + probe.twice):
                done.append(tracing.load(name, instructions, kind, self._type_id(probe), module))
                done.append(tracing.attach(done[-1]))
        except BaseException:
            self._detach_typed(probe)
            raise

    def _detach_typed(self, probe: Probe) -> None:
        for descriptor in reversed(self._links.pop(probe)):
            os.close(descriptor)

    def detach(self, probe: Probe) -> None:
        """Detach a probe that was attached."""
        self._attached.discard(probe)
        name = source.program_name(probe.program).encode()
        if probe.mechanism in TYPED:
            self._detach_typed(probe)
        elif probe.mechanism == KPROBE:
            self._bpf.detach_kprobe(event=probe.symbol.encode(), fn_name=name)
        elif probe.mechanism == KRETPROBE:
            self._bpf.detach_kretprobe(event=probe.symbol.encode(), fn_name=name)
        else:
            self._bpf.detach_raw_tracepoint(tp=probe.symbol.encode())

    def misses(self) -> Optional[int]:
        """Return the firings that the kernel skipped because a program was running on that CPU already, but for those
        at which another program of the same code ran; ``None`` where the kernel does not count them (before 5.12; of
        kprobes it counts few: docs/receive-path.md, limits).

        Source: recursion_misses of struct bpf_prog_info (include/uapi/linux/bpf.h).
        """
        typed = [links[0] for probe, links in self._links.items() if not probe.twice]
        counts = [self._misses_of(descriptor) for descriptor in (*(one.fd for one in self._bpf.funcs.values()), *typed)]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def _misses_of(self, program: int) -> Optional[int]:
        info, length = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        if self._bcc.lib.bpf_obj_get_info(program, info, ctypes.byref(length)) != 0:
            return None
        if length.value < _RECURSION_MISSES + 8:
            return None
        return int.from_bytes(info.raw[_RECURSION_MISSES : _RECURSION_MISSES + 8], "little")

    def close(self) -> None:
        """Detach what bcc does not detach."""
        for probe in list(self._links):
            self._detach_typed(probe)
        for module in self._modules.values():
            os.close(module)
        self._modules = {}
