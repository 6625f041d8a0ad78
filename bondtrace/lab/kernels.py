# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels for the lab: from the cache, downloaded, or given by the user.

Invariant: nothing is installed on the machine; a kernel in the cache is always complete (it is unpacked beside
its place and renamed into it); a kernel in the cache is used without running apt, so the lab works offline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import BondtraceError, UsageError
from ..util.cache import cache_directory
from . import apt, arches
from .arches import Arch

#: Is called with a few words about what is being waited for.
Notify = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted: its image, and the directory with ``lib/modules/RELEASE``."""

    release: str
    image: Path
    root: Path
    arch: Arch = dataclasses.field(default_factory=arches.native)

    @property
    def modules(self) -> Path:
        """Return the directory of its modules."""
        return self.root / "lib/modules" / self.release


def resolve(spec: str | None, notify: Notify = lambda text: None, arch: Arch | None = None) -> Kernel:
    """Return the kernel that a user means, downloaded if necessary.

    :param spec: a series ("6.1", "6.12-rt"), a release ("6.1.0-56-amd64"), the path of a vmlinuz or of an unpacked
        kernel; None means the kernel of this machine's own Debian release.
    :param arch: what it is for; None means this machine's own.
    :raises UsageError: a path without a kernel, or a release for another architecture.
    :raises BondtraceError: no such kernel is available.
    """
    arch = arch or arches.native()
    if spec is not None and not apt.is_short_spec(spec) and (os.sep in spec or Path(spec).exists()):
        return from_path(Path(spec), arch)
    other = next((one for one in arches.ARCHES if one != arch.name and (spec or "").endswith(f"-{one}")), None)
    if other:
        raise UsageError(f"{spec} is a kernel for {other}: add --arch {other}")
    cache = cache_directory()
    return _cached(cache, spec, arch) or _download(cache, spec, arch, notify)


def from_path(path: Path, arch: Arch) -> Kernel:
    """Return the kernel in a vmlinuz file or in a directory where one was unpacked or installed."""
    path = path.absolute()
    if not path.exists():
        raise UsageError(f"no kernel at {path}: there is no such file or directory")
    image = path if path.is_file() else _image_below(path)
    release = image_release(image)
    root = next((parent for parent in image.parents if (parent / "lib/modules" / release).is_dir()), None)
    if root is None:
        raise UsageError(f"no modules for {image}: expected lib/modules/{release} in a directory above it")
    if not (root / "lib/modules" / release / "modules.dep").exists():
        _depmod(root, release)
    return Kernel(release, image, root, arch)


def _image_below(directory: Path) -> Path:
    patterns = ("vmlinuz*", "boot/vmlinuz-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")
    images = [path for pattern in patterns for path in directory.glob(pattern) if path.is_file()]
    if not images:
        raise UsageError(f"no kernel in {directory}: expected a vmlinuz, in it or in its boot directory")
    return max(images, key=lambda path: apt.natural_key(path.name))


def image_release(image: Path) -> str:
    """Return the release of a kernel image, from its x86 header, else from its name.

    The header's 16 bits at 0x20e, plus 0x200, are the offset of the version string (Documentation/arch/x86/boot.rst).
    """
    with contextlib.suppress(OSError, struct.error), image.open("rb") as file:
        start = file.read(0x8000)
        if start[0x202:0x206] == b"HdrS":
            at = struct.unpack_from("<H", start, 0x20E)[0] + 0x200
            return start[at:].split(b"\0", 1)[0].decode("ascii", "replace").split(" ", 1)[0]
    if image.name == "vmlinuz":
        return image.parent.name
    return re.sub(r"^vmlinuz-", "", image.name)


def cached_releases(cache: Path) -> list[str]:
    """Return the releases of the kernels in the cache."""
    kernels = cache / "kernels"
    if not kernels.is_dir():
        return []
    return sorted(path.name for path in kernels.iterdir() if (path / "boot" / f"vmlinuz-{path.name}").exists())


def _kernel_in(cache: Path, release: str, arch: Arch) -> Kernel:
    root = cache / "kernels" / release
    return Kernel(release, root / "boot" / f"vmlinuz-{release}", root, arch)


def _cached(cache: Path, spec: str | None, arch: Arch) -> Kernel | None:
    releases = [release for release in cached_releases(cache) if release.endswith(f"-{arch.name}")]
    if spec is None:
        found = [release for release in releases if release == _recorded_default(cache, arch)]
    else:
        found = apt.newest_first(releases, spec, arch.name)
    return _kernel_in(cache, found[0], arch) if found else None


def _of(arch: Arch) -> str:
    """Return how a name ends of what is in the cache for another architecture than this machine's."""
    return "" if arch.is_native else f"-{arch.name}"


def _default_record(cache: Path, arch: Arch) -> Path:
    names = apt.os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    return cache / f"default-{names.get('VERSION_CODENAME', 'none')}{_of(arch)}"


def _recorded_default(cache: Path, arch: Arch) -> str | None:
    with contextlib.suppress(OSError):
        return _default_record(cache, arch).read_text(encoding="utf-8").strip()
    return None


def _download(cache: Path, spec: str | None, arch: Arch, notify: Notify) -> Kernel:
    apt.require_apt()
    with locked(cache):
        kernel = _cached(cache, spec, arch)  # another run may have downloaded it while this one waited for the lock
        if kernel is not None:
            return kernel
        source = _private_apt(cache, spec, arch)
        notify("reading the package lists")
        fresh = source.update()
        try:
            release = _fetch(cache, source, spec, notify)
        except BondtraceError:
            if fresh:
                raise
            source.update(force=True)  # the archive has changed since the lists were fetched
            release = _fetch(cache, source, spec, notify)
        if spec is None:
            _default_record(cache, arch).write_text(release + "\n", encoding="utf-8")
        return _kernel_in(cache, release, arch)


def _private_apt(cache: Path, spec: str | None, arch: Arch) -> apt.PrivateApt:
    own = apt.machine_codename()
    others = [name for name in apt.DEBIAN_CODENAMES if name != own]
    codenames = [own] if spec is None else [own, *others]
    sources = apt.private_sources(apt.machine_sources(), own, codenames)
    if not sources:
        raise BondtraceError(f"this machine's apt sources have no Debian {own} main: {apt.GIVE_A_PATH}")
    directory = cache / "apt" / f"{'own' if spec is None else 'all'}{_of(arch)}"
    return apt.PrivateApt(directory, sources, arch.name)


def _fetch(cache: Path, source: apt.PrivateApt, spec: str | None, notify: Notify) -> str:
    """Download the best available kernel into the cache; return its release."""
    packages = source.packages()
    wanted = spec if spec is not None else source.default_release()
    releases = apt.releases_in(packages)
    candidates = apt.newest_first(releases, wanted, source.arch) if wanted is not None else []
    if not candidates:
        series = sorted({".".join(release.split(".")[:2]) for release in releases}, key=apt.natural_key)
        raise BondtraceError(f"no kernel {spec or 'of this release'} is available: there are {', '.join(series)}")
    failure = BondtraceError(f"cannot download a kernel {spec}")
    for release in candidates[:3]:  # an index may still list what its archive no longer holds
        notify(f"downloading kernel {release}")
        try:
            _unpack_into(cache, release, source, apt.packages_of(release, packages))
            return release
        except BondtraceError as error:
            failure = error
    raise failure


def _unpack_into(cache: Path, release: str, source: apt.PrivateApt, packages: Sequence[str]) -> None:
    place = cache / "kernels" / release
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=cache) as name:
        work = Path(name)
        root = work / "root"
        root.mkdir()
        for package in source.download(packages, work):
            apt.unpack(package, root)
        _normalise(root, release)
        _depmod(root, release)
        if place.exists():  # left by hand or by an older layout: a complete kernel would have been found before
            shutil.rmtree(place)
        root.rename(place)


def _normalise(root: Path, release: str) -> None:
    """Give an unpacked kernel the one layout that the lab relies on: boot/vmlinuz-RELEASE, lib/modules/RELEASE."""
    merged = root / "usr/lib/modules" / release
    modules = root / "lib/modules" / release
    if merged.is_dir() and not modules.exists():
        modules.parent.mkdir(parents=True, exist_ok=True)
        merged.rename(modules)
    image = root / "boot" / f"vmlinuz-{release}"
    for found in (modules / "vmlinuz", merged / "vmlinuz"):
        if not image.exists() and found.is_file():
            image.parent.mkdir(exist_ok=True)
            found.rename(image)
    if not image.exists() or not (modules / "kernel").is_dir():
        raise BondtraceError(f"the packages of kernel {release} hold no vmlinuz or no modules: {apt.GIVE_A_PATH}")


def _depmod(root: Path, release: str) -> None:
    depmod = shutil.which("depmod") or shutil.which("depmod", path="/usr/sbin:/sbin")
    if depmod is None:
        raise BondtraceError("no depmod on this machine: install kmod (apt install kmod, dnf install kmod)")
    argv = [depmod, "-b", str(root), release]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BondtraceError(f"depmod failed on {root}: {result.stderr.strip() or 'it gave no reason'}")


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Lock the cache for this process alone; the lock ends with the process, however it ends."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("w")
    except OSError as error:
        raise BondtraceError(f"cannot write to the cache {cache}: {error.strerror}; set BONDTRACE_CACHE") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
