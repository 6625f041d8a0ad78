# SPDX-License-Identifier: GPL-2.0-or-later
"""One scenario on several kernels, a virtual machine each, one after the other.

What it keeps true: a kernel that cannot be had, does not boot or fails in the scenario does not end the others.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import BondtraceError, UsageError
from . import kernels, userlands
from .play import LabResult, run_scenario
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
        return self.out_dir / RECORDING


def names_of(specs: Sequence[str]) -> dict[str, str]:
    """{short name: spec}: a kernel given by its path is called by the path's last part."""
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
    notify: kernels.Notify,
) -> list[KernelRun]:
    """Plays a scenario on each kernel while ``bondtrace record`` traces it; in the order given.

    :param userland: of all of them; None means this machine's own.
    :param out_dir: each kernel's directory is made in it; None means a new temporary one, left to the caller.
    :param notify: told how it goes, and what is printed in the machines, a line at a time.
    :raises UsageError: before any machine boots.
    """
    names = names_of(specs)
    root = userlands.resolve(userland, notify).root if userland else None
    require_tools([find_scenario(scenario)], root)
    base = Path(tempfile.mkdtemp(prefix="bondtrace-lab-")) if out_dir is None else out_dir.absolute()
    failures = {name: _why_not(spec, notify) for name, spec in names.items()}
    runs = []
    for number, (name, spec) in enumerate(names.items(), 1):
        if failures[name]:
            runs.append(KernelRun(name, base / name, error=failures[name]))
        else:
            notify(f"{name}: machine {number} of {len(names)}")
            runs.append(_run(name, spec, scenario, base / name, cpus, userland, notify))
        if runs[-1].error:
            notify(f"{name}: {runs[-1].error}")
    return runs


def _why_not(spec: str, notify: kernels.Notify) -> str:
    """Has the kernel at hand; says why it cannot be had, if so."""
    try:
        kernels.resolve(spec, notify)
    except UsageError:
        raise
    except BondtraceError as error:
        return str(error)
    return ""


def _run(
    name: str, spec: str, scenario: str, out_dir: Path, cpus: int, userland: str | None, notify: kernels.Notify
) -> KernelRun:
    recording = str(out_dir / RECORDING)
    python = "python3" if userland else sys.executable
    command = [python, "-m", "bondtrace", "record", "--force", "-o", recording]
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
    """Passes on what a machine prints, whole lines with the kernel's name before them."""

    def __init__(self, name: str, notify: kernels.Notify) -> None:
        self._name, self._notify = name, notify
        self._rest = b""

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self.say(line.decode("utf-8", "replace").removeprefix("bondtrace: "))

    def say(self, text: str) -> None:
        self._notify(f"{self._name}: {text}")
