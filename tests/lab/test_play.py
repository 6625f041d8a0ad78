# SPDX-License-Identifier: GPL-2.0-or-later
"""Several scenarios in one machine, and one scenario on several kernels, without booting any: what is asked of the
machines, and what becomes of those that fail."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bondtrace import cli, lab
from bondtrace.commands.lab import lab as command
from bondtrace.errors import BondtraceError, UsageError
from bondtrace.lab import compare, kernels, machine, play
from bondtrace.lab.kernels import Kernel
from build import events, received, record

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ping.arrows"


@pytest.fixture
def guest(monkeypatch):
    """guest(body): machines run body(words, out_dir, env, on_output, kernel) and end with its status."""
    monkeypatch.setattr(machine, "requirements", list)
    monkeypatch.setattr(kernels, "resolve", resolve)

    def guest(body):
        def run(kernel, words, out_dir, *, env, on_output, **_):
            (out_dir / "lab").mkdir(parents=True, exist_ok=True)
            return body(words, out_dir, env, on_output, kernel.release)

        monkeypatch.setattr(machine, "run", run)

    return guest


def resolve(spec, notify=lambda text: None):
    if spec == "9.9":
        raise BondtraceError("no kernel 9.9 is on offer")
    if spec == "/nowhere":
        raise UsageError("no kernel in /nowhere")
    return Kernel(f"{spec or '6.1'}.0-amd64", Path("/k/vmlinuz"), Path("/k"))


def leave(out_dir, name, status, output=""):
    (out_dir / name / "lab").mkdir(parents=True, exist_ok=True)
    (out_dir / name / "lab" / "status").write_text(f"{status}\n")
    (out_dir / name / "lab" / "output").write_text(output)


# --- several scenarios ---------------------------------------------------------------------------------


def test_each_scenario_has_its_directory_device_status_and_output(guest, tmp_path):
    asked = []

    def body(words, out_dir, env, on_output, _):
        asked.append((words[2:], env))
        leave(out_dir, "ping", 0, "attached\n")
        leave(out_dir, "mixed", 3, "oh\n")
        return 0

    guest(body)
    played = lab.run_scenarios(
        kernel="6.1", scenarios=["ping", "mixed"], command=["bondtrace", "record"], out_dir=tmp_path, scenario_s=60
    )
    scenarios = Path(lab.__file__).parent / "scenarios"
    assert asked == [
        (
            [
                "ping",
                f"{scenarios}/ping.sh",
                "bond0",
                "mixed",
                f"{scenarios}/mixed.sh",
                "bond0",
                "--",
                "bondtrace",
                "record",
            ],
            {"LAB_SCENARIO_S": "60"},
        )
    ]
    assert played == {
        "ping": lab.LabResult(0, tmp_path / "ping", "6.1.0-amd64"),
        "mixed": lab.LabResult(3, tmp_path / "mixed", "6.1.0-amd64"),
    }
    assert [one.output for one in played.values()] == ["attached\n", "oh\n"]


def test_what_a_machine_played_before_it_ended_is_kept(guest, tmp_path):
    def body(words, out_dir, env, on_output, _):
        leave(out_dir, "ping", 0)
        raise BondtraceError("kernel 6.1 panicked in the lab")

    guest(body)
    # given a status of an earlier run
    leave(tmp_path, "mixed", 0)
    played = lab.run_scenarios(kernel="6.1", scenarios=["ping", "mixed"], command=["true"], out_dir=tmp_path)
    assert {name: (one.status, one.error) for name, one in played.items()} == {
        "ping": (0, ""),
        "mixed": (1, "kernel 6.1 panicked in the lab"),
    }


def test_a_machine_that_plays_nothing_is_an_error(guest, tmp_path):
    def body(*_):
        raise BondtraceError("kernel 6.1 panicked in the lab")

    guest(body)
    with pytest.raises(BondtraceError, match=r"^kernel 6.1 panicked in the lab$"):
        lab.run_scenarios(kernel="6.1", scenarios=["ping", "mixed"], command=["true"], out_dir=tmp_path)


# --- several kernels -----------------------------------------------------------------------------------


def trace(words, out_dir, env, on_output, _):
    """A machine in which all goes well."""
    record(Path(words[words.index("-o") + 1]), (received(), events()), force=True)
    on_output(b"bondtrace: atta")
    on_output(b"ched in 1.0 s\nbondtrace: done\n")
    return 0


def run(*words):
    return CliRunner().invoke(command, list(words))


def test_each_kernel_is_recorded_in_a_directory_of_its_own(guest, tmp_path):
    asked, said = [], []

    def body(words, out_dir, env, on_output, release):
        asked.append((words[3:], out_dir, env, release))
        return trace(words, out_dir, env, on_output, release)

    guest(body)
    runs = compare.run_kernels(
        specs=["5.10", "/boot/vmlinuz-6.1"], scenario="ping", out_dir=tmp_path, cpus=2, notify=said.append
    )
    first, second = tmp_path / "5.10", tmp_path / "vmlinuz-6.1"
    assert [(one.kernel, one.recording, one.error) for one in runs] == [
        ("5.10", first / "trace.arrows", ""),
        ("vmlinuz-6.1", second / "trace.arrows", ""),
    ]
    assert asked[0] == (
        [sys.executable, "-m", "bondtrace", "record", "--force", "-o", str(first / "trace.arrows"), "--iface", "bond0"],
        first,
        {"LAB_IFACE": "bond0"},
        "5.10.0-amd64",
    )
    assert said[:4] == [
        "5.10: machine 1 of 2",
        "5.10: booting kernel 5.10.0-amd64",
        "5.10: attached in 1.0 s",
        "5.10: done",
    ]


def test_a_kernel_that_fails_does_not_end_the_others(guest, tmp_path):
    def body(words, out_dir, env, on_output, release):
        if release.startswith("5.10"):
            raise BondtraceError("kernel 5.10 panicked in the lab")
        if release.startswith("6.1."):
            (out_dir / "lab" / "output").write_text("bondtrace lab: the scenario failed in its setup at: false\n\n")
            return 4
        return trace(words, out_dir, env, on_output, release)

    guest(body)
    runs = compare.run_kernels(
        specs=["5.10", "6.1", "9.9", "7.3"], scenario="ping", out_dir=tmp_path, cpus=2, notify=lambda text: None
    )
    assert [(one.kernel, one.error) for one in runs] == [
        ("5.10", "kernel 5.10 panicked in the lab"),
        (
            "6.1",
            "the run ended with status 4: bondtrace lab: the scenario failed in its setup at: false; "
            f"see {tmp_path}/6.1",
        ),
        ("9.9", "no kernel 9.9 is on offer"),
        ("7.3", ""),
    ]


def test_the_command_prints_one_table_and_says_which_kernel_failed(guest, tmp_path):
    guest(trace)
    result = run("--kernel", "6.1,9.9", "--kernel", "7.3", "--out", str(tmp_path))
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].split() == ["packets", "tap", "bound", "to", "where", "6.1", "9.9", "7.3"]
    assert lines[-2] == "9.9: failed: no kernel 9.9 is on offer"
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


def test_the_list_tells_how_to_bring_a_scenario_of_ones_own():
    result = run("--list")
    assert "bondtrace lab --scenario ./mine.sh" in result.stdout
    assert str(Path(play.__file__).parent / "scenarios" / "ping.sh") in result.stdout


def test_the_last_line_leads_to_a_page(tmp_path, monkeypatch, capsys):
    asked = []

    def played(**given):
        asked.extend(given["command"])
        shutil.copy(EXAMPLE, tmp_path / "out it" / asked[asked.index("--write") + 1])
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
