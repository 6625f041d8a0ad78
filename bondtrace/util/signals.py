# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals that end a command early.

Invariant: a command that is ended by a signal cleans up what it had begun, as after any other failure. A live trace
handles the signals itself and ends normally (``on_signals``).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
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

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end_by)


def end_by(number: int, _: object = None) -> NoReturn:
    """End the command as this signal does: raise ``KeyboardInterrupt`` or ``Ended``."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Ended(number)


@contextlib.contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Within the block the first signal that would end the command is only noted in the list, so that what the command
    began can end in order; the next one ends it. Only the main thread can ask for this: elsewhere nothing changes."""
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        if noted:
            end_by(number)
        noted.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    heard = {number: signal.getsignal(number) for number in _ENDS} if is_main else {}
    before = {number: handler for number, handler in heard.items() if handler not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
