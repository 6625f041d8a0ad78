# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace extcap`: bond0 "with taps and verdicts" as an interface of Wireshark and tshark.

Wireshark calls it by a script in its extcap folder: to list the interfaces, to ask for their options, and to capture
into a pipe, which it then reads as pcapng.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Optional

import click

from ..errors import BondtraceError, UsageError
from ..exporters import wireshark
from ..exporters.pcapng import PcapngExporter
from ..format.wire import SNAPLEN_MAX
from ..pipeline import Pipeline
from ..util import pipes
from ..util.signals import Ended, on_signals
from .live import trace
from .options import TraceOptions, filter_of, say

_SOURCE = Path("a live trace")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--extcap-interfaces", "lists", is_flag=True, help="List the interfaces.")
@click.option("--extcap-interface", "interface", metavar="NAME", help="The interface that is meant.")
@click.option("--extcap-dlts", "dlts", is_flag=True, help="List its link types.")
@click.option("--extcap-config", "config", is_flag=True, help="List the options of a capture.")
@click.option("--extcap-capture-filter", "expression", metavar="FILTER", help="Capture only what this filter matches.")
@click.option("--extcap-version", metavar="VERSION", help="Wireshark's version, which makes no difference.")
@click.option("--capture", is_flag=True, help="Capture into --fifo until it is ended, or nobody reads it any more.")
@click.option("--fifo", type=click.Path(path_type=Path), metavar="PIPE", help="The named pipe to write pcapng to.")
@click.option("-i", "--iface", "devices", metavar="NAMES", help="Trace these devices (interface bondtrace only).")
@click.option("--netns", metavar="NAME", help="Network namespace of the devices.")
@click.option("--sockets", is_flag=True, help="Also show where packets end beyond IP.")
@click.option(
    "--snaplen", type=click.IntRange(0, SNAPLEN_MAX), default=0, metavar="N", help="Keep the first N bytes of packets."
)
@click.argument("more", metavar="[MORE]...", nargs=-1, type=click.UNPROCESSED)
def extcap(
    lists: bool,
    interface: Optional[str],
    dlts: bool,
    config: bool,
    expression: Optional[str],
    extcap_version: Optional[str],
    capture: bool,
    fifo: Optional[Path],
    devices: Optional[str],
    netns: Optional[str],
    sockets: bool,
    snaplen: int,
    more: tuple[str, ...],
) -> None:
    """Be an interface of Wireshark: bond0, and whatever it is stacked on, with taps and verdicts.

    Without options: print what to type so that Wireshark has it, and fields to filter by. Wireshark gives the options.
    """
    if more and not more[0].startswith("--extcap-"):  # a newer Wireshark may have more of these
        raise UsageError(f"{more[0]} is no option of extcap: `bondtrace extcap --help` lists them")
    if capture:
        _capture(fifo, lambda: _options(interface, devices, netns, expression, sockets, snaplen))
    elif lists:
        _print(wireshark.interfaces())
    elif interface is None:
        click.echo(_how_to(), nl=False)
    elif dlts or config:
        _print(wireshark.arguments(interface) if config else wireshark.link_types())
    elif expression is not None:
        _verify(expression)
    else:
        raise UsageError(f"what of {interface}? Give --capture, --extcap-config or --extcap-dlts")


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def _how_to() -> str:
    called = wireshark.program()
    return wireshark.how_to(wireshark.folders(), called, getpass.getuser(), wireshark.can_change(called))


def _verify(expression: str) -> None:
    """Check a filter for Wireshark's line of input: whatever is printed says what is wrong with it."""
    try:
        filter_of(expression)
    except BondtraceError as error:
        click.echo(str(error))


def _options(
    interface: Optional[str],
    devices: Optional[str],
    netns: Optional[str],
    expression: Optional[str],
    sockets: bool,
    snaplen: int,
) -> TraceOptions:
    if interface is None:
        raise UsageError("--capture needs --extcap-interface NAME: `bondtrace extcap --extcap-interfaces` lists them")
    device = wireshark.device_of(interface)
    if device and devices:
        raise UsageError(f"{interface} is for {device}: --iface {devices} is for the interface {wireshark.ANY}")
    return TraceOptions(
        interfaces=(device,) if device else tuple((devices or "").split()),
        netns=(netns,) if netns else (),
        packet_filter=filter_of(expression),
        sockets=sockets,
        snaplen=snaplen,
    )


def _capture(fifo: Optional[Path], options: Callable[[], TraceOptions]) -> None:
    """Trace until the end, and write journeys as they end. Being ended before it began is no failure either.

    The pipe is opened before anything can go wrong, as tshark waits for nothing else. What went wrong is said before
    the pipe is closed, as tshark then ends this process.
    """
    if fifo is None:
        raise UsageError("--capture needs --fifo PIPE, a named pipe that Wireshark reads")
    with suppress(Ended), _opened(fifo) as stream:
        try:
            _write(stream, options())
        except BondtraceError as error:
            on_signals(lambda: None)
            say(str(error))
            raise click.exceptions.Exit(error.exit_status) from None


def _opened(fifo: Path) -> BinaryIO:
    try:
        return pipes.open_fifo(fifo)
    except pipes.Unusable as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise BondtraceError(f"cannot write to {fifo}: {error.strerror}") from None


def _write(stream: BinaryIO, options: TraceOptions) -> None:
    exporter = PcapngExporter(stream)
    pipeline = Pipeline()
    exporter.begin(_SOURCE, pipeline.scene)
    pipeline.payloads = exporter.payloads if options.snaplen else None
    exporter.flush()  # Wireshark waits for the beginning of the file
    pipeline.columns = exporter.take_at_once
    trace(pipeline, options, quiet=True)
    exporter.end()
