# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands, one module each. Apart from ``cli`` they are the only modules that use click."""

import difflib

from ..errors import UsageError

COMMANDS = (
    "live",
    "top",
    "record",
    "show",
    "browse",
    "summary",
    "explain",
    "why",
    "check",
    "export",
    "extcap",
    "report",
    "fleet",
    "exporter",
    "taps",
    "doctor",
    "lab",
    "completion",
)

_FILTER_WORDS = ("port", "portrange", "tcp", "stp")  # words of a packet filter that resemble a command


def refuse_mistyped(word: str) -> None:
    """Refuse a first word that is not a command but looks like one.

    :raises UsageError: which suggests the command.
    """
    close = difflib.get_close_matches(word, COMMANDS, 1, cutoff=0.65)
    if close and word not in (*COMMANDS, *_FILTER_WORDS):
        raise UsageError(f"no command {word!r}: did you mean `bondtrace {close[0]}`?")
