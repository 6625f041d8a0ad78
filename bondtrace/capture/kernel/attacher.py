# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaches compiled programs to the kernel's functions and tracepoints, and detaches them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Callable, Optional

from . import bpf, source
from .bpf_map import Map
from .plan import KRETPROBE, TRACEPOINT, TYPED, Probe
from .programs import Programs


class Attacher:
    """The attached probes.

    :param programs: the compiled programs.
    :param maps: their maps by name.
    :param type_id: the number of the type of a probe's function or tracepoint.
    """

    def __init__(self, programs: Programs, maps: Mapping[str, Map], type_id: Callable[[Probe], int]) -> None:
        self._programs, self._maps, self._type_id = programs, maps, type_id
        self._links: dict[Probe, list[int]] = {}  # program, attachment; of the second program the same
        self._modules: dict[str, int] = {}  # their types

    def __contains__(self, probe: object) -> bool:
        return probe in self._links

    def __iter__(self) -> Iterator[Probe]:
        return iter(self._links)

    def attach(self, probe: Probe) -> None:
        """Load its program and attach it. ``OSError`` where the kernel refuses that; ``bpf.LoadError``, which is one,
        has the verifier's words."""
        name = source.program_name(probe.program)
        instructions = self._programs.for_kernel(name, self._maps)
        typed = (self._type_id(probe), self._module(probe.module)) if probe.mechanism in TYPED else ()
        links: list[int] = []
        try:
            for _ in range(1 + probe.twice):
                links.append(bpf.load(name, instructions, probe.mechanism, *typed))
                links.append(_attached(links[-1], probe))
        except BaseException:
            _close(links)
            raise
        self._links[probe] = links

    def _module(self, module: str) -> int:
        if not module:
            return 0
        if module not in self._modules:
            self._modules[module] = bpf.module_btf(module)
        return self._modules[module]

    def detach(self, probe: Probe) -> None:
        """Detach a probe that was attached."""
        _close(self._links.pop(probe))

    def misses(self) -> Optional[int]:
        """Return the firings that the kernel skipped because a program was running on that CPU already, but for those
        at which another program of the same code ran; ``None`` where the kernel does not count them (before 5.12; of
        kprobes it counts few: docs/receive-path.md, limits)."""
        counts = [bpf.misses_of(links[0]) for probe, links in self._links.items() if not probe.twice]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def close(self) -> None:
        """Detach everything."""
        for links in self._links.values():
            _close(links)
        _close(list(self._modules.values()))
        self._links, self._modules = {}, {}


def _attached(program: int, probe: Probe) -> int:
    if probe.mechanism in TYPED:
        return bpf.attach_typed(program)
    if probe.mechanism == TRACEPOINT:
        return bpf.attach_raw_tracepoint(program, probe.symbol)
    return bpf.attach_kprobe(program, probe.symbol, probe.mechanism == KRETPROBE)


def _close(descriptors: list[int]) -> None:
    for descriptor in reversed(descriptors):
        os.close(descriptor)
