# SPDX-License-Identifier: GPL-2.0-or-later
"""README's commands on a fresh machine: minimal root directories of Debian 12 and 13, in which nothing but git, make,
sudo and certificates was added. Root works in the one; in the other an ordinary user with sudo, whose home nobody else
may enter. Only with `-m fresh` (`make test-fresh`)."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from roots import Machine, add_user, make_root

pytestmark = [pytest.mark.fresh, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ROOT = Path(__file__).parents[2]
USERS = {"bookworm": "root", "trixie": "somebody"}
ADDED = ("git", "make", "sudo", "ca-certificates")
#: pip's settings that say how PyPI is reached from this machine.
REACHING_PYPI = ("cert", "index-url", "proxy", "timeout", "trusted-host")


@pytest.fixture(params=USERS)
def fresh(request, figure):
    """A fresh machine with a clone of this repository in the user's home."""
    codename, user = request.param, USERS[request.param]
    with tempfile.TemporaryDirectory(prefix="bondtrace-fresh-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        root = directory / codename
        make_root(root, codename, ADDED)
        reach_pypi(root)
        if user != "root":
            add_user(root, user)
        subprocess.run(["git", "bundle", "create", "--quiet", root / "srv/bondtrace", "HEAD"], cwd=ROOT, check=True)
        machine = Machine(root, user, figure)
        machine.run("git clone --quiet /srv/bondtrace bondtrace")
        yield machine


def reach_pypi(root):
    """PyPI is asked as pip asks it here."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE))
    kept = {name: value for name, value in settings.items() if name in REACHING_PYPI}
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *(f"{key} = {kept[key]}" for key in kept)]) + "\n")
    if "cert" in kept:
        place = root / kept["cert"].lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept["cert"], place)


def commands_of(heading):
    """The commands of docs/install.md below a heading, without what is said of them."""
    section = (ROOT / "docs/install.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n#")[0]
    return [re.sub(r"\s+#.*", "", line).strip() for line in section.splitlines() if line.startswith("    ")]


def test_the_two_commands(fresh):
    # given a fresh machine, when README's first command is typed
    shown = fresh.run("cd bondtrace && make demo")
    # then a ping was traced in a virtual machine, and nothing was lost
    assert "ICMP 10.9.0.1 > 10.9.0.2 echo reply" in shown and "\nlosses: none\n" in shown

    # and of the second that which needs no virtual machine finds nothing, and has what it asks for
    shown = fresh.run("cd bondtrace && make lint unit")
    assert re.search(r"^=+ \d+ passed", shown, re.MULTILINE)
    assert re.findall(r"^SKIPPED .* (?:not installed|no C compiler).*", shown, re.MULTILINE) == []


def test_an_installation_without_pypi(fresh):
    # given a machine with lists of Debian's packages, on which nothing but those is to be had
    fresh.run("sudo apt-get -q update")
    here = subprocess.run(
        [sys.executable, "-m", "bondtrace", "show", "examples/ping.arrows"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # when it is done as docs/install.md says, then a recording looks as it does here, each time
    shows = 0
    for command in commands_of("Without PyPI"):
        if command.startswith("sudo apt install "):
            fresh.run(f"{command} -q -y --no-install-recommends")
            continue
        shown = fresh.run(f"cd bondtrace && {command}", network=False)
        if " show " in command:
            assert shown == here, command
            shows += 1
    assert shows == 2
    # and bcc is that of the same Python
    fresh.run("cd bondtrace && .venv/bin/python -c 'import bcc'", network=False)
