# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace export`: what it reads, how much of it, and what it says."""

import csv
import io
import re
import subprocess
import sys

import pytest
from shell import PING, ROOT

from bondtrace.exporters import FORMATS
from build import events, received, record, refused


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"parquet"}))
def test_a_full_disk_is_told(run, form):
    status, out, err = run("export", PING, "--format", form, "-o", "/dev/full", "--force")
    assert (status, out) == (2, "")
    assert err == "bondtrace: /dev/full is a device, not a regular file; name another file\n"
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


def test_a_recording_that_was_cut_off_is_exported_as_far_as_it_is_whole(run, tmp_path):
    path = record(tmp_path / "cut.arrows", (received(), events()), (refused(50), []))
    path.write_bytes(path.read_bytes()[:-300])
    status, out, err = run("export", path, "--format", "csv", "-o", "-")
    assert (status, len(out.splitlines())) == (0, 10)
    assert err.splitlines()[0] == f"bondtrace: {path} was cut off; the complete part of it is exported"


def test_count_is_of_all_recordings(run, recording):
    _, out, err = run("export", recording, recording, "--format", "csv", "-o", "-", "--count", "4")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert sum(row["kind"] == "enter" and row["pass"] == "1" for row in rows) == 4
    assert err.splitlines()[-1] == "bondtrace: 4 journeys written to standard output"


def test_every_format_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    [line] = [line for line in text.splitlines() if "`--format FORMAT` | what to write" in line]
    assert set(re.findall(r"`(\w+)`", line)) == set(FORMATS)
