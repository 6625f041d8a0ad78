# SPDX-License-Identifier: GPL-2.0-or-later
"""The processors that the lab can emulate: what differs between their machines."""

from __future__ import annotations

import dataclasses
import platform

from ..errors import BondtraceError, UsageError


@dataclasses.dataclass(frozen=True)
class Arch:
    """A processor's architecture, by Debian's name for it, which is also vng's."""

    name: str
    #: ``uname -m``.
    machine: str
    qemu: str
    #: What installs QEMU for it, per family of distributions.
    install: tuple[str, str]
    kernel_options: str = ""
    qemu_options: tuple[str, ...] = ()
    #: How the name of a virtio device ends: on which bus this machine has them.
    virtio: str = "pci"

    @property
    def is_native(self) -> bool:
        """Return whether it is this machine's own: only then can a guest run this machine's programs."""
        return self.machine == platform.machine()


AMD64 = Arch(
    "amd64",
    "x86_64",
    "qemu-system-x86_64",
    ("apt install qemu-system-x86", "dnf install qemu-system-x86-core"),
    # All emulated CPUs read one clock. A kernel that does not trust it (5.10) falls back to the HPET, of which every
    # read stops the emulation: a scenario then takes much longer.
    kernel_options="tsc=reliable",
    # Where QEMU 7.2 emulates AVX2, numpy's plain argsort() gives a wrong order. bondtrace does not use it; others in
    # the guest may. When a CPU reports that its `rep movsb` and `rep stosb` are fast (ERMS, FSRM), the kernel clears
    # and copies pages byte by byte: emulated, memory that is new to a process costs three times as much.
    qemu_options=("-cpu max,avx2=off,erms=off,fsrm=off",),
)
ARM64 = Arch(
    "arm64",
    "aarch64",
    "qemu-system-aarch64",
    ("apt install qemu-system-arm", "dnf install qemu-system-aarch64-core"),
    virtio="device",
)
ARCHES = {arch.name: arch for arch in (AMD64, ARM64)}


def native() -> Arch:
    """Return this machine's own architecture. ``BondtraceError`` where the lab does not know it."""
    for arch in ARCHES.values():
        if arch.is_native:
            return arch
    raise BondtraceError(f"the lab does not know {platform.machine()}: give --arch {' or '.join(ARCHES)}")


def find(name: str | None) -> Arch:
    """Return the architecture of this name; ``None`` means this machine's own. ``UsageError`` where there is none."""
    if name is None:
        return native()
    if name not in ARCHES:
        raise UsageError(f"no architecture {name}: give one of {', '.join(ARCHES)}")
    return ARCHES[name]
