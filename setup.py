# SPDX-License-Identifier: GPL-2.0-or-later
"""What is built is said in setup.cfg; this sees to it that the same sources make the same bytes everywhere."""

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.sdist import sdist

os.environ.setdefault("SOURCE_DATE_EPOCH", "1795305600")  # 2026-11-22; wheels take it, too
os.umask(0o022)


class ReproducibleSdist(sdist):  # type: ignore[misc, unused-ignore]
    """An archive in which order, times, owners and rights do not depend on the machine."""

    def make_archive(self, *words: Any, **more: Any) -> str:
        path = str(super().make_archive(*words, **more))
        if path.endswith(".tar.gz"):
            rewrite(Path(path), int(os.environ["SOURCE_DATE_EPOCH"]))
        return path


def rewrite(path: Path, time_s: int) -> None:
    """Put a .tar.gz together again, made at that time (seconds since the Unix epoch)."""
    with tarfile.open(path) as archive:
        members = [(one, _content(archive, one)) for one in archive.getmembers()]
    fresh = path.with_suffix(".new")
    with (
        open(fresh, "wb") as raw,
        gzip.GzipFile("", "wb", mtime=time_s, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for one, data in sorted(members, key=lambda pair: pair[0].name):
            plain = tarfile.TarInfo(one.name)
            plain.type, plain.size, plain.mtime = one.type, len(data), time_s
            plain.mode = 0o755 if one.isdir() or one.mode & 0o100 else 0o644
            archive.addfile(plain, io.BytesIO(data))
    os.replace(fresh, path)


def _content(archive: tarfile.TarFile, one: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(one)
    return file.read() if file else b""


setup(cmdclass={"sdist": ReproducibleSdist})
