# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace on a terminal of tmux, which draws as a user's does; ``screen`` has the bytes that a terminal gets."""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from shell import BONDTRACE, ROOT


class Terminal:
    """bondtrace on a terminal of tmux."""

    def __init__(self, *words, columns=80, rows=24, env=()):
        self._directory = Path(tempfile.mkdtemp())
        config = self._directory / "conf"
        config.write_text("set -s escape-time 0\nset -g default-terminal screen-256color\n")
        self._tmux = ["tmux", "-S", f"{self._directory}/socket", "-f", str(config)]
        settings = ["env", "-u", "NO_COLOR", "TZ=UTC", f"PYTHONPATH={ROOT}", *env]
        line = shlex.join([*settings, *BONDTRACE, *map(str, words)])
        inner = f"echo $$ > {self._directory}/pid; exec {line}"
        outer = f'before=$(stty -g); sh -c {shlex.quote(inner)}; echo "status $?"; '
        outer += '[ "$before" = "$(stty -g)" ] && echo as before; exec sleep 600'
        self._do("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(ROOT), outer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
        shutil.rmtree(self._directory)

    def _do(self, *words):
        return subprocess.run([*self._tmux, *words], check=True, text=True, capture_output=True).stdout

    def press(self, *keys):
        """Press keys, by their names."""
        self._do("send-keys", *keys)

    def type(self, text):
        """Type a text."""
        self._do("send-keys", "-l", "--", text)

    def resize(self, columns, rows):
        """Let the window have another size."""
        self._do("resize-window", "-x", str(columns), "-y", str(rows))

    def lines(self, *options):
        """The lines of the screen."""
        return self._do("capture-pane", "-p", *options).splitlines()

    def until(self, holds, within_s=60):
        """Wait until something holds for the lines of the screen; return them."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            lines = self.lines()
            if holds(lines):
                return lines
            time.sleep(0.05)
        pytest.fail("the screen is\n" + "\n".join(self.lines()))

    def shows(self, text):
        """Wait until the screen shows a text; return its lines."""
        return self.until(lambda lines: any(text in line for line in lines))

    def kill(self, number):
        """Send the program a signal."""
        os.kill(int((self._directory / "pid").read_text()), number)

    def status(self):
        """Wait until the program has ended; return its exit status. The terminal is as it was before."""
        lines = self.shows("as before")
        assert self._do("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]
        return next(int(line.split()[1]) for line in lines if line.startswith("status "))
