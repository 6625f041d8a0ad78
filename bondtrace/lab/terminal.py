# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal that the user sits at, lent to a machine.

Invariant: the terminal is as it was when the block is left, however it is left.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType

#: Ctrl-], as with telnet: it ends the machine when nothing in it answers.
ESCAPE = b"\x1d"

_BLOCK = 4096


class Terminal:
    """Standard input as a terminal. It stays as it is, with Ctrl-C, until ``lend``; then every key is read as it is."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)
        self._is_lent = self._is_gone = False
        self._resized = True
        self._handler = signal.signal(signal.SIGWINCH, self._resize)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGWINCH, self._handler)
        if self._is_lent and not self._is_gone:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._fd

    @property
    def is_lent(self) -> bool:
        """Return whether keys are to be read."""
        return self._is_lent and not self._is_gone

    def lend(self) -> None:
        """From here on no key has a meaning on this side but ``ESCAPE``."""
        if not self._is_lent:
            tty.setraw(self._fd, termios.TCSADRAIN)
            self._is_lent = True

    def read(self) -> bytes:
        """Return the keys that were typed.

        :raises KeyboardInterrupt: ``ESCAPE`` is one of them.
        """
        try:
            data = os.read(self._fd, _BLOCK)
        except OSError:
            data = b""
        self._is_gone = not data
        if ESCAPE in data:
            raise KeyboardInterrupt
        return data

    def new_size(self) -> os.terminal_size | None:
        """Return the size, when it has changed since the last call."""
        if not self._resized:
            return None
        self._resized = False
        try:
            return os.get_terminal_size(self._fd)
        except OSError:
            return None

    def _resize(self, number: int, frame: FrameType | None) -> None:
        self._resized = True
