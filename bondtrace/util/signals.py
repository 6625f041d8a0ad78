# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals that end a command early.

Invariant: a command that is ended by a signal cleans up what it had begun, as after any other failure. A live trace
handles the signals itself and ends normally (``on_signals``).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NoReturn

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal that ends the command has arrived; not an ``Exception``, so that no handler takes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def on_signals(stop: Callable[[], object]) -> None:
    """Call ``stop`` on SIGINT, SIGTERM and SIGHUP; a signal that is ignored (by ``nohup``) stays ignored."""
    for number in _ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop())


def on_signals_end() -> None:
    """Raise ``Ended`` on SIGTERM and SIGHUP, as Python raises ``KeyboardInterrupt`` on SIGINT."""

    def end(number: int, _: object) -> NoReturn:
        raise Ended(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)
