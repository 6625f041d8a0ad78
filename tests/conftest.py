# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: those marked ``deb``, ``fleet``, ``fresh`` and ``soak`` run only when they are selected; with
several processes (``-n 2``) those of one machine of the lab run in one; bondtrace within the process; and what is
printed after all tests."""

import os
import re
import signal
import sys

import pytest
from tabulate import tabulate

# Asserts in helpers show the values that differ.
pytest.register_assert_rewrite("frames", "build", "mixture", "guests", "truth", "exported", "reading", "scrape")

os.environ.pop("COLUMNS", None)  # tables are as wide as where there is no terminal

APART = ("deb", "fleet", "fresh", "soak")


def pytest_collection_modifyitems(config, items):
    """Deselect the tests of marks that were not selected."""
    marks = [mark for mark in APART if mark not in (config.option.markexpr or "")]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


LAB = "tests/system/"
KERNEL = re.compile(r"\[.*?\b(\d+\.\d+(-rt)?)\b")  # other than the default


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Schedule the tests of one machine of the lab in one process, so that it is booted once, and all others one by
    one: otherwise one process runs all of the last file, while the other is idle."""
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
    """run(*words): run bondtrace within this process; return (status, stdout, stderr)."""

    def invoke(*words):
        from bondtrace import cli  # not before the tests that measure an import

        monkeypatch.setattr(sys, "argv", ["bondtrace", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capfd.readouterr()
        return caught.value.code, printed.out, printed.err

    return invoke


@pytest.fixture
def signals_are_heard():
    """Let signals take effect that are ignored, as for a command that a shell runs in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in (one for one, handler in before.items() if handler == signal.SIG_IGN):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


FIGURES = []
JOURNEYS, PLATFORMS = "journeys as demanded, by kernel and scenario", "kernels with user lands"
STACKS = "by scenario: packets followed / deliveries compared / false absences / unknown answers"
TABLES = {}  # {title: {row: {column: [cell, ...]}}}


def note(title, row, column, *cells):
    """Add lines to a cell of a table that is printed at the end."""
    TABLES.setdefault(title, {}).setdefault(row, {}).setdefault(column, []).extend(map(str, cells))


@pytest.fixture(scope="session")
def figure():
    """figure(text): print a line at the end of the tests."""
    return FIGURES.append


@pytest.fixture(scope="session")
def matrix():
    """matrix(kernel, scenario, journeys): add an entry to the table that is printed at the end of the tests."""
    return lambda kernel, scenario, journeys: note(JOURNEYS, kernel, scenario, journeys)


@pytest.fixture(scope="session")
def deliveries():
    """deliveries(kernel, scenario, packets, compared, absent, unknowns): add a row to the table of false absences, and
    a line for each answer that was unknown."""

    def add(kernel, scenario, packets, compared, absent, unknown):
        note(STACKS, scenario, kernel, f"{packets} / {compared} / {absent} / {len(unknown)}")
        FIGURES.extend(f"unknown, kernel {kernel}, {scenario}: {one}" for one in unknown)

    return add


@pytest.fixture(scope="session")
def platform():
    """platform(userland, kernel, *lines): add lines to that cell; without any it is empty so far."""
    return lambda userland, kernel, *lines: note(PLATFORMS, f"Linux {kernel}", userland, *lines)


def pytest_sessionfinish(session):
    """Pass what one of several processes counted to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput.update(figures=FIGURES, tables=TABLES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take what another process counted."""
    told = getattr(node, "workeroutput", {})
    FIGURES.extend(told.get("figures", ()))
    for title, rows in told.get("tables", {}).items():
        for row, columns in rows.items():
            for column, cells in columns.items():
                note(title, row, column, *cells)


def add_totals():
    """Add the row of sums to the table of false absences."""
    rows = TABLES.get(STACKS, {})
    for kernel in dict.fromkeys(name for row in rows.values() for name in row):
        cells = [cell.split(" / ") for row in list(rows.values()) for cell in row.get(kernel, ())]
        note(STACKS, "all", kernel, " / ".join(str(sum(map(int, column))) for column in zip(*cells)))


def pytest_terminal_summary(terminalreporter):
    """Print what the tests in the lab counted."""
    add_totals()
    for line in FIGURES:
        terminalreporter.write_line(line)
    for title, rows in TABLES.items():
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        terminalreporter.write_line(title)
        terminalreporter.write_line(
            tabulate(
                [
                    [row, *("\n".join(cells.get(name, "-")) or "failed" for name in names)]
                    for row, cells in rows.items()
                ],
                headers=["", *names],
            )
        )
