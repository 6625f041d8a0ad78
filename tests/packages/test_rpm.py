# SPDX-License-Identifier: GPL-2.0-or-later
"""The .rpm: built and linted here, unpacked and tried. Only with `-m deb` (`make test-deb`)."""

import shutil
import subprocess

import pytest
from sources import ROOT, copy_to

pytestmark = [pytest.mark.deb, pytest.mark.skipif(not shutil.which("rpmlint"), reason="rpmlint is not installed")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two packages, from two copies of this repository whose files have other times, with two umasks."""
    made = []
    for stamp, umask in ((1_700_000_001, 0o22), (1_750_000_000, 0o77)):
        place = tmp_path_factory.mktemp("rpm") / "source"
        copy_to(place, stamp)
        subprocess.run(["scripts/build-rpm"], cwd=place, check=True, umask=umask)
        made += place.glob("dist/*.noarch.rpm")
    return made


def test_what_is_in_it_runs(built, tmp_path):
    unpacked = subprocess.run(["rpm2cpio", built[0]], check=True, capture_output=True).stdout
    subprocess.run(["cpio", "--extract", "--make-directories", "--quiet"], cwd=tmp_path, input=unpacked, check=True)
    (site,) = tmp_path.glob("usr/lib/python3*/*-packages")

    done = subprocess.run(
        [tmp_path / "usr/bin/bondtrace", "summary", ROOT / "examples/ping.arrows"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(site)},
    )
    assert "\nlosses: none\n" in done.stdout
    for place in (
        "usr/share/man/man1/bondtrace.1",
        "usr/share/bash-completion/completions/bondtrace",
        "usr/share/zsh/site-functions/_bondtrace",
        "usr/share/fish/vendor_completions.d/bondtrace.fish",
    ):
        assert list(tmp_path.glob(f"{place}*")), place
    assert not list(site.glob("bondtrace-*/direct_url.json"))


def test_the_same_sources_make_the_same_package(built):
    first, second = built
    assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())
