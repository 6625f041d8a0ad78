# SPDX-License-Identifier: GPL-2.0-or-later
"""Chromium, driven over its debugging pipe: for what a page does when somebody uses it."""

import fcntl
import json
import os
import select
import subprocess
import time

from page import BROWSER, FLAGS


class Browser:
    """A headless browser with one page; a context manager. ``console`` has what the page said there."""

    def __init__(self, directory, *words):
        theirs, ours = os.pipe()
        mine, their_answers = os.pipe()

        def arrange():  # the pipe's ends are 3 and 4 there
            commands, answers = (fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (theirs, their_answers))
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self._process = subprocess.Popen(
            [BROWSER, *FLAGS, f"--user-data-dir={directory / 'profile'}", "--remote-debugging-pipe", *words],
            preexec_fn=arrange,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(their_answers)
        self._to, self._from, self._number, self._read, self.console = ours, mine, 0, b"", []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Runtime.enable")
        self._ask("Page.enable")
        self._ask("Performance.enable", timeDomain="threadTicks")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
        os.close(self._to)
        os.close(self._from)

    def open(self, address):
        """Show a page, and wait until its script ran."""
        self._ask("Page.navigate", url=address)
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )

    def evaluate(self, script):
        """Return what a script's value is, once that is settled."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def cpu_s(self):
        """Return the CPU time that the tasks of the page's thread have taken so far."""
        metrics = self._ask("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

    _session = None

    def _ask(self, method, **values):
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        message.update({"sessionId": self._session} if self._session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.console.append(json.dumps(answer["params"]))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self):
        ends = time.monotonic() + 120
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._from], [], [], max(0, ends - time.monotonic()))
            more = os.read(self._from, 1 << 20) if ready else b""
            assert more, "the browser ended, or said nothing for two minutes"
            self._read += more
        first, self._read = self._read.split(b"\0", 1)
        return json.loads(first)
