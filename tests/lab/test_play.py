# SPDX-License-Identifier: GPL-2.0-or-later
"""Several scenarios in one machine, without booting any: what is asked of it, and what becomes of those that fail."""

from pathlib import Path

import pytest
from guests import machines, scenario

from bondtrace import lab
from bondtrace.errors import BondtraceError, UsageError


@pytest.fixture
def guest(monkeypatch):
    return machines(monkeypatch)


def leave(out_dir, name, status, output=""):
    (out_dir / name / "lab").mkdir(parents=True, exist_ok=True)
    (out_dir / name / "lab" / "status").write_text(f"{status}\n")
    (out_dir / name / "lab" / "output").write_text(output)


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


def test_two_scenarios_of_one_name_are_refused(tmp_path):
    path = scenario(tmp_path, "# title: Another ping\n", "ping.sh")
    with pytest.raises(UsageError, match=r"^two scenarios are called ping: rename one$"):
        lab.run_scenarios(kernel=None, scenarios=["ping", str(path)], command=["true"])
    with pytest.raises(UsageError, match=r"^no scenario is named$"):
        lab.run_scenarios(kernel=None, scenarios=[], command=["true"])
