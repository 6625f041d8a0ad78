# SPDX-License-Identifier: GPL-2.0-or-later
"""User lands for the lab: the root directory of another Debian release, with its own bcc, compiler and Python.

The programs that a kernel is given depend on the compiler that made them, so a kernel alone does not show whether
bondtrace will load on another system. mmdebstrap makes the directory from the machine's own archive.

Invariant: a user land in the cache is complete (it is made beside its place and renamed into it) and has exactly
``PACKAGES``; the machine's own files and apt configuration are not touched.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import BondtraceError, UsageError
from ..util.cache import cache_directory
from . import apt, machine
from .kernels import Notify, locked

#: Releases that can be named by codename or by number.
CODENAMES = {"bookworm": "12", "trixie": "13", "sid": "sid"}

#: The packages in every user land: all that bondtrace imports, and the programs that the lab and its scenarios run.
PACKAGES = (
    "bpftool",
    "ethtool",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libteam-utils",
    "procps",
    "python3-bpfcc",
    "python3-click",
    "python3-flatbuffers",
    "python3-numpy",
    "python3-pip",
    "python3-setuptools",
    "python3-tabulate",
    "python3-venv",
    "python3-wheel",
    "python3-zstandard",
    "tcpdump",
    "util-linux",
)


@dataclasses.dataclass(frozen=True)
class Userland:
    """A root directory that a guest can run its programs from."""

    name: str
    root: Path


def resolve(spec: str, notify: Notify = lambda text: None) -> Userland:
    """Return the user land that a user means, made if necessary.

    :param spec: a Debian release ("trixie", "13", "sid"), or the path of a root directory with python3 and bcc in it.
    :raises UsageError: neither of these.
    :raises BondtraceError: it cannot be made here.
    """
    codename = next((name for name, number in CODENAMES.items() if spec in (name, number)), None)
    if codename:
        root = cache_directory() / "userlands" / codename
        return Userland(codename, root) if _is_current(root) else _make(codename, root, notify)
    path = Path(spec).absolute()
    if not os.path.lexists(path / "usr/bin/python3"):
        raise UsageError(
            f"no user land {spec}: give one of {', '.join(CODENAMES)}, or a root directory that has usr/bin/python3"
        )
    machine.require_shareable(path)
    return Userland(path.name, path)


def _is_current(root: Path) -> bool:
    return root.is_dir() and _list_of(root).exists() and _list_of(root).read_text() == _packages_text()


def _list_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.packages")


def _packages_text() -> str:
    return "\n".join(PACKAGES) + "\n"


def _make(codename: str, root: Path, notify: Notify) -> Userland:
    apt.require_apt()
    tool = shutil.which("mmdebstrap")
    if tool is None:
        raise BondtraceError(
            "no mmdebstrap on this machine to make a user land with: install it (apt install "
            "mmdebstrap), or give --userland the path of a root directory"
        )
    own = apt.machine_codename()
    sources = apt.userland_sources(apt.machine_sources(), own, codename)
    if not sources:
        raise BondtraceError(
            f"this machine's apt sources have no Debian {own} main to take {codename} from; give "
            "--userland the path of a root directory"
        )
    with locked(cache_directory()):
        if not _is_current(root):  # another run may have made it while this one waited for the lock
            notify(f"making the user land {codename}")
            try:
                _replace(root, tool, codename, sources)
            except OSError as error:
                raise BondtraceError(
                    f"cannot put the user land {codename} at {root}: {error.strerror or error}; make "
                    "room there, or set BONDTRACE_CACHE"
                ) from None
    return Userland(codename, root)


def _replace(root: Path, tool: str, codename: str, sources: str) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".make-", dir=root.parent) as name:
        _bootstrap(tool, codename, sources, Path(name))
        if root.exists():
            shutil.rmtree(root)
        (Path(name) / "root").rename(root)
    _list_of(root).write_text(_packages_text(), encoding="utf-8")


def _bootstrap(tool: str, codename: str, sources: str, directory: Path) -> None:
    (directory / "userland.sources").write_text(sources, encoding="utf-8")
    directory.chmod(0o755)  # mmdebstrap may work as another user
    argv = [
        tool,
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        # sid's index may have expired; its signature stays valid.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=Acquire::Languages "none"',
        codename,
        str(directory / "root"),
        str(directory / "userland.sources"),
    ]
    result = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    if result.returncode != 0:
        said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        fault = [line for line in said if line.startswith("E:")] or said or ["it gave no reason"]
        raise BondtraceError(f"mmdebstrap cannot make the user land {codename}: {fault[0]}")
