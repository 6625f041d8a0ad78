# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/howto.md and docs/fleet.md: every command prints what stands below it, and its first screen is all of it."""

import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")


def script():
    spec = spec_from_loader("make_howto", SourceFileLoader("make_howto", str(ROOT / "scripts" / "make-howto")))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = script()
BLOCKS = MAKER.BLOCK.findall(DOCUMENT)


def test_there_are_ten_questions_each_with_one_command():
    questions = DOCUMENT.split("\n## ")[1:]
    assert len(questions) >= 10 and all(len(MAKER.BLOCK.findall(one)) == 1 for one in questions)


@pytest.mark.parametrize(("line", "output"), BLOCKS, ids=[line for line, _ in BLOCKS])
def test_a_command_prints_what_stands_below_it(line, output):
    assert MAKER.printed(line) == output, "run: scripts/make-howto"
    assert len(output.splitlines()) <= 24, "more than a screen"


def test_the_commands_of_fleets_print_what_stands_below_them():
    document = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    assert len(MAKER.BLOCK.findall(document)) == 2 and "tcpdump -i bond0" in MAKER.BLOCK.findall(document)[1][1]
    assert MAKER.page(document) == document, "run: scripts/make-howto"


def test_a_command_that_fails_is_not_written_down():
    with pytest.raises(subprocess.CalledProcessError):
        MAKER.printed("bondtrace show no-such.arrows")
