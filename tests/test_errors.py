# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that an error names, in each way that bondtrace can be installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bondtrace import errors

ROOT = Path(__file__).parents[1]
CONTENTS = ("bondtrace", "bpf", "man", "LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py")
# Nothing is asked of a server; what bondtrace depends on, and setuptools, are this Python's.
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
REPORT = """\
import sys
sys.modules["plotly.offline"] = None
sys.argv[:] = ["bondtrace", "report", sys.argv[1], "-o", "page"]
import bondtrace.cli
print(bondtrace.__file__)
bondtrace.cli.main()
"""


@pytest.fixture
def sources(tmp_path):
    """A copy of what is installed: building writes beside the sources."""
    copy = tmp_path / "a copy"
    copy.mkdir()
    for name in CONTENTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def from_checkout(sources, directory):
    shutil.copytree(sources, directory)  # and nothing is installed there


def from_directory(sources, directory):
    subprocess.run([*PIP, "--target", directory, sources], check=True)


def from_wheel(sources, directory):
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=sources, check=True, capture_output=True, text=True)
    subprocess.run([*PIP, "--target", directory, sources / done.stdout.split()[-1]], check=True)


@pytest.mark.parametrize("install", [from_checkout, from_directory, from_wheel])
def test_an_error_names_a_command_that_pip_takes(install, sources, tmp_path):
    # given a bondtrace that was installed in one of the ways, and no plotly
    directory = tmp_path / "installed"
    install(sources, directory)
    done = subprocess.run(
        [sys.executable, "-c", REPORT, ROOT / "examples" / "ping.arrows"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(directory)},
    )

    # then the error of that bondtrace names this Python, and the package as setup.cfg has it
    assert (done.returncode, done.stdout) == (1, f"{directory}/bondtrace/__init__.py\n")
    assert done.stderr == (
        f"bondtrace: report needs the Python package plotly: `{sys.executable} -m pip install 'plotly>=5.17'`\n"
    )
    # and it can be typed as it is: plotly is here, so nothing is fetched
    command = done.stderr.split("`")[1]
    assert subprocess.run(command, shell=True, check=False, capture_output=True).returncode == 0


def test_all_packages_of_an_extra_are_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/a b/python")
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda _: [
            "click>=8.0",
            'ibis-framework[duckdb]; extra == "fleet"',
            "duckdb>=1.1 ; extra == 'fleet'",
            'ibis-framework[pyspark]; extra == "fleet-spark"',
        ],
    )
    assert errors.install_command("fleet", "x") == (
        "'/a b/python' -m pip install 'ibis-framework[duckdb]' 'duckdb>=1.1'"
    )


def test_where_nothing_is_known_of_extras_the_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.metadata.requires", lambda _: None)
    assert str(errors.missing_package("a recording", "zstandard", debian="python3-zstandard")) == (
        f"a recording needs the Python package zstandard: `{sys.executable} -m pip install zstandard`, or "
        "`apt install python3-zstandard` (Debian, Ubuntu)"
    )


def test_where_only_the_distribution_installs_packages_an_environment_is_made(monkeypatch, tmp_path):
    # given a Python that says so (PEP 668), and is not that of an environment
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["plotly (>=5.17) ; extra == 'report'"])

    assert str(errors.missing_package("report", "plotly", "report")) == (
        "report needs the Python package plotly: `/usr/bin/python3 -m venv --system-site-packages .venv && "
        ".venv/bin/pip install 'plotly (>=5.17)'`, then `.venv/bin/python -m bondtrace`"
    )
    # and in an environment pip installs
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert errors.install_command("report", "plotly") == "/usr/bin/python3 -m pip install 'plotly (>=5.17)'"
