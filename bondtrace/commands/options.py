# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several subcommands share, as decorators, and what they mean."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, Callable, Optional, TextIO

import click

from ..eras import ERAS, Era
from ..errors import UsageError
from ..model import Journey
from ..reporters import as_if as as_if_view
from ..reporters.json_lines import JsonReporter
from ..reporters.text import TextReporter
from ..scene import Scene
from . import candidates

Function = Callable[..., Any]


def _apply(options: list[Function]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


_DIRECTIONS = [
    click.option("--rx", "only_rx", is_flag=True, help="Only received packets (default: both)."),
    click.option("--tx", "only_tx", is_flag=True, help="Only transmitted packets (default: both)."),
]

trace_options = _apply([
    click.option("-i", "--iface", "interfaces", multiple=True, metavar="NAME", shell_complete=candidates.devices,
                 help="Trace this device with its slaves and what is stacked on it; may be repeated. "
                      "Default: every device of the network namespace."),
    click.option("--netns", multiple=True, metavar="NAME", shell_complete=candidates.namespaces,
                 help="Network namespace of the devices: a name of `ip netns`, a pid or a path; may be repeated. "
                      "Default: the current one."),
    *_DIRECTIONS,
    click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N journeys."),
    click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
                 help="End after so many seconds."),
    click.option("--kprobes", is_flag=True, help="Attach by kprobes alone, even where fentry is to be had."),
])

view_options = _apply([
    *_DIRECTIONS,
    click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N journeys."),
])

as_if_option = click.option(
    "--as-if", "as_if", metavar="KERNEL", shell_complete=candidates.eras,
    help="Beside what taps saw, tell what each would have been offered by an "
    f"older kernel's rules ({', '.join(era.name for era in ERAS)}): modelled from source, not run.")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")


def directions(only_rx: bool, only_tx: bool) -> tuple[str, ...]:
    """The directions asked for."""
    return ("rx", "tx") if only_rx == only_tx else ("rx",) if only_rx else ("tx",)


def wants_colour(stream: TextIO) -> bool:
    """Colours on a terminal, unless NO_COLOR is set; FORCE_COLOR asks for them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def reporter(as_json: bool, scene: Scene, era: Optional[Era] = None) -> Callable[[Journey], None]:
    """Writes each journey to stdout, as text or JSON; with what an era would have made of it."""
    if as_json:
        return JsonReporter(sys.stdout, scene, lambda journey: (
            {"as_if": as_if_view.answer_objects(journey, scene, era)} if era else {})).write
    return TextReporter(sys.stdout, scene, wants_colour(sys.stdout), lambda journey: (
        as_if_view.lines(journey, scene, era) if era else [])).write


def end_on_signals(stop: Callable[[], None], duration_s: Optional[float]) -> None:
    """SIGINT, SIGTERM, SIGHUP and the end of ``--duration`` end the trace in good order."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop())
    if duration_s is not None:
        timer = threading.Timer(duration_s, stop)
        timer.daemon = True
        timer.start()


def say(text: str) -> None:
    """A line about the trace itself, on stderr."""
    print(f"bondtrace: {text}", file=sys.stderr, flush=True)


def refuse_filter(expression: tuple[str, ...]) -> None:
    """Packet filters are not part of this version: say so rather than trace everything."""
    if not expression:
        return
    raise UsageError(f"packet filters are not supported yet ({' '.join(expression)!r}); leave the filter out, "
                     "--iface, --rx and --tx narrow the trace")
