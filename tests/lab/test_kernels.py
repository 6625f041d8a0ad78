# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel the lab takes: from its cache, or the user's own."""

import dataclasses
import platform
import struct
from pathlib import Path

import pytest

from bondtrace.errors import UsageError
from bondtrace.lab import kernels
from bondtrace.lab.arches import AMD64, ARM64


def kernel_image(path: Path, release: str) -> Path:
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, 0x100)
    header[0x300 : 0x300 + len(release) + 10] = release.encode() + b" (builder)"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(header))
    return path


def cached_kernel(cache: Path, release: str) -> kernels.Kernel:
    root = cache / "kernels" / release
    return kernels.Kernel(release, kernel_image(root / "boot" / f"vmlinuz-{release}", release), root)


def test_a_cached_kernel_is_used_without_apt(tmp_path, monkeypatch):
    # given a cache with two kernels of a series, and a machine without apt
    monkeypatch.setenv("BONDTRACE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    cached_kernel(tmp_path, "6.1.0-9-amd64")
    newest = cached_kernel(tmp_path, "6.1.0-56-amd64")
    # when the series is asked for, then it is the newest of them
    assert kernels.resolve("6.1") == newest


def test_each_processor_has_its_own_kernels(tmp_path, monkeypatch):
    # given a cache with kernels for two processors, and a machine without apt
    monkeypatch.setenv("BONDTRACE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    here = cached_kernel(tmp_path, "6.12.9-amd64")
    there = dataclasses.replace(cached_kernel(tmp_path, "6.12.8-arm64"), arch=ARM64)
    # then the series is that of the processor that is asked for, and a release is of its own
    assert (kernels.resolve("6.12"), kernels.resolve("6.12", arch=ARM64)) == (here, there)
    assert kernels.resolve("6.12.8-arm64", arch=ARM64) == there
    with pytest.raises(UsageError, match=r"^6.12.8-arm64 is a kernel for arm64: add --arch arm64$"):
        kernels.resolve("6.12.8-arm64", arch=AMD64)


def test_a_half_kernel_in_the_cache_is_not_seen(tmp_path):
    (tmp_path / "kernels" / "6.1.0-56-amd64" / "lib").mkdir(parents=True)
    cached_kernel(tmp_path, "6.1.0-9-amd64")
    assert kernels.cached_releases(tmp_path) == ["6.1.0-9-amd64"]


def test_a_directory_of_the_users_own_is_taken_as_it_is(tmp_path):
    image = kernel_image(tmp_path / "boot" / "vmlinuz-mine", "7.9.0-mine")
    modules = tmp_path / "lib" / "modules" / "7.9.0-mine"
    modules.mkdir(parents=True)
    (modules / "modules.dep").touch()
    expected = kernels.Kernel("7.9.0-mine", image, tmp_path)
    assert kernels.resolve(str(tmp_path)) == expected
    assert kernels.resolve(str(image)) == expected


def test_a_path_without_a_kernel_says_what_was_expected(tmp_path):
    with pytest.raises(UsageError) as raised:
        kernels.resolve(str(tmp_path))
    assert str(raised.value) == f"no kernel in {tmp_path}: expected a vmlinuz, in it or in its boot directory"


def test_a_kernel_without_its_modules_says_where_they_should_be(tmp_path):
    image = kernel_image(tmp_path / "vmlinuz-7.9.0", "7.9.0")
    with pytest.raises(UsageError) as raised:
        kernels.resolve(str(image))
    assert str(raised.value) == f"no modules for {image}: expected lib/modules/7.9.0 in a directory above it"
