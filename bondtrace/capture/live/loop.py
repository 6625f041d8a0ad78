# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop of a live trace: it reads the ring, follows what happens to the surroundings, and makes batches of both.

Invariant: passes that ended before an event are in the same batch as the event, or in an earlier one; the traced
devices follow the named ones when these are renamed, join, leave or are created again; what happens to the trace itself
(a device gone, a module reloaded, a namespace deleted, the clock set) is noted in a sentence.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional, Protocol

from ...format.batch import Batch
from ...format.events import Event, end_event, losses_event, note_event
from ...format.payload import bytes_events
from ...format.wire import Array, Passes, concatenate, decode, kept_bytes, told_sockets
from ...model import Device
from ...net.topology import Family, Key
from ..host.devices import Change, read_devices
from ..host.namespaces import Namespace, list_namespaces
from ..host.underlay import underlays
from .clock import Every, WallClock, now_ns, wall_offset_ns
from .deciders import DeciderNames
from .devices import DeviceFollower
from .handlers import FunctionNames, HandlerFollower
from .ip_settings import IpSettingsFollower
from .namespaces import NamespaceFollower
from .needs import NeedFollower
from .reach import Reach
from .sockets import SocketFollower
from .taps import TapFollower

POLL_S = 0.02
LOSSES_EVERY_NS = 1_000_000_000
READINGS_A_BATCH = 3


class State(Enum):
    """The life of a trace.

    ======== ============================================= ============================================
    state    what a batch holds                            what ends it
    ======== ============================================= ============================================
    RUNNING  what passed and what happened                 ``stop()``, or nothing is left to trace
    STOPPING the same, but taps are no longer read         the current batch is complete
    ENDING   what was still under way, all of the ring,    it is the last
             and taps once more where they are wanted
    ======== ============================================= ============================================
    """

    RUNNING = "running"
    STOPPING = "stopping"
    ENDING = "ending"


class Ring(Protocol):
    """The buffer through which the kernel side sends passes."""

    def read(self) -> Array:
        """Return the slots that are complete, shape (n, 256) of uint8."""


class Tracer(Protocol):
    """What is needed of ``kernel.loader.Tracer``."""

    @property
    def ring(self) -> Ring: ...

    def set_devices(self, devices: Family) -> None: ...

    def counts(self) -> Array: ...

    def counters(self) -> dict[str, list[int]]: ...


class Monitors(Protocol):
    """What is needed of ``namespaces.Monitors``."""

    def waitable(self) -> list[Any]: ...

    def changes(self) -> list[Change]: ...

    def let_go(self, netns: int) -> None: ...


def _devices(namespace: Namespace, others: Sequence[Namespace]) -> Optional[list[Device]]:
    problems: list[str] = []
    found = read_devices([namespace], problems, others)
    return None if problems else found


@dataclass(frozen=True)
class Host:
    """How the loop reads the host. ``now``: CLOCK_MONOTONIC in ns; ``wall_offset``: what to add for the time of day;
    ``devices``: of a namespace, those that are linked to others' found among these, ``None`` if it cannot be read."""

    now: Callable[[], int] = now_ns
    wall_offset: Callable[[], int] = wall_offset_ns
    namespaces: Callable[[], list[Namespace]] = lambda: list(list_namespaces().values())
    devices: Callable[[Namespace, Sequence[Namespace]], Optional[list[Device]]] = _devices
    underlays: Callable[[Iterable[Device], Iterable[Namespace]], Mapping[Key, tuple[Key, ...]]] = underlays


@dataclass(frozen=True)
class Followers:
    """The followers of the surroundings, one for each subject."""

    devices: DeviceFollower
    taps: TapFollower
    namespaces: NamespaceFollower
    handlers: HandlerFollower
    needs: NeedFollower
    functions: FunctionNames
    deciders: DeciderNames
    clock: WallClock
    sockets: SocketFollower = field(default_factory=SocketFollower)
    ip_settings: IpSettingsFollower = field(default_factory=IpSettingsFollower)

    def follow_needs(self, time_ns: int) -> tuple[list[Event], list[str]]:
        """Attach what the devices that are known now, modules or taps need (``NeedFollower.follow``)."""
        return self.needs.follow(self.devices.kinds(), time_ns)


class Loop:
    """Makes the batches of an attached trace.

    :param events: the events of the start, for the first batch.
    :param count_every_s: how often a batch holds the kernel's counts; ``None``: it does not count.
    :param keeps_bytes: the kernel side sends packets' first bytes.
    :param tell: is called with each note.
    """

    def __init__(
        self,
        tracer: Tracer,
        monitors: Monitors,
        followers: Followers,
        events: list[Event],
        count_every_s: Optional[float] = None,
        keeps_bytes: bool = False,
        tell: Callable[[str], None] = lambda text: None,
        host: Optional[Host] = None,
    ) -> None:
        self.state = State.RUNNING
        self._tracer, self._monitors, self._follow, self._events = tracer, monitors, followers, events
        self._counts = None if count_every_s is None else Every(int(count_every_s * 1e9))
        self._losses = Every(LOSSES_EVERY_NS)
        self._keeps_bytes, self._tell, self._host = keeps_bytes, tell, host or Host()
        self._reach = Reach(followers.devices, self._host)

    def stop(self) -> None:
        """End the batches soon; safe in a signal handler."""
        if self.state is State.RUNNING:
            self.state = State.STOPPING

    def batches(self) -> Iterator[Batch]:
        """Yield batches until ``stop()``; the last one holds what was still under way, and the end."""
        while self.state is State.RUNNING:
            yield self.batch()
            select.select(self._monitors.waitable(), [], [], POLL_S)
        whole_until_ns = self._host.now()
        self.state = State.ENDING
        self._tracer.set_devices(Family(set(), set()))
        time.sleep(POLL_S)  # passes that were open when the devices were taken away
        last = self.batch()
        last.events.append(end_event(self._host.now(), whole_until_ns))
        yield last

    def batch(self) -> Batch:
        """Return what has come and happened since the last batch."""
        time_ns = self._host.now()
        moved = self._follow.clock.moved(self._host.wall_offset())
        if moved:
            self._note(moved, time_ns)
        passes = self._drain_and_learn()
        counts = self._count(time_ns)
        self._follow_functions(passes, counts, time_ns)
        self._follow_beyond_ip(passes, time_ns)
        self._follow.needs.notice(passes, counts, self._follow.taps.known, time_ns)
        if self.state is State.RUNNING and self._follow.needs.is_due(time_ns):
            self._follow_needs(time_ns)
        if self.state is State.ENDING or self._losses.is_due(time_ns):
            self._losses.restart(time_ns)
            self._events.append(losses_event(time_ns, self._tracer.counters()))
        events, self._events = self._events, []
        return Batch(passes, events, time_ns, counts)

    # --- what passed ---

    def _drain_and_learn(self) -> Passes:
        """Return the passes that have ended, including those that ended while the surroundings were read: all in one
        batch. Taps are read again where others were hooked in or out meanwhile, because of what passed since; only a
        few times, as some program may do nothing else."""
        parts: list[Passes] = []
        for reading in range(READINGS_A_BATCH + 1):
            is_ending = self.state is State.ENDING
            parts.append(self._drain(whole=is_ending and not parts))
            before = len(self._events)
            self._follow_devices()  # after that the devices of these passes are known
            self._follow.taps.notice(parts[-1])
            if reading < READINGS_A_BATCH and self.state is not State.STOPPING:
                self._follow_taps(at_once=is_ending and not reading)
            if len(self._events) == before:
                break
        return concatenate(parts)

    def _drain(self, whole: bool) -> Passes:
        parts = [self._decode(self._tracer.ring.read())]
        while whole and len(parts[-1]):
            parts.append(self._decode(self._tracer.ring.read()))
        return concatenate(parts)

    def _decode(self, slots: Array) -> Passes:
        if self._keeps_bytes:
            self._events += bytes_events(self._host.now(), kept_bytes(slots))
        if self._follow.sockets.is_asked:
            self._events += self._follow.sockets.take(told_sockets(slots))
        return decode(slots)

    def _count(self, time_ns: int) -> Optional[Array]:
        if self._counts is None or not (self._counts.is_due(time_ns) or self.state is State.ENDING):
            return None
        self._counts.restart(time_ns)
        return self._tracer.counts()

    # --- what happened ---

    def _note(self, sentence: str, time_ns: int) -> None:
        """Note what happened, in the recording and for whoever watches."""
        self._events.append(note_event(time_ns, sentence))
        self._tell(sentence)

    def _follow_taps(self, at_once: bool) -> None:
        time_ns, schedule = self._host.now(), self._follow.taps.schedule
        if not schedule.is_due(time_ns, at_once):
            return
        if schedule.unknown or self._follow.namespaces.listing.is_due(time_ns):
            self._follow_namespaces(time_ns)
        self._events += self._follow.taps.read(time_ns)

    def _follow_namespaces(self, time_ns: int) -> None:
        listed = self._host.namespaces()
        events, gone = self._follow.namespaces.take(listed, time_ns)
        self._follow.taps.watcher.namespaces = listed
        self._events += [*events, *self._reach.forget(listed)]
        for namespace in gone:
            self._let_go(namespace, time_ns)

    def _let_go(self, namespace: Namespace, time_ns: int) -> None:
        self._monitors.let_go(namespace.inode)
        self._events += self._follow.devices.let_go(namespace.inode, time_ns)
        self._retrace(time_ns)
        is_left = bool(self._follow.namespaces.traced)
        rest = "the others still are" if is_left else "nothing is left to trace"
        fact = f"network namespace {namespace.label} no longer has a name or a process"
        self._note(f"{fact}: it is no longer traced; {rest}", time_ns)
        if not is_left:
            self.stop()

    def _follow_devices(self) -> None:
        changes, time_ns = self._monitors.changes(), self._host.now()
        for change in changes:
            self._events += self._reach.take(change, self._namespaces() if change.device is None else (), time_ns)
            self._note_absences(time_ns)  # at once: it may be back by the end of these changes
        before = len(self._events)
        if self.state is State.RUNNING and self._reach.is_due(time_ns):
            if self._reach.everywhere.is_due(time_ns):
                self._follow_namespaces(time_ns)
            self._events += self._reach.read(self._namespaces())
        learned = self._events[before:]
        if changes or learned:
            self._retrace(time_ns)
        for event in learned:  # what was read holds from when it is traced: until then nothing is said of its taps
            if event["kind"] == "device":
                event["time_ns"] = self._host.now()

    def _namespaces(self) -> list[Namespace]:
        """Return the namespaces of the host as they were last listed, and the traced ones."""
        there = (*self._follow.taps.watcher.namespaces, *self._follow.namespaces.traced)
        return list({one.inode: one for one in there}.values())

    def _retrace(self, time_ns: int) -> None:
        """Trace the devices to trace as they are now."""
        devices = self._follow.devices
        self._follow.taps.watcher.know(devices.known.values())
        traced = devices.traced()
        self._note_absences(time_ns)
        if self.state is State.ENDING:
            return
        self._take(self._follow.handlers.follow(devices.handlers(traced.all), time_ns), time_ns)
        self._follow_needs(time_ns)
        self._tracer.set_devices(traced)

    def _follow_needs(self, time_ns: int) -> None:
        """Attach the stages that the devices of the host, modules that were loaded, or taps need now."""
        self._take(self._follow.follow_needs(time_ns), time_ns)

    def _take(self, found: tuple[list[Event], list[str]], time_ns: int) -> None:
        """Take what a follower found: events, and sentences to note."""
        self._events += found[0]
        for sentence in found[1]:
            self._note(sentence, time_ns)

    def _note_absences(self, time_ns: int) -> None:
        for sentence in self._follow.devices.absences():
            self._note(sentence, time_ns)

    def _follow_beyond_ip(self, passes: Passes, time_ns: int) -> None:
        """Look for who holds sockets; read what decides about packets beyond IP, where that is asked for."""
        self._events += self._follow.sockets.find_processes()
        follower = self._follow.ip_settings
        if not follower.is_asked:
            return
        namespaces = self._namespaces()
        if follower.is_due(time_ns):
            self._events += follower.follow(self._follow.devices.here(), namespaces)
        self._events += follower.ask_ways(passes, namespaces)

    def _follow_functions(self, passes: Passes, counts: Optional[Array], time_ns: int) -> None:
        """Name functions; attach to rx_handlers that no device led to."""
        events, handlers = self._follow.functions.follow(passes, counts, time_ns)
        self._events += [*events, *self._follow.deciders.follow(passes, time_ns)]
        for function in handlers:
            if not self._follow.handlers.knows(function):
                self._events.append(self._follow.handlers.attach(function, time_ns))
