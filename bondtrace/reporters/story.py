# SPDX-License-Identifier: GPL-2.0-or-later
"""One journey in plain sentences, naming the kernel function behind each, and for each tap why it saw the
packet or did not."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TextIO

from ..analysis import ends, socket_names, watched
from ..analysis.fanout import HELD
from ..analysis.scene import Scene
from ..model import End, Journey, Pass, Step
from ..net.dissect import one_line
from ..util.untrusted import printable
from .outline import Line, outline
from .text import DEPTH_MAX, changed, clock, duration, tap_name, trust_line, unknown_step, unseen_lines, way_words

_OUTCOMES = {
    "captured": "which captured it",
    "filtered": "whose own filter refused it",
    "full": "whose {what} had no room for it: it is lost to this tap",
    "ignored": "which ignored it before its filter ran (a loopback copy, or another namespace)",
    "unknown": "what it did with it is not known",
}


def write(journey: Journey, scene: Scene, stream: TextIO, more: Sequence[str] = (), verbose: bool = False) -> None:
    """Write the whole story, wrapped at 100 columns, with ``more`` paragraphs at its end; ``verbose`` as in
    ``paragraphs``."""
    for paragraph in [*paragraphs(journey, scene, verbose), *more]:
        margin = paragraph[: len(paragraph) - len(paragraph.lstrip(" "))]
        print(
            textwrap.fill(
                paragraph.lstrip(" "),
                100,
                initial_indent=margin,
                subsequent_indent=f"{margin}  ",
                break_long_words=False,
                break_on_hyphens=False,
            ),
            file=stream,
        )


def paragraphs(journey: Journey, scene: Scene, verbose: bool = True) -> list[str]:
    """Return the paragraphs: a sentence or two about each step, in order of time; those of a branch are indented by
    spaces. The trivial absences of taps are only counted, unless ``verbose``."""
    return [*told(journey, scene, unseen_lines(journey, scene, verbose)), f"({trust_line(scene)}.)"]


def told(journey: Journey, scene: Scene, absences: Sequence[str]) -> list[str]:
    """Return the paragraphs with these lines on the taps that did not see the packet, without what was lost."""
    first = journey.passes[0]
    told = [f"Journey #{journey.id}, {clock(journey.wall_ns)}: {printable(one_line(journey.packet))}."]
    begin = _begin(first, scene, journey)
    for line in outline(journey):
        if begin:
            told.append(f"{'  ' * min(line.depth, DEPTH_MAX)}{begin}")
            begin = ""
        told += [f"{'  ' * min(line.depth, DEPTH_MAX)}{text}" for text in [_line(line, scene, journey)] if text]
    told.append(f"The journey took {duration(journey.duration_ns)}.")
    told += [_end(one) for one in journey.ends]
    told += [f"Note: {printable(note)}." for note in journey.notes]
    told += [f"{line[0].upper()}{line[1:]}." for line in absences]
    if not journey.complete:
        told.append("The record of this journey is incomplete: what it does not show may still have happened.")
    return told


def _line(line: Line, scene: Scene, journey: Journey) -> str:
    if line.kind == "step" and line.step is not None:
        return _step(line.step, line.one, scene, journey)
    if line.kind == "nothing":
        return f"There {watched.nothing_took_it(scene, line.one.direction)}." if line.step else ""
    if line.kind == "lost":
        return f"{line.one.steps_lost} more steps did not fit the record."
    return _begin(line.one, scene, journey, line.kind == "back")


def _begin(one: Pass, scene: Scene, journey: Journey, back: bool = False) -> str:
    if not one.steps:
        return ""
    first = one.steps[0]
    dev = printable(first.dev)
    if back:
        return f"Meanwhile, CPU {one.cpu} went on with it, {way_words(one)}."
    if one.direction == "rx":
        begin = (
            f"{_at(first)} CPU {one.cpu} received it on {dev} (__netif_receive_skb_core); orig_dev is "
            f"{printable(first.orig_dev)} from here on."
        )
    elif one.shown:
        begin = (
            f"{_at(first)} the VRF {dev} showed it to those of its taps that listen for all protocols "
            "(dev_queue_xmit_nit): it is a received packet, and was not sent."
        )
    else:
        begin = (
            f"{_at(first)} it was sent on {dev}, and dev_queue_xmit_nit offered a copy to the taps there that listen "
            "for all protocols."
        )
    return begin + _rewritten(one, journey) + _tags(one, journey) + _sure(one)


def _rewritten(one: Pass, journey: Journey) -> str:
    phrases = changed(one, journey)
    return f" It had been changed: {'; '.join(phrases)}." if phrases else ""


def _tags(one: Pass, journey: Journey) -> str:
    """Say of a tag where it lay, at the first pass; later changes are told as such."""
    if one.follows is not None or not one.packet.tags:
        return ""
    tag = one.packet.tags[0]
    kind = "a type that was not recorded" if tag.tpid is None else f"the type 0x{tag.tpid:04x}"
    where = "in the frame's bytes" if tag.in_frame else "beside the frame's bytes (skb->vlan_tci)"
    return f" Its tag {tag.id}, of {kind}, lay {where}."


def _sure(one: Pass) -> str:
    return " That this was the same packet is inferred." if one.inferred else ""


def _at(step: Step) -> str:
    return f"At {duration(step.t_ns)}"


def _where(step: Step) -> str:
    text = f"with skb->dev = {printable(step.dev)}"
    return text if step.dev == step.orig_dev else f"{text} and orig_dev = {printable(step.orig_dev)}"


def _step(step: Step, one: Pass, scene: Scene, journey: Journey) -> str:
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
        why += f": netfilter's {printable(step.netfilter)}" if step.netfilter else ""
        why += f": tc's {printable(step.tc)}" if step.tc else ""
        what = "a copy of it" if step.clone else "it"
        harmless = f" That is by design: {printable(step.harmless)}." if step.harmless else ""
        return f"{_at(step)} the kernel dropped {what} in {step.function}, {_where(step)}, {why}.{harmless}{sure}"
    if step.kind == "queued":
        return (
            f"{_at(step)} {step.function} handed it, {_where(step)}, to {printable(step.next_dev or '?')}, which "
            f"received it later.{sure}"
        )
    if step.kind == "rx_handler":
        return f"{_at(step)} {_handler(step)}{sure}"
    if step.kind in ends.BEYOND_IP:
        return f"{_at(step)} {_beyond_ip(step, scene, journey)}{sure}"
    if step.kind != "protocol":
        return f"{_at(step)} {unknown_step(step)}, {_where(step)}.{sure}"
    return f"{_at(step)} it was delivered, {_where(step)}, to the protocol handler {step.function}.{sure}"


def _beyond_ip(step: Step, scene: Scene, journey: Journey) -> str:
    if step.kind == "local":
        name = socket_names.protocol_name(step.ip_protocol or 0)
        return f"IP gave it to a protocol of this host, {name} ({step.function})."
    if step.kind == "answered":
        return f"this host answered it ({step.function})."
    if step.kind == "forwarded":
        return f"IP forwards it to {printable(step.next_dev or 'a device that is not known')} ({step.function})."
    name = printable(socket_names.of_step(step, scene, journey.time_ns))
    return f"{step.function} gave it to {name}: {ends.outcome_words(step)}."


def _end(end: End) -> str:
    look_at = f" Look at: {printable(end.look_at)}" if end.look_at else ""
    return f"Its end: {printable(end.detail)}.{look_at}"


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
