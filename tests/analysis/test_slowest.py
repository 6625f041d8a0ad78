# SPDX-License-Identifier: GPL-2.0-or-later
"""The slowest journeys of a stream."""

import pytest

from bondtrace.analysis.slowest import Slowest
from build import SKB, received, reply, scene, stitched

TOOK_US = [30, 70, 20, 90, 70, 10, 90]


@pytest.mark.parametrize("limit, numbers", [(1, [4]), (3, [4, 7, 2]), (4, [4, 7, 2, 5]), (99, [4, 7, 2, 5, 1, 3, 6])])
@pytest.mark.parametrize("several", [False, True])
def test_the_slowest_come_first_and_of_those_alike_the_first(limit, numbers, several):
    around = scene()
    parts = [received(1000 * n, packet=reply(seq=n), skb=SKB + 64 * n, lasts=lasts) for n, lasts in enumerate(TOOK_US)]
    columns, found = stitched(*parts, around=around), Slowest(limit, around)

    places = list(range(len(columns)))
    for some in ([one] for one in places) if several else (places,):
        found.add(columns.take(some if isinstance(some, type(columns.offsets)) else columns.numbers[some] - 1))

    assert [one.id for one in found.in_order()] == numbers
