# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.sh, as far as it goes without a machine."""

import os
import subprocess

import pytest
from guests import scenario
from shell import ROOT


def run(path, out, *command):
    environment = {**os.environ, "LAB_OUT": str(out), "LAB_WAIT_S": "5"}
    return subprocess.run(
        ["bash", str(ROOT / "bondtrace/lab/runner.sh"), str(path), *command],
        cwd=out,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


ATTACHED = ["bash", "-c", "trap exit INT; echo 'bondtrace: attached' >&2; while :; do sleep 0.1; done"]


def test_a_scenario_is_played_once_the_tracer_is_attached(tmp_path):
    path = scenario(tmp_path, "setup() { echo built; }\nplay() { echo played; }\ncheck() { echo checked; }\n")
    result = run(path, tmp_path, *ATTACHED)
    assert (result.returncode, result.stderr) == (0, "bondtrace: attached\n")
    assert (tmp_path / "play.log").read_text() == "built\nplayed\nchecked\n"


@pytest.mark.parametrize("text, missing", [("play() { :; }\n", "setup"), ("setup() { :; }\n", "play")])
def test_a_scenario_without_its_functions_is_refused(tmp_path, text, missing):
    path = scenario(tmp_path, text)
    result = run(path, tmp_path, "true")
    assert (result.returncode, result.stderr) == (
        1,
        f"bondtrace lab: the scenario {path} has no function {missing}: it needs setup and play\n",
    )


def test_a_failing_command_is_told_with_the_logs_end(tmp_path):
    path = scenario(tmp_path, "setup() { echo so far; grep nothing /dev/null; echo beyond; }\nplay() { :; }\n")
    result = run(path, tmp_path, "true")
    assert (result.returncode, result.stderr) == (
        1,
        f"bondtrace lab: the scenario failed in its setup at: grep nothing /dev/null; {tmp_path}/play.log ends:\n"
        "so far\n",
    )
