# SPDX-License-Identifier: GPL-2.0-or-later
"""An era's answers beside what was recorded: under a journey, in its story, in a table, as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Optional, TextIO

from ..analysis.eras import Answer, Era, Offer, answers
from ..analysis.history import LAST_NS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..model import Journey
from ..util.untrusted import printable
from .fitting import Column, drawn, width_of
from .json_lines import bound_device
from .text import tap_name

MARK = "modelled from source, not run"


def heading(era: Era) -> str:
    """Return the heading of an era's answers."""
    return f"as if {era.name} ({era.kernels}; {MARK})"


def lines(journey: Journey, scene: Scene, era: Era) -> list[str]:
    """Return the lines under a journey: one per tap, those that differ marked."""
    result = [f"    {heading(era)}:"]
    for one in answers(journey, scene, era):
        mark = "≠" if one.differs else "?" if one.modelled is None else " "
        because = f" ({printable(one.why)})" if one.why else ""
        result.append(
            f"    {mark} {tap_name(one.tap, scene, journey.time_ns)}: {_offers(one.modelled)}{because}"
            + (f"; recorded: {_offers(one.recorded)}" if one.differs else "")
        )
    return result


def _offers(offers: Optional[tuple[Offer, ...]]) -> str:
    if offers is None:
        return "unknown"
    return ", then ".join(f"{one.direction} on {printable(one.dev)}" for one in offers) or "not offered it"


def paragraphs(journey: Journey, scene: Scene, era: Era) -> list[str]:
    """Return the paragraphs of a story: the rule with its source, then one per tap."""
    told = [f"A{heading(era)[1:]}. The rule: {era.rule} (source: {era.source})."]
    for one in answers(journey, scene, era):
        name = tap_name(one.tap, scene, journey.time_ns)
        because = f": {printable(one.why)}" if one.why else ""
        if one.modelled is None:
            told.append(f"What {name} would have been offered is unknown{because}.")
        elif one.modelled:
            told.append(f"{name} would have been offered it {_offers(one.modelled)}{because}.")
        else:
            told.append(f"{name} would not have been offered it{because}.")
        if one.differs:
            told[-1] += f" Recorded was: {_offers(one.recorded)}."
    return told


def answer_objects(journey: Journey, scene: Scene, era: Era) -> dict[str, Any]:
    """Return ``as_if`` of a journey for JSON."""
    return {**_era_object(era), "taps": [_answer_object(one) for one in answers(journey, scene, era)]}


def _era_object(era: Era) -> dict[str, Any]:
    return {"era": era.name, "kernels": era.kernels, "rule": era.rule, "source": era.source, "basis": MARK}


def _answer_object(one: Answer) -> dict[str, Any]:
    return {
        "tap": one.tap,
        "recorded": _offer_objects(one.recorded),
        "differs": one.differs,
        "why": printable(one.why),
        "modelled": _offer_objects(one.modelled),
    }


def _offer_objects(offers: Optional[tuple[Offer, ...]]) -> Optional[list[dict[str, str]]]:
    return None if offers is None else [{"dev": printable(one.dev), "direction": one.direction} for one in offers]


@dataclass
class Counts:
    """Offers over many journeys, by tap, device and direction: those recorded and those modelled.

    ``unknown`` are packets by tap for which the model has no answer, ``not_watched`` those for which it was not watched
    whether the tap was offered them. Pass ``count`` to a summary.
    """

    scene: Scene
    era: Era
    recorded: Counter[tuple[int, Offer]] = field(default_factory=Counter)
    modelled: Counter[tuple[int, Offer]] = field(default_factory=Counter)
    unknown: Counter[int] = field(default_factory=Counter)
    not_watched: Counter[int] = field(default_factory=Counter)

    def count(self, journey: Journey, times: int) -> None:
        """Count a journey ``times`` times."""
        for one in answers(journey, self.scene, self.era):
            for offer in one.recorded or ():
                self.recorded[one.tap, offer] += times
            for offer in one.modelled or ():
                self.modelled[one.tap, offer] += times
            self.unknown[one.tap] += times if one.modelled is None else 0
            self.not_watched[one.tap] += times if one.recorded is None else 0

    def rows(self) -> list[tuple[int, Offer, int, int]]:
        """Return (tap, offer, recorded, modelled), sorted by tap and place."""
        keys = sorted(set(self.recorded) | set(self.modelled), key=lambda key: (key[0], key[1].dev, key[1].direction))
        return [(inode, offer, self.recorded[inode, offer], self.modelled[inode, offer]) for inode, offer in keys]


def write(counts: Counts, stream: TextIO) -> None:
    """Write a row per tap and place: what was recorded, what the era would have done, differences marked."""
    print("\n".join(["", *table_lines(counts, width_of(stream))]), file=stream, flush=True)


def table_lines(counts: Counts, width: int) -> list[str]:
    """Return the lines that ``write`` writes below an empty one; the table fits the width."""
    columns = [
        Column(("tap",), least=24),
        Column(("bound to",), tells=(1, 0)),
        Column(("offered",)),
        Column(("recorded",)),
        Column((counts.era.name,)),
        Column(("",)),
        *([Column(("packets", "unknown"))] if any(counts.unknown.values()) else []),
    ]
    told = drawn(columns, _rows(counts), "simple", width, "--json has all")
    rule = [f"The rule: {counts.era.rule}", f"(source: {counts.era.source})."]
    return [f"{heading(counts.era)}:", *told.splitlines(), *rule]


def _rows(counts: Counts) -> list[list[str]]:
    labels, rows = last_labels(counts.scene), []
    for inode, offer, recorded, modelled in counts.rows():
        tap, unknown, known = counts.scene.tap(inode, LAST_NS), counts.unknown[inode], not counts.not_watched[inode]
        rows.append(
            [
                f"{printable(labels[inode])} [{inode}]" if inode in labels else f"[{inode}]",
                printable(bound_device(tap, counts.scene, LAST_NS)) if tap else "unknown",
                f"{offer.direction} on {printable(offer.dev)}",
                str(recorded) if known else "?",
                f"{modelled} or more" if unknown else str(modelled),
                "≠" if known and recorded != modelled and not unknown else "",
                str(unknown or ""),
            ]
        )
    return rows


def counts_object(counts: Counts) -> dict[str, Any]:
    """Return ``as_if`` of a summary for JSON."""
    return {
        **_era_object(counts.era),
        "taps": [
            {
                "tap": inode,
                "dev": printable(offer.dev),
                "direction": offer.direction,
                "recorded": None if counts.not_watched[inode] else recorded,
                "modelled": modelled,
                "unknown": counts.unknown[inode],
            }
            for inode, offer, recorded, modelled in counts.rows()
        ],
    }
