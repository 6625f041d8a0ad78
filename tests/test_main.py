# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bondtrace` in a checkout with nothing installed."""

import subprocess
import sys

import pytest
from shell import BONDTRACE, PING, ROOT


@pytest.mark.parametrize("package", ["click", "numpy", "tabulate"])
def test_a_checkout_names_the_package_that_it_lacks(package):
    # given a Python without one of the packages of the base install
    program = (
        f"import runpy, sys; sys.modules['{package}'] = None; "
        "sys.argv[1:] = ['summary', 'examples/ping.arrows']; runpy.run_module('bondtrace', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"bondtrace: bondtrace needs the Python package {package}: "
        f"`{sys.executable} -m pip install {package}`, or `apt install python3-{package}` (Debian, Ubuntu)\n",
    )


@pytest.mark.parametrize("closing", [">&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["show", "summary", "explain --journey 1"])
def test_what_is_printed_where_the_output_is_closed_goes_nowhere(command, closing):
    words, *options = command.split()
    line = " ".join([*BONDTRACE, words, str(PING), *options])
    done = subprocess.run(["sh", "-c", f"{line} {closing}"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
