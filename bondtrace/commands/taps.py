# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace taps`: every tap on this host now, without attaching anything."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from ..analysis.tap_names import told_apart
from ..capture.host.devices import read_devices
from ..capture.host.namespaces import Namespace, current_netns, list_namespaces
from ..capture.host.options import with_all_options
from ..capture.host.taps import read_taps
from ..model import Tap
from ..reporters.fitting import FORMATS, Column, drawn, width_of
from ..reporters.json_lines import protocol_name
from ..util.untrusted import printable
from .options import json_option, say


@click.command()
@json_option
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="simple", show_default=True, help="How the table is drawn."
)
def taps(as_json: bool, form: str) -> None:
    """List every tap (packet socket) of this host: process, device, protocol, buffer, drops."""
    namespaces = list_namespaces()
    names = _names(namespaces)
    problems: list[str] = []
    devices = read_devices(namespaces.values(), problems)
    found = with_all_options(read_taps(namespaces.values(), devices, problems))
    labels = told_apart(found)
    if as_json:
        for tap in found:
            print(json.dumps(_object(tap, labels[tap.inode], names)))
    else:
        _print([_row(tap, labels[tap.inode], names) for tap in found], form)
    for problem in problems:
        say(problem)


_COLUMNS = (
    Column(("tap",), least=24),
    *(Column((name,)) for name in ("inode", "pid")),
    Column(("namespace",), tells=(1, 4), least=12),
    Column(("bound to",)),
    Column(("protocol",), tells=(1, 3)),
    Column(("kind",), tells=(0, 0)),
    Column(("buffer",), tells=(1, 2)),
    Column(("filter",)),
    Column(("notes",), least=12),
    Column(("drops",)),
)


def _print(rows: list[list[str]], form: str) -> None:
    if not rows:
        print("no taps")
    elif form == "tsv":
        print("\n".join("\t".join(row) for row in ([one.name for one in _COLUMNS], *rows)))
    else:
        print(drawn(_COLUMNS, rows, form, width_of(sys.stdout)))


def _bound(tap: Tap) -> str:
    return {0: "any", -1: "gone"}.get(tap.ifindex) or printable(tap.dev) or f"if{tap.ifindex}"


def _buffer(tap: Tap) -> str:
    if tap.buffer != "ring":
        return tap.buffer or "?"
    size = f" {tap.ring_bytes // 1024} KiB" if tap.ring_bytes else ""
    return f"ring v{tap.ring_version or '?'}{size}"


def _notes(tap: Tap) -> str:
    notes = [
        ("not running", tap.running is False),
        ("promiscuous", tap.promiscuous),
        ("ignores outgoing", tap.ignore_outgoing),
        ("origdev", tap.origdev),
        (f"fanout {tap.fanout_id}", tap.fanout_id is not None),
    ]
    return ", ".join(text for text, true in notes if true)


def _names(namespaces: dict[int, Namespace]) -> dict[int, str]:
    """Return {netns: what it is called}."""
    here = current_netns()
    return {
        netns: "(this one)" if not one.name and netns == here else printable(one.label)
        for netns, one in namespaces.items()
    }


def _namespace(tap: Tap, names: dict[int, str]) -> str:
    return names.get(tap.netns) or str(tap.netns)


def _row(tap: Tap, name: str, names: dict[int, str]) -> list[str]:
    yes_no = {True: "yes", False: "no", None: "?"}
    return [
        printable(name),
        str(tap.inode),
        ",".join(str(one.pid) for one in tap.processes) or "-",
        _namespace(tap, names),
        _bound(tap),
        protocol_name(tap.protocol),
        tap.kind,
        _buffer(tap),
        yes_no[tap.has_filter],
        _notes(tap),
        "?" if tap.drops is None else str(tap.drops),
    ]


def _object(tap: Tap, name: str, names: dict[int, str]) -> dict[str, Any]:
    values = asdict(tap)
    for process in values["processes"]:
        process.update(comm=printable(process["comm"]), cmdline=printable(process["cmdline"]))
    return {
        **values,
        "name": printable(name),
        "dev": _bound(tap),
        "protocol": protocol_name(tap.protocol),
        "namespace": _namespace(tap, names),
    }
