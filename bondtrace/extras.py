# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that installs what an extra consists of, as it works in this installation.

bondtrace may have been installed from a directory, which pip then installs again with the extra, or from a file, whose
extra cannot be asked for by name: then the packages are named. What it keeps true: the command is for the Python that
runs, and can be typed as it is printed, in any directory.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import BondtraceError

_PACKAGE = Path(__file__).resolve().parent


def missing(what: str, package: str, extra: str | None = None, debian: str = "") -> BondtraceError:
    """The error where ``what`` needs a Python package that is not here, one of an extra or of the base install.
    ``debian``: Debian's package of it, if any."""
    other = f", or `apt install {debian}` (Debian, Ubuntu)" if debian else ""
    remedy = command(extra) if extra else _install([package])
    return BondtraceError(f"{what} needs the Python package {package}: `{remedy}`{other}")


def command(extra: str) -> str:
    """What to type to have the extra."""
    directory, editable = _source()
    if directory is not None:
        wanted = ["-e"] if editable else []
        wanted.append(f"{directory}[{extra}]")
    else:
        wanted = _packages(extra)
    return _install(wanted)


def _install(wanted: Iterable[str]) -> str:
    return " ".join([_pip(), "install", *map(_quoted, wanted)])


def _quoted(word: str) -> str:
    return word if word == shlex.quote(word) else f"'{word}'" if "'" not in word else shlex.quote(word)


def _source() -> tuple[Path | None, bool]:
    """The directory that this bondtrace is run or was installed from, if it is there, and whether it is run there."""
    if _is_checkout(_PACKAGE.parent):
        return _PACKAGE.parent, True
    with suppress(metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        url = urlsplit(json.loads(metadata.distribution("bondtrace").read_text("direct_url.json") or "{}")["url"])
        if url.scheme == "file" and _is_checkout(Path(unquote(url.path))):
            return Path(unquote(url.path)), False
    return None, False


def _is_checkout(directory: Path) -> bool:
    return all((directory / name).exists() for name in ("setup.cfg", "pyproject.toml", "bondtrace"))


def _packages(extra: str) -> list[str]:
    """What the extra consists of, by the installed bondtrace's own word."""
    with suppress(metadata.PackageNotFoundError):
        found = [re.fullmatch(r"([^;]*?)\s*;\s*extra\s*==\s*['\"](.*)['\"]", one)
                 for one in metadata.requires("bondtrace") or ()]
        packages = [match.group(1) for match in found if match and match.group(2) == extra]
        if packages:
            return packages
    return [extra]


def _pip() -> str:
    """This Python's pip. Debian's own Python takes no packages but in a virtual environment."""
    in_environment = sys.prefix != sys.base_prefix
    if not in_environment and os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")):
        return f"{_program()} -m venv --system-site-packages .venv && .venv/bin/pip"
    beside = os.path.join(os.path.dirname(sys.executable), "pip")
    if not os.access(beside, os.X_OK):
        return f"{_program()} -m pip"
    return "pip" if shutil.which("pip") == beside else _quoted(beside)


def _program() -> str:
    return _quoted(sys.executable)


__all__ = ["command", "missing"]
