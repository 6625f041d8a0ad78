# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary of a fleet: a row per tap, device and direction, and one for what the tap was not offered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from ..analysis import watched
from ..model import OUTCOMES
from ..stats.fleet import FleetRow
from ..util.untrusted import printable
from .fitting import Column, drawn, width_of

_NOT_OFFERED, _NOT_KNOWN = "(not offered)", "(not known)"


def fleet_object(rows: Sequence[FleetRow]) -> dict[str, Any]:
    """Return the summary for JSON."""
    return {
        "rows": [
            {name: printable(value) if isinstance(value, str) else value for name, value in asdict(row).items()}
            for row in rows
        ]
    }


def write_json(rows: Sequence[FleetRow], stream: TextIO) -> None:
    """Write the summary as one object."""
    print(json.dumps(fleet_object(rows), ensure_ascii=False), file=stream, flush=True)


def write(rows: Sequence[FleetRow], stream: TextIO) -> None:
    """Write the table, and how many of its absences may be losses."""
    kinds = [
        name
        for name in OUTCOMES
        if name in ("captured", "filtered", "full", "ignored") or any(name in row.outcomes for row in rows)
    ]
    several = {
        host
        for host in {row.host for row in rows}
        if len({row.netns for row in rows if row.host == host and row.netns is not None}) > 1
    }
    cells = [_cells(row, kinds, row.host in several) for row in rows]
    print(drawn(_columns(rows, kinds), cells, "simple", width_of(stream), "--json has all"), file=stream)
    open_ = sum(row.unseen.get(reason, 0) for row in rows for reason in watched.OPEN)
    absences = sum(sum(row.unseen.values()) for row in rows) - open_
    doubtful = sum(row.doubtful for row in rows) - open_
    doubt = f"; {doubtful} of them may be losses" if doubtful > 0 else ", none of them in doubt"
    hosts = len({row.host for row in rows})
    print(
        f"\n{hosts} host{'s' * (hosts != 1)}, {sum(row.offered for row in rows)} offers, {absences} absences"
        f"{doubt if absences else ''}{f'; {open_} times it was not watched' if open_ else ''}.",
        file=stream,
        flush=True,
    )


def _columns(rows: Sequence[FleetRow], kinds: Sequence[str]) -> list[Column]:
    """Return the columns. Where there is little room those go first that are the same in each row."""
    hosts = len({row.host for row in rows})
    totals = {name: sum(row.outcomes.get(name, 0) for row in rows) for name in kinds}
    return [
        Column(("host",), tells=(3 if hosts > 1 else 0, 0), least=8),
        Column(("tap",), least=24),
        Column(("pid",), tells=(1, 0)),
        Column(("bound to",), tells=(1, 1)),
        Column(("device",), least=11, wraps=True),
        Column(("offered",)),
        *(Column((name,), tells=(2 if totals[name] else 0, totals[name])) for name in kinds),
        Column(("unseen",), least=22, wraps=True),
    ]


def _cells(row: FleetRow, kinds: Sequence[str], several: bool) -> list[str]:
    tap = f"{printable(row.name or row.comm or '')} [{row.inode}]".strip()
    start = [printable(row.host), tap, "?" if row.pid is None else str(row.pid), printable(row.bound or "unknown")]
    if row.dev is None:
        unseen = ", ".join(f"{count} {reason}" for reason, count in row.unseen.items())
        where = _NOT_KNOWN if row.unseen and set(row.unseen) <= watched.OPEN else _NOT_OFFERED
        return [*start, where, "", *("" for _ in kinds), unseen]
    where = f"{printable(row.dev)} {row.direction or ''}".rstrip()
    where += f" ({printable(row.namespace or str(row.netns))})" if several else ""
    return [*start, where, str(row.offered), *(str(row.outcomes.get(name, 0)) for name in kinds), ""]
