# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one command in one throwaway virtual machine: the host's file system, another kernel.

virtme-ng boots the kernel in QEMU by software emulation. The guest sees the host's files; what it writes to them stays
in the guest, except in the output directory, which is shared.

Invariant: the command's output and its status come back through files in that directory and not through a console,
which needs a terminal on the host; the guest has no network; only processes started here are ended, and none outlives
the call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from .. import extras
from ..errors import BondtraceError, UsageError
from .kernels import Kernel

#: Enough for a compiler in the guest; with less it reads its programs again and again from the shared file system.
MEMORY_MB = 1024

PACKAGE = Path(__file__).resolve().parents[1]

#: The subdirectory of the output directory for what host and guest exchange.
EXCHANGE = "lab"

# All emulated CPUs read one clock. A kernel that does not trust it (5.10) falls back to the HPET, of which every read
# stops the emulation: a scenario then takes much longer.
_KERNEL_OPTIONS = "tsc=reliable"

# Where QEMU 7.2 emulates AVX2, numpy's plain argsort() gives a wrong order. bondtrace does not use it; others in the
# guest may. When a CPU reports that its `rep movsb` and `rep stosb` are fast (ERMS, FSRM), the kernel clears and copies
# pages byte by byte: emulated, memory that is new to a process costs three times as much.
_CPU = "-cpu max,avx2=off,erms=off,fsrm=off"

# vng's root asks QEMU again for every name and every page of a file, which takes the emulated machine milliseconds each
# time: `import bcc` took half a minute. This one caches; what is there does not change while the machine runs.
_REMEMBERED, _USERLAND = (
    f"-fsdev local,id={tag},path={{path}},security_model=none,readonly=on,multidevs=remap "
    f"-device virtio-9p-pci,fsdev={tag},mount_tag={tag}"
    for tag in ("remembered", "userland")
)
_MOUNT_9P = "mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
_MOUNT_REMEMBERED = f"""\
mkdir -p /run/remembered/host /run/remembered/upper /run/remembered/work /run/remembered/modules
{_MOUNT_9P} remembered /run/remembered/host
mount --rbind /usr/lib/modules /run/remembered/modules
mount -t overlay -o xino=off,lowerdir=/run/remembered/host/usr,upperdir=/run/remembered/upper,\
workdir=/run/remembered/work remembered /usr
mkdir -p /usr/lib/modules
mount --rbind /run/remembered/modules /usr/lib/modules"""

# Another user land: its root directory with a layer in memory above it, and in it the kernel's own file systems, the
# modules, the output directory and this bondtrace. bondtrace's files also have such a layer: its Python writes compiled
# files there.
_MOUNT_USERLAND = f"""\
mkdir -p /run/remembered/host /run/userland/lower /run/userland/upper /run/userland/work /run/userland/root
new=/run/userland/root
{_MOUNT_9P} remembered /run/remembered/host
{_MOUNT_9P} userland /run/userland/lower
mount -t overlay -o xino=off,lowerdir=/run/userland/lower,upperdir=/run/userland/upper,workdir=/run/userland/work \
userland $new
mkdir -p $new/proc $new/sys $new/dev $new/run $new/tmp $new/usr/lib/modules/$(uname -r)
for there in proc sys dev; do mount --rbind /$there $new/$there; done
for there in run tmp; do mount -t tmpfs -o mode=1777 tmpfs $new/$there; done
mount --bind /lib/modules/$(uname -r) $new/usr/lib/modules/$(uname -r)
printf '#!/bin/sh\\nexec /usr/bin/python3 -m bondtrace "$@"\\n' >$new/usr/local/bin/bondtrace
chmod 755 $new/usr/local/bin/bondtrace
show() {{
    layer=/run/userland/shown$(echo "$1" | tr / _)
    mkdir -p "$layer/upper" "$layer/work" "$new$1"
    mount -t overlay -o "xino=off,lowerdir=/run/remembered/host$1,upperdir=$layer/upper,workdir=$layer/work" \
        shown "$new$1"
}}"""

_POLL_S = 0.05
_POWEROFF_S = 5
_CONSOLE_LINES = 15
#: Seen once, with Linux 7.3 and four CPUs: code that the kernel had just patched was executed half old and half new.
_BOOTS = 2
_GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Missing:
    """A program that the lab needs and this machine lacks."""

    tool: str
    purpose: str
    #: One command per family of distributions, e.g. {"Debian, Ubuntu": "apt install kmod"}.
    install: Mapping[str, str]


def _install(debian: str, fedora: str) -> dict[str, str]:
    return {"Debian, Ubuntu": debian, "Fedora": fedora}


_NEEDED = (
    Missing(
        "qemu-system-x86_64",
        "runs the virtual machine",
        _install("apt install qemu-system-x86", "dnf install qemu-system-x86-core"),
    ),
    Missing(
        "vng",
        "boots a kernel on this file system",
        _install(extras.command("lab", "virtme-ng"), extras.command("lab", "virtme-ng")),
    ),
    Missing("busybox", "a static one starts the guest", _install("apt install busybox-static", "dnf install busybox")),
    Missing("modprobe", "loads modules in the guest", _install("apt install kmod", "dnf install kmod")),
    Missing("depmod", "lists a kernel's modules", _install("apt install kmod", "dnf install kmod")),
    Missing("file", "vng asks it for a kernel's version", _install("apt install file", "dnf install file")),
    Missing("ip", "builds the guest's network", _install("apt install iproute2", "dnf install iproute")),
    Missing("tcpdump", "is the scenarios' tap", _install("apt install tcpdump", "dnf install tcpdump")),
    Missing("ping", "is the scenarios' traffic", _install("apt install iputils-ping", "dnf install iputils")),
)


def find_tool(name: str, root: Path | None = None) -> str | None:
    """Return the path of a program: beside this Python (a virtual environment), else on PATH, else where root's
    programs are; or in the root directory of another user land."""
    if root is not None:
        return shutil.which(name, path=":".join(f"{root}{directory}" for directory in _GUEST_PATH.split(":")))
    beside = os.path.join(os.path.dirname(sys.executable), name)
    if os.access(beside, os.X_OK):
        return beside
    return shutil.which(name) or shutil.which(name, path=_GUEST_PATH)


def requirements() -> list[Missing]:
    """Return what is missing on this machine to run the lab; empty when nothing is."""
    missing = [need for need in _NEEDED if find_tool(need.tool) is None]
    busybox = find_tool("busybox")
    if busybox is not None and not _is_static(Path(busybox)):
        missing += [need for need in _NEEDED if need.tool == "busybox"]
    return missing


def _is_static(program: Path) -> bool:
    """Is it an ELF program without an interpreter (program header type 3, PT_INTERP)?"""
    head = program.read_bytes()[:4096]
    if head[:5] != b"\x7fELF\x02":
        return False
    offset, size, count = (
        int.from_bytes(head[at : at + length], "little") for at, length in ((32, 8), (54, 2), (56, 2))
    )
    return all(head[offset + i * size : offset + i * size + 4] != b"\3\0\0\0" for i in range(count))


def run(
    kernel: Kernel,
    command: Sequence[str],
    out_dir: Path,
    *,
    cpus: int = 2,
    memory_mb: int = MEMORY_MB,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 300,
    on_output: Callable[[bytes], None] = lambda data: None,
    qemu_opts: Sequence[str] = (),
    userland: Path | None = None,
    shown: Sequence[Path] = (),
) -> int:
    """Boot a kernel and run a command in it as root; return the command's exit status. A kernel that panics before
    the command starts is booted once more: that has been the emulator's fault.

    :param out_dir: shared with the guest, at the same path, for reading and writing; the command starts in it.
    :param env: added to the guest's environment, which has PATH and PYTHONPATH for this Python and this bondtrace.
    :param on_output: is called with the command's stdout and stderr, as they come.
    :param userland: a root directory that the command runs in, instead of the host's.
    :param shown: directories of the host that are then visible in it, besides this bondtrace.
    :raises BondtraceError: the guest did not run the command to its end; the message has the console's last lines.
    """
    exchange = _prepare(out_dir, command, env or {}, userland, shown)
    if userland:
        qemu_opts = (_USERLAND.format(path=userland), *qemu_opts)
    argv = vng_command(kernel, exchange / "guest.sh", out_dir.absolute(), cpus, memory_mb, qemu_opts)
    output = exchange / "output"
    deadline = time.monotonic() + timeout_s
    for _ in range(_BOOTS):
        with output.open("rb") as stream, _started(argv, exchange / "console.log") as process:
            status = _follow(process, stream, exchange, on_output, deadline)
        if status is not None:
            return status
        if not _panicked_at_boot(exchange):
            break
    raise BondtraceError(_failure(kernel, exchange, timeout_s, process))


def vng_command(
    kernel: Kernel, script: Path, out_dir: Path, cpus: int, memory_mb: int, qemu_opts: Sequence[str]
) -> list[str]:
    """Return the command line that boots the kernel and runs the script in it."""
    vng = find_tool("vng")
    if vng is None:
        raise BondtraceError(f"no vng on this machine: install it with {extras.command('lab', 'virtme-ng')}")
    # Without a terminal the console is all there is to see; --force-9p saves five seconds of waiting for virtiofsd.
    argv = [vng, "--verbose", "--force-9p", "--disable-kvm", "--disable-monitor", "--run", str(kernel.image)]
    argv += ["--append", _KERNEL_OPTIONS, "--rwdir", str(out_dir)]
    argv += ["--cpus", str(cpus), "--memory", f"{memory_mb}M"]
    argv += [f"--qemu-opts={option}" for option in (_CPU, _REMEMBERED.format(path="/"), *qemu_opts)]
    return [*argv, "--", "bash", str(script)]


def guest_script(
    command: Sequence[str], out_dir: Path, env: Mapping[str, str], userland: bool = False, shown: Sequence[Path] = ()
) -> str:
    """Return the shell script that runs in the guest: mounts, environment, the command, its status."""
    exchange = out_dir / EXCHANGE
    lines = ["#!/bin/bash", f": >{shlex.quote(str(exchange / 'begun'))}"]
    for kind, where in (("bpf", "/sys/fs/bpf"), ("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug")):
        lines.append(f"grep -q ' {where} ' /proc/mounts || mount -t {kind} {kind} {where}")
    lines += _other_root(out_dir, shown) if userland else _remembered(out_dir)
    run = ["chroot", "/run/userland/root", "bash", "-c", 'cd "$1" && shift && exec "$@"', "-", str(out_dir)]
    command = [*run, *command] if userland else command
    lines += [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    lines += [
        f"cd {shlex.quote(str(out_dir))}",
        f"{shlex.join(command)} </dev/null >>{shlex.quote(str(exchange / 'output'))} 2>&1",
        f"echo $? >{shlex.quote(str(exchange / 'status.new'))}",
        "sync",
        f"mv {shlex.quote(str(exchange / 'status.new'))} {shlex.quote(str(exchange / 'status'))}",
    ]
    return "\n".join(lines) + "\n"


def _remembered(out_dir: Path) -> list[str]:
    """Return the mounts that cache, except those that would hide the output directory."""
    if out_dir.is_relative_to("/usr"):
        return []
    lines = [_MOUNT_REMEMBERED]
    for directory in (sys.prefix, str(PACKAGE)):  # this Python and this bondtrace, where they are not in /usr
        if not Path(directory).is_relative_to("/usr") and not out_dir.is_relative_to(directory):
            lines.append(f"mount --bind /run/remembered/host{shlex.quote(directory)} {shlex.quote(directory)}")
    return lines


def _other_root(out_dir: Path, shown: Sequence[Path]) -> list[str]:
    """Return the mounts of another user land, in which this bondtrace has the path that it has here."""
    lines = [_MOUNT_USERLAND]
    beside = PACKAGE.parent / "bpf"  # in a checkout; an installed package has it inside
    for directory in dict.fromkeys((PACKAGE, *([beside] if beside.is_dir() else []), *shown)):
        lines.append(f"show {shlex.quote(str(directory))}")
    out = shlex.quote(str(out_dir))
    return [*lines, f'mkdir -p "$new"{out}', f'mount --bind {out} "$new"{out}']


def guest_environment(out_dir: Path, env: Mapping[str, str], userland: bool = False) -> dict[str, str]:
    """Return the guest's environment, in which this bondtrace is found as here, and this Python, except in another
    user land."""
    base = {
        "PATH": _GUEST_PATH,
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C.UTF-8",
        "LAB_OUT": str(out_dir),
    }
    if not userland:
        base["PATH"] = f"{os.path.dirname(sys.executable)}:{_GUEST_PATH}"
        base["PYTHONPATH"] = ":".join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        base["PYTHONDONTWRITEBYTECODE"] = "1"
    return {**base, **env}


def require_shareable(path: Path) -> None:
    """Raise ``UsageError`` for a path that cannot stand in QEMU's and the guest's command lines."""
    if re.search(r"[\s,=`'\"\\]", str(path)):
        raise UsageError(f"cannot share {str(path)!r} with the guest: choose a path without spaces, commas, quotes")


def _prepare(
    out_dir: Path, command: Sequence[str], env: Mapping[str, str], userland: Path | None, shown: Sequence[Path]
) -> Path:
    out_dir = out_dir.absolute()
    require_shareable(out_dir)
    exchange = out_dir / EXCHANGE
    try:
        exchange.mkdir(parents=True, exist_ok=True)
        for name in ("status", "begun"):
            (exchange / name).unlink(missing_ok=True)
        (exchange / "output").write_bytes(b"")
        environment = guest_environment(out_dir, env, userland is not None)
        script = guest_script(command, out_dir, environment, userland is not None, shown)
        (exchange / "guest.sh").write_text(script, encoding="utf-8")
    except OSError as error:
        raise BondtraceError(f"cannot write to {out_dir}: {error.strerror}") from error
    return exchange


@contextlib.contextmanager
def _started(argv: Sequence[str], console: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the virtual machine, in a process group of its own, which is ended when the block is left."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(argv[0])}:{os.environ.get('PATH', _GUEST_PATH)}"}
    with console.open("wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
    process.wait()


def _follow(
    process: subprocess.Popen[bytes],
    stream: BinaryIO,
    exchange: Path,
    on_output: Callable[[bytes], None],
    deadline: float,
) -> int | None:
    """Pass the output on until the command's status is there; return it. None when the machine ended or time ran out
    before."""
    status = exchange / "status"
    while True:
        ended = process.poll() is not None
        done = status.exists()
        data = stream.read()
        if data:
            on_output(data)
        if done:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_POWEROFF_S)  # virtme-ng then removes its temporary files
            return int(status.read_text(encoding="ascii"))
        if ended or time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)


def _panicked_at_boot(exchange: Path) -> bool:
    return not (exchange / "begun").exists() and b"Kernel panic" in (exchange / "console.log").read_bytes()


def _failure(kernel: Kernel, exchange: Path, timeout_s: float, process: subprocess.Popen[bytes]) -> str:
    console = exchange / "console.log"
    text = console.read_text(encoding="utf-8", errors="replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
    lines = [line for line in text.splitlines() if line.strip()][-_CONSOLE_LINES:]
    if "Kernel panic" in text:
        fact = f"kernel {kernel.release} panicked in the lab"
    elif process.returncode in (-signal.SIGTERM, -signal.SIGKILL):
        fact = f"kernel {kernel.release} did not finish the command in {timeout_s:g} s"
    else:
        fact = f"the lab's machine with kernel {kernel.release} ended before the command did"
    return "\n  ".join([f"{fact}; its console ({console}) ends:", *lines])
