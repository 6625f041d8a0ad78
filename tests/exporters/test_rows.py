# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports as tables and lines: JSON lines are those of show, CSV and Parquet have a row a step."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bondtrace.cli import cli
from bondtrace.exporters import FORMATS
from bondtrace.exporters.csv_rows import CsvExporter
from bondtrace.exporters.rows import COLUMNS, NAMES
from bondtrace.model import Process
from build import (
    DEVICES,
    ON_ETH0,
    TAPS,
    both,
    events,
    losses,
    received,
    record,
    refused,
    rx,
    scene,
    sent,
    stitched,
    tap,
)

ROOT = Path(__file__).parents[2]
PING = ROOT / "examples" / "ping.arrows"


@pytest.fixture
def recording(tmp_path):
    return record(tmp_path / "trace.arrows", (both(received(), refused(50), sent(100)), events()))


def exported_csv(*passes, around=None):
    stream = io.StringIO(newline="")
    exporter = CsvExporter(stream)
    exporter.begin(Path("trace.arrows"), around or scene())
    exporter.take(stitched(*passes, around=around))
    return list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))


# --- JSON lines ----------------------------------------------------------------------------------------


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


# --- CSV -----------------------------------------------------------------------------------------------


def brief(row, *names):
    return tuple(row[name] for name in names)


def test_a_row_is_a_step_or_an_unseen_tap():
    rows = exported_csv(received(), sent(100))
    assert tuple(rows[0]) == NAMES
    names = (
        "journey",
        "pass",
        "pass_direction",
        "step",
        "t_ns",
        "kind",
        "round",
        "dev",
        "orig_dev",
        "tap_name",
        "outcome",
        "verdict",
        "next_dev",
        "reason",
        "function",
    )
    assert [brief(row, *names) for row in rows] == [
        ("1", "1", "rx", "1", "0", "enter", "1", "eth0", "eth0", "", "", "", "", "", ""),
        (
            "1",
            "1",
            "rx",
            "2",
            "1000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "3",
            "2000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i eth0",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "4",
            "3000",
            "rx_handler",
            "1",
            "eth0",
            "eth0",
            "",
            "",
            "ANOTHER",
            "bond0",
            "active slave",
            "bond_handle_frame",
        ),
        (
            "1",
            "1",
            "rx",
            "5",
            "4000",
            "tap",
            "2",
            "bond0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "6",
            "5000",
            "tap",
            "2",
            "bond0",
            "eth0",
            "tcpdump -i bond0",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        ("1", "1", "rx", "7", "6000", "protocol", "2", "bond0", "eth0", "", "", "", "", "", "ip_rcv"),
        ("1", "", "", "", "", "unseen", "", "", "", "tcpdump -i eth1 arp", "", "", "", "bound-elsewhere", ""),
        ("1", "", "", "", "", "unseen", "", "", "", "lldpd", "", "", "", "bound-elsewhere", ""),
        ("2", "1", "tx", "1", "0", "enter", "1", "bond0", "bond0", "", "", "", "", "", ""),
        (
            "2",
            "1",
            "tx",
            "2",
            "1000",
            "tap",
            "1",
            "bond0",
            "bond0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "2",
            "1",
            "tx",
            "3",
            "2000",
            "tap",
            "1",
            "bond0",
            "bond0",
            "tcpdump -i bond0",
            "filtered",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        ("2", "2", "tx", "1", "10000", "enter", "1", "eth0", "eth0", "", "", "", "", "", ""),
        (
            "2",
            "2",
            "tx",
            "2",
            "11000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "2",
            "2",
            "tx",
            "3",
            "12000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i eth0",
            "full",
            "",
            "",
            "ring",
            "tpacket_rcv",
        ),
        ("2", "", "", "", "", "unseen", "", "", "", "tcpdump -i eth1 arp", "", "", "", "bound-elsewhere", ""),
        ("2", "", "", "", "", "unseen", "", "", "", "lldpd", "", "", "", "bound-elsewhere", ""),
    ]


def test_a_row_says_whose_it_is():
    row = exported_csv(received())[2]
    names = (
        "host",
        "kernel",
        "recording",
        "journey",
        "time",
        "duration_ns",
        "direction",
        "complete",
        "clean",
        "len",
        "ethertype",
        "protocol",
        "src",
        "dst",
        "info",
        "vlan",
        "cpu",
        "netns",
        "netns_name",
        "tap",
        "tap_pid",
        "tap_comm",
        "tap_dev",
        "tap_protocol",
        "detail",
        "inferred",
    )
    assert brief(row, *names) == (
        "lab",
        "6.1.0",
        "trace.arrows",
        "1",
        "2026-11-22T12:00:00.000000000Z",
        "7000",
        "rx",
        "true",
        "true",
        "98",
        "0x0800",
        "ICMP",
        "10.9.0.1",
        "10.9.0.2",
        "echo reply id 128 seq 1",
        "",
        "0",
        "4026531840",
        "host",
        "41001",
        "801",
        "tcpdump",
        "eth0",
        "ALL",
        "",
        "false",
    )


def test_where_something_was_lost_rows_are_not_clean_and_an_unknown_tap_has_its_inode():
    rows = exported_csv(rx("eth0", tap(77)), around=scene(losses(lost=[1])))
    assert {row["clean"] for row in rows} == {"false"}
    assert brief(rows[1], "tap", "tap_name", "tap_pid", "tap_dev") == ("77", "", "", "")


def test_hostile_names_are_escaped_and_quoted():
    taps = {ON_ETH0: replace(TAPS[ON_ETH0], processes=(Process(1, 'e\x1b[31m\nv"i,l\udcff', ""),))}
    around = scene(taps=taps, devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="et\x1b\r\nh")}, host="a\nb")
    row = exported_csv(rx("eth0", tap(ON_ETH0)), around=around)[1]
    assert brief(row, "host", "dev", "tap_comm") == ("a\\x0ab", "et\\x1b\\x0d\\x0ah", 'e\\x1b[31m\\x0av"i,l\\xff')


# --- the file ------------------------------------------------------------------------------------------


def test_what_exists_is_not_overwritten(run, recording, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    words = ("export", recording, "--format", "csv", "-o", target)
    assert run(*words) == (
        2,
        "",
        f"bondtrace: {target} exists already; name another file, or --force to overwrite it\n",
    )
    assert target.read_text() == "old"
    assert run(*words, "--force")[0] == 0
    assert target.read_text().startswith("host,kernel")
    assert [path.name for path in tmp_path.iterdir()] != [] and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_what_fails_leaves_nothing_behind(run, tmp_path, form, force):
    bad, target = tmp_path / "bad.arrows", tmp_path / f"out.{form}"
    bad.write_text("no recording")
    if force:
        target.write_text("old")
    status, out, err = run("export", PING, bad, "--format", form, "-o", target, *(["--force"] if force else []))
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"bondtrace: {bad} is no bondtrace recording: it is not an Arrow stream; `bondtrace record -o FILE` makes one"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.arrows", *([target.name] if force else [])]
    assert not force or target.read_text() == "old"


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"parquet"}))
def test_a_full_disk_is_told(run, form):
    status, out, err = run("export", PING, "--format", form, "-o", "/dev/full", "--force")
    assert (status, out) == (2, "")
    assert err == "bondtrace: /dev/full is a device, no regular file; name another file\n"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bondtrace", "export", str(PING), "--format", form, "-o", "-"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bondtrace: cannot write the output: No space left on device"
    assert "Traceback" not in done.stderr


def test_the_recording_itself_is_not_overwritten(run, recording):
    before = recording.read_bytes()
    status, _, err = run("export", recording, "--format", "csv", "-o", recording, "--force")
    assert (status, err) == (2, f"bondtrace: {recording} is the recording itself; name another file to write\n")
    assert recording.read_bytes() == before


def test_a_directory_that_is_not_there(run, recording, tmp_path):
    status, _, err = run("export", recording, "--format", "csv", "-o", tmp_path / "no" / "out.csv")
    assert (status, err) == (
        1,
        f"bondtrace: cannot write {tmp_path}/no/out.csv: No such file or directory; name another file\n",
    )


def test_a_recording_that_was_cut_off_is_exported_as_far_as_it_is_whole(run, tmp_path):
    path = record(tmp_path / "cut.arrows", (received(), events()), (refused(50), []))
    path.write_bytes(path.read_bytes()[:-300])
    status, out, err = run("export", path, "--format", "csv", "-o", "-")
    assert (status, len(out.splitlines())) == (0, 10)
    assert err.splitlines()[0] == f"bondtrace: {path} was cut off; what is whole of it is exported"


def test_count_is_of_all_recordings(run, recording, tmp_path):
    _, out, err = run("export", recording, recording, "--format", "csv", "-o", "-", "--count", "4")
    assert (
        len(
            {
                (number, row["journey"])
                for number, row in enumerate(csv.DictReader(io.StringIO(out)))
                if row["kind"] == "enter" and row["pass"] == "1"
            }
        )
        == 4
    )
    assert err.splitlines()[-1] == "bondtrace: 4 journeys written to standard output"


# --- the document --------------------------------------------------------------------------------------


def test_every_column_is_documented_with_its_type_in_order():
    text = (ROOT / "docs" / "export.md").read_text()
    table = text[text.index("## Rows") :]
    assert tuple(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)) == COLUMNS


def test_every_format_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    [line] = [line for line in text.splitlines() if "`--format FORMAT` | what to write" in line]
    assert set(re.findall(r"`(\w+)`", line)) == set(FORMATS)
