# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that installs what an extra consists of, as it works in this installation.

bondtrace may run in a checkout, or have been installed from a directory or from a wheel: only in the first can pip be
asked for `.[extra]`. What it keeps true: the command names packages and this Python, so it works in each of them, in
any directory.
"""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import suppress
from importlib import metadata

from .errors import BondtraceError


def missing(what: str, package: str, extra: str = "", debian: str = "") -> BondtraceError:
    """The error where ``what`` needs a Python package that is not here, one of an extra or of the base install.
    ``debian``: Debian's package of it, if any."""
    other = f", or `apt install {debian}` (Debian, Ubuntu)" if debian else ""
    return BondtraceError(f"{what} needs the Python package {package}: `{command(extra, package)}`{other}")


def command(extra: str, package: str) -> str:
    """What to type to have the extra, or the package where the installed bondtrace has no such extra."""
    return shlex.join([sys.executable, "-m", "pip", "install", *(_packages(extra) or [package])])


def _packages(extra: str) -> list[str]:
    """What the extra consists of, by the installed bondtrace's own word: "plotly>=5.17; extra == 'report'"."""
    packages = []
    with suppress(metadata.PackageNotFoundError):
        for one in metadata.requires("bondtrace") or ():
            match = re.fullmatch(r"([^;]*?)\s*;\s*extra\s*==\s*['\"](.*)['\"]", one)
            if match and match.group(2) == extra:
                packages.append(match.group(1))
    return packages


__all__ = ["command", "missing"]
