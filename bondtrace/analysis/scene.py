# SPDX-License-Identifier: GPL-2.0-or-later
"""What surrounds the passes: devices, taps, namespaces, stages, losses, and how they changed.

A scene is built from events (format/events.py) and from the records of taps being hooked in and out, one by one as they
come. ``device_history`` and ``tap_history`` keep what changes over time.

Invariant: a question about a time is answered as of that time; every text in a scene is printable, and every value has
the right type, whoever wrote the event.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Optional

import numpy as np

from ..format.events import (
    NAMES,
    Event,
    checked,
    event_time_ns,
    read_device,
    read_ip_settings,
    read_socket,
    read_stage,
    read_tap,
    wall_offset_ns,
)
from ..format.stages import TAP_HOOKS, WHO_DROPPED
from ..format.wire import RECORD_HOOK, STEP_TAP, Passes
from ..model import ETH_P_ALL, Device, Tap, Unseen
from ..net.netfilter import chain_phrase
from ..net.tc import filter_phrase
from ..net.topology import Key, key_of
from ..util.untrusted import items, mapping, number, text
from .device_history import Devices, above
from .history import LAST_NS, Changes
from .ip_facts import IpFacts
from .sockets import Sockets
from .tap_history import HOOK_MARGIN_NS, Presence, Taps
from .tap_names import label, told_apart

_OF_NO_ANSWER = frozenset(("losses", "namespace", "note", *NAMES, "socket", "ip-settings", "route"))
_TRACED_KEPT = 8
# As host/namespaces.py labels those without a name of their own.
_BY_PROCESS = re.compile(r"netns of pid \d+( \(.*\))?|net:\[\d+\]|container [\w.-]+", re.DOTALL)
_CHAIN, _TC_FILTER = 1 << 32, 1 << 33  # beyond the low halves of addresses
_LOSSES = {
    "lost": "records lost",
    "steps_lost": "steps that did not fit",
    "too_deep": "passes nested too deep",
    "unbalanced": "begins or ends missed",
    "probe_misses": "probe firings missed",
}


@dataclass
class Known:
    """What was concluded for one state of a scene, which holds as long as nothing changes."""

    state: tuple[int, int]
    above: dict[Key, set[Key]] = field(default_factory=dict)
    stacking: Optional[dict[Key, list[Key]]] = None
    taps: Optional[list[tuple[Tap, Presence]]] = None
    names: Optional[dict[int, str]] = None  # of taps
    unseen: dict[object, tuple[Unseen, ...]] = field(default_factory=dict)  # by what passes say: why_unseen.py


@dataclass
class Sending:
    """Where taps for all protocols listen, and what follows for what is sent: only with such a tap, on the device or on
    none, does the kernel show what a device sends."""

    state: Optional[tuple[int, int]] = None
    places: set[Key] = field(default_factory=set)
    waiting: set[Key] = field(default_factory=set)

    def is_heard(self, key: Key) -> bool:
        """Is what this device sends shown?"""
        return key in self.places or (key[0], 0) in self.places


@dataclass
class Concluded:
    """What was concluded so far: for the state that was last asked for, and which devices were traced, by state."""

    known: Known = field(default_factory=lambda: Known((-1, -1)))
    traced: dict[tuple[int, int], set[Key]] = field(default_factory=dict)  # few are asked for in turn
    sending: Sending = field(default_factory=Sending)


@dataclass(frozen=True)
class BeyondIp:
    """What is known of what comes beyond IP: the sockets that were given packets, and what decides about packets."""

    sockets: Sockets = field(default_factory=Sockets)
    facts: IpFacts = field(default_factory=IpFacts)


class Scene:
    """Everything known of the surroundings so far."""

    def __init__(self) -> None:
        self.start: Event = {}
        self.devices = Devices()
        self.taps = Taps()
        self.beyond = BeyondIp()
        self.namespaces: dict[int, str] = {}
        self.counters: dict[str, list[int]] = {}
        self.notes: list[tuple[int, str]] = []
        self.symbols: dict[int, str] = {}
        self.stages: dict[str, Event] = {}
        self.ended = False
        self._changes = Changes()
        self._concluded = Concluded()

    # --- events ---

    def apply(self, event: Event) -> None:
        """Take one event. Kinds that a newer bondtrace may write are ignored.

        :raises ValueError: for a malformed event; nothing of it is taken.
        """
        kind, time_ns = event.get("kind"), event_time_ns(event)
        take = self._TAKES.get(kind) if isinstance(kind, str) else None
        if take is not None:
            take(self, checked(event), time_ns)
            if kind not in _OF_NO_ANSWER:
                self._changes.learn()

    def is_first_word(self, event: Event) -> bool:
        """Is it the first event of its device?"""
        values = event.get("device") if event.get("kind") == "device" else None
        if not isinstance(values, dict):
            return False
        key = values.get("netns"), values.get("ifindex")
        return all(isinstance(one, int) for one in key) and key not in self.devices

    def take_hooks(self, passes: Passes) -> Passes:
        """Take the records of taps being hooked in and out; return the others."""
        hooks = passes.records["kind"] == RECORD_HOOK
        if not hooks.any():
            return passes
        taken = passes.take(hooks & (np.diff(passes.offsets) > 0))
        steps = taken.steps[taken.offsets[:-1]]
        times_ns, inodes = taken.records["time_ns"].tolist(), steps["arg"].tolist()
        for time_ns, inode, is_in in zip(times_ns, inodes, steps["result"].tolist()):
            self.taps.hook(inode, time_ns, bool(is_in))
            self._changes.add(max(time_ns - HOOK_MARGIN_NS, 0), time_ns, time_ns + HOOK_MARGIN_NS + 1)
        self._changes.learn()
        return passes.take(~hooks)

    def meet(self, passes: Passes) -> None:
        """Remember the taps that were given these packets and are in no list so far."""
        self.taps.meet(np.unique(passes.steps["arg"][passes.steps["kind"] == STEP_TAP]).tolist())

    def _start(self, event: Event, time_ns: int) -> None:
        for name in ("host", "kernel", "filter", "selection"):
            text(event.get(name) or "")
        wall_offset_ns(event)
        number(event.get("netns", 0))
        event["interfaces"] = [text(one) for one in items(event.get("interfaces") or ())]
        if "namespaces" in event:
            event["namespaces"] = [number(one) for one in items(event["namespaces"])]
        event["reaches_out"] = event.get("reaches_out") is True
        event["directions"] = [text(one) for one in items(event.get("directions") or ())]
        event["handlers"] = [text(one) for one in items(event.get("handlers", ()))]
        names = mapping(event.get("drop_reasons") or {})
        event["drop_reasons"] = {reason: text(name) for reason, name in names.items()}
        stages = [read_stage(one) for one in items(event.get("stages", ()))]
        self.start, self.stages = event, {one["name"]: one for one in stages}

    def _stage(self, event: Event, time_ns: int) -> None:
        stage = read_stage(event.get("stage"))
        self.stages[stage["name"]] = stage

    def _symbol(self, event: Event, time_ns: int) -> None:
        self.symbols[number(event.get("address"))] = text(event.get("name"))

    def _chain(self, event: Event, time_ns: int) -> None:
        family, table, chain, hook = (text(event.get(name)) for name in ("family", "table", "chain", "hook"))
        self.symbols[_CHAIN | number(event.get("number"))] = chain_phrase(family, table, chain, hook)

    def _tc_filter(self, event: Event, time_ns: int) -> None:
        protocol, priority, chain, left = (
            number(event.get(name)) for name in ("protocol", "priority", "chain", "actions_left")
        )
        actions = [text(one) for one in items(event.get("actions"))]
        phrase = filter_phrase(text(event.get("filter")), protocol, priority, chain, actions, left)
        self.symbols[_TC_FILTER | number(event.get("number"))] = phrase

    def _device(self, event: Event, time_ns: int) -> None:
        device = read_device(event.get("device"))
        self._came_or_went(event, time_ns)
        self.devices.put(key_of(device), time_ns, device)

    def _device_gone(self, event: Event, time_ns: int) -> None:
        key = number(event.get("netns")), number(event.get("ifindex"))
        self._came_or_went(event, time_ns)
        self.devices.put(key, time_ns, None)

    def _tap(self, event: Event, time_ns: int) -> None:
        tap = read_tap(event.get("tap"))
        read_ns = number(event["read_ns"]) if "read_ns" in event else None
        is_new = tap.inode not in self.taps
        before_ns = self._came_or_went(event, time_ns) if "not_before_ns" in event else None
        history = self.taps.put(tap.inode)
        if is_new and before_ns is not None:
            history.opened(before_ns, time_ns)
        self._changes.add(time_ns if read_ns is None else read_ns)
        history.read(tap, read_ns, time_ns)

    def _tap_gone(self, event: Event, time_ns: int) -> None:
        inode = number(event.get("inode"))
        before_ns = self._came_or_went(event, time_ns)
        self.taps.put(inode).closed(before_ns, time_ns)

    def _socket(self, event: Event, time_ns: int) -> None:
        self.sockets.put(time_ns, read_socket(event.get("socket")))

    def _ip_settings(self, event: Event, time_ns: int) -> None:
        self.beyond.facts.put_settings(time_ns, read_ip_settings(event.get("ip_settings")))

    def _route(self, event: Event, time_ns: int) -> None:
        devices = tuple(number(one) for one in items(event.get("devices")))
        self.beyond.facts.put_way(time_ns, number(event.get("netns")), text(event.get("address")), devices)

    def _came_or_went(self, event: Event, time_ns: int) -> int:
        """Note that answers may differ from this time on, and from the last time when the change was known not to have
        happened yet; return the latter."""
        before_ns = number(event.get("not_before_ns", time_ns))
        for changed_ns in {time_ns, before_ns}:
            self._changes.add(changed_ns, changed_ns + 1)
        return before_ns

    def _namespace(self, event: Event, time_ns: int) -> None:
        self.namespaces[number(event.get("netns"))] = text(event.get("name"))

    def _losses(self, event: Event, time_ns: int) -> None:
        counters = mapping(event.get("counters"))
        self.counters = {name: [number(one) for one in items(values)] for name, values in counters.items()}

    def _note(self, event: Event, time_ns: int) -> None:
        self.notes.append((time_ns, text(event.get("text"))))

    def _end(self, event: Event, time_ns: int) -> None:
        self.ended = True

    _TAKES: ClassVar[dict[str, Callable[[Scene, Event, int], None]]] = {
        "start": _start,
        "stage": _stage,
        "symbol": _symbol,
        "chain": _chain,
        "tc-filter": _tc_filter,
        "device": _device,
        "device-gone": _device_gone,
        "tap": _tap,
        "tap-gone": _tap_gone,
        "namespace": _namespace,
        "socket": _socket,
        "ip-settings": _ip_settings,
        "route": _route,
        "losses": _losses,
        "note": _note,
        "end": _end,
    }

    # --- the trace ---

    @property
    def sockets(self) -> Sockets:
        """The sockets that were given packets."""
        return self.beyond.sockets

    @property
    def handlers(self) -> list[str]:
        """The rx_handlers that are attached, those of the start first."""
        first = [str(name) for name in self.start.get("handlers", ())]
        later = [name for name, stage in self.stages.items() if stage.get("handler") and not stage.get("missing")]
        return list(dict.fromkeys([*first, *later]))

    @property
    def wall_offset_ns(self) -> int:
        """What to add to CLOCK_MONOTONIC to get nanoseconds since the Unix epoch."""
        return int(self.start.get("wall_offset_ns", 0))

    def chain(self, number: int) -> Optional[str]:
        """Return the netfilter chain that drops have by this number; ``None`` where it was not recorded."""
        return self.symbols.get(_CHAIN | number)

    def tc_filter(self, number: int) -> Optional[str]:
        """Return the filter of tc that drops have by this number; ``None`` where it was not recorded."""
        return self.symbols.get(_TC_FILTER | number)

    def drop_reason(self, reason: int) -> Optional[str]:
        """Return the kernel's name for why it dropped a packet; ``None`` where this kernel has none (before 5.17)."""
        names = self.start.get("drop_reasons") or {}
        return str(names.get(str(reason), f"reason {reason}")) if names else None

    def attaches(self, stage: str) -> bool:
        """Does the trace have this stage, and is it attached?"""
        found = self.stages.get(stage)
        return found is not None and not found.get("missing")

    def losses(self) -> dict[str, int]:
        """Return every way in which something was lost, with its count; only those that are not zero."""
        totals = {words: sum(self.counters.get(name, ())) for name, words in _LOSSES.items()}
        return {words: total for words, total in totals.items() if total}

    def filter_words(self) -> list[str]:
        """Return, as phrases, what the trace was filtered by, what was selected of it, how many packets were kept
        without being asked for, and how many without their bytes."""
        expression = self.start.get("filter")
        blind, without = (sum(self.counters.get(name, ())) for name in ("filter_blind", "data_lost"))
        phrases = [f"only packets that match {str(expression)!r}"] if expression else []
        selection = self.start.get("selection")
        phrases += [f"only journeys selected by {selection}"] if selection else []
        phrases += [f"kept unasked, their bytes out of the filter's reach: {blind}"] if blind else []
        return [*phrases, f"packets whose bytes were not kept: {without}"] if without else phrases

    def missing_stages(self) -> list[str]:
        """Return a sentence for each stage that is not attached and whose absence may hide something. Which chain of
        netfilter, or filter of tc, dropped a packet only explains a drop that is told anyway."""
        missing = [stage for name, stage in self.stages.items() if stage.get("missing") and name not in WHO_DROPPED]
        return [f"{stage['name']}: {stage['without']} ({stage['missing']})" for stage in missing]

    # --- as of a time ---

    @property
    def changes_ns(self) -> list[int]:
        """The times from which on an answer may differ from before: ascending, without duplicates."""
        return self._changes.in_order

    def known(self, time_ns: int) -> Known:
        """Return what was concluded for this time so far, to be read and added to."""
        state = self._changes.state(time_ns)
        if state != self._concluded.known.state:
            self._concluded.known = Known(state)
        return self._concluded.known

    def namespace_name(self, netns: int) -> str:
        """Return the name that a namespace has of its own, as `ip netns` shows it; "" for one that is known only by its
        number or by a process."""
        name = self.namespaces.get(netns, "")
        return "" if _BY_PROCESS.fullmatch(name) else name

    def namespace_label(self, netns: int) -> str:
        """Return what people call a namespace: that in which bondtrace ran is "(this one)", unless it has a name."""
        name = self.namespace_name(netns)
        if not name and netns == self.start.get("netns"):
            return "(this one)"
        return self.namespaces.get(netns) or f"net:[{netns}]"

    def device(self, netns: int, ifindex: int, time_ns: int) -> Optional[Device]:
        """Return the device as it was then, or as it last was if it had gone."""
        return self.devices.at((netns, ifindex), time_ns)

    def device_name(self, netns: int, ifindex: int, time_ns: int) -> str:
        """Return its name then; ``if7`` where the name is not known."""
        device = self.device(netns, ifindex, time_ns)
        return device.name if device else f"if{ifindex}"

    def on(self, key: Key, time_ns: int) -> list[Key]:
        """Return the devices that sat directly on this one then, maybe in another namespace."""
        return self._stacking(time_ns).get(key, [])

    def vlans_on(self, key: Key, time_ns: int) -> list[Device]:
        """Return the VLAN devices that sat directly on this one then."""
        devices = (self.device(*upper, time_ns) for upper in self.on(key, time_ns))
        return [device for device in devices if device is not None and device.kind == "vlan"]

    def above(self, key: Key, time_ns: int) -> set[Key]:
        """Return every device that was stacked on this one then, directly or not, maybe in another namespace."""
        known = self.known(time_ns)
        if key not in known.above:
            known.above[key] = above(key, self._stacking(time_ns))
        return known.above[key]

    def _stacking(self, time_ns: int) -> dict[Key, list[Key]]:
        known = self.known(time_ns)
        if known.stacking is None:
            known.stacking = self.devices.stacking(time_ns)
        return known.stacking

    def traced(self, time_ns: int) -> Optional[set[Key]]:
        """Return the devices that the trace covered then; ``None`` where its recording does not say."""
        if "namespaces" not in self.start:
            return None
        state = self._changes.state(time_ns)
        traced = self._concluded.traced
        if state not in traced:
            if len(traced) >= _TRACED_KEPT:
                traced.clear()
            names, namespaces = self.start.get("interfaces", ()), self.start["namespaces"]
            reaches_out, start_ns = self.start["reaches_out"], event_time_ns(self.start)
            traced[state] = self.devices.traced(names, namespaces, time_ns, reaches_out, start_ns)
        return traced[state]

    def waiting(self) -> set[Key]:
        """Return the devices of which what they send is to be seen once more, maybe late, as it is sent below them:
        where taps for all protocols listen now."""
        return self._sending().waiting

    def unheard_below(self, key: Key) -> list[Key]:
        """Return by which devices what this one sends may leave without a tap that would show it, as of now."""
        is_heard, sent_by = self._sending().is_heard, self.devices.sent_by
        return [one for one in sorted(sent_by(key)) if not sent_by(one) and not is_heard(one)]

    def _sending(self) -> Sending:
        state = self._changes.state(LAST_NS)
        if self._concluded.sending.state != state:
            taps = (history.last_known() for history in self.taps.values() if history.closed_ns is None)
            places = {(tap.netns, tap.ifindex) for tap in taps if tap is not None and tap.protocol == ETH_P_ALL}
            self._concluded.sending = sending = Sending(state, places)
            sending.waiting = self.devices.sending_again(sending.is_heard)
        return self._concluded.sending

    def tap(self, inode: int, time_ns: int) -> Optional[Tap]:
        """Return the tap as it was then, as far as that is known, or as it last was."""
        return self.taps[inode].at(time_ns)[0] if inode in self.taps else None

    def tap_surely(self, inode: int, time_ns: int) -> Optional[Tap]:
        """Return the tap as it surely was then; ``None`` where that is not known."""
        tap, is_sure = self.taps[inode].at(time_ns) if inode in self.taps else (None, False)
        return tap if is_sure else None

    def tap_label(self, inode: int, time_ns: int) -> Optional[str]:
        """Return what people call a tap, told apart from the others that were there then; ``None`` where nothing but
        its inode is known."""
        known = self.known(time_ns)
        if known.names is None:
            known.names = told_apart(tap for tap, _ in self.taps_at(time_ns))
        tap = None if inode in known.names else self.tap(inode, time_ns)
        return label(tap) if tap else known.names.get(inode)

    def taps_at(self, time_ns: int) -> list[tuple[Tap, Presence]]:
        """Return every tap as it was then, and whether it was there. Taps that had closed are left out."""
        known = self.known(time_ns)
        if known.taps is None:
            hooks_are_recorded = self.attaches(TAP_HOOKS)
            states = (history.state(time_ns, hooks_are_recorded) for history in self.taps.values())
            known.taps = [
                (tap, presence) for tap, presence in states if tap is not None and presence is not Presence.CLOSED
            ]
        return known.taps
