# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: the surroundings of packets and how they change, as plain dicts that a recording stores as JSON.

A live trace makes them and a scene takes them, so live and later analysis know the same. Every event has ``kind`` and
``time_ns`` (CLOCK_MONOTONIC). docs/recording.md, "Events", documents each kind with its keys.

Invariant: what the readers here return has the documented types and sizes, and its texts are printable; anything else
is rejected with ``ValueError``, whoever wrote the event.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints

from ..model import Device, IpSettings, Process, Socket, Tap
from ..util.untrusted import clean, integer, items, mapping, number, shown, text

Event = dict[str, Any]

NAMES = ("symbol", "chain", "tc-filter")
"""The kinds of events that name what steps tell by a number; they hold at all times."""

_REQUIRED = {
    Device: ("netns", "ifindex", "name", "kind"),
    Tap: ("netns", "ifindex", "kind", "inode", "protocol"),
    Socket: ("netns", "inode", "family", "type", "protocol"),
    Process: ("pid", "comm", "cmdline"),
}


# --- makers --------------------------------------------------------------------------------------------


def device_event(time_ns: int, device: Device) -> Event:
    """Return the event of a device that is new, or has changed."""
    return {"kind": "device", "time_ns": time_ns, "device": asdict(device)}


def device_gone_event(time_ns: int, netns: int, ifindex: int) -> Event:
    """Return the event of a device that has gone from its namespace."""
    return {"kind": "device-gone", "time_ns": time_ns, "netns": netns, "ifindex": ifindex}


def tap_event(time_ns: int, tap: Tap, not_before_ns: Optional[int] = None, read_ns: Optional[int] = None) -> Event:
    """Return the event of a tap as it was read.

    :param time_ns: when the reading had ended.
    :param not_before_ns: for a tap that opened during the trace: when it was known not to exist yet.
    :param read_ns: when the reading began.
    """
    # dataclasses.asdict() takes ten times as long, and a host may have thousands
    values = {**vars(tap), "processes": tuple(dict(vars(one)) for one in tap.processes)}
    event = {"kind": "tap", "time_ns": time_ns, "tap": values}
    times_ns = {"read_ns": read_ns, "not_before_ns": not_before_ns}
    return {**event, **{name: one for name, one in times_ns.items() if one is not None}}


def tap_gone_event(time_ns: int, not_before_ns: int, inode: int) -> Event:
    """Return the event of a tap that is no longer listed; ``not_before_ns``: when it still was."""
    return {"kind": "tap-gone", "time_ns": time_ns, "not_before_ns": not_before_ns, "inode": inode}


def socket_event(time_ns: int, socket: Socket) -> Event:
    """Return the event of a socket that was given a packet for the first time, or whose addresses, device or processes
    are others than they were."""
    values = {**vars(socket), "processes": tuple(dict(vars(one)) for one in socket.processes)}
    return {"kind": "socket", "time_ns": time_ns, "socket": values}


def ip_settings_event(time_ns: int, settings: IpSettings) -> Event:
    """Return the event of a device's addresses and settings of IP, as they were read."""
    values = {
        **vars(settings),
        "addresses": list(settings.addresses),
        "settings": [list(one) for one in settings.settings],
    }
    return {"kind": "ip-settings", "time_ns": time_ns, "ip_settings": values}


def route_event(time_ns: int, netns: int, address: str, devices: list[int]) -> Event:
    """Return the event which says by which devices (ifindexes) packets to an address left then; none: there was no
    way."""
    return {"kind": "route", "time_ns": time_ns, "netns": netns, "address": address, "devices": devices}


def namespace_event(time_ns: int, netns: int, name: str) -> Event:
    """Return the event which names a network namespace."""
    return {"kind": "namespace", "time_ns": time_ns, "netns": netns, "name": name}


def stage_event(time_ns: int, stage: Event) -> Event:
    """Return the event of a stage (format/stages.py) that was attached after the start."""
    return {"kind": "stage", "time_ns": time_ns, "stage": stage}


def symbol_event(time_ns: int, address: int, name: str) -> Event:
    """Return the event which names the function at an address (its low half); it holds for all times."""
    return {"kind": "symbol", "time_ns": time_ns, "address": address, "name": name}


def chain_event(time_ns: int, number: int, family: str, table: str, chain: str, hook: str) -> Event:
    """Return the event which names the netfilter chain that drops have by this number; it holds for all times.

    :param family: of the table, as nft calls it, or the program that makes it ("iptables").
    """
    names = {"family": family, "table": table, "chain": chain, "hook": hook}
    return {"kind": "chain", "time_ns": time_ns, "number": number, **names}


def tc_filter_event(
    time_ns: int, number: int, kind: str, protocol: int, priority: int, chain: int, actions: list[str], left: int
) -> Event:
    """Return the event which names the filter of tc that drops have by this number; it holds for all times.

    :param protocol: the Ethernet type that it is for.
    :param actions: the kinds of its first actions; ``left`` counts the others.
    """
    place = {"filter": kind, "protocol": protocol, "priority": priority, "chain": chain}
    return {
        "kind": "tc-filter",
        "time_ns": time_ns,
        "number": number,
        **place,
        "actions": actions,
        "actions_left": left,
    }


def losses_event(time_ns: int, counters: dict[str, list[int]]) -> Event:
    """Return the event with the counters of what was lost, each a list by CPU."""
    return {"kind": "losses", "time_ns": time_ns, "counters": counters}


def note_event(time_ns: int, sentence: str) -> Event:
    """Return the event of something that happened to the trace itself."""
    return {"kind": "note", "time_ns": time_ns, "text": sentence}


def end_event(time_ns: int, not_before_ns: int) -> Event:
    """Return the event that ends a trace; until ``not_before_ns`` it was complete."""
    return {"kind": "end", "time_ns": time_ns, "not_before_ns": not_before_ns}


# --- readers -------------------------------------------------------------------------------------------


def checked(event: Event) -> Event:
    """Return the event with every text in it printable.

    :raises ValueError: where it is nested deeper than any event is, or a number is beyond 63 bits. The types that its
        kind demands are checked by whoever takes it (``Scene.apply``).
    """
    result = clean(event)
    assert isinstance(result, dict)
    return result


def event_time_ns(event: Event) -> int:
    """Return when it happened; 0 where it does not say. ``ValueError`` for what is not a time."""
    return number(event.get("time_ns", 0))


def wall_offset_ns(event: Event) -> int:
    """Return what to add to CLOCK_MONOTONIC for nanoseconds since the Unix epoch; 0 where the event does not say."""
    return integer(event.get("wall_offset_ns", 0))


def read_device(value: Any) -> Device:
    """Return a device from JSON. Keys of a newer writer are ignored; ``ValueError`` for a wrong type."""
    given = mapping(value)
    underlay = tuple(_pair(one) for one in items(given.get("underlay", ())))
    return Device(**{**_typed(Device, {**given, "underlay": ()}), "underlay": underlay})


def _pair(value: Any) -> tuple[int, int]:
    """Return a device's key; ``ValueError`` for what is none."""
    parts = [number(one) for one in items(value)]
    if len(parts) != 2:
        raise ValueError(f"{shown(value)} as a device")
    return parts[0], parts[1]


def read_tap(value: Any) -> Tap:
    """Return a tap from JSON, likewise."""
    given = mapping(value)
    processes = _processes(given)
    return Tap(**{**_typed(Tap, {**given, "processes": ()}), "processes": processes})


def read_socket(value: Any) -> Socket:
    """Return a socket from JSON, likewise."""
    given = mapping(value)
    processes = _processes(given)
    return Socket(**{**_typed(Socket, {**given, "processes": ()}), "processes": processes})


def read_ip_settings(value: Any) -> IpSettings:
    """Return a device's settings of IP from JSON, likewise."""
    given = mapping(value)
    addresses = tuple(text(one) for one in items(given.get("addresses", ())))
    settings = tuple(_setting(one) for one in items(given.get("settings", ())))
    return IpSettings(number(given.get("netns")), number(given.get("ifindex")), addresses, settings)


def _setting(value: Any) -> tuple[str, int, int]:
    told = items(value)
    if len(told) != 3:
        raise ValueError(f"{shown(value)} as a setting")
    return text(told[0]), integer(told[1]), integer(told[2])


def _processes(given: dict[str, Any]) -> tuple[Process, ...]:
    return tuple(Process(**_typed(Process, mapping(one))) for one in items(given.get("processes", ())))


def read_stage(value: Any) -> Event:
    """Return a stage from JSON: ``name``, ``tells``, ``missing`` and ``without`` are texts."""
    given = mapping(value)
    optional = {name: text(given.get(name) or "") for name in ("missing", "tells", "without")}
    return {**given, "name": text(given.get("name")), **optional}


@cache
def _types(kind: type) -> dict[str, tuple[type, ...]]:
    """Return for each field the types that its values may have."""
    return {one.name: _alternatives(get_type_hints(kind)[one.name]) for one in fields(kind)}


def _alternatives(hint: Any) -> tuple[type, ...]:
    return get_args(hint) if get_origin(hint) is Union else (get_origin(hint) or hint,)


def _typed(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in values.items() if name in _types(kind)}
    for name, value in known.items():
        if type(value) not in _types(kind)[name]:
            raise ValueError(f"{shown(value)} as {name!r} of a {kind.__name__.lower()}")
    missing = [one for one in _REQUIRED[kind] if one not in known]
    if missing:
        raise ValueError(f"a {kind.__name__.lower()} without {missing[0]!r}")
    return known
