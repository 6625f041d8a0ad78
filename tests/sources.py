# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the repository, as they are in this checkout."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tracked():
    """The files of the repository."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def copy_to(place, stamp):
    """A copy of them, all last changed at that time (seconds since the Unix epoch)."""
    for path in tracked():
        copy = place / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        os.utime(copy, (stamp, stamp))
