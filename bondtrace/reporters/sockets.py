# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the summary that is about what comes beyond IP: a row per socket, and how the ways of packets ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..analysis import ends, socket_names
from ..analysis.history import LAST_NS
from ..analysis.scene import Scene
from ..format.stages import BEYOND_IP
from ..model import ENDS, SOCKET_OUTCOMES
from ..stats.ended import OTHERS, Ended, Example, Given, Holder
from ..stats.summary import Summary
from ..util.untrusted import printable
from .fitting import Column
from .json_lines import socket_object
from .text import in_brackets, namespace_name

ROWS_MAX = 100  # a busy server has a socket for every connection
PORTS_MAX = 20
_NO_REASON = "the kernel gives no reason"
_ENDS = {
    "socket": "given to a socket",
    "refused": "refused by the socket",
    "dropped": "dropped",
    "sent": "sent on",
    "forwarded": "forwarded to a device",
    "answered": "answered",
    "unanswered": "not answered",
    "protocol": "taken by a protocol of the kernel",
    "consumed": "consumed by a device",
    "handed-on": "handed on to a device",
    "not-watched": "not watched beyond IP",
    "unknown": "not seen to end",
}


def are_watched(scene: Scene) -> bool:
    """Does the trace see what becomes of packets beyond IP, of one of its parts at least?"""
    return any(map(scene.attaches, BEYOND_IP))


def table(summary: Summary, scene: Scene) -> tuple[list[Column], list[list[str]]]:
    """Return (columns, rows): a row per socket, those that refused packets first, at most ``ROWS_MAX``."""
    found = summary.ended.in_order()[:ROWS_MAX]
    kinds = [name for name in SOCKET_OUTCOMES if any(given.outcomes[name] for _, given in found)]
    several = len({netns for _, given in found for netns, _ in given.devices}) > 1
    rows = [
        [
            _name(holder, scene),
            ", ".join(_devices(given, scene, several)),
            str(given.total),
            *(str(given.outcomes[kind]) for kind in kinds),
            ", ".join(f"{reason or _NO_REASON} {count}" for (_, reason), count in given.refusals()),
        ]
        for holder, given in found
    ]
    columns = [
        Column(("socket",), least=36),
        Column(("on",), tells=(1, 0), least=12),
        Column(("given",)),
        *(Column((kind,), tells=(2, sum(given.outcomes[kind] for _, given in found))) for kind in kinds),
        Column(("refused", "for"), least=18, wraps=True),
    ]
    return columns, _of_one_name(rows)


def _of_one_name(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows, those of the same name and devices as one: TCP has several states for what has no process."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        before = found.setdefault((row[0], row[1]), row)
        if before is not row:
            before[2:-1] = [str(int(one) + int(other)) for one, other in zip(before[2:-1], row[2:-1])]
            before[-1] = ", ".join(filter(None, (before[-1], row[-1])))
    return list(found.values())


def _name(holder: Holder, scene: Scene) -> str:
    inode, state = holder
    return "further sockets" if holder == OTHERS else printable(socket_names.name(inode, state, scene, LAST_NS))


def _devices(given: Given, scene: Scene, several: bool) -> Iterator[str]:
    """Yield the devices on which a socket was given packets, in order; with their namespace where there are
    ``several``."""
    for netns, ifindex in sorted(given.devices):
        where = f" {in_brackets(namespace_name(netns, scene))}" if several else ""
        yield f"{printable(scene.device_name(netns, ifindex, LAST_NS))}{where}"


def lines_below(summary: Summary, scene: Scene) -> list[str]:
    """Return what is said below the table: how many sockets it leaves out, and how the ways of packets ended. Where
    nothing is watched beyond IP, and packets went there, that is the only line."""
    ended = summary.ended
    if not are_watched(scene):
        count = ended.ends["not-watched"]
        return [f"{ends.NOT_WATCHED} ({count} packet{'s' * (count != 1)} went on)"] if count else []
    rest = [given for _, given in ended.in_order()[ROWS_MAX:]]
    told = [f"and {len(rest)} more sockets, which were given {sum(given.total for given in rest)} packets"]
    by_design = {"dropped": f" ({ended.harmless_ends} by design)" if ended.harmless_ends else ""}
    counts = [f"{ended.ends[kind]} {_ENDS[kind]}{by_design.get(kind, '')}" for kind in ENDS if ended.ends[kind]]
    return [*(told if rest else []), *([f"ends of received packets: {', '.join(counts)}"] if counts else [])]


def why_lines(summary: Summary, scene: Scene) -> list[str]:
    """Return for each socket what it refused and why, then the ports that packets were sent to and no socket has; each
    with a count, a journey as an example, and what to look at."""
    lines = []
    for holder, given in summary.ended.in_order():
        refusals = given.refusals()
        lines += [f"{_name(holder, scene)} did not take"] if refusals else []
        lines += [
            f"  {count:>8}  {refusal[0]}: {ends.OUTCOMES[refusal[0]]} ({refusal[1] or _NO_REASON})"
            f"{_example(given.examples[refusal])}"
            for refusal, count in refusals
        ]
    return [*lines, *_port_lines(summary.ended)]


def _port_lines(ended: Ended) -> Iterator[str]:
    ports = ended.ports.most_common()
    if ports:
        yield "sent to a port that no socket has"
    for port, count in ports[:PORTS_MAX]:
        yield f"  {count:>8}  {printable(port[0])} port {port[1]}{_example(ended.examples[port])}"
    if ports[PORTS_MAX:]:
        packets = sum(count for _, count in ports[PORTS_MAX:])
        yield f"  {packets:>8}  {len(ports) - PORTS_MAX} more ports"


def _example(example: Example) -> str:
    advice = f"; look at: {printable(example.look_at)}" if example.look_at else ""
    return f" (for example #{example.journey}){advice}"


# --- JSON ----------------------------------------------------------------------------------------------


def objects(summary: Summary, scene: Scene) -> dict[str, Any]:
    """Return the keys of the summary's JSON that are about what comes beyond IP; null where that is not watched."""
    if summary.counted or not are_watched(scene):
        return {"sockets": None, "no_socket": None, "ends": None}
    ended = summary.ended
    return {
        "sockets": {
            str(holder[0] or f"0:{holder[1]}"): _socket(holder, given, scene) for holder, given in ended.in_order()
        },
        "no_socket": [
            {"protocol": port[0], "port": port[1], "packets": count, **_example_object(ended.examples[port])}
            for port, count in ended.ports.most_common()
        ],
        "ends": {kind: ended.ends[kind] for kind in ENDS if ended.ends[kind]},
    }


def _socket(holder: Holder, given: Given, scene: Scene) -> dict[str, Any]:
    socket = scene.sockets.at(holder[0], LAST_NS)
    return {
        **(socket_object(socket, scene, LAST_NS) if socket else {"name": _name(holder, scene)}),
        "given": given.total,
        "devices": [
            {"netns": netns, "dev": printable(scene.device_name(netns, ifindex, LAST_NS)), "packets": count}
            for (netns, ifindex), count in sorted(given.devices.items())
        ],
        "outcomes": {name: given.outcomes[name] for name in SOCKET_OUTCOMES if given.outcomes[name]},
        "refused": [
            {"outcome": outcome, "reason": reason, "packets": count, **_example_object(given.examples[outcome, reason])}
            for (outcome, reason), count in given.refusals()
        ],
    }


def _example_object(example: Example) -> dict[str, Any]:
    return {"example": example.journey, "look_at": printable(example.look_at) or None}
