# SPDX-License-Identifier: GPL-2.0-or-later
"""The .deb: built, linted, installed, tried and removed in minimal root directories of each Debian that is supported.
Only with `-m deb` (`make test-deb`)."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from roots import Machine, add_user, make_root
from sources import ROOT, copy_to

pytestmark = [pytest.mark.deb, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

#: Where apt, dpkg and ldconfig keep books of all packages, and where the tests write.
BOOKS = ("var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "etc/ld.so.cache", "tmp", "run", "root", "srv")
#: Parts of the suite by which the distribution's versions of the libraries are tried, and which of them need what a
#: distribution does not have, or has too old.
SUITE = ("util", "net", "format", "stats", "reporters", "exporters", "analysis", "commands")
NEED_MORE = r"^(import|from) pyarrow|page import"
NOT_NAMED = "not parquet and not test_lab and not a_report"
APT_INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install"


@pytest.fixture(scope="module", params=["bookworm", "trixie", "sid"])
def minimal(request):
    """A directory with a minimal Debian, to be copied."""
    with tempfile.TemporaryDirectory(prefix="bondtrace-deb-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        root = directory / request.param
        make_root(root, request.param, ["make", "sudo"])
        yield root


def copy_of(minimal, purpose):
    root = minimal.with_name(f"{minimal.name}-{purpose}")
    subprocess.run(["cp", "-a", minimal, root], check=True)
    return root


@pytest.fixture(scope="module")
def builder(minimal, figure):
    """A machine on which an ordinary user and root have copies of this repository, whose files have other times."""
    root = copy_of(minimal, "builder")
    add_user(root, "somebody")
    copy_to(root / "home/somebody/bondtrace", 1_700_000_001)
    subprocess.run(["chroot", root, "chown", "-R", "somebody:", "/home/somebody"], check=True)
    copy_to(root / "root/another/place", 1_750_000_000)
    return Machine(root, "root", figure), Machine(root, "somebody", figure)


@pytest.fixture(scope="module")
def package(builder):
    """The .deb, as the user builds it. `make deb` fails where lintian finds an error."""
    _, somebody = builder
    somebody.run("cd bondtrace && make deb")
    (made,) = (somebody.root / "home/somebody/bondtrace/dist").glob("*.deb")
    return made


def test_the_same_sources_make_the_same_package(builder, package):
    # given a build in another place, by another user, with another umask and in another time zone
    root, _ = builder
    root.run("umask 077 && cd another/place && TZ=Asia/Tokyo make deb")
    # then all of its bytes are the same
    (other,) = (root.root / "root/another/place/dist").glob("*.deb")
    assert (other.name, other.read_bytes()) == (package.name, package.read_bytes())


def files(root):
    """What is in a root directory, without the books that are kept of all packages."""
    found = set()
    for directory, names, others in os.walk(root):
        inside = os.path.relpath(directory, root)
        names[:] = [name for name in names if os.path.normpath(f"{inside}/{name}") not in BOOKS]
        found.update(os.path.normpath(f"{inside}/{name}") for name in (*names, *others))
    return found - set(BOOKS)


def test_it_is_installed_works_and_is_removed(minimal, package, figure):
    # given a clean machine, on which the package is installed as a user would; what it depends on stays there
    machine = Machine(copy_of(minimal, "clean"), "root", figure)
    shutil.copy(package, machine.root / "srv")
    machine.run(f"apt-get -q update && {APT_INSTALL} bash-completion man-db /srv/{package.name}")
    machine.run("dpkg --purge bondtrace", network=False)
    without = files(machine.root)
    assert [one for one in without if "bondtrace" in one] == []
    machine.run(f"dpkg --install /srv/{package.name}", network=False)

    # then a recording looks as it does here, and all that debian/tests tries is there
    shown = machine.run("bondtrace show /usr/share/doc/bondtrace/examples/ping.arrows", network=False)
    assert shown == here("show", "examples/ping.arrows")
    shutil.copy(ROOT / "debian/tests/installed", machine.root / "srv")
    machine.run("/srv/installed", network=False)

    # and nothing of it is left when it is removed
    machine.run("apt-get -q -y purge bondtrace", network=False)
    assert sorted(files(machine.root) - without) == []
    assert [one for one in (machine.root / "var/lib/dpkg/info").iterdir() if "bondtrace" in one.name] == []


def here(*words):
    """What bondtrace prints in this checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "bondtrace", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_suite_passes_with_the_libraries_of_the_distribution(builder, package):
    root, _ = builder
    shutil.copy(package, root.root / "srv")
    root.run(f"{APT_INSTALL} /srv/{package.name} python3-pytest")
    left_out = subprocess.run(
        ["git", "grep", "-lE", NEED_MORE, "--", *(f"tests/{part}" for part in SUITE)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    shown = root.run(
        f"cd another/place && python3 -m pytest -q -k '{NOT_NAMED}' "
        + " ".join([*(f"tests/{part}" for part in SUITE), *(f"--ignore={file}" for file in left_out)])
    )
    assert int(re.search(r"^(\d+) passed", shown, re.MULTILINE).group(1)) > 2000
