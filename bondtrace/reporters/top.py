# SPDX-License-Identifier: GPL-2.0-or-later
"""Rates and totals of what the kernel counted, as lines for one screen."""

from __future__ import annotations

from collections.abc import Iterable

from ..analysis.history import LAST_NS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..model import OUTCOMES
from ..stats.kernel_counts import KernelCounts
from ..stats.summary import Place
from ..util.untrusted import printable
from .fitting import Column, drawn
from .table import bound_name, of_those, place_name
from .text import trust_line

Rows = list[list[str]]

_COUNTED = Column(("packets/s",), right=True), Column(("packets",), tells=(0, 0), right=True)
_TOLD = ("captured", "full")  # outcomes whose rates are never left out


def lines(total: KernelCounts, new: KernelCounts, seconds: float, scene: Scene, width: int = 1 << 20) -> list[str]:
    """Return devices, taps, rx_handlers and drops, the busiest first, as tables that fit the width; ``new`` is what
    came in the last ``seconds``."""
    kinds = [name for name in OUTCOMES if any(outcome == name for _, _, outcome in total.offers)]
    tables = (
        ((Column(("device",), least=12), *_COUNTED), _devices(total, new, seconds, scene)),
        (_tap_columns(kinds), _taps(total, new, seconds, scene, kinds)),
        (
            (Column(("rx_handler",), least=16), Column(("on",), least=8), Column(("verdict",)), *_COUNTED),
            _verdicts(total, new, seconds, scene),
        ),
        (
            (Column(("dropped in",), least=16), Column(("on",), least=8), Column(("the kernel's reason",)), *_COUNTED),
            _drops(total, new, seconds, scene),
        ),
    )
    told: list[str] = []
    for columns, rows in tables:
        if rows:
            told += [*drawn(columns, rows, "plain", width, "a wider terminal has all").splitlines(), ""]
    return [*(told or [f"no packet so far{of_those(scene)}", ""]), trust_line(scene)]


def _tap_columns(kinds: list[str]) -> list[Column]:
    """Return the columns of taps. Where there is not room for all, totals are left out first, but not those of
    losses."""
    return [
        Column(("tap",), least=24),
        Column(("bound to",), tells=(1, 0)),
        Column(("on",), least=8),
        Column(("offers/s",), right=True),
        *(Column((f"{kind}/s",), tells=None if kind in _TOLD else (1, 1), right=True) for kind in kinds),
        Column(("offers",), tells=(0, 1), right=True),
        *(Column((kind,), tells=None if kind == "full" else (0, 0), right=True) for kind in kinds),
    ]


def _devices(total: KernelCounts, new: KernelCounts, seconds: float, scene: Scene) -> Rows:
    places = list(total.passed)
    return [
        [place_name(place, places, scene), _rate(new.passed[place], seconds), str(total.passed[place])]
        for place in sorted(places, key=lambda one: (-new.passed[one], -total.passed[one], one))
    ]


def _taps(total: KernelCounts, new: KernelCounts, seconds: float, scene: Scene, kinds: list[str]) -> Rows:
    places = list(total.passed)

    def offered(counts: KernelCounts, tap: tuple[int, Place]) -> int:
        return sum(counts.offers[(*tap, kind)] for kind in kinds)

    offers: Iterable[tuple[int, Place]] = {(inode, place) for inode, place, _ in total.offers}
    labels, rows = last_labels(scene), []
    for one in sorted(offers, key=lambda tap: (-offered(new, tap), -offered(total, tap), tap)):
        tap = scene.tap(one[0], LAST_NS)
        rows.append(
            [
                f"{printable(labels[one[0]])} [{one[0]}]" if one[0] in labels else f"[{one[0]}]",
                bound_name(tap, scene),
                place_name(one[1], places, scene),
                _rate(offered(new, one), seconds),
                *(_rate(new.offers[(*one, kind)], seconds) for kind in kinds),
                str(offered(total, one)),
                *(str(total.offers[(*one, kind)]) for kind in kinds),
            ]
        )
    return rows


def _verdicts(total: KernelCounts, new: KernelCounts, seconds: float, scene: Scene) -> Rows:
    return [
        [printable(function), _name(netns, ifindex, scene), verdict, _rate(new.verdicts[key], seconds), str(count)]
        for key, count in total.verdicts.most_common()
        for netns, ifindex, function, verdict in [key]
    ]


def _drops(total: KernelCounts, new: KernelCounts, seconds: float, scene: Scene) -> Rows:
    return [
        [
            printable(function),
            _name(netns, ifindex, scene),
            reason or "it gives no reason",
            _rate(new.drops[key], seconds),
            str(count),
        ]
        for key, count in total.drops.most_common()
        for netns, ifindex, function, reason in [key]
    ]


def _name(netns: int, ifindex: int, scene: Scene) -> str:
    return printable(scene.device_name(netns, ifindex, LAST_NS))


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.0f}" if seconds else "-"
