# SPDX-License-Identifier: GPL-2.0-or-later
"""In which lane a pass is drawn."""

from dataclasses import replace

import pytest

from bondtrace.reporters.html.lanes import lanes
from build import journeys, received

#: (what it is a branch of, what it follows) of each pass, and its lane.
PLACES = {
    "one after another": ([(None, None), (None, 0), (None, 1)], [0, 0, 0]),
    "a branch that goes on": ([(None, None), (0, 0), (0, 1)], [0, 1, 1]),
    "a flooding bridge": ([(None, None), (0, 0), (0, 0), (0, 0)], [0, 1, 2, 3]),
    "a branch of a branch, and back": ([(None, None), (0, 0), (1, 1), (0, 1), (None, 0)], [0, 1, 2, 1, 0]),
    "a mirror before its packet": ([(None, None), (2, 0), (None, 1)], [0, 1, 0]),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_branch_has_a_lane_of_its_own(name):
    places, expected = PLACES[name]
    [journey] = journeys(received())
    passes = tuple(replace(journey.passes[0], parent=parent, follows=follows) for parent, follows in places)

    assert lanes(passes) == expected
