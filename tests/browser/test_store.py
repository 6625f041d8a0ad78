# SPDX-License-Identifier: GPL-2.0-or-later
"""The journeys that are kept are those of the recording, however they are packed and in whatever order they are looked
at."""

import random

import numpy as np
import pytest
from mixture import many
from seeing import browsing, listed, screen, work

from bondtrace.api import open_trace
from bondtrace.browser import store
from build import events, in_parts, lossy, received, record, refused, sent


@pytest.fixture(params=[2, 7, store.PASSES_A_CHUNK])
def small_chunks(request, monkeypatch):
    monkeypatch.setattr(store, "PASSES_A_CHUNK", request.param)
    monkeypatch.setattr(store, "_CHUNKS_OPEN", 2)
    monkeypatch.setattr(store, "_JOURNEYS_KNOWN", 3)


def mixed(path):
    """A recording with all kinds of packets, in several batches."""
    passes = many(3, 120)
    half = len(passes) // 2
    first, second = (passes.take(places) for places in np.array_split(np.arange(len(passes)), [half]))
    return record(path, (first, events()), (second, []))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("make", [lossy, mixed, lambda path: in_parts(path, part_bytes=1)[0].parent])
def test_every_journey_is_the_one_of_the_recording(tmp_path, make):
    path = make(tmp_path / "trace.arrows")
    browser = browsing(path)
    listing = browser.search.listing
    expected = list(open_trace(path).journeys())
    assert len(listing) == len(expected) > 2

    order = list(range(len(listing)))
    random.Random(1).shuffle(order)
    for index in order:
        assert browser.store.journey(*listing[index]) == expected[index]


def test_a_journey_of_many_passes_is_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PASSES_A_CHUNK", 2)
    path = record(tmp_path / "trace.arrows", (sent(), events()), (sent(1000, skb=0xFFFF888000009000), []))

    browser = browsing(path)

    assert [len(browser.store.journey(*browser.search.listing[index]).passes) for index in (0, 1)] == [2, 2]


def test_what_was_assembled_before_all_was_known_is_assembled_again(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PASSES_A_CHUNK", 2)
    later = [one for one in events() if one["kind"] == "device"]
    first = [one for one in events() if one["kind"] != "device"]
    path = record(tmp_path / "trace.arrows", (received(), first), (refused(9_000_000), []), (sent(20_000_000), later))
    browser = browsing(path, until_done=False)

    # given a journey that is looked at before its devices' names are read
    while browser.work() and not len(browser.search.listing):
        pass
    assert named(browser) == "if2"

    # then it has names once all is read
    assert named(work(browser)) == "eth0"


def named(browser):
    """The device on which the first journey began, as its story names it."""
    return browser.store.journey(*browser.search.listing[0]).passes[0].steps[0].dev


def test_a_file_that_is_damaged_behind_is_kept_as_far_as_it_goes(tmp_path):
    path = record(tmp_path / "trace.arrows", (received(), events()), (refused(9_000_000), []), (sent(20_000_000), []))
    data = bytearray(path.read_bytes())
    place = data.rindex(b"\xff\xff\xff\xff", 0, len(data) - 8)  # the mark before the last batch
    data[place + 4 : place + 8] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)

    browser = browsing(path)

    assert listed(browser) == [1]
    assert "is not a bondtrace recording: a batch is malformed" in str(browser.store.failures[0])
    assert "a batch is malformed" in " ".join(screen(browser)[-4:])
