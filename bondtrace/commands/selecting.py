# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands have in common that show some journeys of many: the options of a selection, the words FILE and
FILTER, and what is said of the selection at the end."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Optional

import click

from ..analysis import names
from ..analysis.moments import EXAMPLES, Moment, moment, span_ns
from ..analysis.scene import Scene
from ..analysis.select import ANY, Criteria, Selection
from ..analysis.why_unseen import REASONS
from ..errors import BondtraceError, UsageError
from ..format.trace_set import SUFFIX
from ..model import OUTCOMES
from ..net.pcap import Filter
from ..util.pipes import STDIO
from . import candidates
from .options import Function, TraceOptions, apply, filter_of, say

_REASON = re.compile(r"[A-Z][A-Z0-9_]+")  # as the kernel writes why it dropped a packet
_LIKE_A_PATH = re.compile(r"\S*/\S*")
_NETWORK = re.compile(r"[\da-fA-F.:]+/\d+")


class Selecting(click.Command):
    """A command in which `--dropped` may stand without its value: the next word is one only if it is in capitals, and
    no file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        told = []
        for word, following in zip(args, [*args[1:], ""]):
            has_value = _REASON.fullmatch(following) and not os.path.exists(following)
            told.append("--dropped=" if word == "--dropped" and not has_value else word)
        return super().parse_args(ctx, told)


class ReadBy(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A value that a function reads from text; it raises ``ValueError`` for what is none."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        try:
            return self._read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _path(words: str) -> tuple[str, ...]:
    devices = tuple(one.strip() for one in re.split("[>→]", words))
    if not all(devices):
        raise ValueError(f"{words!r} is no path: name devices in their order, as in 'eth0>bond0'")
    return devices


_SELECTION = apply(
    [
        click.option(
            "--tap",
            "taps",
            multiple=True,
            metavar="NAME",
            shell_complete=candidates.taps,
            help="Journeys that this tap (by name, inode or pid) was offered. With --outcome: where it did that; with "
            "--unseen: where it was not offered them for that reason.",
        ),
        click.option(
            "--unseen",
            type=click.Choice(REASONS),
            multiple=True,
            metavar="REASON",
            help="Journeys that a tap was not offered for this reason.",
        ),
        click.option(
            "--outcome",
            "outcomes",
            type=click.Choice(OUTCOMES),
            multiple=True,
            metavar="OUTCOME",
            help=f"Journeys with which a tap did this: {', '.join(OUTCOMES)}.",
        ),
        click.option(
            "--dropped",
            multiple=True,
            metavar="[REASON]",
            shell_complete=candidates.drop_reasons,
            help="Journeys that the kernel dropped, for any reason or for this one of the kernel's (NO_SOCKET).",
        ),
        click.option(
            "--dev",
            "devices",
            multiple=True,
            metavar="NAME",
            shell_complete=candidates.recorded_devices,
            help="Journeys that passed this device.",
        ),
        click.option(
            "--path",
            "paths",
            type=ReadBy("path", _path),
            multiple=True,
            metavar="'NAME>NAME'",
            help="Journeys that passed these devices in this order, maybe with others in between.",
        ),
        click.option(
            "--slower", type=ReadBy("time", span_ns), metavar="TIME", help="Journeys that took longer: 50us, 1ms, 1.5s."
        ),
        click.option(
            "--since", type=ReadBy("time", moment), metavar="TIME", help=f"Journeys from then on: {EXAMPLES}."
        ),
        click.option("--until", type=ReadBy("time", moment), metavar="TIME", help="Journeys before then, as --since."),
    ]
)


def selection_options(function: Function) -> Function:
    """Add the options of a selection to a command (of the class ``Selecting``), which receives them as ``criteria``.
    Several of one option: any of them must hold; of different ones all."""

    @_SELECTION
    @wraps(function)
    def with_criteria(
        taps: tuple[str, ...],
        unseen: tuple[str, ...],
        outcomes: tuple[str, ...],
        dropped: tuple[str, ...],
        devices: tuple[str, ...],
        paths: tuple[tuple[str, ...], ...],
        slower: Optional[int],
        since: Optional[Moment],
        until: Optional[Moment],
        **more: Any,
    ) -> Any:
        reasons = tuple(one.upper() if one else ANY for one in dropped)
        criteria = Criteria(taps, unseen, outcomes, reasons, devices, paths, slower, since, until)
        return function(criteria=criteria, **more)

    return with_criteria


def files_and_selection(function: Function) -> Function:
    """Add FILE..., FILTER and the options of a selection to a command that is for recordings, which receives them as
    ``files`` and ``criteria``."""

    @click.argument("files", type=click.Path(), nargs=-1, required=True, metavar="FILE... [FILTER]")
    @click.option(
        "-f",
        "--filter",
        "expression",
        metavar="FILTER",
        help="Journeys of which this tcpdump filter matches the packet, e.g. 'icmp and host 10.9.0.1'.",
    )
    @selection_options
    @wraps(function)
    def with_files(files: tuple[str, ...], expression: Optional[str], criteria: Criteria, **more: Any) -> Any:
        paths, words = split(files)
        if not paths:
            raise no_file(words[0])
        return function(files=paths, criteria=_with_filter(criteria, filter_of(expression, words, True)), **more)

    return with_files


def files_or_live(function: Function) -> Function:
    """Add [FILE...] and [FILTER] to a command that is for recordings or live; it receives the former as ``files``, and
    ``trace_options`` the latter."""

    @click.argument("files", type=click.Path(), nargs=-1, metavar="[FILE...] [FILTER]")
    @wraps(function)
    def with_files(files: tuple[str, ...], **more: Any) -> Any:
        paths, words = split(files)
        if words and not paths and not more.get("interfaces") and not more.get("netns"):
            raise no_file(words[0])
        return function(files=paths, filter=words, after_files=True, **more)

    return with_files


@click.command(cls=Selecting, add_help_option=False)
@click.argument("words", nargs=-1)
@click.option("-f", "--filter", "expression")
@selection_options
def _typed(words: tuple[str, ...], expression: Optional[str], criteria: Criteria) -> Criteria:
    return _with_filter(criteria, filter_of(expression, words))


def typed(text: str) -> Criteria:
    """Return what is asked for by a line that was typed: options of a selection, and words of a filter.

    :raises UsageError: for what cannot be meant, or is not finished.
    """
    try:
        words = shlex.split(text)
        with _typed.make_context("", words) as context:
            found = _typed.invoke(context)
    except click.ClickException as error:
        raise UsageError(" ".join(error.format_message().split())) from None
    except ValueError as error:
        raise UsageError(f"{error}: a quote is open") from None
    assert isinstance(found, Criteria)
    return found


def for_recordings(files: Sequence[Path], criteria: Criteria, options: TraceOptions) -> Criteria:
    """Return what is asked for of recordings, by options that may also be for a live trace.

    :raises UsageError: for those that only a live trace has.
    """
    if options.only_live:
        raise UsageError(
            f"{files[0]} is a recording: --iface, --netns, --duration, --privacy, --sockets and --kprobes are for live"
        )
    return _with_filter(criteria, options.packet_filter)


def _with_filter(criteria: Criteria, wanted: Optional[Filter]) -> Criteria:
    return replace(criteria, packet_filter=wanted)


def split(words: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files, of which one may be `-`, and the words of the filter: from the first word on that is no file.

    :raises BondtraceError: where that word can only have been meant as a file.
    """
    is_file = [word == str(STDIO) or os.path.lexists(word) for word in words]
    count = next((place for place, found in enumerate(is_file) if not found), len(words))
    rest = tuple(words[count:])
    if rest and (rest[0].endswith(SUFFIX) or _LIKE_A_PATH.fullmatch(rest[0])) and not _NETWORK.fullmatch(rest[0]):
        raise no_file(rest[0])
    return tuple(Path(word) for word in words[:count]), rest


def no_file(word: str) -> BondtraceError:
    """Return the error for a word that names no file, with a file that may have been meant."""
    path = Path(word)
    there: list[str] = []
    with suppress(OSError):
        there = [one.name for one in path.parent.iterdir() if one.is_dir() or one.suffix == SUFFIX]
    close = difflib.get_close_matches(path.name, there, 1)
    hint = f"; did you mean {path.parent / close[0]}?" if close else ""
    if not close and not word.endswith(SUFFIX) and "/" not in word:
        hint = "; FILTER comes after FILE"
    return BondtraceError(f"cannot read {word}: No such file or directory{hint}")


def refuse_private_filter(criteria: Criteria, privacy: Optional[str]) -> None:
    """Refuse a filter together with ``--privacy``, which takes out what the filter reads before it is asked."""
    if criteria.packet_filter and privacy:
        raise UsageError(
            f"--privacy {privacy} takes out what the filter {criteria.packet_filter.expression!r} reads: first "
            "`bondtrace export --format arrows -o SMALL.arrows FILE FILTER`, then --privacy with SMALL.arrows"
        )


def selection_of(criteria: Criteria) -> Optional[Selection]:
    """Return a selection for one trace; ``None`` where nothing is asked for."""
    return Selection(criteria) if criteria else None


def tell(
    selection: Optional[Selection], scene: Scene, name: str = "", are_told: bool = False, live: bool = False
) -> None:
    """Say on stderr what came of a selection.

    :param name: of the trace, where there are several.
    :param are_told: its lines are in the output itself.
    :raises UsageError: where nothing was selected of the only recording, as nothing has a name that was asked for.
    """
    if selection is None:
        return
    for line in () if are_told else selection.lines(scene):
        say(f"{name}: {line}" if name else line)
    for sentence in names.unknown(selection.criteria, scene):
        if not (selection.selected or name or live):
            raise UsageError(sentence)
        say(f"{name}: {sentence}" if name else sentence)
