# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's part of a fleet, as packaging/fleet has it: what the units start exists, what is recorded is a command of
bondtrace, and what is shipped is every finished recording, once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bondtrace.cli import cli
from bondtrace.format.rotation import part_path
from build import both, events, received, record, refused, sent

HERE = Path(__file__).parents[2] / "packaging" / "fleet"
SCRIPT = HERE / "bondtrace-fleet"
CONF = dict(
    line.split("=", 1) for line in (HERE / "fleet.conf").read_text().splitlines() if re.match(r"[A-Z_]+=", line)
)


@pytest.fixture
def host(tmp_path):
    """A directory of the units' state, and one with a `bondtrace` that is this one."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "bondtrace"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bondtrace "$@"\n')
    command.chmod(0o755)
    (tmp_path / "state" / "recordings").mkdir(parents=True)
    return tmp_path


def fleet(host, *words, **settings):
    environment = {
        "PATH": f"{host}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(HERE.parents[1]),
        **CONF,
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    return subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, check=False, cwd=host)


def recorded(host, *passes, name="trace"):
    """Recordings of a host as parts of a trace, the last of them still being written."""
    paths = []
    for number, one in enumerate(passes, 1):
        path = record(part_path(host / "state" / "recordings" / f"{name}.arrows", number), (one, events(host="alpha")))
        os.utime(path, (number, number))
        paths.append(path)
    return paths


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_every_finished_recording_is_shipped_once(host):
    first, second, third = recorded(host, both(received(), refused(50)), sent(100), received(900))
    store = host / "store"
    store.mkdir()
    settings = {"ship": "cp -rvT", "destination": store}
    done = fleet(host, "ship", host / "state", **settings)
    assert done.returncode == 0, done.stderr
    shipped = [f"host=alpha/day=2026-11-22/{one.stem}-1795348800000000000.parquet" for one in (first, second)]
    assert files(store) == shipped
    assert files(host / "state" / "recordings") == [third.name]
    again = fleet(host, "ship", host / "state", **settings)
    assert (again.returncode, files(store), files(host / "state" / "recordings")) == (0, shipped, [third.name])
    assert "export" not in again.stderr


def test_what_failed_is_tried_again_and_holds_nothing_else_up(host):
    damaged, good, _ = recorded(host, received(), sent(100), received(900))
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no recording" + whole)
    os.utime(damaged, (1, 1))
    (host / "store").mkdir()
    failed = fleet(host, "ship", host / "state", ship="false", destination="nowhere", keep_hours=1 << 20)
    assert failed.returncode == 1 and f"{damaged.name} is not a bondtrace recording" in failed.stderr
    assert files(host / "state" / "exported") == [good.name] and damaged.exists(), failed.stderr
    assert len(files(host / "state" / "outbox")) == 1
    damaged.write_bytes(whole)
    os.utime(damaged, (1, 1))
    done = fleet(host, "ship", host / "state", ship="cp -rT", destination=host / "store")
    assert done.returncode == 0, done.stderr
    assert len(files(host / "store")) == 2


def test_exported_recordings_go_after_their_time(host):
    first, second, _ = recorded(host, received(), sent(100), received(900))
    os.utime(second)  # now
    os.utime(recorded(host, received(), name="newest")[0], (1 << 31, 1 << 31))
    assert fleet(host, "ship", host / "state", ship="true", keep_hours=1).returncode == 0
    left = files(host / "state" / "exported")
    assert second.name in left and first.name not in left


def test_what_is_recorded_is_a_command_of_bondtrace(host):
    (host / "bin" / "bondtrace").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (host / "state" / "x").touch()  # a name that a pattern in the filter would match
    done = fleet(host, "record", host / "state", filter="icmp or tcp[tcpflags] & (tcp-syn) != 0 or ?")
    name, *words = done.stdout.splitlines()
    command = cli.get_command(click.Context(cli), name)
    asked = command.make_context(name, list(words)).params
    assert re.fullmatch(r"recordings/\d{10}\.arrows", str(asked["output"]))
    assert (asked["interfaces"], asked["filter"]) == (
        ("bond0",),
        ("icmp", "or", "tcp[tcpflags]", "&", "(tcp-syn)", "!=", "0", "or", "?"),
    )
    assert asked["keep"] * asked["rotate_size"] == 12_000_000_000
    assert fleet(host, "erase", host / "state").returncode == 2


def test_the_units_start_the_script_that_is_here():
    for unit, word in (("record", "record"), ("ship", "ship")):
        text = (HERE / f"bondtrace-{unit}.service").read_text()
        assert re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1] == (
            f"/usr/local/sbin/bondtrace-fleet {word} /var/lib/bondtrace"
        )
        assert "EnvironmentFile=/etc/bondtrace/fleet.conf\n" in text and "StateDirectory=bondtrace\n" in text
    assert os.access(SCRIPT, os.X_OK)
