# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel as a source of batches: attaches the probes, reports the surroundings at the start, and loops.

A packet's record enters in ``loop``, which reads the ring.
"""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Optional

from ...format.batch import Batch
from ...format.events import Event, device_event, namespace_event, note_event
from ...format.recording import FORMAT
from ...format.stages import BEYOND_IP, FANOUT, PROTOCOL_FUNCTIONS, QUEUED, WHO_DROPPED, essential, phrase
from ...format.wire import EMPTY
from ...net.pcap import Filter
from ...version import __version__
from .. import capabilities
from ..host.devices import read_devices, require_names
from ..host.namespaces import Namespace, current_namespace, list_namespaces, resolve
from ..host.taps import TapWatcher
from ..host.underlay import with_underlays
from ..kernel import loader
from ..kernel.plan import Plan
from .clock import WallClock, now_ns, wall_offset_ns
from .deciders import DeciderNames
from .devices import DeviceFollower
from .handlers import FunctionNames, HandlerFollower, stage_object
from .ip_settings import IpSettingsFollower
from .loop import Followers, Loop
from .namespaces import Monitors, NamespaceFollower
from .needs import NeedFollower, needed
from .sockets import SocketFollower
from .taps import TapFollower

NAMES_SHOWN = 10
# A fanout group's members are counted.
NOT_COUNTED = frozenset((FANOUT, QUEUED, *BEYOND_IP, *PROTOCOL_FUNCTIONS, *WHO_DROPPED))


@dataclass(frozen=True)
class Request:
    """What to trace: ``interfaces`` (all when empty) of the namespaces ``netns`` (the current one when empty), in the
    ``directions`` "rx" and "tx".

    With ``count_every_s`` packets are counted in the kernel, and none is sent; it is how often a batch holds the counts
    so far. ``snaplen``: keep this many bytes of each packet. ``fentry=False``: attach by kprobes only. ``sockets``:
    also see what becomes of packets beyond IP.
    """

    interfaces: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()
    directions: tuple[str, ...] = ("rx", "tx")
    fentry: bool = True
    ring_bytes: int = loader.RING_BYTES
    packet_filter: Optional[Filter] = None
    count_every_s: Optional[float] = None
    snaplen: int = 0
    sockets: bool = False


class LiveSource:
    """A trace of the running kernel; a context manager.

    :param tell: is called with a sentence about each thing that happens to the trace.
    :param drop: is called once attached: gives up the rights that are no longer needed.
    :raises BondtraceError: without the rights to trace, or where no probe can be attached.
    """

    def __init__(
        self, request: Request, tell: Callable[[str], None] = lambda text: None, drop: Callable[[], None] = lambda: None
    ) -> None:
        capabilities.require_rights()
        self._request, self._tell, self._drop = request, tell, drop
        self._traced = [resolve(one) for one in request.netns] or [current_namespace()]
        self._stack = ExitStack()

    def __enter__(self) -> LiveSource:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def describe(self) -> str:
        """Return in one line what is attached."""
        devices = self._followers.devices
        names = sorted(devices.known[key].name for key in devices.traced().all if key in devices.known)
        what = ", ".join(self._request.interfaces) if self._request.interfaces else "all devices"
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        return (
            f"{len(self._tracer.plan.probes)} probes, {what} ({', '.join(names[:NAMES_SHOWN])}{more}), "
            f"{len(self._followers.taps.known)} taps on this host"
        )

    def does_not_see(self) -> list[str]:
        """Return a phrase for each essential stage that is not attached; can be called before any batch is read."""
        wanted = essential(self._request.directions)
        missing = [one for one in self._tracer.plan.stages if one.name in wanted and not one.available]
        return [phrase(stage.tells, stage.name, stage.missing) for stage in missing]

    def stop(self) -> None:
        """End the batches soon; safe in a signal handler."""
        self._loop.stop()

    def batches(self) -> Iterator[Batch]:
        """Yield batches until ``stop()``; the last one holds what was still under way, and the end."""
        return self._loop.batches()

    # --- the start ---

    def _start(self, stack: ExitStack) -> None:
        monitors = stack.enter_context(Monitors(self._traced))  # before devices are read: no change falls between
        listed = list(list_namespaces().values())
        problems: list[str] = []
        found = with_underlays(read_devices(listed, problems), listed)
        devices = DeviceFollower(self._request.interfaces, (one.inode for one in self._traced), found)
        require_names(devices.here(), self._request.interfaces)
        traced = devices.traced()
        kernel = loader.read_kernel()
        handlers = tuple(sorted(devices.handlers(traced.all)))
        modules = {name: kernel.found[name].module for name in handlers if name in kernel.found}
        wanted = needed(devices.kinds(), kernel.found)
        self._tracer = stack.enter_context(self._attached(kernel, handlers, wanted))
        self._tracer.require_packets(self._request.directions)
        self._followers = Followers(
            devices,
            TapFollower(TapWatcher(listed, devices.known.values())),
            NamespaceFollower(self._traced, listed),
            HandlerFollower(modules, self._tracer.attach_handler),
            NeedFollower(self._tracer.plan, self._tracer.attach_stage, detach=self._tracer.detach_stage),
            FunctionNames(),
            DeciderNames(self._tracer.chains, self._tracer.tc_filters),
            WallClock(wall_offset_ns()),
            SocketFollower(self._request.sockets),
            IpSettingsFollower(self._request.sockets, kernel.btf.drop_reasons()),
        )
        taps = self._followers.taps.start()
        needs = self._follow_needs()
        self._tracer.set_devices(traced)  # from here on there are packets, and what they need is attached
        events = [*self._first_events(kernel, listed, problems), *taps, *needs]
        count_every_s, keeps_bytes = self._request.count_every_s, self._request.snaplen > 0
        self._loop = Loop(self._tracer, monitors, self._followers, events, count_every_s, keeps_bytes, self._tell)
        self._drop()

    def _attached(self, kernel: loader.Kernel, handlers: tuple[str, ...], wanted: Collection[str]) -> loader.Tracer:
        """Attach; where the kernel refuses programs with typed arguments, once more without those."""
        return loader.attached(
            lambda plan: self._compiled(kernel, plan),
            lambda refused: loader.make_plan(
                kernel,
                fentry=self._request.fentry,
                refused=refused,
                handlers=handlers,
                needed=wanted,
                asked=BEYOND_IP if self._request.sockets else (),
            ),
        )

    def _compiled(self, kernel: loader.Kernel, plan: Plan) -> loader.Tracer:
        request, counting = self._request, self._request.count_every_s is not None
        if counting:
            plan = plan.only(lambda stage: stage.name not in NOT_COUNTED)
        return loader.Tracer(kernel, plan, request.ring_bytes, request.packet_filter, counting, request.snaplen)

    def _first_events(self, kernel: loader.Kernel, listed: list[Namespace], problems: list[str]) -> list[Event]:
        """Return the events of the start. Its time is when everything is traced, so this is called after that."""
        time_ns = now_ns()
        sentences = [*problems, *(f"without {one.name}, {one.without}" for one in capabilities.missing_helpful())]
        for sentence in dict.fromkeys(sentences):
            self._tell(sentence)
        return [
            self._start_event(time_ns, kernel),
            *(namespace_event(time_ns, one.inode, one.label) for one in listed),
            *(device_event(time_ns, device) for device in self._followers.devices.known.values()),
            *(note_event(time_ns, sentence) for sentence in dict.fromkeys(sentences)),
        ]

    def _follow_needs(self) -> list[Event]:
        """Attach what the taps need that were there at the start; return the events."""
        time_ns, follow = now_ns(), self._followers
        follow.needs.notice(EMPTY, None, follow.taps.known, time_ns)
        return follow.follow_needs(time_ns)[0]

    def _start_event(self, time_ns: int, kernel: loader.Kernel) -> Event:
        request, plan = self._request, self._tracer.plan
        return {
            "kind": "start",
            "time_ns": time_ns,
            "format": FORMAT,
            "bondtrace": __version__,
            "host": socket.gethostname(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "wall_offset_ns": self._followers.clock.offset_ns,
            "netns": self._traced[0].inode,
            "namespaces": sorted({one.inode for one in self._traced}),
            "reaches_out": True,
            "drop_reasons": {str(number): name for number, name in kernel.btf.drop_reasons().items()},
            "interfaces": list(request.interfaces),
            "trace": uuid.uuid4().hex,
            "filter": request.packet_filter.expression if request.packet_filter else None,
            "handlers": list(plan.handlers),
            "directions": list(request.directions),
            "snaplen": request.snaplen,
            "vlan_tpid": True,
            "stages": [stage_object(stage) for stage in plan.stages],
        }
