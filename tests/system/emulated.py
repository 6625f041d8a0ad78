# SPDX-License-Identifier: GPL-2.0-or-later
"""The processor that the tests' machines emulate: BONDTRACE_ARCH, this machine's own where it is not given."""

import os

ARCH = os.environ.get("BONDTRACE_ARCH") or None


def userland_for(kernel, userland):
    """The user land of a kernel where a test names none: for another processor that of the kernel's own release."""
    return "trixie" if ARCH and not userland and kernel not in (None, "6.1") else userland
