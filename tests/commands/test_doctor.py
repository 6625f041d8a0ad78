# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace doctor`: what it finds on hosts that lack something."""

import gzip
import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from shell import BCCS, bondtrace, other_bcc

from bondtrace.capture.kernel import btf, loader
from bondtrace.cli import cli
from bondtrace.commands import doctor


@pytest.mark.parametrize("text, said", BCCS)
def test_it_tells_of_a_bcc_that_is_missing_or_another(tmp_path, text, said):
    place = other_bcc(tmp_path, text)
    done = bondtrace("doctor", "--json", path=[place])

    findings = json.loads(done.stdout)
    assert (done.returncode, done.stderr, findings["can_trace"]) == (1, "", False)
    assert {"check": "bcc", "ok": False, "detail": said.replace("TMP", str(place))} in findings["checks"]


def test_it_tells_that_type_information_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "read_kernel_btf", partial(btf.read_kernel_btf, directory=tmp_path))
    result = CliRunner().invoke(cli, ["doctor"], prog_name="bondtrace")

    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert f"  MISSING kernel type information (BTF): this kernel has no type information ({tmp_path}/vmlinux: " in (
        result.output
    )
    assert result.output.endswith("bondtrace cannot trace here\n")


@pytest.mark.parametrize(
    ("version", "ok", "detail"),
    [
        ("5.10", False, "this kernel gives none (Linux before 5.17): a drop is reported with its function only"),
        ("6.1", True, "67 names"),
        ("7.3", True, "128 names"),
    ],
)
def test_it_tells_whether_drops_have_reasons(version, ok, detail):
    captured = Path(__file__).parents[1] / "data" / "btf" / f"{version}.btf.gz"

    told = doctor.drop_reasons(btf.Btf(gzip.decompress(captured.read_bytes())))

    assert told == {"check": "drop reasons", "ok": ok, "detail": detail}
