# SPDX-License-Identifier: GPL-2.0-or-later
"""What packages say of bondtrace is what bondtrace says: its version, what it needs and how old that may be, its
capabilities."""

import configparser
import re
from pathlib import Path

import pytest

from bondtrace.capture.capabilities import HELPFUL, NEEDED, SYS_ADMIN
from bondtrace.version import __version__

ROOT = Path(__file__).parents[2]
CONTROL, SPEC, MANIFEST = (
    (ROOT / name).read_text() for name in ("debian/control", "packaging/bondtrace.spec", "packaging/daemonset.yaml")
)


def required():
    """{package: oldest version} of setup.cfg's base installation."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    found = dict(line.split(">=") for line in config["options"]["install_requires"].split())
    assert len(found) == 5
    return found


def test_packages_have_the_version():
    (newest, *_) = re.findall(r"^bondtrace \((.*)\)", (ROOT / "debian/changelog").read_text(), re.MULTILINE)
    (noted, *_) = re.findall(r"^\* .* - (\S+)-\d+$", SPEC, re.MULTILINE)
    (headed, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = re.search(r"^Version: +(\S+)$", SPEC, re.MULTILINE).group(1)

    assert [newest, noted, headed, version] == [__version__] * 4


@pytest.mark.parametrize(
    "text, form", [(CONTROL, r" python3-(\w+) \(>= (?:1:)?(.*)\),"), (SPEC, r"Requires: +python3-(\w+) >= (.*)")]
)
def test_packages_need_what_setup_needs(text, form):
    assert dict(re.findall(rf"^{form}$", text, re.MULTILINE)) == required()


def test_the_manifest_asks_for_the_capabilities_of_a_trace():
    """Without the one for other namespaces, which is more than all the rest."""
    added = re.search(r"^ +add:\n((?: +- \w+\n)+)", MANIFEST, re.MULTILINE).group(1)

    assert sorted(re.findall(r"- (\w+)", added)) == sorted(
        one.name.removeprefix("CAP_") for one in (*NEEDED, *HELPFUL) if one != SYS_ADMIN
    )
    assert "drop: [ALL]" in MANIFEST and "privileged" not in MANIFEST
