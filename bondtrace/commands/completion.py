# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace completion`: the script with which a shell completes bondtrace's commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class, shell_complete

from ..errors import BondtraceError

VARIABLE = "_BONDTRACE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete bondtrace's commands, options, devices and files.

    It goes into ~/.local/share/bash-completion/completions/bondtrace for bash, into a file _bondtrace in a directory of
    $fpath for zsh, into ~/.config/fish/completions/bondtrace.fish for fish.
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "bondtrace", VARIABLE).source(), nl=False)


def answer(root: click.Command, instruction: str) -> int:
    """Answer a shell's script, which asks by environment variables, and return the exit status.

    What cannot be completed gets no completion: a message would land in the line that is being typed.
    """
    try:
        return shell_complete(root, {}, "bondtrace", VARIABLE, instruction)
    except (BondtraceError, click.ClickException, KeyError, ValueError):
        return 1
