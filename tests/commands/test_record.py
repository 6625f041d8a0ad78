# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace record`: what it refuses."""


def test_parts_to_keep_are_for_a_recording_in_parts(run, tmp_path):
    status, out, err = run("record", "-o", tmp_path / "x", "--keep", "2")
    assert (status, out, err) == (
        2,
        "",
        "bondtrace: --keep 2 is for a recording in parts: give --rotate-size or --rotate-time\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_payload_cannot_be_asked_for_and_left_out(run, tmp_path):
    status, _, err = run("record", "-o", tmp_path / "x", "--snaplen", "100", "--privacy", "drop")
    assert (status, err) == (
        2,
        "bondtrace: --snaplen 100 keeps payload and --privacy leaves it out: leave one of them out\n",
    )
    assert list(tmp_path.iterdir()) == []
