# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace: which taps saw this packet, on which device, and why not the others.

As a library (docs/library.md)::

    import bondtrace

    with bondtrace.open("trace.arrows") as trace:
        for journey in trace.journeys():
            print(journey.packet.info, [step.dev for step in journey.passes[0].steps])
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Union

from .version import __version__

if TYPE_CHECKING:
    from .api import Trace


def open(*paths: Union[str, os.PathLike[str]]) -> Trace:
    """Open recordings: files, or directories of them, that are one trace (its parts, in any order).

    :raises bondtrace.errors.UsageError: if they are several traces, or a directory holds none.
    :raises bondtrace.errors.BondtraceError: if a file is not a recording.
    """
    from .api import open_trace

    return open_trace(*paths)


__all__ = ["__version__", "open"]
