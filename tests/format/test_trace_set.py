# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and directories put together as traces: parts that are missing or there twice, and several traces."""

import pytest
from shell import bondtrace

from bondtrace.errors import UsageError
from bondtrace.format.trace_set import gather
from build import begun, in_parts, received, record


def test_a_part_that_is_missing_is_said(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", part_bytes=1)
    parts[2].unlink()

    done = bondtrace("summary", tmp_path)

    assert done.returncode == 0
    assert done.stderr == (
        f"bondtrace: {parts[0]} to trace-0005.arrows: 1 parts between these are missing, the first of them part 3\n"
    )


def test_traces_come_in_order_of_time(tmp_path):
    later = record(tmp_path / "a.arrows", (received(5_000_000), begun("later", 5_000_000)))
    first = record(tmp_path / "b.arrows", (received(), begun("first")))

    assert [one.paths for one in gather((later, first))] == [[first], [later]]
    done = bondtrace("show", later, first)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [
        f"== {first}: lab, Linux 6.1.0",
        f"== {later}: lab, Linux 6.1.0",
    ]


def test_the_same_part_twice_is_refused(tmp_path):
    one = record(tmp_path / "a.arrows", (received(), begun("a")))
    (tmp_path / "b.arrows").write_bytes(one.read_bytes())

    with pytest.raises(UsageError, match=r"the same part of a trace was given twice: .*a.arrows, .*b.arrows"):
        gather((tmp_path,))


def test_an_empty_directory_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"holds no recording \(no file that ends in .arrows\)"):
        gather((tmp_path,))
