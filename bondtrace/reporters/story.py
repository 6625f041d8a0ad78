# SPDX-License-Identifier: GPL-2.0-or-later
"""One journey in plain sentences, naming the kernel function behind each, and for each tap why it saw the
packet or did not."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TextIO

from ..analysis import watched
from ..analysis.fanout import HELD
from ..analysis.scene import Scene
from ..model import Journey, Pass, Step
from ..net.dissect import one_line
from ..util.untrusted import printable
from .text import clock, duration, tap_name, trust_line, unseen_words

_OUTCOMES = {
    "captured": "which captured it",
    "filtered": "whose own filter refused it",
    "full": "whose {what} had no room for it: it is lost to this tap",
    "ignored": "which ignored it before its filter ran (a loopback copy, or another namespace)",
    "unknown": "what it did with it is not known",
}


def write(journey: Journey, scene: Scene, stream: TextIO, more: Sequence[str] = ()) -> None:
    """Write the whole story, wrapped at 100 columns, with ``more`` paragraphs at its end."""
    for paragraph in [*paragraphs(journey, scene), *more]:
        print(
            textwrap.fill(paragraph, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False),
            file=stream,
        )


def paragraphs(journey: Journey, scene: Scene) -> list[str]:
    """Return the paragraphs: a sentence or two about each step."""
    told = [f"Journey #{journey.id}, {clock(journey.wall_ns)}: {printable(one_line(journey.packet))}."]
    for one in journey.passes:
        told += _pass(one, scene, journey)
    told.append(f"The journey took {duration(journey.duration_ns)}.")
    told += [f"Note: {printable(note)}." for note in journey.notes]
    told += [
        f"{unseen_words(missed).capitalize()} {tap_name(missed.tap, scene, journey.time_ns)}: "
        f"{printable(missed.detail)} ({missed.reason})."
        for missed in journey.unseen
    ]
    if not journey.complete:
        told.append("The record of this journey is incomplete: what it does not show may still have happened.")
    return [*told, f"({trust_line(scene)}.)"]


def _pass(one: Pass, scene: Scene, journey: Journey) -> list[str]:
    if not one.steps:
        return []
    first = one.steps[0]
    if one.direction == "rx":
        begin = (
            f"{_at(first)} CPU {one.cpu} received it on {printable(first.dev)} (__netif_receive_skb_core); "
            f"orig_dev is {printable(first.orig_dev)} from here on."
        )
    else:
        begin = (
            f"{_at(first)} it was sent on {printable(first.dev)}, and dev_queue_xmit_nit offered a copy to the "
            "taps there that listen for all protocols."
        )
    told = [begin, *(_step(step, one.direction, scene, journey) for step in one.steps if step.kind != "enter")]
    if len(told) == 1:
        told.append(f"There {watched.nothing_took_it(scene, one.direction)}.")
    if one.steps_lost:
        told.append(f"{one.steps_lost} more steps did not fit the record.")
    return told


def _at(step: Step) -> str:
    return f"At {duration(step.t_ns)}"


def _where(step: Step) -> str:
    text = f"with skb->dev = {printable(step.dev)}"
    return text if step.dev == step.orig_dev else f"{text} and orig_dev = {printable(step.orig_dev)}"


def _step(step: Step, direction: str, scene: Scene, journey: Journey) -> str:
    sure = "" if not step.inferred else " (Its round was inferred: it was delivered late.)"
    if step.kind == "tap":
        name = tap_name(step.tap or 0, scene, journey.time_ns)
        return (
            f"{_at(step)} {step.function} gave it, {_where(step)}, to {name}, "
            f"{_OUTCOMES[step.outcome or 'unknown'].format(what=step.reason)}.{sure}"
        )
    if step.kind == "fanout":
        which = f" ({printable(step.reason)})" if step.reason else ""
        return (
            f"{_at(step)} {step.function} offered it, {_where(step)}, to a fanout group{which}, which {_group(step)}."
        )
    if step.kind == "vlan":
        return f"{_at(step)} {_vlan(step)}{sure}"
    if step.kind == "drop":
        why = f"for the reason {step.reason}" if step.reason else "and this kernel gives no reason"
        return f"{_at(step)} the kernel dropped it in {step.function}, {_where(step)}, {why}.{sure}"
    if step.kind == "rx_handler":
        return f"{_at(step)} {_handler(step)}{sure}"
    return f"{_at(step)} it was delivered, {_where(step)}, to the protocol handler {step.function}.{sure}"


def _group(step: Step) -> str:
    is_held = bool(step.reason) and str(step.reason).endswith(HELD)
    return "chooses one member for the whole datagram" if is_held else "chooses one member"


def _vlan(step: Step) -> str:
    if step.next_dev:
        return (
            f"{step.function} took its VLAN tag: skb->dev became {printable(step.next_dev)}, and the taps were "
            f"walked again in round {step.round + 1}."
        )
    if step.verdict == "CONSUMED":
        return f"{step.function} gave its VLAN tag to a device that drops it: {printable(step.reason or 'it is down')}."
    return f"{step.function} found no VLAN device for its tag on {printable(step.dev)}, and it went on as it was."


def _handler(step: Step) -> str:
    dev = printable(step.dev)
    because = f" ({step.reason})" if step.reason else ""
    meaning = {
        "ANOTHER": f"and so skb->dev became {printable(step.next_dev or '?')}, and the taps were walked again in round "
        f"{step.round + 1}",
        "EXACT": f"and so skb->dev stays {dev}: only taps bound to {dev} for the packet's protocol may still have it, "
        "IP and ARP may not",
        "PASS": f"and so it went on as a packet of {dev}",
        "CONSUMED": "and so its way through this function ended here",
    }.get(step.verdict or "", "its answer is not known")
    return f"the rx_handler of {dev}, {step.function}, answered {step.verdict}{because}, {meaning}."
