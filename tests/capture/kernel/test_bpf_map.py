# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps of the kernel that the tests run on."""

import os

import pytest
from shell import as_root

from bondtrace.capture.kernel.bpf_map import Map, MapSpec, map_made_of, possible_cpus

HASH, ARRAY, PERCPU_HASH = 1, 2, 5


@pytest.fixture
def make():
    made = []

    def of(*spec):
        try:
            made.append(Map(MapSpec("bt_test", *spec, 0)))
        except PermissionError as error:
            pytest.skip(f"this kernel lets nobody make maps: {error}")
        return made[-1]

    yield of
    for one in made:
        one.close()


@as_root
def test_what_is_put_into_a_map_is_there_until_it_is_deleted(make):
    table = make(HASH, 4, 8, 2)
    assert (table.get(b"abcd"), table.items()) == (None, {})
    table.set(b"abcd", b"12345678")
    table.set(b"efgh", b"00000000")
    assert table.items() == {b"abcd": b"12345678", b"efgh": b"00000000"}
    with pytest.raises(OSError, match="Argument list too long"):
        table.set(b"full", bytes(8))
    table.delete(b"abcd")
    table.delete(b"gone")
    assert (table.get(b"abcd"), table.items()) == (None, {b"efgh": b"00000000"})


@as_root
def test_an_array_has_all_its_places(make):
    assert make(ARRAY, 4, 3, 2).items() == {(0).to_bytes(4, "little"): bytes(3), (1).to_bytes(4, "little"): bytes(3)}


@as_root
def test_a_map_of_every_cpu_has_a_value_of_whole_words_for_each(make):
    table = make(PERCPU_HASH, 4, 12, 1)
    values = bytes(range(1, 17)) * possible_cpus()
    table.set(b"abcd", values)
    told = table.get(b"abcd")
    assert [told[place : place + 12] for place in range(0, len(told), 16)] == [bytes(range(1, 13))] * possible_cpus()
    assert possible_cpus() >= os.cpu_count()


@as_root
def test_the_kernel_tells_what_a_map_is_made_of(make):
    table = make(HASH, 4, 8, 2)
    assert map_made_of(table.fd) == table.spec


@pytest.mark.parametrize(("told", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8-11\n", 12), ("0,2\n", 3)])
def test_possible_cpus_are_counted_to_the_last(told, count, monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: told)
    assert possible_cpus() == count
