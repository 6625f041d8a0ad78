# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: puts the subcommands together, and turns errors into one clear line and an exit status.

Exit status: 0 done, 1 a failure at run time, 2 wrong use.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any, Optional

import click

from . import __version__
from .commands import COMMANDS, refuse_mistyped
from .commands.examples import epilog
from .errors import BondtraceError


class _Commands(click.Group):
    """Imports a subcommand only when it is used, and takes `live` where none is named."""

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
        """The first word: a command, an option of bondtrace, or one of `live`."""
        items = super().shell_complete(ctx, incomplete)
        live = self.get_command(ctx, "live")
        assert live is not None
        known = {item.value for item in items}
        return [*items, *(item for item in live.shell_complete(click.Context(live), incomplete)
                          if item.value not in known)]


@click.group(cls=_Commands, epilog=epilog(""))
@click.version_option(__version__, package_name="bondtrace", prog_name="bondtrace")
def cli() -> None:
    """Which taps saw this packet, on which device, and why not the others.

    Without a subcommand: `bondtrace live`, e.g. `sudo bondtrace --iface bond0`.
    """


def main() -> None:
    """Run the command line and exit."""
    # numpy's algebra is not used, and its threads would keep the rights that a trace gives up (rights.py).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    asked = os.environ.get("_BONDTRACE_COMPLETE")
    if asked:
        sys.exit(import_module(".commands.completion", __package__).answer(cli, asked))
    try:
        with cli.make_context("bondtrace", sys.argv[1:]) as context:  # cli.main would eat a broken pipe
            status: Any = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except BondtraceError as error:
        print(f"bondtrace: {error}", file=sys.stderr)
        status = error.exit_status
    except OSError as error:
        if error.errno != errno.EPIPE:
            print(f"bondtrace: cannot write the output: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
