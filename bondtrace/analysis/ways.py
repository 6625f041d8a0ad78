# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a journey's packet went, and which devices lay further on that way: what the rules of ``why_unseen`` ask.

A *place* is a device, (netns, ifindex), where the packet was received or sent. What sits on it (``scene``) is further
on, also in another namespace; of VLAN devices only those that take the packet's tags. A bridge, a switch and MACsec may
change the tags: beyond them any may be taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from ..model import Device, Pass, Step, Tag, Tap
from ..net.topology import Key
from .contents import Contents
from .scene import Scene

Tags = Optional[tuple[Tag, ...]]

_CHANGE_TAGS = ("bridge", "openvswitch", "macsec")
_HANDLED = ("rx_handler", "vlan", "protocol")
_ON_DEVICE = ("enter", "tap", "fanout", *_HANDLED)


class Visit(NamedTuple):
    """A received pass on one device: all its ``steps`` there, and whether it ``ends`` there."""

    one: Pass
    contents: Contents
    steps: tuple[Step, ...]
    ends: bool

    @property
    def last(self) -> Step:
        """The last step there."""
        return self.steps[-1]

    @property
    def went_on(self) -> bool:
        """Did the packet get as far as an rx_handler, VLAN handling that left it alone, or a protocol handler?"""
        return any(
            step.kind in _HANDLED and not (step.kind == "vlan" and step.verdict == "CONSUMED") for step in self.steps
        )


def is_not_sent_on(place: int, passes: Sequence[Pass], scene: Scene) -> bool:
    """Was the packet of this pass sent by a device below which it is sent once more, where a tap would have shown that
    (``Scene.waiting``), and was neither seen there nor dropped?"""
    one = passes[place]
    if one.direction != "tx" or one.shown or not one.steps or key_of(one.steps[0]) not in scene.waiting():
        return False
    went_on = any(place in (other.follows, other.parent) for other in passes)
    return not went_on and not any(step.kind == "drop" for step in one.steps)


class Ways:
    """The places of a journey, in order, and what was further on."""

    def __init__(self, passes: tuple[Pass, ...], contents: tuple[Contents, ...], scene: Scene) -> None:
        self.passes, self.scene, self.time_ns = tuple(map(_with_rounds, passes)), scene, passes[0].time_ns
        self.contents = contents
        self.rx = [(one, its) for one, its in zip(self.passes, contents) if one.direction == "rx"]
        self.places = dict.fromkeys(
            key_of(step) for one in self.passes for step in one.steps if _is_there(step) or _is_of_way(step, one)
        )
        self.namespaces = {netns for netns, _ in self.places}
        self._names = {key_of(step): step.dev for one in self.passes for step in one.steps if _is_there(step)}
        self._tags: dict[Key, Tags] = {}
        for one, its in self.rx:
            self._follow(one, its.tags)
        self._reached: dict[Key, set[Key]] = {}
        self._furthest: dict[Key, list[Key]] = {}  # by where taps listen
        self._left_open: Optional[set[Key]] = None

    def _follow(self, one: Pass, tags: Tags) -> None:
        """Note which tags the packet has where it is received."""
        for step in one.steps:
            if _is_there(step):
                self._tags.setdefault(key_of(step), tags)
            if step.kind == "vlan" and step.verdict == "ANOTHER":
                device = self.scene.device(step.next_netns, step.next_ifindex or 0, self.time_ns)
                tags = _onto(device, tags)[1]

    def path(self) -> str:
        """Return the names of the places, as a phrase."""
        return " and ".join(dict.fromkeys(self._names.values()))

    def name(self, tap: Tap) -> str:
        """Return where a tap listens, as a phrase."""
        if tap.ifindex:
            return f"bound to {self.scene.device_name(tap.netns, tap.ifindex, self.time_ns)}"
        return f"in network namespace {self.scene.namespace_label(tap.netns)}"

    def is_at(self, tap: Tap) -> bool:
        """Is one of the places where the tap listens?"""
        return tap.netns in self.namespaces if tap.ifindex == 0 else (tap.netns, tap.ifindex) in self.places

    def concerns(self, tap: Tap) -> bool:
        """Does the tap listen where the packet was, or where it was on its way to: on what is stacked on such a device
        and takes its tags, or below the last one on which it was sent?"""
        return self.is_at(tap) or bool(self.furthest(tap)) or self._is_below((tap.netns, tap.ifindex))

    def _is_below(self, key: Key) -> bool:
        """Is a device below one on which the packet was sent and from which it was not seen to go on?"""
        if self._left_open is None:
            tx = (one for one in self.passes if one.direction == "tx" and not one.shown and one.steps)
            sent = {key_of(one.steps[0]) for one in tx}
            went_on = {upper for place in self.places for upper in self.scene.above(place, self.time_ns)}
            self._left_open = sent - went_on
        return bool(self._left_open and self._left_open & self.scene.above(key, self.time_ns))

    def visits(self, key: Key) -> list[Visit]:
        """Return the received passes on a device."""
        found = []
        for one, its in self.rx:
            steps = tuple(step for step in one.steps if key_of(step) == key)
            if steps:
                found.append(Visit(one, its, steps, key_of(one.steps[-1]) == key))
        return found

    def onward(self, one: Pass) -> str:
        """Return, as a phrase, where the packet went on after a pass; "" where that was not seen."""
        place = next(place for place, other in enumerate(self.passes) if other is one)
        devices = dict.fromkeys(other.steps[0].dev for other in self.passes if other.follows == place and other.steps)
        return f"; it went on to {' and '.join(devices)}" if devices else ""

    def visits_of(self, tap: Tap) -> list[Visit]:
        """Return the received passes on the devices where a tap listens."""
        return [visit for key in self._tags if listens(tap, key) for visit in self.visits(key)]

    def furthest(self, tap: Tap) -> list[Key]:
        """Return those places that a tap is beyond, and from which the packet came no closer to it: what happened there
        decided."""
        where = tap.netns, tap.ifindex
        if where not in self._furthest:
            before = [key for key in self._tags if any(listens(tap, upper) for upper in self._beyond(key))]
            closer = [
                key for key in self._tags if any(listens(tap, one) for one in self.scene.above(key, self.time_ns))
            ]
            self._furthest[where] = [
                key for key in before if not self._beyond(key).intersection(one for one in closer if one != key)
            ]
        return self._furthest[where]

    def _beyond(self, key: Key) -> set[Key]:
        """Return the devices to which what was received on this one could have come."""
        if key not in self._reached:
            self._reached[key] = self._reach(key)
        return self._reached[key]

    def _reach(self, key: Key) -> set[Key]:
        found: set[Key] = set()
        pending = [(key, self._tags.get(key))]
        while pending:
            at, tags = pending.pop()
            for upper in self.scene.on(at, self.time_ns):
                fits, left = _onto(self.scene.device(*upper, self.time_ns), tags)
                if fits and upper not in found:
                    found.add(upper)
                    pending.append((upper, left))
        return found


def _with_rounds(one: Pass) -> Pass:
    """Return a pass with a step "enter" on each device that it came onto: nothing else may have happened there."""
    if not any(step.next_dev for step in one.steps):
        return one
    steps = []
    for step in one.steps:
        steps.append(step)
        if step.next_ifindex is not None:
            onto, there, origin = step.next_dev or "", step.next_ifindex, step.orig_ifindex
            steps.append(
                Step(step.t_ns, "enter", step.round + 1, onto, step.orig_dev, there, origin, netns=step.next_netns)
            )
    return replace(one, steps=tuple(steps))


def key_of(step: Step) -> Key:
    """Return the device of a step."""
    return step.netns, step.ifindex


def listens(tap: Tap, key: Key) -> bool:
    """Does a tap listen on this device?"""
    return tap.netns == key[0] and tap.ifindex in (0, key[1])


def _is_there(step: Step) -> bool:
    """Was the packet received, or sent, on the device of a step? A drop may be on another one."""
    return step.kind in _ON_DEVICE


def _is_of_way(drop: Step, one: Pass) -> bool:
    """Was the packet dropped on a device where it had been? It may have been on its way out by another one."""
    return drop.kind == "drop" and any(_is_there(step) and key_of(step) == key_of(drop) for step in one.steps)


def _onto(device: Optional[Device], tags: Tags) -> tuple[bool, Tags]:
    """Can a packet with these tags come onto a device from the one below it, and what tags has it then? ``None``: not
    known. Tags with VLAN id 0 are skipped where nobody takes them."""
    if device is None or device.kind in _CHANGE_TAGS:
        return True, None
    if device.kind != "vlan":
        return True, tags
    if tags is None or device.vlan_id is None:
        return True, None
    for place, tag in enumerate(tags):
        if tag.id == device.vlan_id and tag.tpid in (None, device.vlan_protocol or tag.tpid):
            return True, tags[place + 1 :]
        if tag.id:
            break
    return False, tags
