# SPDX-License-Identifier: GPL-2.0-or-later
"""Parquet as its readers see it: one file, datasets, the queries of the document."""

import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bondtrace import errors
from bondtrace.exporters import parquet as module
from bondtrace.exporters.rows import COLUMNS, NAMES
from bondtrace.format.wire import EMPTY
from bondtrace.reporters.json_lines import timestamp
from build import DEVICES, WALL_NS, both, events, given, losses, received, record, refusal, refused, sent

duckdb = pytest.importorskip("duckdb")
ROOT = Path(__file__).parents[2]
DAY_NS = 86_400_000_000_000


@pytest.fixture
def recordings(tmp_path):
    """Two hosts, the second a day later and with losses."""
    not_taken = received(0, given(7), refusal(7, "SOCKET_RCVBUFF"))
    first = record(tmp_path / "a.arrows", (both(not_taken, refused(50), sent(100)), events(host="alpha")))
    second = record(
        tmp_path / "b c.arrows",
        (
            both(refused(), sent(100)),
            [*events(host="beta/..=7", wall_offset_ns=WALL_NS - 1_000_000_000_000 + DAY_NS), losses(lost=[2])],
        ),
    )
    return [first, second]


def test_a_file_has_the_rows_of_csv_with_types(run, recordings, tmp_path):
    target = tmp_path / "out.parquet"
    assert run("export", *recordings, "--format", "parquet", "-o", target)[0] == 0
    _, text, _ = run("export", *recordings, "--format", "csv", "-o", "-")
    table = pq.read_table(target)
    kinds = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "timestamp": pa.timestamp("ns", "UTC"),
    }
    assert [(field.name, field.type) for field in table.schema] == [(name, kinds[kind]) for name, kind in COLUMNS]
    times = [timestamp(value.value) for value in table.column("time")]
    told = [
        {
            name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in row.items()
        }
        for row in table.drop_columns("time").to_pylist()
    ]
    assert [{**row, "time": time} for row, time in zip(told, times)] == list(csv.DictReader(io.StringIO(text)))
    assert target.stat().st_mode & 0o777 == 0o600


def test_the_metadata_tells_what_was_lost(run, recordings, tmp_path):
    target = tmp_path / "out.parquet"
    run("export", *recordings, "--format", "parquet", "-o", target)
    told = json.loads(pq.read_metadata(target).metadata[b"bondtrace"])
    assert [(one["host"], one["kernel"], one["recording"], one["trust"]["losses"]) for one in told] == [
        ("alpha", "6.1.0", str(recordings[0]), {}),
        ("beta/..=7", "6.1.0", str(recordings[1]), {"records lost": 2}),
    ]


def test_groups_are_written_while_reading(run, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_ROWS", 10)
    target = tmp_path / "out.parquet"
    run("export", *recordings, "--format", "parquet", "-o", target)
    described = pq.read_metadata(target)
    assert described.num_row_groups == 3
    assert sum(described.row_group(number).num_rows for number in range(3)) == described.num_rows == 41


def test_a_dataset_is_partitioned_by_host_and_day(run, recordings, tmp_path):
    fleet = tmp_path / "fleet"
    assert run("export", *recordings, "--format", "parquet", "-o", f"{fleet}/")[0] == 0
    assert sorted(str(path.relative_to(fleet)) for path in fleet.rglob("*") if path.is_file()) == [
        "host=alpha/day=2026-11-22/a-1795348800000000000.parquet",
        "host=beta%2F..%3D7/day=2026-11-23/b_c-1795435200000000000.parquet",
    ]
    table = ds.dataset(fleet, partitioning="hive").to_table()
    assert sorted(table.column_names) == sorted([*NAMES, "day"])
    assert set(zip(table["host"].to_pylist(), table["day"].to_pylist())) == {
        ("alpha", "2026-11-22"),
        ("beta/..=7", "2026-11-23"),
    }


def test_a_recording_over_midnight_is_two_files(run, tmp_path):
    path = record(
        tmp_path / "night.arrows",
        (
            both(received(), refused(20_000_000)),
            events(wall_offset_ns=WALL_NS - 1_000_000_000_000 + DAY_NS // 2 - 10_000_000_000),
        ),
    )
    fleet = tmp_path / "fleet"
    assert run("export", path, "--format", "parquet", "-o", f"{fleet}/")[0] == 0
    days = {
        part.parent.name: set(pq.read_table(part, partitioning=None)["journey"].to_pylist())
        for part in fleet.rglob("*.parquet")
    }
    assert days == {"day=2026-11-22": {1}, "day=2026-11-23": {2}}


def test_a_recording_without_a_journey_is_a_file_without_rows(run, tmp_path):
    """So that a host that saw nothing can be told from one that sent nothing."""
    path = record(tmp_path / "quiet.arrows", (EMPTY, [*events(host="alpha"), losses(lost=[2])]))
    fleet = tmp_path / "fleet"
    assert run("export", path, "--format", "parquet", "-o", f"{fleet}/")[0] == 0
    [part] = fleet.rglob("*.parquet")
    assert str(part.parent.relative_to(fleet)) == "host=alpha/day=2026-11-22"
    described = pq.read_metadata(part)
    [told] = json.loads(described.metadata[b"bondtrace"])
    assert (described.num_rows, told["host"], told["trust"]["losses"]) == (0, "alpha", {"records lost": 2})


def test_a_recording_is_in_a_dataset_once(run, recordings, tmp_path):
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    words = ("export", recordings[0], "--format", "parquet", "-o", fleet)
    assert run(*words)[0] == 0
    [part] = fleet.rglob("*.parquet")
    assert run(*words)[0::2] == (
        2,
        f"bondtrace: {part} already exists; name another file, or use --force to overwrite it\n",
    )
    assert run(*words, "--force")[0] == 0
    assert list(fleet.rglob("*.parquet")) == [part]
    status, _, err = run(*words, "--force", recordings[0])
    assert (status, err.splitlines()[-1]) == (
        1,
        f"bondtrace: {recordings[0]} is the same recording as one before it (host and start are the same); name it "
        "once",
    )
    assert [path.name for path in part.parent.iterdir()] == [part.name]


def test_a_dataset_that_fails_gets_no_file(run, recordings, tmp_path):
    fleet, bad = tmp_path / "fleet", tmp_path / "bad.arrows"
    bad.write_text("no recording")
    status, out, err = run("export", *recordings, bad, "--format", "parquet", "-o", f"{fleet}/")
    assert (status, out) == (1, "")
    assert "Traceback" not in err and err.splitlines()[-1].startswith(f"bondtrace: {bad} is not a bondtrace recording")
    assert [path for path in fleet.rglob("*") if path.is_file()] == []


def test_standard_output_is_refused_and_a_directory_for_other_formats(run, recordings, tmp_path):
    assert run("export", recordings[0], "--format", "parquet", "-o", "-") == (
        2,
        "",
        "bondtrace: Parquet is written to a file or a directory, not to standard output\n",
    )
    assert run("export", recordings[0], "--format", "csv", "-o", tmp_path) == (
        2,
        "",
        f"bondtrace: {tmp_path} is a directory; csv is one file: name it\n",
    )


def test_without_pyarrow_the_extra_is_named(run, recordings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("export", recordings[0], "--format", "parquet", "-o", tmp_path / "out.parquet") == (
        1,
        "",
        f"bondtrace: Parquet needs the Python package pyarrow: `{errors.install_command('parquet', 'pyarrow')}`\n",
    )
    assert not (tmp_path / "out.parquet").exists()


def test_a_time_that_cannot_be_is_told(run, tmp_path):
    path = record(tmp_path / "odd.arrows", (received(), events(wall_offset_ns=-(1 << 62))))
    status, _, err = run("export", path, "--format", "parquet", "-o", tmp_path / "out.parquet")
    assert (status, err) == (1, f"bondtrace: {path} is damaged: its journey #1 began at an impossible time\n")


QUERIES = re.findall(r"^```sql\n(.*?)^```$", (ROOT / "docs" / "fleet.md").read_text(), re.DOTALL | re.MULTILINE)
ANSWERS = [
    [
        ("alpha", "lldpd", "bound-elsewhere", 2),
        ("alpha", "lldpd", "protocol", 1),
        ("alpha", "tcpdump -i any", "captured", 5),
        ("alpha", "tcpdump -i bond0", "captured", 1),
        ("alpha", "tcpdump -i bond0", "filtered", 1),
        ("alpha", "tcpdump -i bond0", "inactive-slave", 1),
        ("alpha", "tcpdump -i eth0", "bound-elsewhere", 1),
        ("alpha", "tcpdump -i eth0", "captured", 1),
        ("alpha", "tcpdump -i eth0", "full", 1),
        ("alpha", "tcpdump -i eth1 arp", "bound-elsewhere", 2),
        ("alpha", "tcpdump -i eth1 arp", "captured", 1),
        ("beta/..=7", "lldpd", "bound-elsewhere", 1),
        ("beta/..=7", "lldpd", "protocol", 1),
        ("beta/..=7", "tcpdump -i any", "captured", 3),
        ("beta/..=7", "tcpdump -i bond0", "filtered", 1),
        ("beta/..=7", "tcpdump -i bond0", "inactive-slave", 1),
        ("beta/..=7", "tcpdump -i eth0", "bound-elsewhere", 1),
        ("beta/..=7", "tcpdump -i eth0", "full", 1),
        ("beta/..=7", "tcpdump -i eth1 arp", "bound-elsewhere", 1),
        ("beta/..=7", "tcpdump -i eth1 arp", "captured", 1),
    ],
    [("alpha", "eth1", "inactive slave", "ARP", 1), ("beta/..=7", "eth1", "inactive slave", "ARP", 1)],
    [("alpha", "bond0", "eth0", 2, 4500, 5000)],
    [("alpha", "socket [7] (known only by its inode)", "SOCKET_RCVBUFF", 1)],
    [("alpha", "{first}", 7, 0), ("beta/..=7", "{second}", 5, 5)],
]


@pytest.mark.parametrize("query, answer", list(zip(QUERIES, ANSWERS)))
def test_the_queries_of_the_document_give_answers(run, recordings, tmp_path, monkeypatch, query, answer):
    run("export", *recordings, "--format", "parquet", "-o", f"{tmp_path}/fleet/")
    monkeypatch.chdir(tmp_path)
    names = {"{first}": str(recordings[0]), "{second}": str(recordings[1])}
    assert duckdb.sql(query).fetchall() == [tuple(names.get(cell, cell) for cell in row) for row in answer]


def test_every_query_has_an_answer():
    assert len(QUERIES) == len(ANSWERS)


def test_a_host_that_looks_like_a_number_stays_text(run, tmp_path):
    path = record(
        tmp_path / "n.arrows",
        (received(), events(host="007", devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="true")})),
    )
    run("export", path, "--format", "parquet", "-o", f"{tmp_path}/fleet/")
    rows = duckdb.sql(
        f"SELECT DISTINCT host FROM read_parquet('{tmp_path}/fleet/*/*/*.parquet', "
        "hive_partitioning = true, hive_types_autocast = false)"
    ).fetchall()
    assert rows == [("007",)]
