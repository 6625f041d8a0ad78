# SPDX-License-Identifier: GPL-2.0-or-later
"""Where is kept what can be made again: the lab's kernels and userlands, compiled programs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return $BONDTRACE_CACHE, else bondtrace's place in the user's cache directory. It need not exist."""
    own = os.environ.get("BONDTRACE_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base).absolute() / "bondtrace"


def programs_directory() -> Path:
    """Return where compiled programs are kept."""
    return cache_directory() / "programs"
