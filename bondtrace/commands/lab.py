# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace lab`: a real bond on a real kernel, in a throwaway virtual machine; or on several, compared."""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import click

from .. import lab as laboratory
from ..errors import BondtraceError, UsageError
from ..format.recording import Recording
from ..lab import arches, compare
from ..lab.play import python
from ..lab.terminal import Terminal
from ..pipeline import Pipeline
from ..reporters import comparison
from ..reporters.fitting import Column, drawn, width_of
from ..stats.kernel_comparison import Observation
from . import candidates
from .options import say, wants_colour

_OWN = (
    "A file of your own works as well: bondtrace lab --scenario ./mine.sh (how to write one: docs/lab.md; "
    "begin with a copy of\n{})."
)


_RECORDING = "trace.arrows"
_MOST_COMMANDS = 1 << 20


class _Asked(NamedTuple):
    """What is asked of every machine, by the names that ``lab``'s functions have for it."""

    scenario: str
    userland: Optional[str]
    arch: Optional[str]
    out_dir: Optional[Path]
    cpus: int


@click.command()
@click.option(
    "--kernel",
    "kernels",
    multiple=True,
    metavar="VERSION[,VERSION...]",
    help="A version (5.10, 6.1, 6.12-rt), a full release, or a directory or vmlinuz of your own; several, "
    "separated by commas or by repeating the option, are compared in one table. Default: this Debian's own "
    "kernel.",
)
@click.option(
    "--userland",
    metavar="RELEASE",
    help="Run in another Debian release's userland, with its bcc, compiler and Python: bookworm, trixie, sid, or a "
    "root directory of your own. Created once, with mmdebstrap. Default: this machine's own.",
)
@click.option(
    "--arch",
    type=click.Choice(tuple(arches.ARCHES)),
    help="Emulate another processor, with that userland for it. Default: this machine's own.",
)
@click.option(
    "--scenario",
    default="ping",
    show_default=True,
    metavar="NAME",
    shell_complete=candidates.scenarios,
    help="The scenario to build and play: a name from --list, or a file of your own.",
)
@click.option(
    "--shell",
    "wants_shell",
    is_flag=True,
    help="A shell in the machine, once the scenario is set up, on this terminal; where standard input is none, the "
    "commands in it are run.",
)
@click.option("--list", "list_them", is_flag=True, help="List the scenarios.")
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep capture files and logs here (for several kernels, in one directory each); the guest finds it as "
    "$LAB_OUT. Default: a new directory.",
)
@click.option(
    "--cpus", type=click.IntRange(1, 64), default=2, show_default=True, metavar="N", help="CPUs of the machine."
)
@click.option("--json", "as_json", is_flag=True, help="The comparison of several kernels as one JSON object.")
@click.argument("command", nargs=-1)
def lab(
    kernels: tuple[str, ...],
    userland: Optional[str],
    arch: Optional[str],
    scenario: str,
    wants_shell: bool,
    list_them: bool,
    out_dir: Optional[Path],
    cpus: int,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Boot a distribution kernel in QEMU, build a bond in it, play a scenario and trace it.

    COMMAND (after `--`) is what traces, by default `bondtrace --iface bond0 --write trace.arrows`; `bondtrace` in it is
    this bondtrace.

    Several kernels are recorded in one machine each, and one table shows what every tap saw on each.

    Ctrl-C ends COMMAND in the machine, which then ends; a second one ends the machine at once.
    """
    if list_them:
        _list()
        return
    specs = [spec for words in kernels for spec in words.split(",") if spec]
    if kernels and not specs:
        raise UsageError(f"--kernel {kernels[0]!r} names no kernel: give one as 6.1, or several as 5.10,6.1")
    asked = _Asked(scenario, userland, arch, out_dir, cpus)
    if wants_shell:
        _refuse_beside_shell(specs, as_json, command)
        _shell(specs[0] if specs else None, asked)
    if len(specs) > 1:
        _compare(specs, asked, as_json, command)
    if as_json:
        raise UsageError(
            "--json is for the comparison of several kernels; for one, have the command print it: "
            "bondtrace lab -- bondtrace --json --iface bond0"
        )
    _play(specs[0] if specs else None, asked, command)


def _list() -> None:
    found = laboratory.scenarios()
    rows = [[one.name, one.title, one.description] for one in found]
    columns = [Column(("scenario",)), *(Column((name,), least=20, wraps=True) for name in ("title", "what it plays"))]
    print(drawn(columns, rows, "simple", width_of(sys.stdout)))
    print("\n" + _OWN.format(next(one.path for one in found if one.name == "ping")))


def _play(kernel: Optional[str], asked: _Asked, command: tuple[str, ...]) -> None:
    chosen = laboratory.find_scenario(asked.scenario)
    try:
        result = laboratory.run_scenario(
            kernel=kernel,
            command=_command(command, chosen.options, python(asked.userland, asked.arch)),
            on_output=_write,
            env=_colour(),
            notify=say,
            **asked._asdict(),
        )
    except laboratory.Interrupted as ended:
        sys.exit(ended.status)
    say(f"kernel {result.kernel_release}; capture files and logs: {result.out_dir}")
    recording = result.out_dir / _RECORDING
    if not command and recording.exists():
        page = ["report", str(recording), "-o", str(recording.with_suffix(".html"))]
        say(f"for a page to look at in a browser: {shlex.join([_this_program(), *page])}")
    sys.exit(result.status)


def _refuse_beside_shell(specs: list[str], as_json: bool, command: tuple[str, ...]) -> None:
    if command:
        raise UsageError(
            f"--shell runs what is typed, or comes on standard input, so there is no place for a command "
            f"({' '.join(command)}): leave one of them out"
        )
    if len(specs) > 1:
        raise UsageError(f"--shell is a shell in one machine: give one --kernel instead of {', '.join(specs)}")
    if as_json:
        raise UsageError("--json is for the comparison of several kernels: leave it out with --shell")


def _shell(kernel: Optional[str], asked: _Asked) -> None:
    """Run a shell in a machine; exit with the status of its last command."""
    on_terminal = sys.stdin.isatty()
    run = partial(laboratory.run_shell, kernel=kernel, on_output=_write, notify=say, **asked._asdict())
    try:
        if on_terminal:
            with Terminal() as terminal:
                env = {name: os.environ[name] for name in ("TERM", "NO_COLOR", "COLORTERM") if name in os.environ}
                result = run(commands=terminal, env=env)
        else:
            result = run(commands=_commands(), env=_colour())
    except laboratory.Interrupted as ended:
        sys.exit(ended.status)
    say(f"kernel {result.kernel_release}; capture files and logs: {result.out_dir}")
    sys.exit(result.status)


def _commands() -> bytes:
    """Return the commands on standard input."""
    commands = sys.stdin.buffer.read(_MOST_COMMANDS + 1)
    if len(commands) > _MOST_COMMANDS:
        raise UsageError("standard input has more than 1 MiB, which no commands for --shell have")
    return commands


def _colour() -> dict[str, str]:
    return {"FORCE_COLOR": "1"} if wants_colour(sys.stdout) else {}


def _compare(specs: list[str], asked: _Asked, as_json: bool, command: tuple[str, ...]) -> None:
    """Compare kernels; exit with status 1 if any of them failed."""
    if command:
        raise UsageError(
            f"several kernels are recorded and compared, so there is no place for a command "
            f"({' '.join(command)}): leave it out, or give one --kernel"
        )
    runs = compare.run_kernels(specs=specs, notify=say, **asked._asdict())
    observations = [_observe(run) for run in runs]
    if as_json:
        comparison.write_json(observations, sys.stdout, laboratory.find_scenario(asked.scenario).name)
    else:
        comparison.write(observations, sys.stdout)
    sys.exit(1 if any(one.error for one in observations) else 0)


def observe(kernel: str, release: str, recording: Path) -> Observation:
    """Return a recording as the column of a kernel; one that cannot be read whole becomes the column's error."""
    result = Observation(kernel, release, str(recording.parent))
    pipeline = Pipeline(show=result.count, scene=result.scene, summary=result.total)
    try:
        file = Recording(recording)
        pipeline.run(file.batches())
    except BondtraceError as error:
        return Observation(kernel, release, str(recording.parent), str(error))
    if file.cut_off:
        result.error = f"the recording {recording} was cut off: it is not compared"
    return result


def _observe(run: compare.KernelRun) -> Observation:
    if run.error:
        return Observation(run.kernel, run.release, str(run.out_dir), run.error)
    return observe(run.kernel, run.release, run.recording)


def _command(command: tuple[str, ...], options: tuple[str, ...], its_python: str) -> list[str]:
    this = [its_python, "-m", "bondtrace"]
    if not command:
        return [*this, *options, "--write", _RECORDING, "--force"]
    return [*this, *command[1:]] if command[0] == "bondtrace" else list(command)


def _this_program() -> str:
    """Return how bondtrace was called, to be typed again."""
    return sys.argv[0] if Path(sys.argv[0]).name == "bondtrace" else "bondtrace"


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
