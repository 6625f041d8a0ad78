# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace why`: the answer to a question about a tap, or about packets, in a paragraph."""

from __future__ import annotations

import shlex
import sys
import textwrap
from pathlib import Path
from typing import Optional

import click

from ..analysis.history import LAST_NS
from ..analysis.names import last_labels
from ..analysis.scene import Scene
from ..analysis.select import Criteria, Selection
from ..analysis.tap_names import answers_to
from ..errors import UsageError
from ..format.trace_set import TraceSet, gather
from ..net.pcap import make_filter
from ..pipeline import Pipeline
from ..reporters import answer
from ..reporters.fitting import WIDTH, width_of
from ..stats.answers import Answers
from ..util.untrusted import printable
from .replaying import refuse_piped, replay

_NAMED = 10


@click.command()
@click.argument("question", metavar="QUESTION")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
def why(question: str, files: tuple[Path, ...]) -> None:
    """Answer why a tap, or packets, were seen or not: what, the main cause, an example, what to change.

    QUESTION is a tap, as outputs name it ('tcpdump -i eth0'), a program, a pid or an inode; or a tcpdump filter ('icmp
    and host 10.9.0.1'), for the packets that it matches. FILE is a recording, or a directory of recordings.
    """
    refuse_piped(files, "why")
    traces = gather(files)
    for place, trace in enumerate(traces):
        if len(traces) > 1:
            print("\n" * bool(place) + f"== {printable(str(trace.name))}")
        name = shlex.quote(str(files[0])) if len(traces) == 1 and len(files) == 1 else shlex.quote(str(trace.name))
        print("\n".join(_filled(_answer(question, trace, name))))


def _answer(question: str, trace: TraceSet, name: str) -> list[str]:
    """Return the paragraphs for the taps that are meant, or else for the packets that a filter matches."""
    pipeline, answers = _counted(trace)
    scene = pipeline.scene
    known = dict.fromkeys([*scene.taps, *answers.taps])
    meant = [inode for inode in known if answers_to(question, inode, scene.tap(inode, LAST_NS))]
    if meant:
        return [
            line
            for place, inode in enumerate(meant[:_NAMED])
            for line in ([""] if place else []) + answer.of_tap(inode, answers, scene, name)
        ]
    if question.isdecimal():
        raise UsageError(f"no tap of {trace.name} has the inode or the pid {question}: it has {_taps(scene)}")
    try:
        wanted = make_filter(question)
    except UsageError as error:
        raise UsageError(f"{question!r} is no tap of {trace.name}, which has {_taps(scene)}; and {error}") from None
    selection = Selection(Criteria(packet_filter=wanted))
    pipeline, answers = _counted(trace, selection)
    undecided = selection.lines(pipeline.scene)[1:]
    return [*answer.of_packets(question, answers, pipeline.scene, name), *undecided]


def _counted(trace: TraceSet, selection: Optional[Selection] = None) -> tuple[Pipeline, Answers]:
    pipeline, answers = Pipeline(selection=selection), Answers()
    pipeline.summary.also = answers.count
    replay(pipeline, trace, again=selection is not None)
    return pipeline, answers


def _taps(scene: Scene) -> str:
    """Return the names of a trace's taps, for an error."""
    names = list(dict.fromkeys(map(printable, last_labels(scene).values())))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more if names else "no taps"


def _filled(paragraphs: list[str]) -> list[str]:
    """Return the lines of paragraphs, as wide as the terminal."""
    width = max(20, min(WIDTH, width_of(sys.stdout)))
    return [
        line
        for one in paragraphs
        for line in textwrap.wrap(one, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
