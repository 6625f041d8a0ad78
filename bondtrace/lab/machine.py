# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one command in one throwaway virtual machine: the host's file system, another kernel.

virtme-ng boots the kernel in QEMU by software emulation. The guest sees the host's files; what it writes to them stays
in the guest, except in the output directory, which is shared.

Invariant: the command's output and its status come back through files in that directory and not through a console,
except where it runs on the user's terminal; the guest has no network; only processes started here are ended, and none
outlives the call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ..errors import BondtraceError, UsageError, install_command
from ..util.cache import programs_directory
from ..util.signals import end_by, signals_noted
from . import guest
from .arches import Arch
from .guest import EXCHANGE
from .kernels import Kernel, Notify
from .ports import Ports
from .terminal import Terminal

#: Enough for a compiler in the guest; with less it reads its programs again and again from the shared file system.
MEMORY_MB = 1024

_POLL_S = 0.05
_POWEROFF_S = 5
_CONSOLE_LINES = 15
#: Seen once, with Linux 7.3 and four CPUs: code that the kernel had just patched was executed half old and half new.
_BOOTS = 2


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
        "vng",
        "boots a kernel on this file system",
        _install(install_command("lab", "virtme-ng"), install_command("lab", "virtme-ng")),
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
        return shutil.which(name, path=":".join(f"{root}{directory}" for directory in guest.PATH.split(":")))
    beside = os.path.join(os.path.dirname(sys.executable), name)
    if os.access(beside, os.X_OK):
        return beside
    return shutil.which(name) or shutil.which(name, path=guest.PATH)


def requirements(arch: Arch) -> list[Missing]:
    """Return what is missing on this machine to run the lab; empty when nothing is."""
    qemu = Missing(arch.qemu, "runs the virtual machine", _install(*arch.install))
    missing = [need for need in (qemu, *_NEEDED) if find_tool(need.tool) is None]
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


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command in the guest, in order and with this status: nothing more is to be run."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


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
    terminal: Terminal | None = None,
    notify: Notify = lambda text: None,
) -> int:
    """Boot a kernel and run a command in it as root; return the command's exit status. A kernel that panics before
    the command starts is booted once more: that has been the emulator's fault.

    :param out_dir: shared with the guest, at the same path, for reading and writing; the command starts in it.
    :param env: added to the guest's environment, which has PATH and PYTHONPATH for this Python and this bondtrace.
    :param on_output: is called with the command's stdout and stderr, as they come.
    :param userland: a root directory that the command runs in, instead of the host's; required where the kernel's
        architecture is not this machine's.
    :param shown: directories of the host that are then visible in it, besides this bondtrace.
    :param terminal: the command runs on it; None means that it has no terminal, and reads nothing.
    :raises BondtraceError: the guest did not run the command to its end; the message has the console's last lines.
    :raises Interrupted: the first SIGINT, SIGTERM or SIGHUP of this process while the command runs: its process group
        has received SIGINT, and has ended. A second one ends the machine at once, as one does while it boots.
    """
    root = guest.Root.OWN if userland is None else guest.Root.OTHER if kernel.arch.is_native else guest.Root.BOOTED
    exchange = _prepare(out_dir, command, env or {}, root, shown, terminal is not None)
    with Ports(terminal is not None, kernel.arch.virtio) as ports, signals_noted() as noted:
        directories = {"remembered": Path("/"), "userland": userland}
        directories["modules"] = kernel.modules if root is guest.Root.BOOTED else None
        shares = (_share(tag, path, kernel.arch.virtio) for tag, path in directories.items() if path)
        options = (*kernel.arch.qemu_options, *shares, ports.qemu_options, *qemu_opts)
        argv = vng_command(
            kernel, out_dir.absolute(), cpus, memory_mb, options, userland if root is guest.Root.BOOTED else None
        )
        machine = _Machine(exchange, ports, terminal, on_output, time.monotonic() + timeout_s, noted, notify)
        status = machine.run(argv)
    if status is None:
        raise BondtraceError(_failure(kernel, exchange, timeout_s, machine.process))
    if noted:
        raise Interrupted(status)
    return status


def _share(tag: str, path: Path, virtio: str) -> str:
    """Return QEMU's options for a directory that the guest reads, which mounts it by its tag.

    vng's root asks QEMU again for every name and every page of a file, which takes the emulated machine milliseconds
    each time: `import bcc` took half a minute. What is mounted by these tags is cached; it does not change while the
    machine runs.
    """
    return (
        f"-fsdev local,id={tag},path={path},security_model=none,readonly=on,multidevs=remap "
        f"-device virtio-9p-{virtio},fsdev={tag},mount_tag={tag}"
    )


def vng_command(
    kernel: Kernel, out_dir: Path, cpus: int, memory_mb: int, qemu_opts: Sequence[str], root: Path | None = None
) -> list[str]:
    """Return the command line that boots the kernel and runs the script for the guest in it, which can write to the
    output directory.

    :param root: what the guest boots with in place of this machine's files, which it cannot run.
    """
    vng = find_tool("vng")
    if vng is None:
        raise BondtraceError(f"no vng on this machine: install it with {install_command('lab', 'virtme-ng')}")
    # Without a terminal the console is all there is to see; --force-9p saves five seconds of waiting for virtiofsd.
    argv = [vng, "--verbose", "--force-9p", "--disable-kvm", "--disable-monitor", "--run", str(kernel.image)]
    argv += ["--append", kernel.arch.kernel_options] if kernel.arch.kernel_options else []
    if root:
        argv += ["--arch", kernel.arch.name, "--root", str(root), f"--rwdir={guest.OUTPUT}={out_dir}"]
    else:
        argv += [f"--rwdir={directory}" for directory in (out_dir, *_programs())]
    argv += ["--cpus", str(cpus), "--memory", f"{memory_mb}M"]
    argv += [f"--qemu-opts={option}" for option in qemu_opts]
    return [*argv, "--", "bash", str((guest.OUTPUT if root else out_dir) / EXCHANGE / "guest.sh")]


def _programs() -> list[Path]:
    """Return the directory of compiled programs, which the guest's bondtrace uses as this machine's would (emulated, it
    takes half a minute to compile them); empty where there can be none."""
    try:
        require_shareable(programs_directory())
        programs_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, UsageError):
        return []
    return [programs_directory()]


def require_shareable(path: Path) -> None:
    """Raise ``UsageError`` for a path that cannot stand in QEMU's and the guest's command lines."""
    if re.search(r"[\s,=`'\"\\]", str(path)):
        raise UsageError(f"cannot share {str(path)!r} with the guest: choose a path without spaces, commas, quotes")


def _prepare(
    out_dir: Path,
    command: Sequence[str],
    env: Mapping[str, str],
    root: guest.Root,
    shown: Sequence[Path],
    on_terminal: bool,
) -> Path:
    out_dir = out_dir.absolute()
    require_shareable(out_dir)
    exchange = out_dir / EXCHANGE
    try:
        exchange.mkdir(parents=True, exist_ok=True)
        for name in ("status", "begun"):
            (exchange / name).unlink(missing_ok=True)
        (exchange / "output").write_bytes(b"")
        environment = guest.guest_environment(out_dir, env, root is not guest.Root.OWN)
        script = guest.guest_script(command, out_dir, environment, root, shown, on_terminal)
        (exchange / "guest.sh").write_text(script, encoding="utf-8")
    except OSError as error:
        raise BondtraceError(f"cannot write to {out_dir}: {error.strerror}") from error
    return exchange


@contextlib.contextmanager
def _started(argv: Sequence[str], console: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the virtual machine, in a process group of its own, which is ended when the block is left."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(argv[0])}:{os.environ.get('PATH', guest.PATH)}"}
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


@dataclasses.dataclass
class _Machine:
    """A running machine: what comes out of it, and goes into it."""

    exchange: Path
    ports: Ports
    terminal: Terminal | None
    on_output: Callable[[bytes], None]
    deadline: float
    #: The signals that this process has received; appended to while the machine runs.
    noted: Sequence[int]
    notify: Notify
    process: subprocess.Popen[bytes] = dataclasses.field(init=False)
    stream: BinaryIO = dataclasses.field(init=False)
    _is_told: bool = False

    def run(self, argv: Sequence[str]) -> int | None:
        """Boot it, and pass the output on until the command's status is there; return it. None when the machine ended
        or time ran out before."""
        for _ in range(_BOOTS):
            output, console = self.exchange / "output", self.exchange / "console.log"
            with output.open("rb") as self.stream, _started(argv, console) as self.process:
                status = self._follow()
            if status is not None or not _panicked_at_boot(self.exchange):
                return status
        return None

    def _follow(self) -> int | None:
        status = self.exchange / "status"
        while True:
            ended = self.process.poll() is not None
            done = status.exists()
            self._pass_on()
            if done:
                self._let_power_off()
                return int(status.read_text(encoding="ascii"))
            if ended or time.monotonic() > self.deadline:
                return None
            if self.noted and not self._is_told:
                self._interrupt(self.noted[0])
            self._pass_in()

    def _interrupt(self, number: int) -> None:
        """Send the command SIGINT; a machine that still boots, or is used at a terminal, ends at once."""
        if self.terminal or not (self.exchange / "begun").exists():
            end_by(number)
        self._is_told = True
        self.ports.control.send(b"INT\n")
        self.notify("interrupted: the command in the machine is being ended; once more ends the machine at once")

    def _pass_on(self) -> None:
        data = self.stream.read()
        if self.terminal and self.ports.terminal:
            shown = self.ports.terminal.receive()
            if shown:
                self.terminal.lend()
            data += shown
        if data:
            self.on_output(data)

    def _pass_in(self) -> None:
        """Send what the guest is to be told, and the keys that are typed, as they come, for a while."""
        self.ports.control.send(b"")
        if not (self.terminal and self.ports.terminal):
            time.sleep(_POLL_S)
            return
        size = self.terminal.new_size()
        if size:
            self.ports.control.send(f"size {size.lines} {size.columns}\n".encode())
        keyboard = [self.terminal.fileno()] if self.terminal.is_lent and not self.ports.terminal.is_full else []
        ready, _, _ = select.select([self.ports.terminal.fileno(), *keyboard], [], [], _POLL_S)
        self.ports.terminal.send(self.terminal.read() if set(keyboard) & set(ready) else b"")

    def _let_power_off(self) -> None:
        """Wait a while for the machine to end by itself: virtme-ng then removes its temporary files."""
        deadline = time.monotonic() + _POWEROFF_S
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            self._pass_on()
        self._pass_on()


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
