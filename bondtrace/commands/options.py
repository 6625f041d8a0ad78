# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several subcommands share, as decorators, and functions that carry them out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, Callable, Optional, TextIO

import click

from ..analysis import watched
from ..analysis.eras import ERAS, Era
from ..analysis.scene import Scene
from ..errors import UsageError
from ..format.batch import Batch
from ..format.redact import MODES, Privacy
from ..format.wire import SNAPLEN_MAX
from ..model import Journey
from ..net.pcap import Filter, make_filter
from ..reporters import as_if as as_if_view
from ..reporters import json_lines
from ..reporters import text as text_view
from ..util.signals import on_signals
from ..util.untrusted import printable
from . import candidates

Function = Callable[..., Any]


def apply(options: list[Function]) -> Callable[[Function], Function]:
    """Return several decorators as one; help lists their options in this order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_DIRECTIONS = [
    click.option("--rx", "only_rx", is_flag=True, help="Only received packets (default: both)."),
    click.option("--tx", "only_tx", is_flag=True, help="Only transmitted packets (default: both)."),
]


class _Unit(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number followed by a unit."""

    def __init__(self, name: str, units: dict[str, float], example: str) -> None:
        self.name, self._units, self._example = name, units, example

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        number = str(value).rstrip("".join(self._units))
        unit = str(value)[len(number) :]
        try:
            found = float(number) * self._units[unit or ""]
        except (ValueError, KeyError):
            found = 0
        if not 0 < found < 1e18:
            self.fail(f"{value!r} is not a {self.name}: give one as {self._example}", param, ctx)
        return int(found) if self.name == "size" else found


SIZE = _Unit("size", {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}, "500k, 100M or 2G (bytes, powers of 1000)")
SECONDS = _Unit("time", {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}, "90s, 10m or 1h")


@dataclass(frozen=True)
class TraceOptions:
    """What to trace live, and until when."""

    interfaces: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()
    directions: tuple[str, ...] = ("rx", "tx")
    count: Optional[int] = None
    duration_s: Optional[float] = None
    kprobes: bool = False
    packet_filter: Optional[Filter] = None
    snaplen: int = 0
    privacy: Optional[str] = None
    sockets: bool = False

    @property
    def only_live(self) -> bool:
        """Was anything asked for that only a live trace has? (The filter is for recordings, too.)"""
        return bool(self.interfaces or self.netns or self.duration_s or self.kprobes or self.privacy or self.sockets)


privacy_option = click.option(
    "--privacy",
    type=click.Choice(MODES),
    metavar="|".join(MODES),
    help="Leave out payload, command lines, host, filter and addresses: drop these, or replace them with "
    "pseudonyms that are consistent within a recording (hash).",
)

_TRACE_OPTIONS = apply(
    [
        click.option(
            "-i",
            "--iface",
            "interfaces",
            multiple=True,
            metavar="NAME",
            shell_complete=candidates.devices,
            help="Trace this device with its slaves, what is stacked on it and the tunnels over it, in any "
            "namespace; may be repeated. Default: every device of the network namespace.",
        ),
        click.option(
            "--netns",
            multiple=True,
            metavar="NAME",
            shell_complete=candidates.namespaces,
            help="Network namespace of the devices: a name of `ip netns`, a pid or a path; may be repeated. "
            "Default: the current one.",
        ),
        *_DIRECTIONS,
        click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N journeys."),
        click.option(
            "--duration",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="End after this many seconds.",
        ),
        click.option("--kprobes", is_flag=True, help="Attach by kprobes only, even where fentry is available."),
        click.option(
            "-f",
            "--filter",
            "expression",
            metavar="FILTER",
            help="Trace only packets that this tcpdump filter matches, e.g. 'icmp and host 10.9.0.1'.",
        ),
        click.option(
            "--sockets",
            is_flag=True,
            help="Also show where packets end beyond IP: which sockets of which processes take or refuse them.",
        ),
        privacy_option,
    ]
)


def filter_of(expression: Optional[str], words: Sequence[str] = (), after_files: bool = False) -> Optional[Filter]:
    """Return the filter that was given as an option or as words; ``None`` where none was, or a blank one.

    :param after_files: the words come after files, so an error also says that the first of them is none.
    :raises UsageError: for what is no filter, and for two.
    """
    told = [one for one in (expression or "", " ".join(words)) if one.strip()]
    if len(told) > 1:
        raise UsageError(f"two filters were given ({told[0]!r} and {told[1]!r}): join them with `and` or `or`")
    try:
        return make_filter(told[0]) if told else None
    except UsageError as error:
        if not after_files or not words:
            raise
        raise UsageError(f"{error} (there is no file {words[0]!r}, so FILTER begins there)") from None


def trace_options(function: Function) -> Function:
    """Add the options of a live trace to a command, which receives them as one ``TraceOptions`` named ``options``.

    The words of an argument ``filter`` are joined to one filter, as tcpdump does; ``after_files``: as in ``filter_of``.
    """

    @_TRACE_OPTIONS
    @wraps(function)
    def with_options(
        interfaces: tuple[str, ...],
        netns: tuple[str, ...],
        only_rx: bool,
        only_tx: bool,
        count: Optional[int],
        duration: Optional[float],
        kprobes: bool,
        expression: Optional[str],
        privacy: Optional[str],
        sockets: bool,
        filter: tuple[str, ...] = (),
        after_files: bool = False,
        **more: Any,
    ) -> Any:
        return function(
            options=TraceOptions(
                interfaces,
                netns,
                directions(only_rx, only_tx),
                count,
                duration,
                kprobes,
                filter_of(expression, filter, after_files),
                privacy=privacy,
                sockets=sockets,
            ),
            **more,
        )

    return with_options


snaplen_option = click.option(
    "--snaplen",
    type=click.IntRange(1, SNAPLEN_MAX),
    metavar="N",
    help=f"Also keep the first N bytes of each packet (at most {SNAPLEN_MAX}), for export. Default: its headers only.",
)

direction_options = apply(_DIRECTIONS)

view_options = apply(
    [*_DIRECTIONS, click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N journeys.")]
)

as_if_option = click.option(
    "--as-if",
    "as_if",
    metavar="KERNEL",
    shell_complete=candidates.eras,
    help="Also show what each tap would have been offered by an "
    f"older kernel's rules ({', '.join(era.name for era in ERAS)}): modelled from source, not run.",
)

verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Also list the taps whose absence is no news, which are only counted otherwise.",
)

quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="One line per journey: the packet, who saw it, and who did not."
)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line instead of text.")


def directions(only_rx: bool, only_tx: bool) -> tuple[str, ...]:
    """Return the directions that were asked for."""
    return ("rx", "tx") if only_rx == only_tx else ("rx",) if only_rx else ("tx",)


def private(batches: Iterable[Batch], mode: Optional[str]) -> Iterable[Batch]:
    """Return the batches as ``--privacy`` wants them, under a key of their own."""
    return Privacy(mode).batches(batches) if mode else batches


def wants_colour(stream: TextIO) -> bool:
    """Is the stream to be coloured? On a terminal, unless NO_COLOR is set; with FORCE_COLOR anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def detail_of(verbose: bool, quiet: bool, as_json: bool) -> text_view.Detail:
    """Return how much is to be said of journeys.

    :raises UsageError: for a contradiction.
    """
    if verbose and quiet:
        raise UsageError("--verbose says more of a journey and --quiet less: leave one of them out")
    if quiet and as_json:
        raise UsageError("--quiet is about text, and JSON is always complete: leave --quiet or --json out")
    Detail = text_view.Detail
    return Detail.VERBOSE if verbose else Detail.QUIET if quiet else Detail.USUAL


def reporter(
    as_json: bool, scene: Scene, era: Optional[Era] = None, detail: text_view.Detail = text_view.Detail.USUAL
) -> Callable[[Journey], None]:
    """Return a function that writes a journey to stdout, as text or JSON, with an era's answers if there is one."""
    colour = wants_colour(sys.stdout)

    def write_json(journey: Journey) -> None:
        more = {"as_if": as_if_view.answer_objects(journey, scene, era)} if era else {}
        json_lines.write_json(journey, scene, sys.stdout, more)

    def write(journey: Journey) -> None:
        more = as_if_view.lines(journey, scene, era) if era else ()
        text_view.write(journey, scene, sys.stdout, colour, more, detail)

    return write_json if as_json else write


def end_on_signals(stop: Callable[[], None], duration_s: Optional[float]) -> None:
    """End the trace in good order on SIGINT, SIGTERM, SIGHUP and at the end of ``--duration``."""
    on_signals(stop)
    if duration_s is not None:
        timer = threading.Timer(duration_s, stop)
        timer.daemon = True
        timer.start()


def warn(phrases: list[str]) -> None:
    """Print to stderr, in red on a terminal, what the trace does not see (``watched.does_not_see``)."""
    if phrases:
        red, end = ("\033[1;31m", "\033[0m") if wants_colour(sys.stderr) else ("", "")
        with suppress(OSError):
            print(f"{red}bondtrace: {printable(watched.warning(phrases))}{end}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line about the trace itself to stderr; if that is gone (a closed terminal), the trace goes on."""
    with suppress(OSError):
        print(f"bondtrace: {printable(text)}", file=sys.stderr, flush=True)
