# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: puts the subcommands together, and turns errors into one clear line and an exit status.

Exit status: 0 success, 1 a runtime failure, 2 a usage error; 128 plus its number if a signal ended it.

Invariant: every message is printable. It may quote file names, filters and libraries, and so is made printable here.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Optional, TextIO

import click

from .commands import COMMANDS, refuse_mistyped
from .commands.examples import epilog
from .errors import BondtraceError
from .util.signals import Ended, on_signals_end
from .util.untrusted import printable
from .version import __version__


class _Commands(click.Group):
    """The subcommands: each is imported only when it is used, and `live` is taken where none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f".commands.{cmd_name}", __package__), cmd_name)
        assert isinstance(command, click.Command)
        command.epilog = epilog(cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a shell completes the first word
        if args and not args[0].startswith("-") and not ctx.resilient_parsing:
            refuse_mistyped(args[0])
        if not args or (args[0] not in COMMANDS and args[0] not in ("--help", "--version")):
            args = ["live", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return completions of the first word: a command, an option of bondtrace, or one of `live`."""
        items = super().shell_complete(ctx, incomplete)
        live = self.get_command(ctx, "live")
        assert live is not None
        known = {item.value for item in items}
        return [
            *items,
            *(item for item in live.shell_complete(click.Context(live), incomplete) if item.value not in known),
        ]


@click.group(cls=_Commands, epilog=epilog(""))
@click.version_option(__version__, package_name="bondtrace", prog_name="bondtrace")
def cli() -> None:
    """Which taps saw this packet, on which device, and why not the others.

    Without a subcommand: `bondtrace live`, e.g. `sudo bondtrace --iface bond0`.
    """


def main() -> None:
    """Run the command line and exit."""
    # numpy's algebra is not used, and its threads would keep the rights that a trace gives up (capture.capabilities).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    asked = os.environ.get("_BONDTRACE_COMPLETE")
    if asked:
        sys.exit(import_module(".commands.completion", __package__).answer(cli, asked))
    _open_closed()
    output = _watched_output()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale that lacks a character is no failure
    status = _outcome(_run, output)
    status = _outcome(lambda: _flush(status), output) or status
    _end_stderr()
    sys.exit(status)


def _open_closed() -> None:
    """Let what is printed go nowhere where standard output or standard error is closed: whoever closed it wants that.
    Without this a file that is opened later would get its descriptor."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


class _Output(io.FileIO):
    """Standard output, which remembers why it could not be written."""

    failure: Optional[OSError] = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def _watched_output() -> Optional[_Output]:
    """Let ``sys.stdout`` be the same stream on an ``_Output``, and return that; ``None`` where it was replaced."""
    stream = sys.stdout
    if stream is not sys.__stdout__ or not isinstance(stream, io.TextIOWrapper):
        return None
    stream.flush()
    output = _Output(stream.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(output),
        stream.encoding,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return output


def _run() -> int:
    on_signals_end()
    with cli.make_context("bondtrace", sys.argv[1:]) as context:  # cli.main would eat a broken pipe
        status: Any = cli.invoke(context)
    return status if isinstance(status, int) else 0


def _flush(status: int) -> int:
    """Write what is still buffered, while a failure can be reported."""
    sys.stdout.flush()
    return 0


def _outcome(what: Callable[[], int], output: Optional[_Output]) -> int:
    """Return the exit status; report a failure in one line."""
    try:
        return what()
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        with suppress(OSError):
            print("\n".join(map(printable, shown.getvalue().splitlines())), file=sys.stderr, flush=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _told("interrupted", 128 + signal.SIGINT)
    except Ended as error:
        return _told(f"ended by {signal.Signals(error.number).name}", 128 + error.number)
    except BondtraceError as error:
        return _told(str(error), error.exit_status)
    except MemoryError:
        return _told("there is not enough memory for this", 1)
    except OSError as error:
        reader_is_gone = error.errno == errno.EPIPE or (error.errno == errno.EIO and _terminal_is_gone())
        _close(sys.stdout)
        if reader_is_gone:
            return 0
        return _told(_fact(error, output), 1)


def _fact(error: OSError, output: Optional[_Output]) -> str:
    """Return what an error says, with what it is about, where that is known."""
    about = f"{error.filename}: " if error.filename else ""
    if not about and output and output.failure and output.failure.errno == error.errno:
        about = "cannot write the output: "
    return f"{about}{error.strerror or error}"


def _told(text: str, status: int) -> int:
    """Print a line to stderr, if that is still open, and return the status."""
    with suppress(OSError):
        print(f"bondtrace: {printable(text)}", file=sys.stderr, flush=True)
    return status


def _terminal_is_gone() -> bool:
    """Was standard output a terminal that has been closed?"""
    try:
        termios.tcgetattr(sys.stdout)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)  # not a terminal at all: ENOTTY
    return False


def _end_stderr() -> None:
    """Discard what a closed terminal did not take: Python would report that as a failure."""
    try:
        sys.stderr.flush()
    except OSError:
        _close(sys.stderr)


def _close(stream: TextIO) -> None:
    """Let the stream write to nowhere: nothing more can be written to it, not even when the process exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
