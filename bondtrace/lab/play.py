# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays scenarios on one kernel, in one virtual machine, while a command traces them.

A single scenario has the guest to itself. Several are played one after the other, because booting and the first
start of a tracer take longest: each in namespaces of its own, so that none meets what another left behind, and none is
ended by another's failure.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..errors import BondtraceError, UsageError
from . import arches, kernels, machine, userlands
from .guest import EXCHANGE, PACKAGE
from .scenario import Scenario, find_scenario, require_tools
from .terminal import Terminal

_HERE = Path(__file__).resolve().parent
_RUNNER = _HERE / "runner.sh"
_SEVERAL = _HERE / "several.sh"
_SHELL = _HERE / "shell.sh"

#: The most that a scenario may take, however slow the emulation is.
SCENARIO_S = 400.0
_BOOT_S = 120.0


@dataclasses.dataclass(frozen=True)
class LabResult:
    """The result of a run: the tracer's exit status, and the directory with pcaps, ``play.log`` and its own files.

    ``error`` says why the tracer has no status: the machine ended before the scenario did (``status`` is then 1).
    """

    status: int
    out_dir: Path
    kernel_release: str
    error: str = ""

    @property
    def output(self) -> str:
        """Return what the tracer and the runner printed."""
        file = self.out_dir / EXCHANGE / "output"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def run_scenario(
    *,
    kernel: str | None,
    scenario: str,
    command: Sequence[str],
    out_dir: Path | None = None,
    on_output: Callable[[bytes], None],
    cpus: int = 2,
    memory_mb: int = machine.MEMORY_MB,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
    qemu_opts: Sequence[str] = (),
    userland: str | None = None,
    arch: str | None = None,
    notify: kernels.Notify = lambda text: None,
) -> LabResult:
    """Play a scenario on a kernel while a command traces it.

    :param kernel: see :func:`bondtrace.lab.kernels.resolve`.
    :param command: the tracer's whole command line, run in the guest as root in ``out_dir``, which is also
        ``$LAB_OUT``; ``$LAB_IFACE`` is the scenario's device.
    :param out_dir: created if necessary; None means a new temporary directory, which the caller removes.
    :param on_output: is called with the command's stdout and stderr, as they come.
    :param userland: see :func:`bondtrace.lab.userlands.resolve`; None means this machine's own.
    :param arch: the machine's architecture, "amd64" or "arm64"; None means this machine's own.
    :param notify: is called with what is being waited for before the guest runs.
    """
    chosen = find_scenario(scenario)
    found, root = _prepared(kernel, [chosen], userland, arch, notify)
    directory, words = _directory(out_dir), ["bash", str(_RUNNER), str(chosen.path), *command]
    boot = partial(machine.run, cpus=cpus, memory_mb=memory_mb, qemu_opts=qemu_opts, on_output=on_output)
    environment, shown = {"LAB_IFACE": chosen.iface, **(env or {})}, _directories([chosen])
    status = boot(
        found, words, directory, env=environment, timeout_s=timeout_s, userland=root, shown=shown, notify=notify
    )
    return LabResult(status, directory, found.release)


def run_shell(
    *,
    kernel: str | None,
    scenario: str,
    commands: bytes | Terminal,
    out_dir: Path | None = None,
    on_output: Callable[[bytes], None],
    cpus: int = 2,
    env: Mapping[str, str] | None = None,
    userland: str | None = None,
    arch: str | None = None,
    notify: kernels.Notify = lambda text: None,
) -> LabResult:
    """Build a scenario's network, and run a shell in it, which knows the scenario's functions; its status is that of
    its last command. It may take as long as it likes. Other parameters are those of :func:`run_scenario`.

    :param commands: what the shell is to run, or the terminal that it reads commands from.
    """
    chosen = find_scenario(scenario)
    found, root = _prepared(kernel, [chosen], userland, arch, notify)
    directory, words = _directory(out_dir), ["bash", str(_SHELL), str(chosen.path)]
    terminal = commands if isinstance(commands, Terminal) else None
    if isinstance(commands, bytes):
        words.append(_write_commands(commands, directory))
    status = machine.run(
        found,
        words,
        directory,
        cpus=cpus,
        env={"LAB_IFACE": chosen.iface, **(env or {})},
        timeout_s=math.inf,
        on_output=on_output,
        userland=root,
        shown=_directories([chosen]),
        terminal=terminal,
        notify=notify,
    )
    return LabResult(status, directory, found.release)


def _write_commands(commands: bytes, directory: Path) -> str:
    file = directory / EXCHANGE / "commands"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(commands)
    except OSError as error:
        raise BondtraceError(f"cannot write to {directory}: {error.strerror}") from error
    return str(file)


def run_scenarios(
    *,
    kernel: str | None,
    scenarios: Sequence[str],
    command: Sequence[str],
    out_dir: Path | None = None,
    on_output: Callable[[bytes], None] = lambda data: None,
    cpus: int = 2,
    memory_mb: int = machine.MEMORY_MB,
    env: Mapping[str, str] | None = None,
    scenario_s: float = SCENARIO_S,
    qemu_opts: Sequence[str] = (),
    userland: str | None = None,
    arch: str | None = None,
    notify: kernels.Notify = lambda text: None,
) -> dict[str, LabResult]:
    """Play scenarios one after the other in one guest, each traced by a command of its own; return results by name.

    Parameters are those of :func:`run_scenario`, and those below; each scenario's directory is ``out_dir/NAME``.

    :param on_output: is called with a line as each scenario begins and ends; what a tracer prints is in its result.
    :param scenario_s: a scenario that takes longer is ended, with status 137.
    :raises BondtraceError: the guest did not play the first. If it ends later, the missing ones have an ``error``.
    """
    chosen = _several(scenarios)
    found, root = _prepared(kernel, chosen, userland, arch, notify)
    directory = _directory(out_dir)
    outs = {one.name: directory / one.name for one in chosen}
    for out in outs.values():
        (out / EXCHANGE / "status").unlink(missing_ok=True)
    boot = partial(machine.run, cpus=cpus, memory_mb=memory_mb, qemu_opts=qemu_opts, on_output=on_output)
    error, environment = "", {"LAB_SCENARIO_S": f"{scenario_s:g}", **(env or {})}
    boot = partial(boot, timeout_s=_BOOT_S + scenario_s * len(chosen), shown=_directories(chosen))
    try:
        boot(found, _several_words(chosen, command), directory, env=environment, userland=root)
    except BondtraceError as failure:
        error = str(failure)
        if not any(_status(out) is not None for out in outs.values()):
            raise
    return {name: _result(out, found.release, error) for name, out in outs.items()}


def _several_words(chosen: Sequence[Scenario], command: Sequence[str]) -> list[str]:
    words = [word for one in chosen for word in (one.name, str(one.path), one.iface)]
    return ["bash", str(_SEVERAL), *words, "--", *command]


def python(userland: str | None, arch: str | None) -> str:
    """Return the Python that runs bondtrace in a guest: this one, or another user land's."""
    return sys.executable if userlands.is_own(userland, arches.find(arch)) else "python3"


def _prepared(
    kernel: str | None, chosen: Sequence[Scenario], userland: str | None, arch: str | None, notify: kernels.Notify
) -> tuple[kernels.Kernel, Path | None]:
    """Return the kernel and the root directory, once both are there and have what the scenarios need."""
    emulated = arches.find(arch)
    root = userlands.root_for(userland, emulated, notify)
    require_tools(emulated, chosen, root)
    found = kernels.resolve(kernel, notify, emulated)
    notify(f"booting kernel {found.release}")
    return found, root


def _several(names: Sequence[str]) -> list[Scenario]:
    chosen = [find_scenario(name) for name in names]
    twice = [name for name, count in Counter(one.name for one in chosen).items() if count > 1]
    if twice or not chosen:
        raise UsageError(f"two scenarios are called {twice[0]}: rename one" if twice else "no scenario is named")
    return chosen


def _directories(chosen: Sequence[Scenario]) -> list[Path]:
    """Return the directories of scenarios that are not bondtrace's own."""
    return [one.path.parent for one in chosen if not one.path.is_relative_to(PACKAGE)]


def _directory(out_dir: Path | None) -> Path:
    return Path(tempfile.mkdtemp(prefix="bondtrace-lab-")) if out_dir is None else out_dir.absolute()


def _status(out_dir: Path) -> int | None:
    file = out_dir / EXCHANGE / "status"
    return int(file.read_text(encoding="ascii")) if file.exists() else None


def _result(out_dir: Path, release: str, error: str) -> LabResult:
    status = _status(out_dir)
    if status is None:
        return LabResult(1, out_dir, release, error or f"it left no status in {out_dir}")
    return LabResult(status, out_dir, release)
