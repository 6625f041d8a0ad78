# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays one scenario on several kernels, each in a virtual machine of its own, one after the other.

Invariant: a kernel that is not available, does not boot or fails in the scenario does not end the others.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import BondtraceError, UsageError
from . import arches, kernels, userlands
from .play import LabResult, python, run_scenario
from .scenario import find_scenario, require_tools

RECORDING = "trace.arrows"


@dataclasses.dataclass(frozen=True)
class KernelRun:
    """A scenario on one kernel: ``recording`` is complete unless there is an ``error``."""

    #: What the user calls the kernel; also the name of its directory.
    kernel: str
    out_dir: Path
    release: str = ""
    error: str = ""

    @property
    def recording(self) -> Path:
        """Return the path of the recording."""
        return self.out_dir / RECORDING


def names_of(specs: Sequence[str]) -> dict[str, str]:
    """Return {short name: spec}. The name of a kernel that is given by its path is the path's last part."""
    names = [re.sub(r"[^\w.+~-]", "-", Path(spec).name) for spec in specs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"two kernels would be called {twice[0]}: give each --kernel once")
    return dict(zip(names, specs))


def run_kernels(
    *,
    specs: Sequence[str],
    scenario: str,
    out_dir: Path | None,
    cpus: int,
    userland: str | None = None,
    arch: str | None = None,
    notify: kernels.Notify,
) -> list[KernelRun]:
    """Play a scenario on each kernel while ``bondtrace record`` traces it; return the runs in the order given.

    :param userland: of all machines; None means this machine's own.
    :param arch: the same.
    :param out_dir: each kernel's directory is created in it; None means a new temporary one, which the caller removes.
    :param notify: is called with the progress, and with what is printed in the machines, line by line.
    :raises UsageError: before any machine boots.
    """
    names = names_of(specs)
    emulated = arches.find(arch)
    root = userlands.root_for(userland, emulated, notify)
    require_tools(emulated, [find_scenario(scenario)], root)
    base = Path(tempfile.mkdtemp(prefix="bondtrace-lab-")) if out_dir is None else out_dir.absolute()
    failures = {name: _why_not(spec, emulated, notify) for name, spec in names.items()}
    runs = []
    for number, (name, spec) in enumerate(names.items(), 1):
        if failures[name]:
            runs.append(KernelRun(name, base / name, error=failures[name]))
        else:
            notify(f"{name}: machine {number} of {len(names)}")
            runs.append(_run(name, spec, scenario, base / name, cpus, userland, arch, notify))
        if runs[-1].error:
            notify(f"{name}: {runs[-1].error}")
    return runs


def _why_not(spec: str, arch: arches.Arch, notify: kernels.Notify) -> str:
    """Provide the kernel; return why it is not available, "" where it is."""
    try:
        kernels.resolve(spec, notify, arch)
    except UsageError:
        raise
    except BondtraceError as error:
        return str(error)
    return ""


def _run(
    name: str,
    spec: str,
    scenario: str,
    out_dir: Path,
    cpus: int,
    userland: str | None,
    arch: str | None,
    notify: kernels.Notify,
) -> KernelRun:
    recording = str(out_dir / RECORDING)
    command = [python(userland, arch), "-m", "bondtrace", "record", "--force", "-o", recording]
    command += find_scenario(scenario).options
    lines = _Lines(name, notify)
    try:
        result = run_scenario(
            kernel=spec,
            scenario=scenario,
            command=command,
            out_dir=out_dir,
            on_output=lines.take,
            cpus=cpus,
            userland=userland,
            arch=arch,
            notify=lines.say,
        )
    except UsageError:
        raise
    except BondtraceError as error:
        return KernelRun(name, out_dir, error=str(error))
    return KernelRun(name, out_dir, result.kernel_release, _error_of(result))


def _error_of(result: LabResult) -> str:
    if result.status == 0:
        return ""
    said = [line for line in result.output.splitlines() if line.strip()]
    last = f": {said[-1].strip()}" if said else ""
    return f"the run ended with status {result.status}{last}; see {result.out_dir}"


class _Lines:
    """Passes on what a machine prints, in whole lines that begin with the kernel's name."""

    def __init__(self, name: str, notify: kernels.Notify) -> None:
        self._name, self._notify = name, notify
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take some output; pass on the lines that are complete."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self.say(line.decode("utf-8", "replace").removeprefix("bondtrace: "))

    def say(self, text: str) -> None:
        """Pass on one line."""
        self._notify(f"{self._name}: {text}")
