# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page: up to date, whole, without a warning of those who read it, and in the package."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import click

from bondtrace.cli import cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "man" / "bondtrace.1"


def run(*words, **more):
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""},
        **more,
    )
    assert done.returncode == 0, done.stderr
    return done


def shown():
    return re.sub(".\b", "", run("man", "-l", PAGE).stdout)


def test_it_is_up_to_date(tmp_path):
    run(sys.executable, ROOT / "scripts" / "make-man", tmp_path / "page")
    assert (tmp_path / "page").read_text() == PAGE.read_text(), "run: make man"


def test_it_has_every_command_with_every_option():
    text = shown()
    context = click.Context(cli)
    for name in cli.list_commands(context):
        match = re.search(rf"^   {name}\n(.*?)^(?:   )?\S", text, re.DOTALL | re.MULTILINE)
        assert match, name
        assert f"bondtrace {name}" in match.group(1) and "Examples:" in match.group(1)
        for one in cli.get_command(context, name).params:
            if isinstance(one, click.Option):
                assert re.search(rf"^       {', '.join(one.opts)}\b", match.group(1), re.MULTILINE), (name, one.opts)
    titles = re.findall(r"^[A-Z][A-Z ]+$", text, re.MULTILINE)
    assert titles == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "SEE ALSO",
    ]


def test_neither_man_nor_mandoc_has_a_warning():
    assert run("man", "-l", "--warnings", PAGE).stderr == ""
    assert run("mandoc", "-T", "lint", "-W", "warning", PAGE).stdout == ""
    # and they would have had one
    bad = ".TH\n.SH\n.nosuch \\*[x]\n"
    assert subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning"], input=bad, capture_output=True, text=True, check=False
    ).stdout


def test_what_is_to_be_typed_can_be_copied():
    assert "sudo bondtrace --iface bond0 --summary-only --duration 10" in shown()
    assert 'eval "$(bondtrace completion bash)"' in shown()
    assert "bondtrace completion zsh > ~/.zfunc/_bondtrace" in shown()


def test_the_wheel_installs_it(tmp_path):
    # given the sources, copied, as building leaves things behind
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("bondtrace", "bpf", "man"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)

    # when a wheel is made
    run(sys.executable, "-c", "from setuptools.build_meta import build_wheel; build_wheel('.')", cwd=source)

    # then it has the page where man looks for it below the prefix
    [wheel] = source.glob("*.whl")
    [name] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/data/share/man/man1/bondtrace.1")]
    assert zipfile.ZipFile(wheel).read(name) == PAGE.read_bytes()
