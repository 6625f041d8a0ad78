# SPDX-License-Identifier: GPL-2.0-or-later
"""User lands for the lab: the root directory of another Debian release, with its own bcc, compiler and Python.

The programs that a kernel is given depend on the compiler that made them, so a kernel alone does not show whether
bondtrace will load on another system. mmdebstrap makes the directory from the machine's own archive.

For another processor their files are unpacked, and no program in them is run: what their installation would have done
is done here, as far as a guest needs it (``_finish``).

Invariant: a user land in the cache is complete (it is made beside its place and renamed into it) and has exactly the
packages that it is to have; the machine's own files and apt configuration are not touched.
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
from . import apt, arches, machine
from .arches import Arch
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

#: Those of one that is unpacked only: it has what is essential by their names.
UNPACKED = (
    *PACKAGES,
    "base-files",
    "base-passwd",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libblas3",
    "libc-bin",
    "liblapack3",
    "mawk",
    "mount",
    "sed",
    "tar",
)

_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
# What the packages' scripts would have made: links of alternatives, and accounts.
_ALTERNATIVES = {
    "bin/awk": "mawk",
    "lib/{machine}-linux-gnu/libblas.so.3": "blas/libblas.so.3",
    "lib/{machine}-linux-gnu/liblapack.so.3": "lapack/liblapack.so.3",
}
_PASSWD = """\
root:x:0:0:root:/root:/bin/bash
tcpdump:x:100:100::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ntty:x:5:\ntcpdump:x:100:\nnogroup:x:65534:\n"


@dataclasses.dataclass(frozen=True)
class Userland:
    """A root directory that a guest can run its programs from."""

    name: str
    root: Path


def is_own(spec: str | None, arch: Arch) -> bool:
    """Do a guest's programs, where this is asked for, come from this machine? Another processor cannot run them."""
    return spec is None and arch.is_native


def root_for(spec: str | None, arch: Arch, notify: Notify = lambda text: None) -> Path | None:
    """Return the root directory that a guest's programs are from; ``None`` means this machine's own. Where another
    processor is asked for alone, it is the same release, for that one."""
    if is_own(spec, arch):
        return None
    return resolve(spec or apt.machine_codename(), notify, arch).root


def resolve(spec: str, notify: Notify = lambda text: None, arch: Arch | None = None) -> Userland:
    """Return the user land that a user means, made if necessary.

    :param spec: a Debian release ("trixie", "13", "sid"), or the path of a root directory with python3 and bcc in it.
    :param arch: what its programs are for; None means this machine's own.
    :raises UsageError: neither of these.
    :raises BondtraceError: it cannot be made here.
    """
    codename = next((name for name, number in CODENAMES.items() if spec in (name, number)), None)
    if codename:
        arch = arch or arches.native()
        name = codename if arch.is_native else f"{codename}-{arch.name}"
        root = cache_directory() / "userlands" / name
        return Userland(name, root) if _is_current(root, arch) else _make(codename, root, arch, notify)
    path = Path(spec).absolute()
    if not os.path.lexists(path / "usr/bin/python3"):
        raise UsageError(
            f"no user land {spec}: give one of {', '.join(CODENAMES)}, or a root directory that has usr/bin/python3"
        )
    machine.require_shareable(path)
    return Userland(path.name, path)


def _is_current(root: Path, arch: Arch) -> bool:
    return root.is_dir() and _list_of(root).exists() and _list_of(root).read_text() == _packages_text(arch)


def _list_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.packages")


def _packages(arch: Arch) -> tuple[str, ...]:
    return PACKAGES if arch.is_native else UNPACKED


def _packages_text(arch: Arch) -> str:
    return "\n".join(_packages(arch)) + "\n"


def _make(codename: str, root: Path, arch: Arch, notify: Notify) -> Userland:
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
        if not _is_current(root, arch):  # another run may have made it while this one waited for the lock
            notify(f"making the user land {root.name}")
            try:
                _replace(root, tool, codename, sources, arch)
            except OSError as error:
                raise BondtraceError(
                    f"cannot put the user land {root.name} at {root}: {error.strerror or error}; make "
                    "room there, or set BONDTRACE_CACHE"
                ) from None
    return Userland(root.name, root)


def _replace(root: Path, tool: str, codename: str, sources: str, arch: Arch) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".make-", dir=root.parent) as name:
        _bootstrap(tool, codename, sources, Path(name), arch)
        if not arch.is_native:
            _finish(Path(name) / "root", arch)
        if root.exists():
            shutil.rmtree(root)
        (Path(name) / "root").rename(root)
    _list_of(root).write_text(_packages_text(arch), encoding="utf-8")


def _finish(root: Path, arch: Arch) -> None:
    """Make what the guest needs and the packages' scripts would have made."""
    for place, target in _ALTERNATIVES.items():
        link = root / "usr" / place.format(machine=arch.machine)
        if not os.path.lexists(link):
            link.symlink_to(target)
    for name, text in (("passwd", _PASSWD), ("group", _GROUP), ("nsswitch.conf", "hosts: files\n")):
        (root / "etc" / name).write_text(text, encoding="utf-8")
    for directory in ("usr/lib/modules", "var/tmp", "root"):
        (root / directory).mkdir(parents=True, exist_ok=True)


def _bootstrap(tool: str, codename: str, sources: str, directory: Path, arch: Arch) -> None:
    (directory / "userland.sources").write_text(sources, encoding="utf-8")
    directory.chmod(0o755)  # mmdebstrap may work as another user
    argv = [
        tool,
        "--quiet",
        *(["--variant=minbase"] if arch.is_native else _unpacking(arch)),
        f"--include={','.join(_packages(arch))}",
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


def _unpacking(arch: Arch) -> list[str]:
    """Return mmdebstrap's options for a root directory whose programs this machine cannot run."""
    hooks = [f"--hook-directory={_MERGED_USR}"] if _MERGED_USR.is_dir() else []
    return ["--variant=extract", f"--architectures={arch.name}", "--skip=check/qemu", *hooks]
