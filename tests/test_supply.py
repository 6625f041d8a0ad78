# SPDX-License-Identifier: GPL-2.0-or-later
"""What bondtrace is made of and what is made of it: licences, dependencies, reproducible packages."""

import configparser
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from sources import copy_to, tracked

ROOT = Path(__file__).parents[1]
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
SOURCES = {".py", ".c", ".h", ".sh", ".js", ".css", ".html", ".toml", ".cfg"}
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"


def requirements(*extras):
    """{package: minimum version or ""} of setup.cfg; without extras of the base install."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = "\n".join(
        [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    )
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, version = line.partition(">=")
        found[re.sub(r"\[.*\]", "", name)] = version
    return found


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_every_source_file_names_its_licence():
    sources = [
        path
        for path in tracked()
        if path.suffix in SOURCES or path.name == "Makefile" or path.parent.name in ("scripts", "bench")
    ]
    assert len(sources) > 200
    without = [path for path in sources if SPDX not in "\n".join(path.read_text().splitlines()[:3])]
    assert [str(path.relative_to(ROOT)) for path in without] == []


def test_scripts_that_are_installed_can_be_executed():
    """Of what is installed: lintian and rpmlint ask for it."""
    installed = [path for path in tracked() if path.is_relative_to(ROOT / "bondtrace")]
    scripts = [path for path in installed if path.read_bytes().startswith(b"#!")]
    assert len(scripts) > 2
    assert [str(path.relative_to(ROOT)) for path in scripts if not path.stat().st_mode & 0o100] == []


def test_the_oldest_versions_that_are_allowed_have_no_known_advisory():
    """What it proves: that none of the advisories in the list applies to a minimum version. `make audit` asks for those
    that the list does not have."""
    known = json.loads((ROOT / "tests" / "data" / "advisories.json").read_text())["advisories"]
    allowed = requirements("parquet", "fleet", "report", "exporter")

    assert allowed and all(allowed[name] for name in requirements()), "a base dependency has no minimum version"
    open_ones = [
        one["id"]
        for one in known
        if one["package"] in allowed and numbers(allowed[one["package"]]) < numbers(one["fixed"])
    ]
    assert open_ones == []
    assert known and {one["package"] for one in known} <= set(allowed)


KNOWN = {"name": "numpy", "version": "2.0", "vulns": []}
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI"}
OPEN = {"name": "tabulate", "version": "0.8", "vulns": [{"id": "CVE-1", "fix_versions": ["0.9"]}]}
ITSELF = {"name": "bondtrace", "skip_reason": "distribution marked as editable"}


@pytest.mark.parametrize(
    "packages, status, said",
    [
        ([KNOWN, ITSELF], 0, "audit: 1 packages, none has a known advisory"),
        ([KNOWN, OPEN], 1, "tabulate 0.8: CVE-1 (fixed in 0.9)\naudit: there are advisories"),
        # for which pip-audit's own status is 0
        ([KNOWN, SKIPPED], 1, "audit: nothing is known about 1 of 2 packages (Dependency not found on PyPI): "),
        (None, 1, "audit: the database did not answer (no route): "),
    ],
)
def test_an_audit_is_an_all_clear_only_where_every_package_was_looked_up(tmp_path, packages, status, said):
    """`make audit`, with another program for pip-audit."""
    pip_audit = tmp_path / "pip-audit"
    pip_audit.write_text(
        f"#!/bin/sh\necho '{json.dumps({'dependencies': packages})}'\n"
        if packages
        else "#!/bin/sh\necho no route >&2; exit 1\n"
    )
    pip_audit.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "audit", pip_audit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, (done.stdout + done.stderr)[: len(said)]) == (status, said)


def test_what_the_tests_use_is_pinned():
    lines = [line for line in (ROOT / "tests" / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 20 and all(
        re.fullmatch(r'[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+ ; python_version == "3\.11"', line) for line in lines
    )
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    wanted = {name.lower().replace("_", "-") for name in requirements("test", "lab")}
    assert wanted - pinned == set()
    assert "-c tests/constraints.txt" in (ROOT / "Makefile").read_text()


def build(kind, directory, stamp):
    """A package made of a copy of the sources, whose files have other times."""
    source = directory / "source"
    copy_to(source, stamp)
    out = directory / "out"
    out.mkdir()
    old = os.umask(0o077 if stamp % 2 else 0o022)
    try:
        done = subprocess.run(
            [sys.executable, "-c", BUILD.format(kind), out],
            cwd=source,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TZ": "UTC" if stamp % 2 else "Asia/Tokyo"},
        )
    finally:
        os.umask(old)
    return out / done.stdout.split()[-1]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_same_sources_make_the_same_package(kind, tmp_path):
    # given two builds in two places, at two times, in two time zones, with two umasks
    places = [tmp_path / "one", tmp_path / "another"]
    for place in places:
        place.mkdir()
    first, second = (build(kind, place, stamp) for place, stamp in zip(places, (1_700_000_001, 1_750_000_000)))

    # then names, contents, and all of the bytes are the same
    assert first.name == second.name
    assert contents(first) == contents(second)
    assert first.read_bytes() == second.read_bytes()


def contents(path):
    """{name: (rights, time, hash)} of an archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {
                one.filename: (one.external_attr >> 16, one.date_time, hashlib.sha256(archive.read(one)).hexdigest())
                for one in archive.infolist()
            }
    with tarfile.open(path) as archive:
        return {
            one.name: (
                one.mode,
                one.mtime,
                hashlib.sha256(archive.extractfile(one).read()).hexdigest() if one.isfile() else "",
            )
            for one in archive.getmembers()
        }


def test_a_wheel_has_what_bondtrace_needs_to_run(tmp_path):
    names = set(contents(build("wheel", tmp_path, 1_700_000_000)))
    sources = {
        f"bondtrace/{path.relative_to(ROOT)}" if path.parts[len(ROOT.parts)] == "bpf" else str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_relative_to(ROOT / "bondtrace") or path.is_relative_to(ROOT / "bpf")
    }
    assert len(sources) > 100 and sources - names == set()
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
