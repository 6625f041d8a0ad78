# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary of a fleet: its numbers are those of the recordings' summaries added up, whichever engine asks."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bondtrace import errors
from build import ON_ANY, WALL_NS, both, events, losses, received, record, refused, rx, sent, tap

pytest.importorskip("duckdb")
ROOT = Path(__file__).parents[2]
RECORDINGS = [ROOT / "examples" / "ping.arrows", ROOT / "tests" / "data" / "first.arrows"]
DAY_NS = 86_400_000_000_000


def at(days):
    return WALL_NS - 1_000_000_000_000 + days * DAY_NS


def day(number):
    return time.strftime("%Y-%m-%d", time.gmtime((WALL_NS + number * DAY_NS) // 1_000_000_000))


@pytest.fixture
def recordings(tmp_path):
    """Two of alpha, on two days; one of a host whose name would be a path, with losses and a tap that is not known."""
    busy = both(received(), refused(50), sent(100), refused(400, skb=77))
    elsewhere = rx("peer0", tap(ON_ANY, "ignored"), tap(99, "unknown"), at=500, skb=5)
    return [
        record(tmp_path / "a.arrows", (busy, events(host="alpha"))),
        record(tmp_path / "b.arrows", (both(received(), received(900)), events(host="alpha", wall_offset_ns=at(1)))),
        record(
            tmp_path / "c.arrows",
            (both(busy, elsewhere), [*events(host="../b=%7 ü", wall_offset_ns=at(2)), losses(lost=[2])]),
        ),
    ]


@pytest.fixture
def fleet(run, recordings, tmp_path):
    """The recordings, and real ones, as a dataset."""
    assert run("export", *recordings, *RECORDINGS, "--format", "parquet", "-o", f"{tmp_path}/fleet/")[0] == 0
    return tmp_path / "fleet"


def host_of(recording):
    with pa.OSFile(str(recording)) as file:
        for batch in pa.ipc.open_stream(file):
            for event in filter(None, batch.column("event").to_pylist()):
                if json.loads(event)["kind"] == "start":
                    return json.loads(event)["host"]
    raise AssertionError(f"{recording} has no start")


def added_up(run, recordings):
    """The counts of the recordings' own summaries."""
    counts = Counter()
    for recording in recordings:
        status, out, err = run("summary", "--json", recording)
        assert status == 0, err
        host = host_of(recording)
        for inode, told in json.loads(out)["taps"].items():
            known = told.get("comm"), told.get("pid"), told.get("dev")
            for place in told["devices"]:
                where = host, int(inode), *known, place["netns"], place["dev"], place["direction"]
                counts[(*where, "offered")] += place["offered"]
                counts[(*where, "captured")] += place["captured"]
            for outcome, count in told["outcomes"].items():
                counts[(host, int(inode), *known, outcome)] += count
            for reason, missed in told["unseen"].items():
                counts[(host, int(inode), *known, reason)] += missed["packets"]
    return +counts


def counted(rows):
    """The same counts from the fleet's rows."""
    counts = Counter()
    for row in rows:
        tap_ = row["host"], row["inode"], row["comm"], row["pid"], row["bound"]
        where = *tap_, row["netns"], row["dev"], row["direction"]
        counts[(*where, "offered")] += row["offered"]
        counts[(*where, "captured")] += row["outcomes"].get("captured", 0)
        for name, count in [*row["outcomes"].items(), *row["unseen"].items()]:
            counts[(*tap_, name)] += count
    return +counts


def test_the_numbers_are_those_of_the_summaries_added_up(run, recordings, fleet):
    status, out, err = run("fleet", "summary", fleet, "--json")
    assert (status, err) == (0, "")
    expected = added_up(run, [*recordings, *RECORDINGS])
    assert counted(json.loads(out)["rows"]) == expected
    assert {key[-1] for key in expected} >= {
        "offered",
        "captured",
        "filtered",
        "full",
        "ignored",
        "unknown",
        "bound-elsewhere",
        "inactive-slave",
        "protocol",
        "netns",
    }


def test_absences_that_may_be_losses_are_counted(run, fleet):
    _, out, _ = run("fleet", "summary", fleet, "--json")
    rows = json.loads(out)["rows"]
    doubted = {row["host"]: 0 for row in rows}
    for row in rows:
        doubted[row["host"]] += row["doubtful"]
        assert row["doubtful"] in (0, sum(row["unseen"].values()))
    assert {host for host, count in doubted.items() if count} == {"../b=%7 ü"}
    assert f"; {sum(doubted.values())} of them may be losses." in run("fleet", "summary", fleet)[1]


def test_a_directory_with_a_name_of_a_pattern(run, tmp_path):
    odd = tmp_path / "fl[e]*t?"
    run("export", RECORDINGS[0], "--format", "parquet", "-o", f"{odd}/")
    status, out, err = run("fleet", "summary", odd)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("1 host, 18 offers")


def test_what_is_no_dataset_is_told_in_a_line(run, tmp_path):
    remedy = "`bondtrace export FILE... --format parquet -o DIR/` makes one\n"
    assert run("fleet", "summary", tmp_path / "no") == (
        2,
        "",
        f"bondtrace: there is no dataset {tmp_path}/no; {remedy}",
    )
    assert run("fleet", "summary", tmp_path) == (
        2,
        "",
        f"bondtrace: {tmp_path} is not a bondtrace dataset: it has no host=*/day=*/*.parquet; {remedy}",
    )
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"host": ["a"]}), other)
    assert run("fleet", "summary", other) == (
        2,
        "",
        f"bondtrace: {other} is not a bondtrace dataset: it has no column 'tap'; {remedy}",
    )
    other.write_text("no Parquet")
    status, out, err = run("fleet", "summary", other)
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"bondtrace: duckdb cannot read {other}: ")


def test_without_ibis_the_extra_is_named(run, fleet, monkeypatch):
    monkeypatch.setitem(sys.modules, "ibis", None)
    for engine, extra in (("duckdb", "fleet"), ("pyspark", "fleet-spark")):
        assert run("fleet", "summary", fleet, "--engine", engine) == (
            1,
            "",
            f"bondtrace: fleet with {engine} needs the Python package ibis-framework[{engine}]: "
            f"`{errors.install_command(extra, 'ibis-framework')}`\n",
        )


PARTS = [
    (("--host", "alpha"), {("alpha", 0), ("alpha", 1)}),
    (("--host", "alpha", "--host", "../b=%7 ü"), {("alpha", 0), ("alpha", 1), ("../b=%7 ü", 2)}),
    (("--since", day(1), "--until", day(2)), {("alpha", 1)}),
    (("--host", "alpha", "--until", day(1)), {("alpha", 0)}),
    (("--since", day(2), "--host", "alpha", "--host", "../b=%7 ü"), {("../b=%7 ü", 2)}),
]


def damage_all_but(fleet, kept):
    """Make garbage of the files that are not of these hosts and days; not of the first one, read for its columns."""
    for path in sorted(fleet.rglob("*.parquet"))[1:]:
        host, date = (unquote(one.name.partition("=")[2]) for one in path.parents[1::-1])
        if (host, date) not in {(host, day(number)) for host, number in kept}:
            path.write_text("garbage")


@pytest.mark.parametrize("words, kept", PARTS)
def test_of_other_hosts_and_days_nothing_is_read(run, recordings, fleet, words, kept):
    numbers = {("alpha", 0): 0, ("alpha", 1): 1, ("../b=%7 ü", 2): 2}
    expected = added_up(run, [recordings[numbers[one]] for one in kept])
    damage_all_but(fleet, kept)
    assert run("fleet", "summary", fleet)[0] == 1
    status, out, err = run("fleet", "summary", fleet, "--json", *words)
    assert (status, counted(json.loads(out)["rows"])) == (0, expected)
    missing = {word for word in words if word in ("alpha", "../b=%7 ü")} - {host for host, _ in kept}
    assert {line.split(": ")[1] for line in err.splitlines()} == missing


def test_hosts_of_which_nothing_is_known_are_named(run, fleet):
    hosts = [word for host in ("gamma", "alpha", "e\x1bvil") for word in ("--host", host)]
    status, out, err = run("fleet", "summary", fleet, *hosts, "--json")
    assert (status, {row["host"] for row in json.loads(out)["rows"]}) == (0, {"alpha"})
    nothing = "no recording in what was asked for, or none in which a tap was offered or missed a packet"
    assert err == f"bondtrace: gamma: {nothing}\nbondtrace: e\\x1bvil: {nothing}\n"


def test_a_day_is_a_date(run, recordings, tmp_path):
    assert run("fleet", "summary", tmp_path, "--since", "12:30")[0] == 2
    one = tmp_path / "one.parquet"
    run("export", recordings[0], "--format", "parquet", "-o", one)
    status, out, err = run("fleet", "summary", one, "--until", day(1))
    assert (status, out) == (2, "") and err.startswith(f"bondtrace: {one} has no days to select by: it is one file; ")


@pytest.mark.fleet
@pytest.mark.parametrize("words, kept", [((), None), *PARTS])
def test_spark_gives_the_same(fleet, words, kept):
    def ask(*more):
        done = subprocess.run(
            [sys.executable, "-m", "bondtrace", "fleet", "summary", str(fleet), *words, *more],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    if kept is not None:
        damage_all_but(fleet, kept)
    assert ask("--engine", "pyspark") == ask("--engine", "duckdb")
    assert json.loads(ask("--engine", "pyspark", "--json")) == json.loads(ask("--json"))
