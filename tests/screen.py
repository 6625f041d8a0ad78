# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal with a program on it: what is typed there, and what it shows."""

import fcntl
import os
import pty
import select
import struct
import termios
import time


class Screen:
    """Starts a program on a terminal of its own, of 33 lines and 99 columns."""

    def __init__(self, *words):
        self.process, self.fd = pty.fork()
        if self.process == 0:
            os.execvp(words[0], words)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.seen = b""

    def type(self, keys):
        """Type some keys; a line ends with ``\\r``."""
        os.write(self.fd, keys.encode())

    def shows(self, text, within_s=300):
        """Return whether it shows the text, behind what was found before."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            _, found, after = self.seen.partition(text.encode())
            if found:
                self.seen = after
                return True
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:  # the program has ended
                    return text.encode() in self.seen
        return False

    def status(self):
        """Return the program's exit status, once it has ended."""
        while True:
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def close(self):
        """Close the terminal, as a window that is closed."""
        os.close(self.fd)
