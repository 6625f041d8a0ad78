# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: those of the marks ``fleet``, ``fresh`` and ``soak`` run only where they are asked for; in
several processes (``-n 2``) those of one machine of the lab run in one; bondtrace within the process; and what is
printed after all tests."""

import re
import signal
import sys

import pytest
from tabulate import tabulate

APART = ("fleet", "fresh", "soak")


def pytest_collection_modifyitems(config, items):
    marks = [mark for mark in APART if mark not in (config.option.markexpr or "")]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


LAB = "tests/lab/"
KERNEL = re.compile(r"\[.*?\b(\d+\.\d+(-rt)?)\b")  # another than the default


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a machine of the lab in one process: a machine is booted once. All others each by itself: else the
    last file's are run by one process, while the other has nothing to do."""
    from xdist.scheduler import LoadScopeScheduling

    class ByMachine(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            if not nodeid.startswith(LAB):
                return nodeid
            kernel = KERNEL.search(nodeid)
            return f"{nodeid.partition('::')[0]} {kernel.group(1) if kernel else ''}"

    return ByMachine(config, log)


@pytest.fixture
def run(monkeypatch, capfd):
    """run(*words): bondtrace within this process; (status, stdout, stderr)."""
    def invoke(*words):
        from bondtrace import cli  # not before the tests of what an import takes

        monkeypatch.setattr(sys, "argv", ["bondtrace", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capfd.readouterr()
        return caught.value.code, printed.out, printed.err
    return invoke


@pytest.fixture
def signals_are_heard():
    """Not ignored, as they are for a command that a shell runs in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in (one for one, handler in before.items() if handler == signal.SIG_IGN):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


FIGURES = []
MATRIX = {}  # {kernel: {scenario: journeys as demanded}}


@pytest.fixture(scope="session")
def figure():
    """figure(text): a line to print at the end of the tests."""
    return FIGURES.append


@pytest.fixture(scope="session")
def matrix():
    """matrix(kernel, scenario, journeys): an entry of the table that is printed at the end of the tests."""
    def note(kernel, scenario, journeys):
        MATRIX.setdefault(kernel, {})[scenario] = journeys
    return note


def pytest_sessionfinish(session):
    """A process of several hands what it counted to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput.update(figures=FIGURES, matrix=MATRIX)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    told = getattr(node, "workeroutput", {})
    FIGURES.extend(told.get("figures", ()))
    for kernel, row in told.get("matrix", {}).items():
        MATRIX.setdefault(kernel, {}).update(row)


def pytest_terminal_summary(terminalreporter):
    """What the tests in the lab counted."""
    for line in FIGURES:
        terminalreporter.write_line(line)
    names = list(dict.fromkeys(name for row in MATRIX.values() for name in row))
    if names:
        terminalreporter.write_line("journeys as demanded, by kernel and scenario")
        terminalreporter.write_line(tabulate([[kernel, *(row.get(name, "-") for name in names)]
                                              for kernel, row in MATRIX.items()], headers=["kernel", *names]))
