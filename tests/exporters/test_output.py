# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of an export: it has its name only when it is whole, and nothing is overwritten unasked."""

import pytest
from shell import PING

from bondtrace.exporters import FORMATS


def test_what_exists_is_not_overwritten(run, recording, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    words = ("export", recording, "--format", "csv", "-o", target)
    assert run(*words) == (
        2,
        "",
        f"bondtrace: {target} already exists; name another file, or use --force to overwrite it\n",
    )
    assert target.read_text() == "old"
    assert run(*words, "--force")[0] == 0
    assert target.read_text().startswith("host,kernel")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "trace.arrows"]


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
        f"bondtrace: {bad} is not a bondtrace recording: it is not an Arrow stream; "
        "`bondtrace record -o FILE` makes one"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.arrows", *([target.name] if force else [])]
    assert not force or target.read_text() == "old"


def test_a_directory_that_is_not_there(run, recording, tmp_path):
    status, _, err = run("export", recording, "--format", "csv", "-o", tmp_path / "no" / "out.csv")
    assert (status, err) == (
        1,
        f"bondtrace: cannot write {tmp_path}/no/out.csv: No such file or directory; name another file\n",
    )
