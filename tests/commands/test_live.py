# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace [live]`, and what all that traces live has in common: rights, devices, files to record to."""

import pytest


@pytest.mark.parametrize("words", [["--count", "3"], ["--write", "x.arrows"]])
def test_what_is_about_journeys_is_refused_where_packets_are_only_counted(run, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run("--summary-only", *words) == (
        2,
        "",
        f"bondtrace: {words[0]} is about journeys, and --summary-only makes none: leave one of them out\n",
    )
    assert list(tmp_path.iterdir()) == []
