# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors that reach a user.

Every message states the fact, the object and the remedy in one or two lines. ``cli`` prints it after ``bondtrace: `` on
stderr and exits with the exit status; nothing prints tracebacks of these errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ENVIRONMENT = ".venv"


class BondtraceError(Exception):
    """A failure at run time that the user can act on; exit status 1."""

    exit_status = 1


class UsageError(BondtraceError):
    """A usage error: an option, a name or a file that cannot be meant; exit status 2."""

    exit_status = 2


def exists_already(path: Path) -> UsageError:
    """Return the error for a file name that is taken."""
    return UsageError(f"{path} already exists; name another file, or use --force to overwrite it")


def missing_package(what: str, package: str, extra: str = "", debian: str = "") -> BondtraceError:
    """Return the error for ``what`` needing a Python package that is missing, one of an extra or of the base install.

    :param debian: the package's name in Debian, if any.
    """
    other = f", or `apt install {debian}` (Debian, Ubuntu)" if debian else ""
    run = f", then `{_ENVIRONMENT}/bin/python -m bondtrace`" if _is_the_distributions() else ""
    return BondtraceError(f"{what} needs the Python package {package}: `{install_command(extra, package)}`{run}{other}")


def install_command(extra: str, package: str) -> str:
    """Return the command that installs the extra, or the package where the installed bondtrace has no such extra.

    It names packages and this Python, so it works in any directory, in a checkout and where bondtrace was installed
    from a directory or a wheel; pip accepts ``.[extra]`` only in the first. Where pip may not install for this Python,
    into an environment that sees what the distribution installed, bondtrace and bcc among it.
    """
    import shlex

    packages = _packages_of(extra) or [package]
    if not _is_the_distributions():
        return shlex.join([sys.executable, "-m", "pip", "install", *packages])
    make = [sys.executable, "-m", "venv", "--system-site-packages", _ENVIRONMENT]
    return f"{shlex.join(make)} && {shlex.join([f'{_ENVIRONMENT}/bin/pip', 'install', *packages])}"


def _is_the_distributions() -> bool:
    """Is this a Python in which only the distribution installs packages? Source: PEP 668."""
    import sysconfig

    return sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


def _packages_of(extra: str) -> list[str]:
    """Return the packages of the extra from the installed bondtrace's metadata ("plotly>=5.17; extra == 'report'")."""
    import re
    from importlib import metadata  # takes long, and errors are imported by everything

    try:
        requirements = metadata.requires("bondtrace") or []
    except metadata.PackageNotFoundError:
        return []
    pattern = r"([^;]*?)\s*;\s*extra\s*==\s*['\"](.*)['\"]"
    matches = (re.fullmatch(pattern, requirement) for requirement in requirements)
    return [match.group(1) for match in matches if match and match.group(2) == extra]
