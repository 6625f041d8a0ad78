# SPDX-License-Identifier: GPL-2.0-or-later
"""Capabilities: which are asked for, which are kept. Each in a process of its own, for they do not come back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bondtrace.capture import capabilities

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
TRACING = {2, 12, 19, 21, 34, 38, 39}


def said(text):
    script = "import threading\nfrom bondtrace.capture import capabilities\n" + text
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True)
    return done.stdout.split("\n")[:-1]


def bits(number):
    return {place for place in range(64) if number >> place & 1}


@as_root
@pytest.mark.parametrize("files, more", [(False, set()), (True, {0, 1, 3})], ids=["no files", "files"])
def test_what_a_trace_does_not_use_is_given_up(files, more):
    mine = bits(capabilities.effective())
    kept, again = said(
        f"capabilities.drop_rights({files})\nprint(capabilities.effective())\nimport subprocess\n"
        "print(subprocess.run(['grep', 'CapEff', '/proc/self/status'], capture_output=True, "
        "text=True).stdout.split()[1])"
    )
    assert bits(int(kept)) == (TRACING | more) & mine
    # then a program that it starts has no more
    assert bits(int(again, 16)) <= (TRACING | more) & mine


@as_root
def test_a_thread_that_answers_strangers_has_none():
    theirs, mine = said(
        "def work():\n capabilities.drop_all_rights()\n print(capabilities.effective())\n"
        "one = threading.Thread(target=work)\none.start()\none.join()\n"
        "print(capabilities.effective() > 0)"
    )
    assert (theirs, mine) == ("0", "True")


@pytest.mark.parametrize(
    "mask, missing",
    [(1 << 39 | 1 << 38, ""), (1 << 21, ""), (1 << 39 | 1 << 12, "CAP_PERFMON"), (0, "CAP_BPF, CAP_PERFMON")],
)
def test_the_missing_ones_are_named(mask, missing):
    [told] = said(
        f"capabilities.effective = lambda: {mask}\ntry: capabilities.require_rights(); print()\n"
        "except capabilities.BondtraceError as error: print(error)"
    )
    assert told == (
        missing
        and f"tracing needs root, or at least CAP_BPF and CAP_PERFMON (missing: {missing}): BPF "
        "programs are loaded into the kernel; run it with sudo"
    )


def test_what_is_not_told_without_the_others_is_said():
    [told] = said(
        "capabilities.effective = lambda: 1 << 39 | 1 << 38 | 1 << 12 | 1 << 21\n"
        "print([one.name for one in capabilities.missing_helpful()])"
    )
    assert told == "['CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH', 'CAP_SYSLOG']"


def test_no_thread_is_there_before_the_rights_are_dropped():
    # capabilities are a thread's: numpy's own would keep theirs, and stay; the one that read the recording has been
    # joined, but is the kernel's for a moment more
    *_, threads = said(
        "import os, sys, time\nfrom bondtrace import cli\n"
        "sys.argv = ['bondtrace', 'summary', 'examples/ping.arrows']\n"
        "try: cli.main()\nexcept SystemExit:\n"
        " until = time.monotonic() + 10\n"
        " while len(os.listdir('/proc/self/task')) > 1 and time.monotonic() < until: time.sleep(0.01)\n"
        " print(len(os.listdir('/proc/self/task')))"
    )
    assert threads == "1"


@as_root
def test_without_the_right_to_hear_of_other_namespaces_devices_are_still_followed():
    done = said(
        "from bondtrace.capture.host.namespaces import current_namespace\n"
        "from bondtrace.capture.live.namespaces import Monitors\n"
        "capabilities.drop_rights(False)\n"
        "with Monitors([current_namespace()]) as monitors:\n"
        "    print([type(one).__name__ for one in monitors.waitable()], monitors.changes())"
    )
    # given that root here has it
    assert 11 in bits(capabilities.effective())
    assert done == ["['LinkMonitor'] []"]
