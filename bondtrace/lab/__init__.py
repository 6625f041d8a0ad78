# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: a real bond on a real kernel, in a throwaway virtual machine.

It serves the demo, the tests, the benchmarks, and users who ask what another kernel would do. What it keeps true: the
host's network and files are never touched; the tracer in the guest is the command that a user would type, and what it
prints is passed on unchanged; traffic is played only once the tracer has said that it is attached.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import kernels, machine

__all__ = ["LabResult", "Scenario", "find_scenario", "run_scenario", "scenarios"]

_HERE = Path(__file__).resolve().parent
_RUNNER = _HERE / "runner.sh"
_SCENARIOS = _HERE / "scenarios"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A network and its traffic, as a bash file (see ``scenarios/lib.sh``)."""

    name: str
    title: str
    description: str
    #: The device that the tracer is told to trace.
    iface: str
    path: Path


@dataclasses.dataclass(frozen=True)
class LabResult:
    """What a run left: the tracer's exit status, and the directory with pcaps, ``play.log`` and its own files."""

    status: int
    out_dir: Path
    kernel_release: str


def read_scenario(path: Path) -> Scenario:
    """A scenario from its file's header comments."""
    header: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        match = re.fullmatch(r"# (title|description|iface): (.*\S)\s*", line)
        if match:
            header[match.group(1)] = match.group(2)
    title = header.get("title", path.stem)
    return Scenario(path.stem, title, header.get("description", ""), header.get("iface", "bond0"), path)


def scenarios() -> list[Scenario]:
    """The scenarios that come with bondtrace, by name."""
    return [read_scenario(path) for path in sorted(_SCENARIOS.glob("*.sh")) if path.name != "lib.sh"]


def find_scenario(name: str) -> Scenario:
    """A scenario by its name or, a user's own, by its path."""
    for scenario in scenarios():
        if scenario.name == name:
            return scenario
    path = Path(name)
    if path.is_file():
        return read_scenario(path.resolve())
    known = ", ".join(scenario.name for scenario in scenarios())
    raise UsageError(f"no scenario {name}: give one of {known}, or the path of your own")


def require_tools() -> None:
    """Fails with all that is to be installed when the lab cannot run on this machine."""
    missing = machine.requirements()
    if missing:
        wanted = [
            f"{need.tool} ({'; '.join(f'{k}: {v}' for k, v in need.install.items())})" for need in missing
        ]
        raise BondtraceError("the lab needs " + ", ".join(wanted))


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
    notify: kernels.Notify = lambda text: None,
) -> LabResult:
    """Plays a scenario on a kernel while a command traces it.

    :param kernel: see :func:`bondtrace.lab.kernels.resolve`.
    :param command: the tracer's whole command line, run in the guest as root in ``out_dir``.
    :param out_dir: made if need be; None means a new temporary directory, which is left to the caller.
    :param on_output: given the command's stdout and stderr, as they come.
    :param notify: told what is being waited for before the guest runs.
    """
    require_tools()
    chosen = find_scenario(scenario)
    found = kernels.resolve(kernel, notify)
    directory = Path(tempfile.mkdtemp(prefix="bondtrace-lab-")) if out_dir is None else out_dir.absolute()
    notify(f"booting kernel {found.release}")
    status = machine.run(
        found,
        ["bash", str(_RUNNER), str(chosen.path), *command],
        directory,
        cpus=cpus,
        memory_mb=memory_mb,
        env=env,
        timeout_s=timeout_s,
        on_output=on_output,
        qemu_opts=qemu_opts,
    )
    return LabResult(status, directory, found.release)
