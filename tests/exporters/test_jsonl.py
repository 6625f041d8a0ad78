# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON lines are those of show."""

import pytest
from click.testing import CliRunner

from bondtrace.cli import cli


@pytest.mark.parametrize("options", [(), ("--rx",), ("--tx",), ("--count", "2")])
def test_json_lines_are_what_show_prints(recording, options, tmp_path):
    target = tmp_path / "out.jsonl"
    shown = CliRunner().invoke(cli, ["show", "--json", *options, str(recording)], catch_exceptions=False)
    done = CliRunner().invoke(
        cli, ["export", str(recording), "--format", "jsonl", "-o", str(target), *options], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert target.read_text() == shown.stdout
    assert shown.stdout.count("\n") == {(): 3, ("--rx",): 2, ("--tx",): 1, ("--count", "2"): 2}[options]
