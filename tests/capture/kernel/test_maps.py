# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices the kernel side is told to trace, its maps being dicts here."""

from types import SimpleNamespace

import numpy as np
import pytest

from bondtrace.capture.kernel.maps import CountMaps, DeviceMaps
from bondtrace.format.wire import COUNT_KEY
from bondtrace.net.topology import Family

BELOW, ABOVE = 1, 2  # FOLLOW_LOWER and FOLLOW_UPPER of bpf/pass.c
SEVERAL = (1 << 64) - 1


class Map(dict):
    """As bcc's, keys and values of ctypes; ``plain`` is what it holds."""

    def __setitem__(self, key, value):
        super().__setitem__(key.value, value.value)

    def __delitem__(self, key):
        super().__delitem__(key.value)

    def items(self):
        return [(SimpleNamespace(value=key), SimpleNamespace(value=value)) for key, value in super().items()]

    @property
    def plain(self):
        return dict(super().items())


class Traced:
    """The maps of a tracer of no device so far."""

    def __init__(self):
        self.devices, self.places = Map(), Map()
        self.maps = DeviceMaps(self.devices, self.places)


@pytest.fixture
def tracer():
    return Traced()


def key(netns, ifindex):
    return netns << 32 | ifindex


def set_devices(tracer, below, above=()):
    tracer.maps.set(Family(set(below), set(above)))
    return tracer.devices.plain, {place: one for place, one in tracer.places.plain.items() if one}


def joins(tracer, netns, ifindex):
    """What bpf/join.c does."""
    dict.__setitem__(tracer.devices, key(netns, ifindex), BELOW)
    dict.__setitem__(tracer.places, ifindex % 4096, key(netns, ifindex))


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


class Counting(dict):
    """The maps of a tracer that counts: ``counts`` {key: a number for each CPU}, ``recents`` [(key, count) of each
    CPU]. What is read is what they hold then."""

    def __init__(self, counts, recents):
        super().__init__(counts=counts, recents=self)
        self.recents = recents

    def items(self):
        cells = [SimpleNamespace(key=key, count=count) for key, count in self.recents]
        return [(SimpleNamespace(value=0), cells)]


def count_key(ifindex):
    return np.array([(1, ifindex, 0, 0, 0, 0, 0, 0)], COUNT_KEY).tobytes()


def totals(maps):
    counts = maps.read()
    return dict(zip(counts["key"]["ifindex"].tolist(), counts["count"].tolist()))


def test_counts_of_all_cpus_and_those_that_are_not_in_the_map_yet_are_added_up():
    maps = CountMaps(Counting({count_key(2): [3, 4]}, [(count_key(2), 5), (count_key(3), 6)]))

    assert totals(maps) == {2: 12, 3: 6}


def test_a_count_is_never_less_than_before():
    counting = Counting({count_key(2): [3, 4]}, [(count_key(2), 5)])
    maps = CountMaps(counting)
    assert totals(maps) == {2: 12}

    counting.recents = []  # it was being moved into the map

    assert totals(maps) == {2: 12}


def test_no_map_is_opened_before_it_is_read():
    assert CountMaps(None) is not None
