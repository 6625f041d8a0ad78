# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest does once its kernel has booted, as a shell script: mounts, environment, the command, its status.

Invariant: all that the guest and the host exchange lies in one subdirectory of the output directory, or goes over the
ports (:mod:`.ports`).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path

from ..util.cache import cache_directory
from . import ports

PACKAGE = Path(__file__).resolve().parents[1]

#: The subdirectory of the output directory for what host and guest exchange.
EXCHANGE = "lab"

#: The output directory in a guest that has booted with another root.
OUTPUT = Path("/run/output")

#: Where programs are in the guest.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Root(Enum):
    """Which root directory the command has in the guest."""

    #: The one that the guest has booted with, which is the host's.
    OWN = auto()
    #: That of another user land, where the guest has booted with the host's.
    OTHER = auto()
    #: That of another user land, with which the guest has booted.
    BOOTED = auto()


_MOUNT_9P = "mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
_MOUNT_REMEMBERED = f"""\
mkdir -p /run/remembered/host /run/remembered/upper /run/remembered/work /run/remembered/modules
{_MOUNT_9P} remembered /run/remembered/host
mount --rbind /usr/lib/modules /run/remembered/modules
mount -t overlay -o xino=off,lowerdir=/run/remembered/host/usr,upperdir=/run/remembered/upper,\
workdir=/run/remembered/work remembered /usr
mkdir -p /usr/lib/modules
mount --rbind /run/remembered/modules /usr/lib/modules"""

# The same where the guest has booted with that root, whose programs alone it can run: then the modules come by a share
# of their own, and the output directory has a path of its own until it is where the command looks for it.
_MOUNT_MODULES = f"""\
mount -t tmpfs modules /usr/lib/modules
mkdir -p /usr/lib/modules/$(uname -r)
{_MOUNT_9P} modules /usr/lib/modules/$(uname -r)"""

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
mkdir -p $new/proc $new/sys $new/dev $new/run $new/tmp $new/usr/local/bin $new/usr/lib/modules/$(uname -r)
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

# Each line that the host sends is for the command: a signal for its process group, or the size of its terminal.
_HEED = f"""\
heed() {{
    for port in /sys/class/virtio-ports/*; do
        read -r name <"$port/name" && [ "$name" = {ports.CONTROL} ] && control=/dev/${{port##*/}}
    done
    while read -r word rows columns; do
        case $word in
        size) stty -F {ports.TERMINAL_DEVICE} rows "$rows" columns "$columns" ;;
        *) kill -s "$word" -- "-$command" ;;
        esac
    done <"$control"
}}
heed &"""


def guest_script(
    command: Sequence[str],
    out_dir: Path,
    env: Mapping[str, str],
    root: Root = Root.OWN,
    shown: Sequence[Path] = (),
    on_terminal: bool = False,
) -> str:
    """Return the shell script that runs in the guest: mounts, environment, the command, its status."""
    here = OUTPUT if root is Root.BOOTED else out_dir
    exchange = here / EXCHANGE
    lines = ["#!/bin/bash", f": >{shlex.quote(str(exchange / 'begun'))}"]
    for kind, where in (("bpf", "/sys/fs/bpf"), ("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug")):
        lines.append(f"grep -q ' {where} ' /proc/mounts || mount -t {kind} {kind} {where}")
    lines += [_MOUNT_MODULES] if root is Root.BOOTED else []
    lines += _remembered(out_dir) if root is Root.OWN else _other_root(here, out_dir, shown)
    run = ["chroot", "/run/userland/root", "bash", "-c", 'cd "$1" && shift && exec "$@"', "-", str(out_dir)]
    command = command if root is Root.OWN else [*run, *command]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    lines += [
        f"cd {shlex.quote(str(here))}",
        _started(command, exchange / "output", on_terminal),
        "command=$!",
        _HEED,
        'wait "$command"',
        f"echo $? >{shlex.quote(str(exchange / 'status.new'))}",
        "sync",
        f"mv {shlex.quote(str(exchange / 'status.new'))} {shlex.quote(str(exchange / 'status'))}",
    ]
    return "\n".join(lines) + "\n"


def _started(command: Sequence[str], output: Path, on_terminal: bool) -> str:
    """Return the line that starts the command as a process group of its own, which hears SIGINT although it is in the
    background."""
    words = ["setsid", *(["--ctty"] if on_terminal else []), "env", "--default-signal=INT,QUIT", *command]
    tty = ports.TERMINAL_DEVICE
    streams = f"<{tty} >{tty} 2>&1" if on_terminal else f"</dev/null >>{shlex.quote(str(output))} 2>&1"
    return f"{shlex.join(words)} {streams} &"


def _remembered(out_dir: Path) -> list[str]:
    """Return the mounts that cache, except those that would hide the output directory."""
    if out_dir.is_relative_to("/usr"):
        return []
    lines = [_MOUNT_REMEMBERED]
    for directory in (sys.prefix, str(PACKAGE)):  # this Python and this bondtrace, where they are not in /usr
        if not Path(directory).is_relative_to("/usr") and not out_dir.is_relative_to(directory):
            lines.append(f"mount --bind /run/remembered/host{shlex.quote(directory)} {shlex.quote(directory)}")
    return lines


def _other_root(here: Path, out_dir: Path, shown: Sequence[Path]) -> list[str]:
    """Return the mounts of another user land, in which this bondtrace and the output directory have the paths that they
    have on the host; outside of it the latter is ``here``."""
    lines = [_MOUNT_USERLAND]
    beside = PACKAGE.parent / "bpf"  # in a checkout; an installed package has it inside
    for directory in dict.fromkeys((PACKAGE, *([beside] if beside.is_dir() else []), *shown)):
        lines.append(f"show {shlex.quote(str(directory))}")
    out = shlex.quote(str(out_dir))
    return [*lines, f'mkdir -p "$new"{out}', f'mount --bind {shlex.quote(str(here))} "$new"{out}']


def guest_environment(out_dir: Path, env: Mapping[str, str], userland: bool = False) -> dict[str, str]:
    """Return the guest's environment, in which this bondtrace is found as here, and this Python, except in another
    user land."""
    base = {
        "PATH": PATH,
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C.UTF-8",
        "LAB_OUT": str(out_dir),
    }
    if not userland:
        base["PATH"] = f"{os.path.dirname(sys.executable)}:{PATH}"
        base["PYTHONPATH"] = ":".join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        base["PYTHONDONTWRITEBYTECODE"] = "1"
        base["BONDTRACE_CACHE"] = str(cache_directory())
    return {**base, **env}
