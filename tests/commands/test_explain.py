# SPDX-License-Identifier: GPL-2.0-or-later
"""`bondtrace explain`: what it refuses."""

from shell import bondtrace, failure


def test_a_journey_that_a_recording_does_not_have(recording):
    message = failure(bondtrace("explain", recording, "--journey", "4"), 2)

    assert f"{recording} has no journey #4" in message
