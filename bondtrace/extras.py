# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that installs the packages of an extra in this installation.

bondtrace may run in a checkout, or have been installed from a directory or from a wheel; pip accepts `.[extra]` only in
the first.

Invariant: the command names packages and this Python, so it works in each of these, in any directory.
"""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import suppress
from importlib import metadata

from .errors import BondtraceError


def missing(what: str, package: str, extra: str = "", debian: str = "") -> BondtraceError:
    """Return the error for ``what`` needing a Python package that is missing, one of an extra or of the base install.

    :param debian: the package's name in Debian, if any.
    """
    other = f", or `apt install {debian}` (Debian, Ubuntu)" if debian else ""
    return BondtraceError(f"{what} needs the Python package {package}: `{command(extra, package)}`{other}")


def command(extra: str, package: str) -> str:
    """Return the command that installs the extra, or the package where the installed bondtrace has no such extra."""
    return shlex.join([sys.executable, "-m", "pip", "install", *(_packages(extra) or [package])])


def _packages(extra: str) -> list[str]:
    """Return the packages of the extra from the installed bondtrace's metadata ("plotly>=5.17; extra == 'report'")."""
    packages = []
    with suppress(metadata.PackageNotFoundError):
        for one in metadata.requires("bondtrace") or ():
            match = re.fullmatch(r"([^;]*?)\s*;\s*extra\s*==\s*['\"](.*)['\"]", one)
            if match and match.group(2) == extra:
                packages.append(match.group(1))
    return packages


__all__ = ["command", "missing"]
