# SPDX-License-Identifier: GPL-2.0-or-later
"""What ends a command early.

What it keeps true: a command that is ended by a signal puts away what it had begun, as after any other failure. A live
trace takes the signals itself and ends in good order (``on_signals``).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NoReturn

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal came that ends the command; no ``Exception``, so that nothing takes it for a failure of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def on_signals(stop: Callable[[], object]) -> None:
    """Call ``stop`` on SIGINT, SIGTERM and SIGHUP; what is being ignored (by ``nohup``) stays so."""
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
