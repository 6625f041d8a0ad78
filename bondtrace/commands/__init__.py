# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands, a module each. Together with ``cli`` the only modules that know of click."""

import difflib

from ..errors import UsageError

COMMANDS = (
    "live",
    "top",
    "record",
    "show",
    "summary",
    "explain",
    "export",
    "report",
    "fleet",
    "exporter",
    "taps",
    "doctor",
    "lab",
    "completion",
)

_FILTER_WORDS = ("port", "portrange", "tcp", "stp")  # of a packet filter, and like the name of a command


def refuse_mistyped(word: str) -> None:
    """``UsageError`` for a first word that is no command but looks like one."""
    close = difflib.get_close_matches(word, COMMANDS, 1, cutoff=0.65)
    if close and word not in (*COMMANDS, *_FILTER_WORDS):
        raise UsageError(f"no command {word!r}: did you mean `bondtrace {close[0]}`?")
