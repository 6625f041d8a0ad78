# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel as a source of batches.

It owns the attached probes and keeps the surroundings current: devices by rtnetlink notifications, taps by
packet_diag twice a second, or at once when a step names a tap that is not known yet or one is hooked in or out.
What it keeps true: the set of traced devices follows the named ones through renames, joins, leaves and new makings;
what happens to the trace itself (a device gone, a module loaded anew, a namespace deleted, the clock set) is told
in words.
"""

from __future__ import annotations

import os
import platform
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Optional

import numpy as np

from ... import __version__
from ...format.events import Event, device_event, tap_event
from ...format.payload import bytes_events
from ...format.recording import FORMAT, Batch
from ...format.stages import PROTOCOL_FUNCTIONS, essential, phrase
from ...format.wire import (
    EMPTY,
    RECORD_RX,
    STEP_DROP,
    STEP_HANDLER,
    STEP_HOOK,
    STEP_TAP,
    Array,
    Passes,
    concatenate,
    decode,
    kept_bytes,
)
from ...model import Device, Tap
from ...net.rx_handlers import handler_of
from ...net.topology import Family, family
from ...util import capabilities
from ..host.devices import Change, LinkMonitor, read_devices, require_names
from ..host.namespaces import Namespace, current_namespace, list_namespaces, resolve
from ..host.options import with_all_options
from ..host.taps import TapWatcher
from ..kernel import loader
from ..kernel.filter import Filter
from ..kernel.plan import Plan, Stage
from ..kernel.symbols import Addresses, read_kallsyms

POLL_S = 0.02
TAPS_EVERY_NS = 500_000_000
LOSSES_EVERY_NS = 1_000_000_000
NAMESPACES_EVERY_NS = 5_000_000_000
TAPS_SHARE = 10  # reading the taps may take one part of so many of the time: 10,000 take long
TAPS_CREDIT_NS = 3_000_000_000  # where they must be read, half of the time, and so much at once
TAPS_MOST_NS = 10_000_000_000  # of what takes longer this process stood still for a part
READINGS_A_BATCH = 3
CLOCK_STEP_NS = 50_000_000
NAMES_TOLD = 10
NOT_COUNTED = frozenset(("fanout groups", *PROTOCOL_FUNCTIONS))  # a group's members are counted


def now_ns() -> int:
    """CLOCK_MONOTONIC, the clock of the kernel's steps."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wall_offset_ns() -> int:
    """What to add to CLOCK_MONOTONIC for the time of day: of several pairs of readings the one that was taken in the
    shortest time, as this process may be stopped in between."""
    pairs = [(now_ns(), time.time_ns(), now_ns()) for _ in range(5)]
    before_ns, wall_ns, after_ns = min(pairs, key=lambda pair: pair[2] - pair[0])
    return wall_ns - (before_ns + after_ns) // 2


class LiveSource:
    """A trace of ``interfaces`` (all when empty) of the namespaces ``netns`` (the current one when empty), of the
    ``directions`` "rx" and "tx". With ``count_every_s`` packets are counted in the kernel, and none is told: so often
    a batch holds the counts so far. ``snaplen``: keep so many bytes of each packet. ``tell`` is told, in a sentence,
    what happens to the trace. ``drop``: once attached, give up what rights are left over."""

    def __init__(
        self,
        interfaces: tuple[str, ...] = (),
        netns: tuple[str, ...] = (),
        directions: tuple[str, ...] = ("rx", "tx"),
        fentry: bool = True,
        ring_bytes: int = loader.RING_BYTES,
        packet_filter: Optional[Filter] = None,
        count_every_s: Optional[float] = None,
        snaplen: int = 0,
        tell: Callable[[str], None] = lambda text: None,
        drop: Callable[[], None] = lambda: None,
    ) -> None:
        capabilities.require_rights()
        self._namespaces: list[Namespace] = [resolve(one) for one in netns] or [current_namespace()]
        self._inodes = {one.inode for one in self._namespaces}
        self.interfaces, self._directions, self._fentry = interfaces, directions, fentry
        self._ring_bytes, self._filter, self._count_every_s = ring_bytes, packet_filter, count_every_s
        self._stack = ExitStack()
        self._devices: dict[tuple[int, int], Device] = {}
        self._taps: dict[int, Tap] = {}
        self._named: set[tuple[int, int]] = set()
        self._events: list[Event] = []
        self._stopping = self._ending = False
        self._strangers: set[int] = set()
        self._told: set[int] = set()  # addresses of functions whose names were told
        self._addresses: Optional[Addresses] = None
        self._tried: set[str] = set()  # rx_handlers that were attached, or could not be
        self._unknown: set[int] = set()  # taps that were given packets and have not been looked for
        self._hooked: set[int] = set()  # taps that were hooked in or out since they were last read
        self._soonest_taps_ns, self._taps_credit_ns = 0, TAPS_CREDIT_NS
        self._next_taps_ns = self._next_losses_ns = self._next_namespaces_ns = 0
        self._refreshed_ns = self._refresh_ended_ns = 0
        self._next_counts_ns, self._snaplen = 0, snaplen
        self._tell, self._drop = tell, drop
        self._wall_offset_ns = 0
        self._called: dict[str, set[tuple[int, int]]] = {}  # names given: the devices that were ever called so
        self._absent: set[str] = set()  # those of which none is there now
        self._module_names: dict[str, str] = {}  # of the rx_handlers that were attached
        self._modules: dict[str, Optional[int]] = {}  # and which loading of the module they were attached in

    def __enter__(self) -> LiveSource:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._monitors = {one.inode: self._stack.enter_context(LinkMonitor(one)) for one in self._namespaces}
        namespaces = list(list_namespaces().values())
        problems: list[str] = []
        self._devices = {(d.netns, d.ifindex): d for d in read_devices(namespaces, problems)}
        traced = self._family(first=True)
        kernel = loader.read_kernel()
        self._drop_reasons = {str(number): name for number, name in kernel.btf.drop_reasons().items()}
        handlers = tuple(sorted(self._handlers_in_use(traced.all)))
        self._tracer = self._stack.enter_context(self._attached(kernel, handlers))
        self._tracer.require_packets(self._directions)
        self._tracer.set_devices(traced)
        self._watcher = TapWatcher(namespaces, self._devices.values())
        self._tell_start(namespaces, problems)
        self._drop()

    def _attached(self, kernel: loader.Kernel, handlers: tuple[str, ...]) -> loader.Tracer:
        """Attach; where the kernel refuses programs with typed arguments, once more without those."""
        self._tried = set(handlers) & set(kernel.found)
        self._module_names = {name: kernel.found[name].module for name in self._tried}
        self._modules = {name: _loading_of(module) for name, module in self._module_names.items()}
        return loader.attached(
            lambda plan: self._compiled(kernel, plan),
            lambda refused: loader.make_plan(kernel, fentry=self._fentry, refused=refused, handlers=handlers),
        )

    def _compiled(self, kernel: loader.Kernel, plan: Plan) -> loader.Tracer:
        counting = self._count_every_s is not None
        if counting:
            plan = plan.only(lambda stage: stage.name not in NOT_COUNTED)
        return loader.Tracer(kernel, plan, self._ring_bytes, self._filter, counting, self._snaplen)

    def _tell_start(self, namespaces: list[Namespace], problems: list[str]) -> None:
        time_ns = now_ns()
        self._wall_offset_ns = wall_offset_ns()
        self._events.append(
            {
                "kind": "start",
                "time_ns": time_ns,
                "format": FORMAT,
                "bondtrace": __version__,
                "host": socket.gethostname(),
                "kernel": platform.release(),
                "machine": platform.machine(),
                "wall_offset_ns": self._wall_offset_ns,
                "netns": self._namespaces[0].inode,
                "namespaces": sorted(self._inodes),
                "drop_reasons": self._drop_reasons,
                "interfaces": list(self.interfaces),
                "trace": uuid.uuid4().hex,
                "filter": self._filter.expression if self._filter else None,
                "handlers": list(self._tracer.plan.handlers),
                "directions": list(self._directions),
                "snaplen": self._snaplen,
                "stages": [_stage_object(stage) for stage in self._tracer.plan.stages],
            }
        )
        self._events += [
            {"kind": "namespace", "time_ns": time_ns, "netns": one.inode, "name": one.label} for one in namespaces
        ]
        self._events += [device_event(time_ns, device) for device in self._devices.values()]
        problems += [f"without {one.name} {one.without}" for one in capabilities.missing_helpful()]
        for text in dict.fromkeys(problems):
            self._note(text, time_ns)
        self._refreshed_ns = now_ns()
        refresh = self._watcher.refresh({})
        self._taps, self._refresh_ended_ns = refresh.current, now_ns()
        read_ns, seen_ns = self._watcher.read_ns
        self._events += [tap_event(seen_ns, tap, read_ns=read_ns) for tap in with_all_options(refresh.opened)]

    def _note(self, text: str, time_ns: int) -> None:
        """What happened, for the recording and for whoever watches."""
        self._events.append({"kind": "note", "time_ns": time_ns, "text": text})
        self._tell(text)

    def describe(self) -> str:
        """What is attached, in one line."""
        count = len(self._tracer.plan.probes)
        names = sorted(self._devices[key].name for key in self._family().all if key in self._devices)
        what = ", ".join(self.interfaces) if self.interfaces else "all devices"
        more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
        return f"{count} probes, {what} ({', '.join(names[:NAMES_TOLD])}{more}), {len(self._taps)} taps on this host"

    def does_not_see(self) -> list[str]:
        """As ``watched.does_not_see``, before any event is taken."""
        return [
            phrase(stage.tells, stage.name, stage.missing)
            for stage in self._tracer.plan.stages
            if stage.name in essential(self._directions) and not stage.available
        ]

    def stop(self) -> None:
        """End the batches soon; safe in a signal handler."""
        self._stopping = True

    def batches(self) -> Iterator[Batch]:
        """Batches until ``stop()``; the last one holds what was still under way, and the end."""
        while not self._stopping:
            yield self._batch(now_ns())
            select.select(list(self._monitors.values()), [], [], POLL_S)
        whole_until_ns = now_ns()
        self._ending = True
        self._tracer.set_devices(Family(set(), set()))
        time.sleep(POLL_S)  # passes that were open when the devices were taken away
        last = self._batch(now_ns())
        last.events.append({"kind": "end", "time_ns": now_ns(), "not_before_ns": whole_until_ns})
        yield last

    def _batch(self, time_ns: int) -> Batch:
        self._follow_clock(time_ns)
        passes = self._drain_and_learn()
        counts = self._count(time_ns)
        self._follow_functions(passes, time_ns, counts)
        if self._ending or time_ns >= self._next_losses_ns:
            self._next_losses_ns = time_ns + LOSSES_EVERY_NS
            self._events.append({"kind": "losses", "time_ns": time_ns, "counters": self._tracer.counters()})
        events, self._events = self._events, []
        return Batch(passes, events, time_ns, counts)

    def _drain_and_learn(self) -> Passes:
        """The passes that have ended, also those that ended while it was learnt what has happened: they are of the same
        batch. Taps are read again where others were hooked in or out meanwhile, for the sake of what passed since; a
        few times, as somebody may do nothing else."""
        parts: list[Passes] = []
        for reading in range(READINGS_A_BATCH + 1):
            parts.append(self._drain(whole=self._ending and not parts))
            before = len(self._events)
            self._follow_devices()  # after that: what has sent passes is known
            self._notice_taps(parts[-1])
            if reading < READINGS_A_BATCH and (self._ending or not self._stopping):
                self._follow_taps(now_ns(), at_once=self._ending and not reading)
            if len(self._events) == before:
                break
        return concatenate(parts)

    def _count(self, time_ns: int) -> Optional[Array]:
        if self._count_every_s is None or (time_ns < self._next_counts_ns and not self._ending):
            return None
        self._next_counts_ns = time_ns + int(self._count_every_s * 1e9)
        return self._tracer.counts()

    def _drain(self, whole: bool) -> Passes:
        parts = [self._decode(self._tracer.ring.read())]
        while whole and len(parts[-1]):
            parts.append(self._decode(self._tracer.ring.read()))
        return concatenate(parts) if parts else EMPTY

    def _decode(self, slots: Array) -> Passes:
        if self._snaplen:
            self._events += bytes_events(now_ns(), kept_bytes(slots))
        return decode(slots)

    def _notice_taps(self, passes: Passes) -> None:
        """Keep what is a reason to read the taps soon."""
        kinds, args = passes.steps["kind"], passes.steps["arg"]
        self._unknown |= {
            inode
            for inode in np.unique(args[kinds == STEP_TAP]).tolist()
            if inode and inode not in self._taps and inode not in self._strangers
        }
        self._hooked |= set(np.unique(args[kinds == STEP_HOOK]).tolist())

    def _follow_taps(self, time_ns: int, at_once: bool) -> None:
        """Read the taps where that is due, or they are wanted, which may have been put off but for ``at_once``."""
        wanted = bool(self._unknown or self._hooked)
        if time_ns < (self._soonest_taps_ns if wanted else self._next_taps_ns) and not (wanted and at_once):
            return
        before_ns, self._refreshed_ns = self._refreshed_ns, now_ns()
        if self._unknown or time_ns >= self._next_namespaces_ns:
            self._follow_namespaces(time_ns)
        refresh = self._watcher.refresh(self._taps)
        self._taps = refresh.current
        # Taps that no list shows (a namespace that only a file descriptor holds): looked for again only now and then.
        self._strangers |= self._unknown - self._taps.keys()
        # What was hooked in or out is told once more: what was read of it before is of another state.
        told = {tap.inode for tap in refresh.opened + refresh.changed}
        again = [self._taps[inode] for inode in sorted(self._hooked - told) if inode in self._taps]
        self._unknown, self._hooked = set(), set()
        read_ns, seen_ns = self._watcher.read_ns
        self._events += [tap_event(seen_ns, tap, before_ns, read_ns) for tap in with_all_options(refresh.opened)]
        self._events += [
            tap_event(seen_ns, tap, read_ns=read_ns) for tap in with_all_options([*refresh.changed, *again])
        ]
        self._events += [
            {"kind": "tap-gone", "time_ns": seen_ns, "not_before_ns": before_ns, "inode": tap.inode}
            for tap in refresh.closed
        ]
        self._put_off_taps(now_ns())

    def _put_off_taps(self, ended_ns: int) -> None:
        """When the taps are read again, after a reading that ended now."""
        took_ns = min(ended_ns - self._refreshed_ns, TAPS_MOST_NS)
        rested_ns = self._refreshed_ns - self._refresh_ended_ns
        self._refresh_ended_ns = ended_ns
        self._taps_credit_ns = min(self._taps_credit_ns + rested_ns, TAPS_CREDIT_NS) - took_ns
        self._soonest_taps_ns = ended_ns + max(-self._taps_credit_ns, 0)
        self._next_taps_ns = ended_ns + max(TAPS_EVERY_NS, TAPS_SHARE * took_ns)

    def _follow_namespaces(self, time_ns: int) -> None:
        self._next_namespaces_ns = time_ns + NAMESPACES_EVERY_NS
        known = {one.inode for one in self._watcher.namespaces}
        self._watcher.namespaces = list(list_namespaces().values())
        self._events += [
            {"kind": "namespace", "time_ns": time_ns, "netns": one.inode, "name": one.label}
            for one in self._watcher.namespaces
            if one.inode not in known
        ]
        there = {one.inode for one in self._watcher.namespaces}
        for gone in [one for one in self._namespaces if one.inode not in there and not _is_at(one)]:
            self._let_go(gone, time_ns)

    def _let_go(self, gone: Namespace, time_ns: int) -> None:
        """A traced namespace without a name or a process: the monitor's socket might be all that keeps it, and its
        devices, for as long as the trace lasts."""
        self._namespaces = [one for one in self._namespaces if one.inode != gone.inode]
        self._inodes.discard(gone.inode)
        self._monitors.pop(gone.inode).close()
        for key in [key for key in self._devices if key[0] == gone.inode]:
            self._take(Change("remove", self._devices[key]), time_ns)
        self._retrace(time_ns)
        rest = "the others are traced on" if self._namespaces else "nothing is left to trace"
        self._note(f"network namespace {gone.label} has neither a name nor a process any more: let go; {rest}", time_ns)
        self._stopping = self._stopping or not self._namespaces

    def _follow_clock(self, time_ns: int) -> None:
        """Tell when the time of day was set: journeys keep the clock of the start, so that times stay in order."""
        offset_ns = wall_offset_ns()
        step_ns = offset_ns - self._wall_offset_ns
        if abs(step_ns) > CLOCK_STEP_NS:
            self._wall_offset_ns = offset_ns
            self._note(
                f"the time of day moved by {step_ns / 1e9:+.3f} s (it was set, or the machine slept); packets "
                "keep the clock of the trace's begin",
                time_ns,
            )

    def _follow_devices(self) -> None:
        changes = [change for monitor in self._monitors.values() for change in monitor.read()]
        if not changes:
            return
        time_ns = now_ns()
        for change in changes:
            self._take(change, time_ns)
            self._tell_absent(time_ns)  # at once: it may be there again by the end of these changes
        self._retrace(time_ns)

    def _retrace(self, time_ns: int) -> None:
        """Trace what is to be traced of the devices as they are now."""
        self._watcher.know(self._devices.values())
        traced = self._family()
        self._tell_absent(time_ns)
        if self._ending:
            return
        in_use = self._handlers_in_use(traced.all)
        for function in sorted(in_use - self._tried):
            self._attach_handler(function, time_ns)
        for function in sorted(in_use & self._modules.keys()):
            if _loading_of(self._module_names[function]) != self._modules[function]:
                self._attach_handler(function, time_ns)
                self._note(
                    f"module {self._module_names[function]} was loaded anew: {function} is attached again", time_ns
                )
        self._tracer.set_devices(traced)

    def _tell_absent(self, time_ns: int) -> None:
        """Tell when a device that was named goes, and when one of its name comes."""
        absent = {name for name, keys in self._called.items() if not keys & self._devices.keys()}
        for name in sorted(absent - self._absent):
            self._note(f"{name} is gone; one of that name will be traced once it is there", time_ns)
        for name in sorted(self._absent - absent):
            self._note(f"{name} is there again", time_ns)
        self._absent = absent

    def _handlers_in_use(self, traced: set[tuple[int, int]]) -> set[str]:
        """The rx_handlers of these devices, as their kinds tell."""
        devices = [self._devices[key] for key in traced if key in self._devices]
        masters = [self._devices.get((one.netns, one.master)) for one in devices if one.master is not None]
        kinds = {one.kind for one in (*devices, *masters) if one is not None}
        return {function for kind in kinds if (function := handler_of(kind))}

    def _attach_handler(self, function: str, time_ns: int) -> None:
        """One more rx_handler: its module was loaded, or a device that uses it came, after the start."""
        self._tried.add(function)
        stage = self._tracer.attach_handler(function)
        module = next((probe.module for probe in stage.probes), self._module_names.get(function, ""))
        self._module_names[function], self._modules[function] = module, _loading_of(module)
        self._events.append({"kind": "stage", "time_ns": time_ns, "stage": {**_stage_object(stage), "handler": True}})

    def _follow_functions(self, passes: Passes, time_ns: int, counts: Optional[Array]) -> None:
        """Tell the names of functions that steps give by address; attach to rx_handlers that no device told of."""
        steps, records = passes.steps, passes.records
        handlers = set(np.unique(records["sender"][records["kind"] == RECORD_RX]).tolist()) - {0}
        named = np.unique(steps["skb_low"][np.isin(steps["kind"], (STEP_DROP, STEP_HANDLER))])
        new = (handlers | set(named.tolist()) | (set() if counts is None else _addresses(counts))) - self._told
        if not new:
            return
        self._told |= new
        if self._addresses is None or not all(map(self._addresses.stays, new)):  # modules may have been loaded since
            self._addresses = Addresses(read_kallsyms())
        for address in sorted(new):
            name = self._addresses.name(address)
            if name is None:
                continue
            self._events.append({"kind": "symbol", "time_ns": time_ns, "address": address, "name": name})
            if address in handlers and name not in self._tried:
                self._attach_handler(name, time_ns)

    def _take(self, change: Change, time_ns: int) -> None:
        if change.device is None:
            self._reread(time_ns)
            return
        device = change.device
        key = (device.netns, device.ifindex)
        if change.what == "remove":
            self._devices.pop(key, None)
            self._events.append({"kind": "device-gone", "time_ns": time_ns, "netns": key[0], "ifindex": key[1]})
            return
        known = self._devices.get(key)
        if known and (known.link, known.link_netnsid) == (device.link, device.link_netnsid):
            device = replace(device, link_netns=known.link_netns)  # a notification does not tell it
        if known != device:
            self._devices[key] = device
            self._events.append(device_event(time_ns, device))

    def _reread(self, time_ns: int) -> None:
        """Notifications were lost: compare with what is there now."""
        there = {(d.netns, d.ifindex): d for d in read_devices(self._namespaces, [])}
        for key in [key for key in self._devices if key[0] in self._inodes and key not in there]:
            self._take(Change("remove", self._devices[key]), time_ns)
        for device in there.values():
            self._take(Change("add", device), time_ns)

    def _family(self, first: bool = False) -> Family:
        """The devices to trace now: those named at the start (by ifindex: a rename does not lose them) or
        called so now, with what is below and above them."""
        if not self.interfaces:
            everything = {key for key in self._devices if key[0] in self._inodes}
            return Family(everything, everything)
        here = {key: device for key, device in self._devices.items() if key[0] in self._inodes}
        for key, device in here.items():
            if device.name in self.interfaces:
                self._called.setdefault(device.name, set()).add(key)
                self._named.add(key)
        self._named = {key for key in self._named if key in self._devices}
        if first:
            require_names(here.values(), self.interfaces)
        return family(self._devices.values(), self._named)


def _is_at(namespace: Namespace) -> bool:
    """Is it still at the path by which it was named?"""
    try:
        return os.stat(namespace.path).st_ino == namespace.inode
    except OSError:
        return False


def _loading_of(module: str) -> Optional[int]:
    """A number that tells one loading of a module from the next; ``None`` for the kernel itself and where sysfs does
    not tell. Source: kernfs numbers its directories in turn."""
    if module:
        with suppress(OSError):
            return os.stat(f"/sys/module/{module}").st_ino
    return None


def _addresses(counts: Array) -> set[int]:
    """The functions that are counted by address."""
    keys = counts["key"]
    return set(np.unique(keys["arg"][np.isin(keys["kind"], (STEP_DROP, STEP_HANDLER))]).tolist()) - {0}


def _stage_object(stage: Stage) -> Event:
    """A stage as an event tells it."""
    return {
        "name": stage.name,
        "tells": stage.tells,
        "without": stage.without,
        "missing": stage.missing,
        "probes": [f"{probe.mechanism} {probe.symbol}" for probe in stage.probes],
    }
