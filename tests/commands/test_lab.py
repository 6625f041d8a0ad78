# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace lab`: what it has played, and what it prints; without booting a machine."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from guests import machines, trace
from shell import PING

from bondtrace import cli, lab
from bondtrace.commands.lab import lab as command
from bondtrace.commands.lab import observe
from bondtrace.errors import UsageError
from bondtrace.lab import play
from build import both, events, received, record, refused, start


@pytest.fixture
def guest(monkeypatch):
    return machines(monkeypatch)


def run(*words):
    return CliRunner().invoke(command, list(words))


def test_the_command_prints_one_table_and_says_which_kernel_failed(guest, tmp_path):
    guest(trace)
    result = run("--kernel", "6.1,9.9", "--kernel", "7.3", "--out", str(tmp_path))
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].split() == ["packets", "tap", "bound", "to", "where", "6.1", "9.9", "7.3"]
    assert lines[-2] == "9.9: failed: no kernel 9.9 is available"
    assert "bondtrace: 7.3: attached in 1.0 s\n" in result.stderr


def test_the_command_prints_json_and_is_done(guest, tmp_path):
    guest(trace)
    result = run("--kernel", "6.1,7.3", "--json", "--out", str(tmp_path))
    value = json.loads(result.stdout)
    assert (result.exit_code, value["scenario"]) == (0, "ping")
    assert [one["kernel"] for one in value["kernels"]] == ["6.1", "7.3"]
    assert {row["differs"] for row in value["rows"]} == {None}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--kernel", "6.1,6.1"], "two kernels would be called 6.1: give each --kernel once"),
        (["--kernel", ","], "--kernel ',' names no kernel: give one as 6.1, or several as 5.10,6.1"),
        (["--kernel", "6.1,/nowhere"], "no kernel in /nowhere"),
        (
            ["--kernel", "6.1,7.3", "--", "bondtrace", "doctor"],
            "several kernels are recorded and compared, so there is no "
            "place for a command (bondtrace doctor): leave it out, or give one --kernel",
        ),
        (
            ["--kernel", "6.1", "--json"],
            "--json is for the comparison of several kernels; for one, have the command print "
            "it: bondtrace lab -- bondtrace --json --iface bond0",
        ),
        (["--kernel", "6.1,7.3", "--scenario", "pong"], "no scenario pong: give one of "),
        (
            ["--shell", "--", "bondtrace", "doctor"],
            "--shell runs what is typed, or comes on standard input, so there is no place for a command "
            "(bondtrace doctor): leave one of them out",
        ),
        (["--shell", "--kernel", "6.1,7.3"], "--shell is a shell in one machine: give one --kernel "),
        (["--shell", "--json"], "--json is for the comparison of several kernels: leave it out with --shell"),
    ],
)
def test_wrong_use_is_said_before_anything_boots(guest, words, message):
    guest(lambda *_: pytest.fail("it boots"))
    result = run(*words)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(message)


def test_one_kernel_is_played_as_ever(guest, tmp_path):
    asked = []

    def body(words, out_dir, env, on_output, release):
        asked.append((words[3:], out_dir, release))
        on_output(b"journeys\n")
        return 5

    guest(body)
    result = run("--kernel", "6.1", "--out", str(tmp_path))
    assert (result.exit_code, result.stdout) == (5, "journeys\n")
    assert asked == [
        (
            [sys.executable, "-m", "bondtrace", "--iface", "bond0", "--write", "trace.arrows", "--force"],
            tmp_path,
            "6.1.0-amd64",
        )
    ]


def test_an_interrupted_command_ends_with_its_status_and_other_kernels_are_not_played(guest, tmp_path):
    played = []

    def body(words, out_dir, env, on_output, release):
        played.append(release)
        raise lab.Interrupted(5)

    guest(body)
    assert run("--kernel", "6.1").exit_code == 5
    assert isinstance(run("--kernel", "5.10,7.3").exception, (KeyboardInterrupt, SystemExit))
    assert played == ["6.1.0-amd64", "5.10.0-amd64"]


def test_a_shell_runs_the_commands_on_standard_input(guest, tmp_path):
    def body(words, out_dir, env, on_output, release):
        assert [Path(words[1]).name, Path(words[2]).name, words[3]] == [
            "shell.sh",
            "failover.sh",
            f"{tmp_path}/lab/commands",
        ]
        on_output(Path(words[3]).read_bytes())
        return 3

    guest(body)
    words = ["--shell", "--scenario", "failover", "--out", str(tmp_path)]
    result = CliRunner().invoke(command, words, input="ip -br link; exit 3\n")
    assert (result.exit_code, result.stdout) == (3, "ip -br link; exit 3\n")

    result = CliRunner().invoke(command, words, input="#" * ((1 << 20) + 1))
    assert str(result.exception) == "standard input has more than 1 MiB, which no commands for --shell have"


def test_the_list_fits_and_tells_how_to_bring_a_scenario_of_ones_own(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--list")
    table = result.stdout.split("\n\n")[0].splitlines()
    assert table[0].split() == ["scenario", "title", "what", "it", "plays"] and max(map(len, table)) <= 80
    assert "bondtrace lab --scenario ./mine.sh" in result.stdout
    assert str(Path(play.__file__).parent / "scenarios" / "ping.sh") in result.stdout


def test_the_last_line_leads_to_a_page(tmp_path, monkeypatch, capsys):
    asked = []

    def played(**given):
        asked.extend(given["command"])
        shutil.copy(PING, tmp_path / "out it" / asked[asked.index("--write") + 1])
        return lab.LabResult(0, tmp_path / "out it", "6.1.0")

    (tmp_path / "out it").mkdir()
    monkeypatch.setattr(lab, "run_scenario", played)
    monkeypatch.setattr(sys, "argv", ["/opt/some where/bondtrace", "lab"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    last = capsys.readouterr().err.splitlines()[-1]
    program, *words = shlex.split(last.partition("browser: ")[2])
    assert (end.value.code, program, asked[2:5]) == (0, "/opt/some where/bondtrace", ["bondtrace", "--iface", "bond0"])

    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit):
        cli.main()
    assert "<html" in (tmp_path / "out it" / "trace.html").read_text()


# --- a recording as the column of a kernel -----------------------------------------------------------


def test_a_recording_that_is_missing_or_cut_off_is_the_columns_error(tmp_path):
    path = tmp_path / "trace.arrows"
    assert observe("6.1", "6.1.0", path).error == f"cannot read {path}: No such file or directory"
    record(path, (received(), [start(), *events()]))
    path.write_bytes(path.read_bytes()[:-8])
    assert observe("6.1", "6.1.0", path).error == f"the recording {path} was cut off: it is not compared"


def test_journeys_are_counted_in_their_class_and_in_all(tmp_path):
    # given two replies through the bond and a request on its backup slave
    path = record(tmp_path / "trace.arrows", (both(received(), received(20), refused(40)), events()))

    column = observe("6.1", "6.1.0", path)

    assert (column.kernel, column.release, column.out_dir, column.error) == ("6.1", "6.1.0", str(tmp_path), "")
    assert {name: one.journeys for name, one in column.classes.items()} == {"ICMP echo reply": 2, "ARP who-has": 1}
    assert column.total.journeys == 3 and column.scene.losses() == {}
