# SPDX-License-Identifier: GPL-2.0-or-later
"""bondtrace with a recording in the place of the running kernel: ``python played.py RECORDING WORDS...``

The recording's batches come at once; then nothing happens any more, until the trace is ended. A test of the commands
that trace, where no kernel can be traced: all but ``LiveSource`` is what it is live.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from shell import ROOT
from traced import Source

from bondtrace.capture import capabilities
from bondtrace.capture.live import source
from bondtrace.format.batch import Batch
from bondtrace.format.recording import Recording
from bondtrace.format.wire import EMPTY

_POLL_S = 0.02


class Played(Source):
    """A trace of what is in a recording."""

    path = None

    def __init__(self, request, tell=None, drop=lambda: None):
        super().__init__(request)
        self.request, self._drop, self._stopped = request, drop, False

    def describe(self):
        return f"played, {', '.join(self.request.interfaces) or 'all devices'}"

    def stop(self):
        self._stopped = True

    def batches(self):
        now_ns = 0
        for batch in Recording(self.path).batches():
            now_ns = batch.now_ns
            yield batch
        begin_s = last_s = time.monotonic()
        while not self._stopped:
            time.sleep(_POLL_S)
            now_s = time.monotonic()
            passed_ns = now_ns + int((now_s - begin_s) * 1e9)
            told, last_s = ([_losses(passed_ns)], now_s) if now_s - last_s >= 1 else ([], last_s)
            yield Batch(EMPTY, told, passed_ns)
        yield Batch(EMPTY, [_losses(now_ns + int((time.monotonic() - begin_s) * 1e9))], now_ns)


def _losses(time_ns):
    return {"kind": "losses", "time_ns": time_ns, "counters": {"lost": [0]}}


def play(recording, *words, **more):
    """Start bondtrace with these words, a trace of this recording; return the process, its output a pipe."""
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, (recording, *words))],
        cwd=ROOT,
        **{
            "env": {**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **more,
        },
    )


def main():
    """Run the command line."""
    Played.path = Path(sys.argv.pop(1)).absolute()
    source.LiveSource = Played
    capabilities.require_rights = lambda: None
    from bondtrace import cli

    cli.main()


if __name__ == "__main__":
    main()
