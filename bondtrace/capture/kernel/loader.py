# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the BPF programs with bcc, loads and attaches them: the only module that imports bcc.

Nothing stays in the kernel once the process is gone: every probe hangs on a file descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Set
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from ...errors import BondtraceError
from ...format.stages import OF_DIRECTION, TAP_HOOKS, of_directions
from ...format.wire import COUNT, COUNT_KEY, COUNTERS, Array
from ...net.rx_handlers import FUNCTIONS as HANDLERS
from ...net.topology import Family
from . import layout, source, symbols, tracing
from .btf import Btf, BtfError, read_kernel_btf
from .filter import Filter
from .plan import FEXIT, KPROBE, KRETPROBE, TYPED, TYPED_TRACEPOINT, Abilities, Plan, Probe, Stage, handler_stage, make
from .ring import Ring
from .stage_specs import FILTERING, TRACEPOINT_OF_PACKETS, wanted_functions
from .verifier import Refusal

RING_BYTES = 16 << 20
_SEVERAL, _FOLLOW_LOWER, _FOLLOW_UPPER = (1 << 64) - 1, 1, 2  # bpf/pass.c
_HOOKS_WATCHED = 1 << 32  # bpf/tap.c: more than hooks can have changed before

_RECURSION_MISSES = 208  # offset in struct bpf_prog_info

# bcc optimises by itself what the compiler gives: not twice. Nobody reads the programs' own debugging information.
# Together that is 0.3 of 0.8 s.
_COMPILER = ("-Wno-macro-redefined", "-g0", "-Xclang", "-disable-llvm-passes")

_INSTALL = (
    "install it from your distribution: `apt install python3-bpfcc` (Debian, Ubuntu), "
    "`dnf install python3-bcc` (Fedora)"
)


def import_bcc() -> Any:
    """The bcc module, or a clear error: PyPI's package of that name is an unrelated one."""
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
    """bcc's BPF class without its habit of attaching by function name at once."""

    class Bpf(bcc.BPF):  # type: ignore[misc]
        def _trace_autoload(self) -> None:
            return None

        def detach_kprobe_event_by_fn(self, ev_name: bytes, fn_name: bytes) -> None:
            """The probe goes with its descriptor. After that bcc looks for its name in a file that only root reads."""
            with contextlib.suppress(Exception):
                super().detach_kprobe_event_by_fn(ev_name, fn_name)

    return Bpf


@contextlib.contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """What bcc and LLVM write to file descriptor 2, as text instead."""
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


@dataclass
class Kernel:
    """What was learnt about the running kernel: types and symbols, which the plan is made of."""

    btf: Btf
    found: dict[str, symbols.Symbol]
    functions: dict[str, dict[str, int]]

    def has_btf_function(self, name: str, module: str) -> bool:
        """Is there type information for this function (needed by fentry)?"""
        return name in self._in_module(module)

    def type_id(self, probe: Probe) -> int:
        """The number of the type of a function, or of a tracepoint."""
        if probe.mechanism == TYPED_TRACEPOINT:
            return self.btf.tracepoint_ids({probe.function})[probe.function]
        return self._in_module(probe.module)[probe.function]

    def _in_module(self, module: str) -> dict[str, int]:
        if module not in self.functions:
            try:
                self.functions[module] = read_kernel_btf(module or None, self.btf).function_ids(wanted_functions())
            except BtfError:
                self.functions[module] = {}
        return self.functions[module]


def read_kernel() -> Kernel:
    """Read the running kernel's types and symbols. ``BtfError`` where there are no types."""
    btf = read_kernel_btf()
    return Kernel(
        btf, symbols.find(symbols.read_kallsyms(), wanted_functions()), {"": btf.function_ids(wanted_functions())}
    )


def make_plan(
    kernel: Kernel, *, fentry: bool = True, refused: frozenset[str] = frozenset(), handlers: tuple[str, ...] = HANDLERS
) -> Plan:
    """The probe plan for this kernel, with these rx_handlers. ``fentry=False`` keeps to kprobes (and tracepoints), as
    do functions and tracepoints of which the kernel ``refused`` programs with typed arguments."""
    trampolines = "bpf_trampoline_link_prog" in kernel.found

    def typed(name: str, module: str) -> bool:
        return name not in refused and kernel.has_btf_function(name, module)

    plan = make(Abilities(kernel.found, typed, fentry and trampolines, TRACEPOINT_OF_PACKETS not in refused), handlers)
    if not kernel.btf.find_many({"packet_sock"}):
        plan = plan.without_stage(TAP_HOOKS, "AF_PACKET is a module here, its types are not the kernel's own")
    return plan


def attached(make_tracer: Callable[[Plan], Tracer], plans: Callable[[frozenset[str]], Plan]) -> Tracer:
    """A tracer that is attached as well as it can be; to be closed by the caller. Where the kernel refuses programs
    with typed arguments it is made anew without these, and keeps what was refused before.

    :param make_tracer: compiles a plan.
    :param plans: the plan without typed programs at these functions.
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
    """The attached programs. Use as a context manager; ``ring.read()`` gives what they sent. With ``count_only`` that
    is only when taps come and go, and ``counts()`` tells of the packets."""

    def __init__(
        self,
        kernel: Kernel,
        plan: Plan,
        ring_bytes: int = RING_BYTES,
        packet_filter: Optional[Filter] = None,
        count_only: bool = False,
        snaplen: int = 0,
    ) -> None:
        self.plan = plan
        self._filter, self._count_only, self._snaplen = packet_filter, count_only, snaplen
        self.refused: frozenset[str] = frozenset()
        self.refusals: list[Refusal] = []
        self._bcc = import_bcc()
        self._kernel = kernel
        self._attached: set[Probe] = set()
        self._links: dict[Probe, list[int]] = {}  # of typed ones: program, attachment; of the second program the same
        self._modules: dict[str, int] = {}  # their types
        self._bpf = self._compile(layout.header(kernel.btf), ring_bytes)
        self._devices: Set[int] = set()
        self._counted: Counter[bytes] = Counter()
        self.ring = Ring(self._bpf["events"].map_fd, ring_bytes)

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compile(self, header: str, ring_bytes: int) -> Any:
        text = source.join(
            header, self.plan, ring_bytes, os.sysconf("SC_PAGESIZE"), self._filter, self._count_only, self._snaplen
        )
        os.environ["BCC_KERNEL_SOURCE"] = str(source.bpf_dir())
        try:
            with _captured_stderr() as said:
                return _quiet_bpf(self._bcc)(text=text.encode(), cflags=list(_COMPILER))
        except Exception as error:
            raise BondtraceError(f"the BPF programs do not compile here: {_gist(said) or error}") from None

    def attach(self) -> None:
        """Attach every stage. One that the kernel refuses is given up, with the reason, if others work; where its
        programs have typed arguments its functions are ``refused``, and the caller makes another plan."""
        for stage in self.plan.stages:
            if stage.available:
                self._attach_stage(stage)
        if any(stage.available for stage in self.plan.stages if stage.name == TAP_HOOKS):
            self._bpf["hook_changes"][ctypes.c_int(0)] = ctypes.c_uint64(_HOOKS_WATCHED)

    def require_packets(self, directions: Collection[str] = tuple(OF_DIRECTION)) -> None:
        """``BondtraceError`` where no packet would be seen, or where the filter is why none of a direction would be."""
        asked = of_directions(directions)
        missing = [stage.missing for stage in self.plan.stages if stage.name in asked and not stage.available]
        filtering = {str(refusal) for refusal in self.refusals if refusal.program in FILTERING}
        refused = [one for one in missing if self._filter and one in filtering]
        if refused and self._filter:
            raise BondtraceError(
                f"the kernel does not take the filter {self._filter.expression!r} "
                f"({len(self._filter.ethernet)} instructions): {refused[0]}; simplify it (a net "
                "instead of many hosts, a portrange instead of many ports), or trace without it"
            )
        if missing and not any(stage.available for stage in self.plan.stages if stage.name in asked):
            raise BondtraceError(f"no probe can be attached to this kernel: {missing[0]}")

    def attach_handler(self, function: str) -> Stage:
        """Attach to one more rx_handler, whose module may have been loaded since the start, or anew. The stage says
        why where that cannot be done."""
        found = symbols.find(symbols.read_kallsyms(), {function})
        stage = handler_stage(function, Abilities(found))
        old = next((one for one in self.plan.stages if one.name == function), None)
        for probe in old.probes if old else ():  # of a module that was unloaded: they never fire again
            with contextlib.suppress(Exception):
                self._detach_probe(probe)
        self.plan = self.plan.with_stage(stage)
        if stage.available:
            self._attach_stage(stage)
        return next(one for one in self.plan.stages if one.name == function)

    def _attach_stage(self, stage: Stage) -> None:
        done: list[Probe] = []
        # Ends before begins, so that no begin goes without its end.
        for probe in sorted(stage.probes, key=lambda p: p.mechanism not in (FEXIT, KRETPROBE)):
            if probe in self._attached:
                continue  # by another stage
            try:
                with _captured_stderr() as said:
                    self._attach_probe(probe)
                done.append(probe)
            except Exception as error:
                log = getattr(error, "log", "") or "\n".join(said) or getattr(error, "strerror", "") or str(error)
                refusal = Refusal(f"{probe.mechanism} {probe.symbol}", probe.program, log)
                self.refusals.append(refusal)
                self.refused |= {one.function for one in stage.probes if probe.mechanism in TYPED}
                for attached in done:  # half a stage would see begins without ends
                    self._detach_probe(attached)
                self.plan = self.plan.without_stage(stage.name, str(refusal))
                return

    def _attach_probe(self, probe: Probe) -> None:
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
        done = self._links[probe] = []
        try:
            for _ in range(1 + probe.twice):
                done.append(
                    tracing.load(
                        name,
                        instructions,
                        tracing.ATTACH_TYPES[probe.mechanism],
                        self._kernel.type_id(probe),
                        self._modules.get(probe.module, 0),
                    )
                )
                done.append(tracing.attach(done[-1]))
        except BaseException:
            self._detach_typed(probe)
            raise

    def _detach_typed(self, probe: Probe) -> None:
        for descriptor in reversed(self._links.pop(probe)):
            os.close(descriptor)

    def _detach_probe(self, probe: Probe) -> None:
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

    def set_devices(self, devices: Family) -> None:
        """Trace exactly these devices; and from its beginning what joins them, below those that are ``below`` and on
        top of those that are ``above``."""
        wanted = {
            netns << 32 | ifindex: _FOLLOW_LOWER * ((netns, ifindex) in devices.below)
            | _FOLLOW_UPPER * ((netns, ifindex) in devices.above)
            for netns, ifindex in devices.all
        }
        table = self._bpf["devices"]
        there = {int(key.value): int(value.value) for key, value in table.items()}
        # What has joined since the last time stays: its notification may not have been read yet.
        joined = there.keys() - self._devices - wanted.keys() if wanted else set()
        gone = there.keys() - joined - wanted.keys()
        for key, follow in wanted.items() - there.items():
            table[ctypes.c_uint64(key)] = ctypes.c_ubyte(follow)
        self._set_places(wanted.keys() | joined, gone)
        for key in gone:
            with contextlib.suppress(KeyError):
                del table[ctypes.c_uint64(key)]
        self._devices = wanted.keys() | joined

    def _set_places(self, devices: Set[int], gone: Set[int]) -> None:
        places: dict[int, int] = {key % source.DEVICE_PLACES: 0 for key in gone}
        for key in devices:
            place = key % source.DEVICE_PLACES
            places[place] = _SEVERAL if places.get(place) else key
        table = self._bpf["places"]
        for place, device in places.items():
            table[ctypes.c_int(place)] = ctypes.c_uint64(device)

    def counts(self) -> Array:
        """What was counted so far, shape (n,) of ``wire.COUNT``, the CPUs added up; exact when no packet comes, and
        never less than before."""
        before = self._recent()
        found = Counter({bytes(key): sum(values) for key, values in self._bpf["counts"].items()})
        for place, (key, count) in self._recent().items():
            if before.get(place, ("", 0))[0] == key:  # else it was being written
                found[key] += count
        found = self._counted = found | self._counted
        counts = np.zeros(len(found), COUNT)
        counts["key"] = np.frombuffer(b"".join(found), COUNT_KEY)
        counts["count"] = list(found.values())
        return counts

    def _recent(self) -> dict[tuple[int, int], tuple[bytes, int]]:
        """What is counted, but not yet in ``counts``: by place and CPU, key and count (struct recent, bpf/pass.c)."""
        return {
            (int(place.value), cpu): (bytes(one.key), int(one.count))
            for place, values in self._bpf["recents"].items()
            for cpu, one in enumerate(values)
            if one.count
        }

    def counters(self) -> dict[str, list[int]]:
        """Every counter of bpf/wire.h by name, a value a CPU."""
        table = self._bpf["counters"]
        told = {name: [int(value) for value in table[ctypes.c_int(i)]] for i, name in enumerate(COUNTERS)}
        misses = self.probe_misses()
        return told if misses is None else {**told, "probe_misses": [misses]}

    def probe_misses(self) -> Optional[int]:
        """Firings that the kernel skipped because a program was running on that CPU already, but for those at which
        another program of the same code ran; ``None`` where the kernel does not count them (before 5.12; of kprobes it
        counts few: docs/receive-path.md, limits).

        Source: recursion_misses of struct bpf_prog_info (include/uapi/linux/bpf.h).
        """
        total = 0
        for descriptor in (
            *(one.fd for one in self._bpf.funcs.values()),
            *(links[0] for probe, links in self._links.items() if not probe.twice),
        ):
            info, length = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
            if self._bcc.lib.bpf_obj_get_info(descriptor, info, ctypes.byref(length)) != 0:
                return None
            if length.value < _RECURSION_MISSES + 8:
                return None
            total += int.from_bytes(info.raw[_RECURSION_MISSES : _RECURSION_MISSES + 8], "little")
        return total

    def close(self) -> None:
        """Detach and unload everything."""
        self.ring.close()
        for probe in list(self._links):
            self._detach_typed(probe)
        for module in self._modules.values():
            os.close(module)
        self._modules = {}
        with _captured_stderr():
            self._bpf.cleanup()


def _gist(said: list[str]) -> str:
    """The line of a compiler's outpour that says what is wrong."""
    lines = [line.strip() for line in "\n".join(said).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[0][:300]


__all__ = ["Kernel", "Tracer", "attached", "import_bcc", "make_plan", "read_kernel"]
