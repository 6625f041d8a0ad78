# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace explain`: what it refuses."""

from shell import bondtrace, failure

from build import begun, received, record


def test_a_journey_that_a_recording_does_not_have(recording):
    message = failure(bondtrace("explain", recording, "--journey", "4"), 2)

    assert f"{recording} has no journey #4" in message


def test_explain_wants_one_trace(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    done = bondtrace("explain", *names, "--journey", 1)

    assert (done.returncode, done.stderr) == (
        2,
        f"bondtrace: explain is for one trace, these are 2: {names[0]}, {names[1]}; give one, or the parts of one\n",
    )


def test_one_journey_has_no_count(recording):
    assert failure(bondtrace("explain", recording, "--journey", 1, "--count", 2), 2) == (
        "bondtrace: --journey 1 names one journey: leave it out, or --count\n"
    )
