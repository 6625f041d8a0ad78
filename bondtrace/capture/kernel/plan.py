# SPDX-License-Identifier: GPL-2.0-or-later
"""Chooses the probes: for every stage (``stage_specs``) the best mechanism that the kernel and bcc offer.

fentry and fexit come first (a third of a kprobe's cost and never skipped); kprobe and kretprobe where those cannot
attach: a suffixed symbol, a function of more than six arguments or of a module before the kernel has types of modules
(5.11), a kernel without trampolines.

Invariant: a stage that is not available is kept, with the reason and with what will be missing: ``doctor``, the output
and the recording show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from ...net.rx_handlers import FUNCTIONS as HANDLERS
from .stage_specs import ATTACHED_LATER, END_OF_BOND, ENDS_SUFFICE, StageSpec, Wanted, all_specs, both, specs
from .symbols import Symbol

FENTRY, FEXIT, KPROBE, KRETPROBE, TRACEPOINT = "fentry", "fexit", "kprobe", "kretprobe", "raw_tracepoint"
TYPED_TRACEPOINT = "typed_tracepoint"
TYPED = (FENTRY, FEXIT, TYPED_TRACEPOINT)  # the kernel knows their arguments' types


@dataclass(frozen=True)
class Probe:
    """A probe as it is attached. ``twice``: by two programs of the same code. The kernel skips a program that is
    already running on that CPU, but not its twin, as only one of them can be interrupted at a time."""

    program: str
    function: str
    symbol: str
    module: str
    mechanism: str
    twice: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage with its probes, or with the reason why it has none. ``when``: what it is needed for, in words; "" where
    it always is."""

    name: str
    tells: str
    without: str
    probes: tuple[Probe, ...]
    missing: str = ""
    when: str = ""

    @property
    def available(self) -> bool:
        """Can it be attached?"""
        return not self.missing


@dataclass(frozen=True)
class Plan:
    """All stages that are needed, including those of the rx_handlers; ``handlers`` are the functions of the latter.
    ``waiting`` are those that are not needed yet: they are compiled, and attached later."""

    stages: tuple[Stage, ...]
    handlers: tuple[str, ...] = ()
    waiting: tuple[Stage, ...] = ()

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return the probes of the available stages, each once: stages may share one."""
        return _probes(self.stages)

    @property
    def compiled(self) -> tuple[Probe, ...]:
        """Return these and the probes of what is waiting."""
        return _probes((*self.stages, *self.waiting))

    def stage(self, name: str) -> Optional[Stage]:
        """Return the stage of this name, be it needed or not; ``None`` where the plan has none."""
        return next((one for one in (*self.stages, *self.waiting) if one.name == name), None)

    def with_stage(self, stage: Stage) -> Plan:
        """Return the plan with a stage that replaces the one of that name, or is added."""
        stages, waiting = self._without(stage.name)
        return replace(self, stages=(*stages, stage), waiting=waiting)

    def with_waiting(self, stage: Stage) -> Plan:
        """Return the plan with a stage that is not needed any more."""
        stages, waiting = self._without(stage.name)
        return replace(self, stages=stages, waiting=(*waiting, stage))

    def _without(self, name: str) -> tuple[tuple[Stage, ...], ...]:
        return tuple(tuple(one for one in those if one.name != name) for those in (self.stages, self.waiting))

    def only(self, wanted: Callable[[Stage], bool]) -> Plan:
        """Return the plan with these stages only: a stage that is not wanted is not missing either."""
        stages, waiting = (tuple(filter(wanted, those)) for those in (self.stages, self.waiting))
        return replace(self, stages=stages, waiting=waiting)

    def without_stage(self, name: str, reason: str) -> Plan:
        """Return the plan with a stage given up, for this reason."""
        stages = tuple(
            replace(stage, probes=(), missing=reason) if stage.name == name else stage for stage in self.stages
        )
        return replace(self, stages=stages)


def _probes(stages: Iterable[Stage]) -> tuple[Probe, ...]:
    return tuple(dict.fromkeys(probe for stage in stages if stage.available for probe in stage.probes))


@dataclass(frozen=True)
class Abilities:
    """What the kernel offers. ``has_btf_function(name, module)``: does the type information describe it?"""

    symbols: dict[str, Symbol]
    has_btf_function: Callable[[str, str], bool] = field(default=lambda name, module: False)
    fentry: bool = False
    typed_tracepoints: Collection[str] = ()


def _mechanism(want: Wanted, symbol: Symbol, abilities: Abilities) -> str:
    fentry = (
        abilities.fentry and symbol.name == want.function and abilities.has_btf_function(want.function, symbol.module)
    )
    if want.where == "entry":
        return FENTRY if fentry else KPROBE
    return FEXIT if fentry else KRETPROBE


def _probe(want: Wanted, abilities: Abilities, module: str = "") -> Optional[Probe]:
    """Return the probe that is wanted; ``None`` where there is no such function, unless it is in this module, which may
    be loaded later."""
    if want.where == "tracepoint":
        typed = want.function in abilities.typed_tracepoints
        return Probe(want.program, want.function, want.function, "", TYPED_TRACEPOINT if typed else TRACEPOINT)
    symbol = abilities.symbols.get(want.function) or (Symbol(want.function, module) if module else None)
    if symbol is None:
        return None
    mechanism = _mechanism(want, symbol, abilities)
    # While a kprobe's program runs, no other kprobe's does either: a second one would not help.
    return Probe(
        want.program, want.function, symbol.name, symbol.module, mechanism, want.interrupted and mechanism == FENTRY
    )


def _stage(spec: StageSpec, abilities: Abilities) -> Stage:
    typed = [_probe(want, abilities, spec.module) for want in spec.typed_wants]
    wants = spec.typed_wants if typed and all(one and one.mechanism in TYPED for one in typed) else spec.wants
    probes = [_probe(want, abilities, spec.module) for want in wants]
    absent = [want.function for want, probe in zip(wants, probes) if probe is None]
    missing = f"this kernel has no function {absent[0]}" if absent else ""
    there = () if missing else tuple(_of_mechanism(probe) for probe in probes if probe)
    return Stage(spec.name, spec.tells, spec.without, there, missing, spec.need.when if spec.need else "")


# Programs of which several functions are probed, some of them perhaps by another mechanism: each has its own.
_TYPED_PROGRAMS = {
    ("handler_enter", FENTRY): "handler_fentry",
    ("handler_exit", FEXIT): "handler_fexit",
    ("tc_filter", FENTRY): "tc_filter_fentry",
}


def _of_mechanism(probe: Probe) -> Probe:
    return replace(probe, program=_TYPED_PROGRAMS.get((probe.program, probe.mechanism), probe.program))


def handler_stage(function: str, abilities: Abilities) -> Stage:
    """Return the stage of one rx_handler, known or not. All share their programs."""
    wants = both("handler", function, "handler_exit")
    typed_wants = (Wanted(END_OF_BOND, function, "exit"),) if function == ENDS_SUFFICE else ()
    spec = StageSpec(function, "its verdicts", wants, "its verdicts are not seen", typed_wants=typed_wants)
    return _stage(spec, abilities)


def where_found(stage: Stage, symbols: Mapping[str, Symbol]) -> Stage:
    """Return a stage whose programs are compiled with its probes in modules at these symbols, which may be others than
    when it was planned; or why that is not possible."""
    probes = tuple(
        replace(probe, symbol=symbols[probe.function].name, module=symbols[probe.function].module)
        if probe.function in symbols
        else probe
        for probe in stage.probes
    )
    absent = [one.function for one in probes if one.module and one.function not in symbols]
    renamed = [one.symbol for one in probes if one.mechanism in TYPED and one.symbol != one.function]
    if absent or renamed:
        why = f"this kernel has no function {absent[0]}" if absent else f"it is {renamed[0]} here, for a kprobe only"
        return replace(stage, probes=(), missing=why)
    return replace(stage, probes=probes)


def make(
    abilities: Abilities,
    handlers: tuple[str, ...] = HANDLERS,
    needed: Collection[str] = (),
    asked: Collection[str] = (),
) -> Plan:
    """Return the plan for a kernel, with those of these rx_handlers whose module is loaded.

    :param needed: the names of the stages, of those that are not always needed, for which the need is there.
    :param asked: the names of those that are asked for, of the ones that have to be.
    """
    found = tuple(name for name in handlers if name in abilities.symbols)
    wanted = (spec for spec in specs(abilities.symbols) if not spec.on_request or spec.name in asked)
    stages = [(_stage(spec, abilities), spec.need is None or spec.name in needed) for spec in wanted]
    return Plan(
        (*(stage for stage, now in stages if now), *(handler_stage(name, abilities) for name in found)),
        found,
        tuple(stage for stage, now in stages if not now),
    )


def programs() -> list[str]:
    """Return every program of the BPF source, attached or not."""
    wants = (want for spec in all_specs() for want in (*spec.wants, *spec.typed_wants))
    typed = (*_TYPED_PROGRAMS.values(), END_OF_BOND)
    return list(dict.fromkeys([*(want.program for want in wants), *ATTACHED_LATER, *typed]))
