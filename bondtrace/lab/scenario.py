# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios: bash files that build a network and play traffic in it (docs/lab.md).

Only their header comments are read here; bash in the guest runs the rest.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from ..errors import BondtraceError, UsageError
from . import machine
from .arches import Arch

_SCENARIOS = Path(__file__).resolve().parent / "scenarios"
_LIBRARY = "lib.sh"

#: What a line of the header can begin with.
HEADER = ("title", "description", "iface", "trace", "needs")


@dataclasses.dataclass(frozen=True)
class Need:
    """A program that a scenario runs, and the distribution's package that has it ("": unknown)."""

    program: str
    package: str = ""

    def __str__(self) -> str:
        remedy = f"install the package {self.package}" if self.package else "install it"
        return f"{self.program} ({remedy})"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A network and its traffic, as a bash file (see ``scenarios/lib.sh``)."""

    name: str
    title: str
    description: str
    #: The device to trace.
    iface: str
    path: Path
    needs: tuple[Need, ...] = ()
    #: The tracer's options, where one device is not enough.
    trace: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Return the tracer's options that say what to trace."""
        return self.trace or ("--iface", self.iface)


def read_scenario(path: Path) -> Scenario:
    """Return a scenario from its file's header comments.

    :raises UsageError: the file cannot be read, or a ``needs`` does not name a program.
    """
    header: dict[str, str] = {}
    needs: list[Need] = []
    for line in _header(path):
        match = re.fullmatch(rf"# ({'|'.join(HEADER)}): (.*\S)\s*", line)
        if match is None:
            continue
        if match.group(1) == "needs":
            needs.append(_need(match.group(2), path))
        else:
            header[match.group(1)] = match.group(2)
    title, iface = header.get("title", path.stem), header.get("iface", "bond0")
    trace = tuple(shlex.split(header.get("trace", "")))
    return Scenario(path.stem, title, header.get("description", ""), iface, path, tuple(needs), trace)


def _header(path: Path) -> list[str]:
    """Return the comments that a file begins with."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the scenario {path}: {error}") from None
    end = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]


def _need(text: str, path: Path) -> Need:
    match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", text)
    if match is None:
        raise UsageError(f"the scenario {path} says 'needs: {text}': write '# needs: PROGRAM (PACKAGE)', one per line")
    return Need(match.group(1), match.group(2) or "")


def scenarios() -> list[Scenario]:
    """Return the scenarios that come with bondtrace, sorted by name."""
    return [read_scenario(path) for path in sorted(_SCENARIOS.glob("*.sh")) if path.name != _LIBRARY]


def find_scenario(name: str) -> Scenario:
    """Return a scenario by its name or, for a user's own, by its path. ``UsageError`` where there is none."""
    own = _SCENARIOS / f"{name}.sh"
    if re.fullmatch(r"[\w-]+", name) and own.name != _LIBRARY and own.is_file():
        return read_scenario(own)
    path = Path(name)
    if path.is_file():
        return read_scenario(path.resolve())
    known = ", ".join(scenario.name for scenario in scenarios())
    raise UsageError(f"no scenario {name}: give one of {known}, or the path of your own")


def require_tools(arch: Arch, chosen: Iterable[Scenario] = (), root: Path | None = None) -> None:
    """Raise ``BondtraceError`` with all that must be installed, when this machine cannot run the lab, or this machine
    or the user land in ``root`` cannot run one of these scenarios."""
    missing = machine.requirements(arch)
    if missing:
        wanted = [f"{need.tool} ({'; '.join(f'{k}: {v}' for k, v in need.install.items())})" for need in missing]
        raise BondtraceError("the lab needs " + ", ".join(wanted))
    for scenario in chosen:
        lacking = [str(need) for need in scenario.needs if machine.find_tool(need.program, root) is None]
        if lacking:
            where = f" in the user land {root}" if root else ""
            raise BondtraceError(f"the scenario {scenario.name} needs {', '.join(lacking)}{where}")
