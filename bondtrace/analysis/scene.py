# SPDX-License-Identifier: GPL-2.0-or-later
"""What surrounds the passes: devices, taps, namespaces, probes, losses, and how they changed.

A scene is built from *events*, plain dicts that a recording holds as JSON and a live trace produces;
so live and later analysis know the same. Every event has ``kind`` and ``time_ns`` (CLOCK_MONOTONIC).
What it keeps true: a question about a time is answered as of that time; every text in a scene is printable, and every
value of the type that it should have, whoever wrote the event (``foreign``).

Event kinds: ``start`` (host, kernel, wall_offset_ns, netns, interfaces, stages, handlers, loop), ``device``,
``device-gone``, ``tap``, ``tap-gone``, ``namespace``, ``stage`` (one that was attached later), ``symbol`` (the
function at an address, low half: true at all times), ``losses`` (counters by CPU), ``note`` (text),
``bytes`` (of packets: contents.py), ``end``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, Optional, TypeVar

import numpy as np

from ..format.wire import RECORD_HOOK, STEP_TAP, Passes
from ..model import Device, Tap, Unseen
from ..util import untrusted

Event = dict[str, Any]


# A packet that was under way when a tap hooked itself in or out may or may not have been offered to it.
HOOK_MARGIN_NS = 1_000_000
_OF_NO_ANSWER = frozenset(("losses", "namespace", "note", "symbol"))
T = TypeVar("T")


class History(Generic[T]):
    """The values of one thing over time; ``None`` where it was gone."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: list[Optional[T]] = []

    def put(self, time_ns: int, value: Optional[T]) -> None:
        """Times come in order but for the first, which holds for all before it too."""
        self._times.append(time_ns)
        self._values.append(value)

    def at(self, time_ns: int) -> Optional[T]:
        """The value then; before the first, the first."""
        place = bisect_right(self._times, time_ns) - 1
        return self._values[max(place, 0)] if self._values else None

    def first_since(self, time_ns: int) -> Optional[T]:
        """The first value put at or after that time; ``None`` where there was none."""
        later = range(bisect_left(self._times, time_ns), len(self._times))
        return next((value for value in map(self._values.__getitem__, later) if value is not None), None)

    def last_known(self) -> Optional[T]:
        """The newest value that is not ``None``: the name of what is gone."""
        return next((value for value in reversed(self._values) if value is not None), None)

    @property
    def first_ns(self) -> int:
        return self._times[0]

    @property
    def gone_ns(self) -> Optional[int]:
        """When it went, if it has."""
        return self._times[-1] if self._values and self._values[-1] is None else None


def device_event(time_ns: int, device: Device) -> Event:
    return {"kind": "device", "time_ns": time_ns, "device": asdict(device)}


def tap_event(time_ns: int, tap: Tap, not_before_ns: Optional[int] = None, read_ns: Optional[int] = None) -> Event:
    """``not_before_ns`` is when a tap that opened during the trace was known not to be there yet; ``read_ns`` when the
    taps began to be read, which had ended by ``time_ns``."""
    # dataclasses.asdict() takes ten times as long, and a host may have thousands
    told = {**vars(tap), "processes": tuple(dict(vars(one)) for one in tap.processes)}
    times_ns = {"read_ns": read_ns, "not_before_ns": not_before_ns}
    return {
        "kind": "tap",
        "time_ns": time_ns,
        "tap": told,
        **{name: one for name, one in times_ns.items() if one is not None},
    }


def sits_on(upper: Device, lower: Device) -> bool:
    """Is one the other's master, or stacked on it? (A veth's link is its peer.)"""
    if lower.master == upper.ifindex and lower.netns == upper.netns:
        return True
    return upper.kind != "veth" and _link(upper) == (lower.netns, lower.ifindex)


def _link(device: Device) -> Optional[tuple[int, int]]:
    """What it is stacked on, (netns, ifindex), where that is known."""
    netns = device.netns if device.link_netnsid is None else device.link_netns
    return None if device.link is None or netns is None else (netns, device.link)


def _share_lower(a: Device, b: Device) -> bool:
    """Do they sit on the same device? A broadcast goes to all macvlans of one."""
    return a.kind == b.kind != "veth" and _link(a) is not None and _link(a) == _link(b)


class _Readings:
    """What was read of a tap, in the order of time: when the reading began, when it had ended, and the tap."""

    def __init__(self) -> None:
        self._begun_ns: list[int] = []
        self._ended_ns: list[int] = []
        self._taps: list[Tap] = []

    def put(self, begun_ns: int, ended_ns: int, tap: Tap) -> None:
        self._begun_ns.append(begun_ns)
        self._ended_ns.append(ended_ns)
        self._taps.append(tap)

    def within(self, since_ns: Optional[int], until_ns: Optional[int], time_ns: int) -> Optional[Tap]:
        """The tap as it was at ``time_ns`` by what was read wholly between two times (``None``: no bound); the first
        reading holds for what was before it, too. ``None`` where nothing was."""
        first = 0 if since_ns is None else bisect_left(self._begun_ns, since_ns)
        last = (len(self._taps) if until_ns is None else bisect_right(self._ended_ns, until_ns)) - 1
        place = min(max(bisect_right(self._begun_ns, time_ns) - 1, first), last)
        return self._taps[place] if first <= last else None


@dataclass
class _Known:
    """What was concluded of one state of a scene."""

    state: tuple[int, int]
    above: dict[tuple[int, int], set[tuple[int, int]]] = field(default_factory=dict)
    directly_above: Optional[dict[tuple[int, int], list[tuple[int, int]]]] = None
    taps: Optional[list[tuple[Tap, str]]] = None
    unseen: dict[object, tuple[Unseen, ...]] = field(default_factory=dict)  # by what passes say: reasons.py


@dataclass
class Scene:
    """Everything known of the surroundings so far."""

    start: Event = field(default_factory=dict)
    devices: dict[tuple[int, int], History[Device]] = field(default_factory=dict)
    taps: dict[int, History[Tap]] = field(default_factory=dict)
    opened_ns: dict[int, tuple[int, int]] = field(default_factory=dict)
    closed_ns: dict[int, tuple[int, int]] = field(default_factory=dict)
    hooks: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)
    namespaces: dict[int, str] = field(default_factory=dict)
    counters: dict[str, list[int]] = field(default_factory=dict)
    notes: list[tuple[int, str]] = field(default_factory=list)
    symbols: dict[int, str] = field(default_factory=dict)
    stages: dict[str, Event] = field(default_factory=dict)
    strangers: set[int] = field(default_factory=set)
    ended: bool = False
    _changes: set[int] = field(default_factory=set)
    _in_order: list[int] = field(default_factory=list)  # the same, where nothing has come since
    _readings: dict[int, _Readings] = field(default_factory=dict)  # by inode
    _begins_are_told: bool = False  # of readings: older recordings tell only their ends
    _numbered: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # by ifindex the devices that have it
    _told: int = 0  # how often something came on which an answer may hang
    _known: _Known = field(default_factory=lambda: _Known((-1, -1)))

    def apply(self, event: Event) -> None:
        """Take one event; ``ValueError`` for one that holds what it should not, of which nothing is taken. Kinds that a
        newer bondtrace may write are passed over."""
        kind, time_ns = event.get("kind"), untrusted.time_ns(event)
        take = self._TAKES.get(kind) if isinstance(kind, str) else None
        if take is not None:
            take(self, untrusted.event(event), time_ns)
            self._told += kind not in _OF_NO_ANSWER

    def is_first_word(self, event: Event) -> bool:
        """Does it tell of a device of which nothing was told before?"""
        told = event.get("device") if event.get("kind") == "device" else None
        if not isinstance(told, dict):
            return False
        key = told.get("netns"), told.get("ifindex")
        return all(isinstance(one, int) for one in key) and key not in self.devices

    def _start(self, event: Event, time_ns: int) -> None:
        for name in ("host", "kernel", "filter"):
            untrusted.text(event.get(name) or "")
        untrusted.offset_ns(event)
        untrusted.number(event.get("netns", 0))
        event["directions"] = [untrusted.text(one) for one in untrusted.items(event.get("directions") or ())]
        event["handlers"] = [untrusted.text(one) for one in untrusted.items(event.get("handlers", ()))]
        names = untrusted.mapping(event.get("drop_reasons") or {})
        event["drop_reasons"] = {number: untrusted.text(name) for number, name in names.items()}
        stages = [untrusted.stage(one) for one in untrusted.items(event.get("stages", ()))]
        self.start, self.stages = event, {one["name"]: one for one in stages}

    def _stage(self, event: Event, time_ns: int) -> None:
        stage = untrusted.stage(event.get("stage"))
        self.stages[stage["name"]] = stage

    def _symbol(self, event: Event, time_ns: int) -> None:
        self.symbols[untrusted.number(event.get("address"))] = untrusted.text(event.get("name"))

    def _device(self, event: Event, time_ns: int) -> None:
        device = untrusted.device(event.get("device"))
        self._came_or_went(event, time_ns)
        self._of_device((device.netns, device.ifindex)).put(time_ns, device)

    def _device_gone(self, event: Event, time_ns: int) -> None:
        key = untrusted.number(event.get("netns")), untrusted.number(event.get("ifindex"))
        self._came_or_went(event, time_ns)
        self._of_device(key).put(time_ns, None)

    def _of_device(self, key: tuple[int, int]) -> History[Device]:
        if key not in self.devices:
            self.devices[key] = History()
            self._numbered.setdefault(key[1], []).append(key)
        return self.devices[key]

    def _tap(self, event: Event, time_ns: int) -> None:
        tap = untrusted.tap(event.get("tap"))
        read_ns = untrusted.number(event.get("read_ns", time_ns))
        if "not_before_ns" in event:
            before_ns = self._came_or_went(event, time_ns)
            if tap.inode not in self.taps:
                self.opened_ns[tap.inode] = before_ns, time_ns
        self._begins_are_told |= "read_ns" in event
        self._changed(read_ns)
        self.closed_ns.pop(tap.inode, None)  # it is listed again
        self.taps.setdefault(tap.inode, History()).put(read_ns, tap)
        self._readings.setdefault(tap.inode, _Readings()).put(read_ns, time_ns, tap)

    def _tap_gone(self, event: Event, time_ns: int) -> None:
        inode = untrusted.number(event.get("inode"))
        before_ns = self._came_or_went(event, time_ns)
        self.taps.setdefault(inode, History()).put(time_ns, None)
        self.closed_ns[inode] = before_ns, time_ns

    def _came_or_went(self, event: Event, time_ns: int) -> int:
        """An answer may be another from now on, and from when the change was known not to have happened: that time."""
        before_ns = untrusted.number(event.get("not_before_ns", time_ns))
        for changed_ns in {time_ns, before_ns}:
            self._changed(changed_ns, changed_ns + 1)
        return before_ns

    def _namespace(self, event: Event, time_ns: int) -> None:
        self.namespaces[untrusted.number(event.get("netns"))] = untrusted.text(event.get("name"))

    def _losses(self, event: Event, time_ns: int) -> None:
        counters = untrusted.mapping(event.get("counters"))
        self.counters = {
            name: [untrusted.number(one) for one in untrusted.items(values)] for name, values in counters.items()
        }

    def _note(self, event: Event, time_ns: int) -> None:
        self.notes.append((time_ns, untrusted.text(event.get("text"))))

    def _end(self, event: Event, time_ns: int) -> None:
        self.ended = True

    _TAKES: ClassVar[dict[str, Callable[[Scene, Event, int], None]]] = {
        "start": _start,
        "stage": _stage,
        "symbol": _symbol,
        "device": _device,
        "device-gone": _device_gone,
        "tap": _tap,
        "tap-gone": _tap_gone,
        "namespace": _namespace,
        "losses": _losses,
        "note": _note,
        "end": _end,
    }

    @property
    def handlers(self) -> list[str]:
        """The rx_handlers that are seen, those of the start first."""
        first = [str(name) for name in self.start.get("handlers", ())]
        later = [name for name, stage in self.stages.items() if stage.get("handler") and not stage.get("missing")]
        return list(dict.fromkeys([*first, *later]))

    def drop_reason(self, number: int) -> Optional[str]:
        """The kernel's name for why it dropped a packet; ``None`` where this kernel has none (before 5.17)."""
        names = self.start.get("drop_reasons") or {}
        return str(names.get(str(number), f"reason {number}")) if names else None

    @property
    def wall_offset_ns(self) -> int:
        """Add to CLOCK_MONOTONIC to get nanoseconds since the Unix epoch."""
        return int(self.start.get("wall_offset_ns", 0))

    def device(self, netns: int, ifindex: int, time_ns: int) -> Optional[Device]:
        """The device as it was then, or as it last was if it had gone."""
        history = self.devices.get((netns, ifindex))
        return (history.at(time_ns) or history.last_known()) if history else None

    def device_name(self, netns: int, ifindex: int, time_ns: int) -> str:
        """Its name then; ``if7`` where the name is not known."""
        device = self.device(netns, ifindex, time_ns)
        return device.name if device else f"if{ifindex}"

    def tap(self, inode: int, time_ns: int) -> Optional[Tap]:
        """The tap as it was then, as far as that is known, or as it last was."""
        history = self.taps.get(inode)
        return self._tap_then(inode, history, time_ns)[0] if history else None

    def tap_surely(self, inode: int, time_ns: int) -> Optional[Tap]:
        """The tap as it surely was then; ``None`` where nobody knows."""
        history = self.taps.get(inode)
        tap, is_sure = self._tap_then(inode, history, time_ns) if history else (None, False)
        return tap if is_sure else None

    def take_hooks(self, passes: Passes) -> Passes:
        """Take the records that tell when taps were hooked in and out; give the others."""
        hooks = passes.records["kind"] == RECORD_HOOK
        if not hooks.any():
            return passes
        told = passes.take(hooks & (np.diff(passes.offsets) > 0))
        steps = told.steps[told.offsets[:-1]]
        for time_ns, inode, added in zip(
            told.records["time_ns"].tolist(), steps["arg"].tolist(), steps["result"].tolist()
        ):
            insort(self.hooks.setdefault(inode, []), (time_ns, bool(added)))
            self._changed(max(time_ns - HOOK_MARGIN_NS, 0), time_ns, time_ns + HOOK_MARGIN_NS + 1)
        self._told += 1
        return passes.take(~hooks)

    def meet(self, passes: Passes) -> None:
        """Keep in ``strangers`` the taps that were given these packets and are in no list so far."""
        self.meet_taps(np.unique(passes.steps["arg"][passes.steps["kind"] == STEP_TAP]).tolist())

    def meet_taps(self, inodes: Iterable[int]) -> None:
        """The same, of the taps with these inodes."""
        self.strangers.update(inode for inode in inodes if self.tap(inode, 0) is None)

    def unknown_taps(self) -> list[int]:
        """The inodes of the taps that were given packets and of which nothing else was ever told; 0 is that of
        a socket that was being closed."""
        return sorted(inode for inode in self.strangers if self.tap(inode, 0) is None)

    def _changed(self, *times_ns: int) -> None:
        """From these times on an answer may be another than before."""
        self._changes.update(times_ns)

    @property
    def changes_ns(self) -> list[int]:
        """The times from which on an answer may be another than before: in order, each once."""
        if len(self._in_order) != len(self._changes):
            self._in_order = sorted(self._changes)
        return self._in_order

    def known(self, time_ns: int) -> _Known:
        """What was concluded for this time, and holds as long as nothing changes; a place for more of it."""
        state = bisect_right(self.changes_ns, time_ns), self._told
        if state != self._known.state:
            self._known = _Known(state)
        return self._known

    def above(self, key: tuple[int, int], time_ns: int) -> set[tuple[int, int]]:
        """Every device that was stacked on this one then (its master, or something on that, maybe in another
        namespace), the device itself where they go in a circle."""
        known = self.known(time_ns)
        if key not in known.above:
            if known.directly_above is None:
                known.directly_above = self._directly_above(time_ns)
            found: set[tuple[int, int]] = set()
            level = {key}
            while level:
                level = {upper for lower in level for upper in known.directly_above.get(lower, ())} - found
                found |= level
            known.above[key] = found
        return known.above[key]

    def _directly_above(self, time_ns: int) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """By device those that sit on it."""
        devices = {key: device for key in self.devices if (device := self.device(*key, time_ns)) is not None}
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for key, device in devices.items():
            below = _link(device)
            master = device.netns, device.master or 0
            if below in devices and sits_on(device, devices[below]):
                found.setdefault(below, []).append(key)
            if device.master is not None and master in devices:
                found.setdefault(key, []).append(master)
        return found

    def taps_at(self, begin_ns: int) -> list[tuple[Tap, str]]:
        """(tap, presence) for every tap of that time; the presence is "hooked", "not yet", "out" (bound to
        nothing, or its device is down), "unsure" (it came or went about then) or "unread" (it was not read as it was
        then). Taps that had closed are left out."""
        known = self.known(begin_ns)
        if known.taps is None:
            found = []
            for inode, history in self.taps.items():
                tap, is_sure = self._tap_then(inode, history, begin_ns)
                presence = self._presence(inode, begin_ns, tap)
                if presence == "hooked" or (presence == "out" and not self._comes_back(inode, begin_ns)):
                    presence = presence if is_sure else "unread"
                if presence != "closed" and tap is not None:
                    found.append((tap, presence))
            known.taps = found
        return known.taps

    def _comes_back(self, inode: int, time_ns: int) -> bool:
        """Is it hooked in after that? Then it is not in a fanout group until then, whose members have no hook."""
        hooks = self.hooks.get(inode, ())
        place = bisect_right(hooks, (time_ns, True))
        return place < len(hooks) and hooks[place][1]

    def _presence(self, inode: int, time_ns: int, tap: Optional[Tap]) -> str:
        hooks = self.hooks.get(inode)
        is_member = tap is not None and tap.fanout_id is not None
        if hooks and not is_member:
            return self._by_hooks(hooks, inode, time_ns)
        presence = self._by_readings(hooks, inode, time_ns, is_member)
        return "out" if presence == "hooked" and tap is not None and tap.running is False else presence

    def _by_readings(self, hooks: Optional[list[tuple[int, bool]]], inode: int, time_ns: int, is_member: bool) -> str:
        """From when it was listed, where its hooks do not tell all, or nothing."""
        closed = self.closed_ns.get(inode)
        if hooks and inode in self.opened_ns:  # it joined its fanout group after it was bound
            if time_ns < hooks[0][0]:
                return "not yet"
            if closed is None or time_ns < closed[0]:
                place = bisect_right(hooks, (time_ns, True))
                near = any(abs(time_ns - at_ns) <= HOOK_MARGIN_NS for at_ns, _ in hooks[max(place - 1, 0) : place + 1])
                return "unsure" if near else "hooked"
        elif not is_member and inode in self.opened_ns and self._hooks_are_told():
            return "not yet" if time_ns <= self.opened_ns[inode][0] else "out"
        if closed is not None and time_ns >= closed[0]:
            return "closed" if time_ns > closed[1] else "unsure"
        opened = self.opened_ns.get(inode)
        if opened is not None and time_ns <= opened[1]:
            return "not yet" if time_ns <= opened[0] else "unsure"
        return "hooked"

    def _hooks_are_told(self) -> bool:
        """Is it told when taps are hooked in and out, so that silence means that one was not?"""
        return any(stage["name"] == "tap hooks" and not stage.get("missing") for stage in self.stages.values())

    def _tap_then(self, inode: int, history: History[Tap], time_ns: int) -> tuple[Optional[Tap], bool]:
        """The tap as it was then, and whether that is sure: how it is bound changes where it is hooked in or out (a new
        bind, a ring, a fanout group), so what was read before that, or meanwhile, may be of another state."""
        hooks = self.hooks.get(inode)
        if not hooks:
            return history.at(time_ns) or history.last_known(), True
        place = bisect_right(hooks, (time_ns, True))
        since_ns = hooks[place - 1][0] if place else None
        until_ns = hooks[place][0] if place < len(hooks) else None
        readings = self._readings.get(inode)
        read = readings.within(since_ns, until_ns, time_ns) if readings else None
        if read is not None:
            return read, True
        later = None if since_ns is None else history.first_since(since_ns)
        return later or history.at(time_ns) or history.last_known(), not self._begins_are_told

    def _by_hooks(self, hooks: list[tuple[int, bool]], inode: int, time_ns: int) -> str:
        """From the exact times at which the tap was hooked in and out."""
        past = bisect_right(hooks, (time_ns, True))
        if past:
            at_ns, added = hooks[past - 1]
            if time_ns - at_ns <= HOOK_MARGIN_NS:
                return "unsure"
            if added:
                return "hooked"
            # Its last hook: where it was listed after that, it had not been closed by then.
            closed = self.closed_ns.get(inode)
            return "closed" if closed is not None and past == len(hooks) and time_ns >= closed[0] else "out"
        if inode in self.opened_ns:
            return "not yet"
        return "out" if hooks[0][1] else "hooked"

    def related(self, first: tuple[int, int], second: tuple[int, int], way: str) -> bool:
        """Can a packet go from the first device to the second? Up: what is received goes to what sits on a device,
        or copies of it to several such, or by a veth elsewhere; down: what is sent goes to what the device sits on;
        over: from what sends to what receives; through: what was received is sent, routed in its namespace (at once it
        is nested in the receive, later if its next hop had to be asked for)."""
        a, b = self._newest(first), self._newest(second)
        if a is None or b is None or first == second:
            return False
        if way != "down" and self._crosses_veth(a, b):
            return True
        if way == "up":
            return sits_on(b, a) or _share_lower(a, b)
        if way == "down":
            return sits_on(a, b)
        if way == "through":
            return a.netns == b.netns and not sits_on(a, b) and not sits_on(b, a)
        return sits_on(a, b) or sits_on(b, a) or _share_lower(a, b)

    def _crosses_veth(self, a: Device, b: Device) -> bool:
        """Can a packet of ``a`` be sent into the veth whose other end is ``b``: from that end itself, or switched or
        routed to it in its namespace? (A veth that no tap listens on has no pass of its own for what it sends.)"""
        if b.kind != "veth":
            return False
        peers = (self._newest(key) for key in self._numbered.get(b.link or 0, ()))
        return any(
            peer is not None
            and peer.kind == "veth"
            and peer.link == b.ifindex
            and peer.netns == a.netns
            and (peer.netns, peer.ifindex) != (b.netns, b.ifindex)
            for peer in peers
        )

    def _newest(self, key: tuple[int, int]) -> Optional[Device]:
        history = self.devices.get(key)
        return history.last_known() if history else None

    def losses(self) -> dict[str, int]:
        """Every way in which something was lost, with its count; only those that are not zero."""
        named = {
            "lost": "records lost",
            "steps_lost": "steps that did not fit",
            "too_deep": "passes nested too deep",
            "unbalanced": "begins or ends missed",
            "probe_misses": "probe firings missed",
        }
        totals = {text: sum(self.counters.get(name, ())) for name, text in named.items()}
        return {text: total for text, total in totals.items() if total}

    def filter_words(self) -> list[str]:
        """What the trace was narrowed to, how many packets were kept unasked, and how many without their bytes, as
        phrases."""
        expression = self.start.get("filter")
        blind = sum(self.counters.get("filter_blind", ()))
        told = [f"only packets that match {str(expression)!r}"] if expression else []
        told += [f"kept unasked, their bytes out of the filter's reach: {blind}"] if blind else []
        without = sum(self.counters.get("data_lost", ()))
        return [*told, f"packets whose bytes were not kept: {without}"] if without else told

    def missing_stages(self) -> list[str]:
        """A sentence for each stage that is not attached."""
        return [
            f"{stage['name']}: {stage['without']} ({stage['missing']})"
            for stage in self.stages.values()
            if stage.get("missing")
        ]
