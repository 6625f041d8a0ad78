# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors that reach a user.

Every message states the fact, the object and the remedy in one or two lines. ``cli`` prints it after ``bondtrace: `` on
stderr and exits with the exit status; nothing prints tracebacks of these errors.
"""

from __future__ import annotations

from pathlib import Path


class BondtraceError(Exception):
    """A failure at run time that the user can act on; exit status 1."""

    exit_status = 1


class UsageError(BondtraceError):
    """A usage error: an option, a name or a file that cannot be meant; exit status 2."""

    exit_status = 2


def exists_already(path: Path) -> UsageError:
    """Return the error for a file name that is taken."""
    return UsageError(f"{path} already exists; name another file, or use --force to overwrite it")
