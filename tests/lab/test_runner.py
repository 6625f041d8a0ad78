# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.sh, as far as it goes without a machine."""

import os
import signal
import subprocess
import time

import pytest
from guests import scenario
from shell import ROOT


def start(path, out, *command, **env):
    """Start the runner in a process group of its own, as the guest does."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", "bash", str(ROOT / "bondtrace/lab/runner.sh"), str(path), *command],
        cwd=out,
        env={**os.environ, "LAB_OUT": str(out), "LAB_WAIT_S": "5", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(path, out, *command, **env):
    with start(path, out, *command, **env) as process:
        printed, told = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, printed, told)


def has_become(happened):
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


ATTACHED = ["bash", "-c", "trap 'exit 0' INT; echo 'bondtrace: attached' >&2; while :; do sleep 0.1; done"]


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


# --- how the command ends ----------------------------------------------------------------------------

EMPTY = "setup() { :; }\nplay() { :; }\n"


def tracer(*signals):
    """A shell's words for a tracer that has the last word when one of these signals comes, and ignores the others."""
    deaf = " ".join({"INT", "TERM"} - set(signals))
    heard = "".join(f" trap 'echo summary at {one}; exit 0' {one};" for one in signals)
    return (
        f"""bash -c "trap '' {deaf or "HUP"};{heard} echo 'bondtrace: attached' >&2; while :; do sleep 0.05; done\""""
    )


def test_sigint_reaches_a_command_of_several_and_the_next_one_runs(tmp_path):
    path = scenario(tmp_path, EMPTY)
    result = run(path, tmp_path, "bash", "-c", f"{tracer('INT', 'TERM')}; echo next; exit 7")
    assert (result.returncode, result.stdout) == (7, "summary at INT\nnext\n")
    assert result.stderr == "bondtrace: attached\n"


def test_sigint_reaches_all_of_a_pipe(tmp_path):
    path = scenario(tmp_path, EMPTY)
    result = run(path, tmp_path, "bash", "-c", f"{tracer('INT')} | (trap '' INT; cat); echo ${{PIPESTATUS[0]}}")
    assert (result.returncode, result.stdout) == (0, "summary at INT\n0\n")


def test_a_background_job_which_ignores_sigint_hears_sigterm(tmp_path):
    path = scenario(tmp_path, EMPTY)
    result = run(path, tmp_path, "bash", "-c", f"{tracer('INT', 'TERM')} & wait")
    # bash ignores SIGINT in it, and ends at it itself
    assert (result.returncode, result.stdout) == (130, "summary at TERM\n")


def test_a_command_that_hears_neither_is_killed_and_so_are_its_children(tmp_path):
    path = scenario(tmp_path, EMPTY)
    result = run(path, tmp_path, "bash", "-c", f"trap '' INT TERM; {tracer()}; :", LAB_STOP_S="1")
    assert (result.returncode, result.stderr) == (
        137,
        "bondtrace: attached\n"
        "bondtrace lab: the command did not end within 1 s of SIGINT: SIGTERM is next\n"
        "bondtrace lab: the command did not end within 1 s of SIGTERM: killed\n",
    )


def test_a_tracer_has_the_last_word_where_the_scenario_fails(tmp_path):
    path = scenario(tmp_path, "setup() { :; }\nplay() { false; }\n")
    result = run(path, tmp_path, "bash", "-c", f"{tracer('INT')}; :")
    assert (result.returncode, result.stdout) == (1, "summary at INT\n")
    assert f"failed in its play at: false; {tmp_path}/play.log ends:\n" in result.stderr


@pytest.mark.parametrize("phase, status, printed", [("setup", 130, ""), ("play", 5, "summary at INT\n")])
def test_an_interrupted_run_ends_in_order(tmp_path, phase, status, printed):
    other = {"setup": "play", "play": "setup"}[phase]
    path = scenario(tmp_path, f"{other}() {{ :; }}\n{phase}() {{ touch here; sleep 1000; echo beyond; }}\n")
    with start(path, tmp_path, "bash", "-c", f"{tracer('INT')}; exit 5") as process:
        assert has_become((tmp_path / "here").exists)
        os.killpg(process.pid, signal.SIGINT)
        output, told = process.communicate(timeout=60)
    assert (process.returncode, output) == (status, printed)
    assert "failed" not in told and "beyond" not in (tmp_path / "play.log").read_text()
