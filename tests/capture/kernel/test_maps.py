# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices the kernel side is told to trace, and what it has counted."""

import numpy as np
import pytest
from kernel_map import KernelMap

from bondtrace.capture.kernel.maps import RECENT, CountMaps, DeviceMaps, number, read_counters, word
from bondtrace.format.wire import COUNT_KEY, COUNTERS
from bondtrace.net.topology import Family

BELOW, ABOVE = 1, 2  # FOLLOW_LOWER and FOLLOW_UPPER of bpf/pass.c
SEVERAL = (1 << 64) - 1


class Traced:
    """The maps of a tracer of no device so far."""

    def __init__(self):
        self.devices, self.places = KernelMap(), KernelMap()
        self.maps = DeviceMaps(self.devices, self.places)


@pytest.fixture
def tracer():
    return Traced()


def key(netns, ifindex):
    return netns << 32 | ifindex


def set_devices(tracer, below, above=()):
    tracer.maps.set(Family(set(below), set(above)))
    devices, places = (
        {number(key): number(one) for key, one in table.items().items()} for table in (tracer.devices, tracer.places)
    )
    return devices, {place: one for place, one in places.items() if one}


def joins(tracer, netns, ifindex):
    """What bpf/join.c does."""
    tracer.devices.set(word(key(netns, ifindex), 8), word(BELOW, 1))
    tracer.places.set(word(ifindex % 4096), word(key(netns, ifindex), 8))


def test_a_device_is_traced_with_what_is_to_follow_it(tracer):
    assert set_devices(tracer, {(7, 2), (7, 5)}, {(7, 5), (7, 6)}) == (
        {key(7, 2): BELOW, key(7, 5): BELOW | ABOVE, key(7, 6): ABOVE},
        {2: key(7, 2), 5: key(7, 5), 6: key(7, 6)},
    )


def test_devices_that_share_a_place_are_looked_up(tracer):
    assert set_devices(tracer, {(7, 2), (8, 2), (7, 2 + 4096)})[1] == {2: SEVERAL}
    assert set_devices(tracer, {(8, 2)}) == ({key(8, 2): BELOW}, {2: key(8, 2)})


def test_what_joined_stays_until_its_notification_was_read(tracer):
    # given a device that joins while another notification is dealt with
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    expected = {key(7, 2): BELOW, key(7, 5): BELOW}, {2: key(7, 2), 5: key(7, 5)}
    assert set_devices(tracer, {(7, 5)}) == expected
    # then its own confirms it
    assert set_devices(tracer, {(7, 5), (7, 2)}) == expected
    assert set_devices(tracer, {(7, 5)}) == ({key(7, 5): BELOW}, {5: key(7, 5)})


def test_a_link_that_failed_is_undone_with_the_next_change_but_one(tracer):
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    set_devices(tracer, {(7, 5)})
    assert set_devices(tracer, {(7, 5)}) == ({key(7, 5): BELOW}, {5: key(7, 5)})


def test_a_place_that_a_join_has_overwritten_is_mended(tracer):
    # given devices of two namespaces with one number, the second set while the first joined
    set_devices(tracer, {(7, 2)})
    joins(tracer, 8, 2)
    assert set_devices(tracer, {(7, 2), (8, 2)})[1] == {2: SEVERAL}


def test_at_the_end_nothing_is_traced_not_even_what_has_just_joined(tracer):
    set_devices(tracer, {(7, 5)})
    joins(tracer, 7, 2)
    assert set_devices(tracer, ()) == ({}, {})


# --- what is counted -----------------------------------------------------------------------------------


def count_key(ifindex):
    return np.array([(1, ifindex, 0, 0, 0, 0, 0, 0)], COUNT_KEY)[0]


def counting(counts, recents):
    """The maps of a tracer that counts, from {ifindex: a number for each CPU} and [(ifindex, count) of each CPU]."""
    held = {count_key(ifindex).tobytes(): np.array(cells, "<u8").tobytes() for ifindex, cells in counts.items()}
    return {"counts": KernelMap(held), "recents": KernelMap({word(0): recent(recents)})}


def recent(cells):
    return np.array([(count_key(ifindex), 0, count) for ifindex, count in cells], RECENT).tobytes()


def totals(maps):
    counts = maps.read()
    return dict(zip(counts["key"]["ifindex"].tolist(), counts["count"].tolist()))


def test_counts_of_all_cpus_and_those_that_are_not_in_the_map_yet_are_added_up():
    assert totals(CountMaps(counting({2: [3, 4]}, [(2, 5), (3, 6)]))) == {2: 12, 3: 6}


def test_a_count_is_never_less_than_before():
    there = counting({2: [3, 4]}, [(2, 5), (2, 0)])
    maps = CountMaps(there)
    assert totals(maps) == {2: 12}

    there["recents"].set(word(0), recent([(2, 0), (2, 0)]))  # it is being moved into the map

    assert totals(maps) == {2: 12}


def test_a_key_that_comes_while_others_are_read_is_counted_the_next_time():
    there = counting({2: [1, 0]}, [(2, 0), (2, 0)])
    read = there["counts"].items

    def items():
        there["recents"].set(word(0), recent([(3, 9), (2, 0)]))
        return read()

    there["counts"].items = items
    maps = CountMaps(there)
    assert [totals(maps), totals(maps)] == [{2: 1}, {2: 1, 3: 9}]


def test_counters_have_a_value_for_each_cpu():
    table = KernelMap({word(place): np.array([place, 7], "<u8").tobytes() for place in range(len(COUNTERS))})
    assert list(read_counters(table).values()) == [[place, 7] for place in range(len(COUNTERS))]
