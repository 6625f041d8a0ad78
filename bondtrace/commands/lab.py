# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace lab`: a real bond on a real kernel, in a throwaway virtual machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click
from tabulate import tabulate

from .. import lab as laboratory
from .options import say, wants_colour


@click.command()
@click.option("--kernel", metavar="VERSION", help="A version (5.10, 6.1, 6.12-rt), a full release, or a directory or "
                                                  "vmlinuz of your own. Default: this Debian's own kernel.")
@click.option("--scenario", default="ping", show_default=True, metavar="NAME", help="What is built and played; a name "
                                                                                   "of --list or a file.")
@click.option("--list", "list_them", is_flag=True, help="List the scenarios.")
@click.option("--out", "out_dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep capture files and logs here; the guest finds it as $LAB_OUT. Default: a new directory.")
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Processors of the machine.")
@click.argument("command", nargs=-1)
def lab(kernel: Optional[str], scenario: str, list_them: bool, out_dir: Optional[Path], cpus: int,
        command: tuple[str, ...]) -> None:
    """Boot a distribution kernel in QEMU, build a bond in it, play a scenario and trace it.

    COMMAND is what traces (behind `--`), `bondtrace --iface bond0` unless said otherwise; `bondtrace` in it is
    this very bondtrace.
    """
    if list_them:
        rows = [[one.name, one.title, one.description] for one in laboratory.scenarios()]
        print(tabulate(rows, headers=["scenario", "title", "what it plays"]))
        return
    chosen = laboratory.find_scenario(scenario)
    colour = {"FORCE_COLOR": "1"} if wants_colour(sys.stdout) else {}
    result = laboratory.run_scenario(
        kernel=kernel, scenario=scenario, command=_command(command, chosen.iface), out_dir=out_dir,
        on_output=_write, cpus=cpus, env=colour, notify=say)
    say(f"kernel {result.kernel_release}; capture files and logs: {result.out_dir}")
    sys.exit(result.status)


def _command(command: tuple[str, ...], iface: str) -> list[str]:
    this = [sys.executable, "-m", "bondtrace"]
    if not command:
        return [*this, "--iface", iface]
    return [*this, *command[1:]] if command[0] == "bondtrace" else list(command)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
