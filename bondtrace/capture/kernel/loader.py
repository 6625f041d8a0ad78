# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads the BPF programs into the running kernel: reads what it offers, makes a plan, attaches what it accepts.

Invariant: nothing stays in the kernel once the process is gone: every probe belongs to a file descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Optional

from ...errors import BondtraceError
from ...format.stages import (
    CHAINS,
    NETFILTER_FUNCTIONS,
    OF_DIRECTION,
    QUEUE_OUTCOMES,
    RING_REFUSALS,
    TAP_HOOKS,
    of_directions,
)
from ...format.wire import Array
from ...net.pcap import Filter
from ...net.rx_handlers import FUNCTIONS as HANDLERS
from ...net.topology import Family
from . import bpf, layout, program_cache, source, symbols, tc
from .attacher import Attacher
from .btf import Btf, BtfError, have_modules_btf, read_kernel_btf
from .compiler import compile_programs
from .maps import CountMaps, DeviceMaps, read_counters, word
from .netfilter import Chain, Chains, module_places
from .plan import (
    FENTRY,
    FEXIT,
    KRETPROBE,
    TYPED,
    TYPED_TRACEPOINT,
    Abilities,
    Plan,
    Probe,
    Stage,
    handler_stage,
    make,
    where_found,
)
from .programs import make_maps
from .ring import Ring
from .stage_specs import FILTERING, HOOKING, TRACEPOINTS, wanted_functions
from .tc import TcFilter
from .verifier import Refusal

RING_BYTES = 16 << 20
_HOOKS_WATCHED = 1 << 32  # bpf/tap.c: more than hooks can have changed before
_WATCHED = {QUEUE_OUTCOMES: 0, RING_REFUSALS: 1}  # bpf/tap.c: enum watched


@dataclass
class Kernel:
    """The running kernel's types and symbols, which the plan is made from; ``places``: addresses and lengths of the
    functions ``stage_specs.HOOKING``, if all of them are known."""

    btf: Btf
    found: dict[str, symbols.Symbol]
    functions: dict[str, dict[str, int]]
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def has_btf_function(self, name: str, module: str) -> bool:
        """Is there type information for this function (needed by fentry)?"""
        return name in self._in_module(module)

    def may_have_btf_function(self, name: str, module: str) -> bool:
        """The same of a function of a module that is not loaded: do modules have type information here?"""
        return self.has_btf_function(name, module) or (bool(module) and name not in self.found and have_modules_btf())

    def type_id(self, probe: Probe) -> int:
        """Return the number of the type of a function, or of a tracepoint."""
        if probe.mechanism == TYPED_TRACEPOINT:
            return self.btf.tracepoint_ids({probe.function})[probe.function]
        return self._in_module(probe.module)[probe.function]

    def _in_module(self, module: str) -> dict[str, int]:
        if module not in self.functions:
            try:
                self.functions[module] = read_kernel_btf(module or None, self.btf).function_ids(wanted_functions())
            except BtfError:  # it may have some once it is loaded
                return {}
        return self.functions[module]


def read_kernel() -> Kernel:
    """Read the running kernel's types and symbols. ``BtfError`` where there are no types."""
    btf, kallsyms = read_kernel_btf(), symbols.read_kallsyms()
    hooking = {name: place for name in HOOKING if (place := symbols.place(kallsyms, name))}
    return Kernel(
        btf,
        symbols.find(kallsyms, wanted_functions()),
        {"": btf.function_ids(wanted_functions())},
        hooking if len(hooking) == len(HOOKING) else {},
    )


def make_plan(
    kernel: Kernel,
    *,
    fentry: bool = True,
    refused: frozenset[str] = frozenset(),
    handlers: tuple[str, ...] = HANDLERS,
    needed: Collection[str] = (),
    asked: Collection[str] = (),
) -> Plan:
    """Return the probe plan for this kernel, with these rx_handlers, these of the stages that are not always needed,
    and these of the ones that are only attached on request.

    :param fentry: use programs with typed arguments; else only kprobes (and tracepoints).
    :param refused: functions and tracepoints at which the kernel refused programs with typed arguments.
    """
    trampolines = "bpf_trampoline_link_prog" in kernel.found

    def typed(name: str, module: str) -> bool:
        return name not in refused and kernel.may_have_btf_function(name, module)

    abilities = Abilities(kernel.found, typed, fentry and trampolines, set(TRACEPOINTS) - refused)
    if kernel.btf.find_many({"packet_sock"}):
        return make(abilities, handlers, needed, asked)
    plan = make(abilities, handlers, (*needed, RING_REFUSALS), asked)  # the counters of rings are not known
    return plan.without_stage(TAP_HOOKS, "AF_PACKET is a module here, its types are not the kernel's own")


def attached(make_tracer: Callable[[Plan], Tracer], plans: Callable[[frozenset[str]], Plan]) -> Tracer:
    """Return a tracer that is attached as well as possible; the caller closes it. Where the kernel refuses programs
    with typed arguments, it is made again without these, and keeps what was refused before.

    :param make_tracer: compiles a plan.
    :param plans: returns the plan without typed programs at these functions.
    """
    refused: frozenset[str] = frozenset()
    before: list[Refusal] = []
    while True:
        tracer = make_tracer(plans(refused))
        try:
            tracer.attach()
        except BaseException:
            tracer.close()
            raise
        told = {(one.probe, one.program) for one in tracer.refusals}  # the newest counts
        tracer.refusals[:0] = [one for one in before if (one.probe, one.program) not in told]
        if not tracer.refused:
            return tracer
        refused, before = refused | tracer.refused, tracer.refusals
        tracer.close()


class Tracer:
    """The attached programs; a context manager. ``ring.read()`` returns what they sent. With ``count_only`` that is
    only when taps come and go, and ``counts()`` returns the counts of packets. What was compiled at an earlier start is
    used again, but with ``compile_anew``.

    ``plan`` is what is attached, and why the rest is not; ``refusals`` what the kernel refused, ``refused`` the
    functions at which it refused typed programs; ``programs`` the compiled ones, ``maps`` theirs by name.
    """

    def __init__(
        self,
        kernel: Kernel,
        plan: Plan,
        ring_bytes: int = RING_BYTES,
        packet_filter: Optional[Filter] = None,
        count_only: bool = False,
        snaplen: int = 0,
        compile_anew: bool = False,
    ) -> None:
        self.plan, self._filter = plan, packet_filter
        self.refused: frozenset[str] = frozenset()
        self.refusals: list[Refusal] = []
        header = layout.header(kernel.btf)
        text = source.join(header, plan, ring_bytes, os.sysconf("SC_PAGESIZE"), packet_filter, count_only, snaplen)
        self.programs = compile_programs(text) if compile_anew else program_cache.compiled(text)
        bpf.unlock_memory()
        try:
            self.maps = make_maps(self.programs.maps)
        except OSError as error:
            raise BondtraceError(f"the kernel makes no maps for the BPF programs: {error.strerror}") from None
        self._attacher = Attacher(self.programs, self.maps, kernel.type_id)
        self._btf = kernel.btf
        self._devices = DeviceMaps(self.maps["devices"], self.maps["places"])
        self._counts = CountMaps(self.maps) if count_only else None
        self._attachments = 0  # of stages that the kernel side has to know of
        if not count_only:
            self._chains().set_functions({name: kernel.places.get(function) for function, name in HOOKING.items()})
        self.ring = Ring(self.maps["events"].fd, ring_bytes)

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self) -> None:
        """Attach every stage. One that the kernel refuses is given up, with the reason, if others work; where its
        programs have typed arguments its functions are ``refused``, and the caller makes another plan."""
        for stage in self.plan.stages:
            if stage.available:
                self._attach_stage(stage)
        if self.refused and not any(probe.mechanism in (FENTRY, FEXIT) for probe in self._attacher):
            self.refused |= {one.function for one in self.plan.compiled if one.mechanism in (FENTRY, FEXIT)}
        if any(stage.available for stage in self.plan.stages if stage.name == TAP_HOOKS):
            self.maps["hook_changes"].set(word(0), word(_HOOKS_WATCHED, 8))

    def require_packets(self, directions: Collection[str] = tuple(OF_DIRECTION)) -> None:
        """Raise ``BondtraceError`` where no packet would be seen, or none of one direction because of the filter."""
        require_packets(self.plan, self.refusals, self._filter, directions)

    def attach_handler(self, function: str) -> Stage:
        """Attach to one more rx_handler, whose module may have been loaded, or reloaded, since the start. The stage
        says why where that is not possible."""
        return self._attach_again(handler_stage(function, Abilities(symbols.find(symbols.read_kallsyms(), {function}))))

    def attach_stage(self, name: str) -> Stage:
        """Attach a stage that has been waiting, as it is needed now, or one whose module was reloaded."""
        stage = self.plan.stage(name)
        assert stage is not None, "a stage of the plan"
        modules = {probe.function for probe in stage.probes if probe.module}
        found = symbols.find(symbols.read_kallsyms(), modules) if modules else {}
        return self._attach_again(where_found(stage, found))

    def detach_stage(self, name: str) -> None:
        """Detach a stage that is not needed any more: it waits again."""
        stage = self.plan.stage(name)
        assert stage is not None, "a stage of the plan"
        self._tell_watched(name, False)
        self.plan = self.plan.with_waiting(stage)
        for probe in stage.probes:
            if probe in self._attacher and probe not in self.plan.probes:
                self._attacher.detach(probe)

    def _tell_watched(self, name: str, is_watched: bool) -> None:
        """Tell the kernel side whether a stage is attached, where outcomes depend on that (bpf/tap.c)."""
        if name in _WATCHED:
            self._attachments += 1
            self.maps["watched"].set(word(_WATCHED[name]), word(self._attachments * is_watched, 8))

    def _attach_again(self, stage: Stage) -> Stage:
        old = self.plan.stage(stage.name)
        for probe in old.probes if old else ():  # of a module that was unloaded: they never fire again
            if probe.module and probe in self._attacher:
                self._attacher.detach(probe)
        self.plan = self.plan.with_stage(stage)
        if stage.available:
            self._attach_stage(stage)
        return next(one for one in self.plan.stages if one.name == stage.name)

    def chains(self, numbers: Collection[int]) -> dict[int, Chain]:
        """Return the chains of these numbers (``Chains.read``)."""
        return self._chains().read(numbers) if numbers else {}

    def tc_filters(self, numbers: Collection[int]) -> dict[int, TcFilter]:
        """Return the filters of tc of these numbers, as far as they are known."""
        return tc.read(self.maps["tc_filters"], numbers) if numbers else {}

    def _chains(self) -> Chains:
        return Chains(self.maps["netfilter"], self.maps["chains"])

    def _attach_stage(self, stage: Stage) -> None:
        if stage.name in NETFILTER_FUNCTIONS and self._counts is None:
            try:
                self._chains().set_places(module_places(NETFILTER_FUNCTIONS[stage.name], self._btf))
                if stage.name == CHAINS:
                    self._chains().set_functions({"chain": symbols.place(symbols.read_kallsyms(), CHAINS)})
            except BtfError as error:
                self.plan = self.plan.without_stage(stage.name, str(error))
                return
        self._attach_probes(stage)

    def _attach_probes(self, stage: Stage) -> None:
        done: list[Probe] = []
        # Ends before begins, so that no begin goes without its end.
        for probe in sorted(stage.probes, key=lambda p: p.mechanism not in (FEXIT, KRETPROBE)):
            if probe in self._attacher:
                continue  # by another stage
            try:
                self._attacher.attach(probe)
                done.append(probe)
            except OSError as error:
                log = getattr(error, "log", "") or error.strerror or str(error)
                refusal = Refusal(f"{probe.mechanism} {probe.symbol}", probe.program, log)
                self.refusals.append(refusal)
                self.refused |= {one.function for one in stage.probes if probe.mechanism in TYPED}
                for attached in done:  # half a stage would see begins without ends
                    self._attacher.detach(attached)
                self.plan = self.plan.without_stage(stage.name, str(refusal))
                return
        self._tell_watched(stage.name, True)

    def set_devices(self, devices: Family) -> None:
        """Trace these devices, and what joins them (``DeviceMaps.set``)."""
        self._devices.set(devices)

    def counts(self) -> Array:
        """Return what has been counted so far (``CountMaps.read``)."""
        assert self._counts is not None, "this tracer does not count"
        return self._counts.read()

    def counters(self) -> dict[str, list[int]]:
        """Return every counter of bpf/wire.h by name, a value for each CPU; and how many firings of probes the kernel
        skipped, where it counts them (``Attacher.misses``)."""
        counters, misses = read_counters(self.maps["counters"]), self._attacher.misses()
        return counters if misses is None else {**counters, "probe_misses": [misses]}

    def close(self) -> None:
        """Detach and unload everything."""
        self.ring.close()
        self._attacher.close()
        for one in self.maps.values():
            one.close()


ELSEWHERE = (
    "; `bondtrace doctor` shows what it lacks, `bondtrace lab` traces a bond on another kernel, in a virtual machine"
)
"""What else can be done on a host whose kernel cannot be traced."""


def require_packets(
    plan: Plan, refusals: Collection[Refusal], packet_filter: Optional[Filter], directions: Collection[str]
) -> None:
    """Raise ``BondtraceError`` where a plan shows no packet of these directions, or none of one of them because of the
    filter."""
    asked = of_directions(directions)
    missing = [stage.missing for stage in plan.stages if stage.name in asked and not stage.available]
    filtering = {str(refusal) for refusal in refusals if refusal.program in FILTERING}
    refused = [one for one in missing if packet_filter and one in filtering]
    if refused and packet_filter:
        raise BondtraceError(
            f"the kernel does not accept the filter {packet_filter.expression!r} "
            f"({len(packet_filter.ethernet)} instructions): {refused[0]}; simplify it (a net "
            "instead of many hosts, a portrange instead of many ports), or trace without it"
        )
    if missing and not any(stage.available for stage in plan.stages if stage.name in asked):
        raise BondtraceError(f"no probe can be attached to this kernel: {missing[0]}{ELSEWHERE}")
