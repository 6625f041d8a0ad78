# SPDX-License-Identifier: GPL-2.0-or-later
"""Batches through the pipeline: what was before, what is now, and what is heard only after it."""

from dataclasses import replace

import pytest
from shell import PING

from bondtrace.analysis import assemble
from bondtrace.analysis.tap_history import Presence
from bondtrace.errors import BondtraceError
from bondtrace.format.batch import Batch
from bondtrace.format.events import chain_event, device_event, tap_event
from bondtrace.format.recording import Recording
from bondtrace.format.wire import EMPTY, STEP_TAP
from bondtrace.pipeline import Pipeline, only, passes_of
from build import (
    BEGIN_NS,
    DEVICES,
    ON_BOND0,
    TAPS,
    both,
    drop,
    events,
    hook,
    late,
    losses,
    received,
    refused,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tcpdump,
    tx,
)


def test_a_pipeline_that_only_hands_on_knows_the_surroundings_as_one_that_stitches():
    # given the example, and a tap that no event tells of
    batches = list(Recording(PING).batches())
    for batch in batches:
        batch.passes.steps["arg"][batch.passes.steps["kind"] == STEP_TAP] = 7

    # when it is run with and without stitching
    kept, scenes = [], []
    for stitching in (True, False):
        pipeline = Pipeline(keep=lambda batch: kept.append(len(batch.passes)), stitching=stitching)
        pipeline.run(batches)
        scenes.append(pipeline.scene)

    # then all was handed on, and the same is known
    assert kept == [len(batch.passes) for batch in batches] * 2
    assert scenes[0].taps.strangers() == scenes[1].taps.strangers() != []
    hooks = [{inode: history.hooks for inode, history in one.taps.items()} for one in scenes]
    assert hooks[0] == hooks[1]
    assert (scenes[0].changes_ns, scenes[0].ended) == (scenes[1].changes_ns, scenes[1].ended)


def test_what_joined_before_it_was_heard_of_is_told_as_what_it_is():
    # given a VLAN's device with a tap, of both of which is heard only after a packet went down from it to the bond
    known = events(devices={name: one for name, one in DEVICES.items() if name != "bond0.7"})
    heard_ns = BEGIN_NS + 2_000_000_000
    heard = [device_event(heard_ns, DEVICES["bond0.7"]), tap_event(heard_ns, tcpdump(77, "bond0.7"), BEGIN_NS + 1)]

    journeys = []
    Pipeline(show=journeys.append).run(
        [
            Batch(EMPTY, known, BEGIN_NS),
            Batch(both(tx("bond0.7", tap(77), at=1), tx("bond0", tap(ON_BOND0), at=5)), heard, heard_ns),
        ]
    )

    # then both passes are one journey, under the names
    assert [[one.steps[0].dev for one in journey.passes] for journey in journeys] == [["bond0.7", "bond0"]]


def test_how_a_tap_is_since_its_hook_is_known_before_what_passed_meanwhile_is_told():
    # given a socket that is bound to nothing, is hooked in at 10 ms, and is read 150 ms later, in the batch in which a
    # packet was refused to the bond in between
    unbound = replace(TAPS[ON_BOND0], ifindex=0, protocol=0, running=False)
    known = [*events(taps={}), tap_event(BEGIN_NS, unbound, read_ns=BEGIN_NS)]
    read_ns, heard_ns = BEGIN_NS + 160_000_000, BEGIN_NS + 161_000_000
    batch = Batch(
        both(hook(ON_BOND0, True, at=10_000), refused(at=30_000)),
        [tap_event(heard_ns, TAPS[ON_BOND0], read_ns=read_ns)],
        heard_ns,
    )

    journeys = []
    Pipeline(show=journeys.append).run([Batch(EMPTY, known, BEGIN_NS), batch])

    # then it is told by how the tap was bound then
    assert [[(one.tap, one.reason) for one in journey.unseen] for journey in journeys] == [
        [(ON_BOND0, "inactive-slave")]
    ]


def test_a_tap_that_was_gone_and_is_listed_again_in_one_batch_is_there():
    # given a tap of which the same batch tells that it is gone, and what it is
    batch = Batch(
        received(at=400_000),
        [
            {"kind": "tap-gone", "time_ns": BEGIN_NS + 200_000_000, "not_before_ns": BEGIN_NS, "inode": ON_BOND0},
            tap_event(BEGIN_NS + 301_000_000, TAPS[ON_BOND0], read_ns=BEGIN_NS + 300_000_000),
        ],
        BEGIN_NS + 500_000_000,
    )
    pipeline = Pipeline()
    pipeline.run([Batch(EMPTY, events(), BEGIN_NS), batch])

    assert (TAPS[ON_BOND0], Presence.HOOKED) in pipeline.scene.taps_at(BEGIN_NS + 400_000_000)


@pytest.mark.parametrize("directions, expected", [(("rx",), [1, 2]), (("tx",), [3]), (("rx", "tx"), [1, 2, 3])])
def test_journeys_of_one_direction_keep_their_numbers(directions, expected):
    found = only(stitched(received(), refused(50), sent(100)), directions)

    assert [one.id for one in assemble.journeys(found, scene())] == expected


@pytest.mark.parametrize("directions, kinds", [(("rx",), "rRLH"), (("tx",), "tTH"), (("rx", "tx"), "rRLtTH")])
def test_records_of_one_direction_are_kept_with_what_tells_of_taps(directions, kinds):
    given = {"r": received(), "R": refused(50), "L": late("eth0", at=3), "t": tx("eth0"), "T": tx("bond0")}
    given["H"] = hook(ON_BOND0, True)

    found = passes_of(both(*given.values()), directions)

    assert found.records.tobytes() == both(*(given[kind] for kind in kinds)).records.tobytes()


def test_after_so_many_journeys_it_stops_and_only_the_surroundings_are_taken():
    shown, stops = [], []
    counting = Pipeline(show=shown.append, count=2)
    batches = [
        Batch(EMPTY, events(), BEGIN_NS),
        Batch(both(received(), refused(50), sent(100)), [], BEGIN_NS + 9_000_000_000),
        Batch(received(10_000_000), [losses(10_000_001, lost=[3])], BEGIN_NS + 20_000_000_000),
    ]

    counting.run(batches, lambda: stops.append(len(shown)))

    assert ([one.id for one in shown], counting.summary.journeys, set(stops)) == ([1, 2], 2, {2})
    assert counting.scene.losses() == {"records lost": 3}


@pytest.mark.parametrize(
    "event, why",
    [
        ({"kind": "losses", "time_ns": 1}, "an event 'losses' is malformed"),
        ({"kind": "note", "time_ns": -1}, "an event's time is -1 instead of a whole number from 0 up"),
    ],
)
def test_an_event_that_does_not_hold_together_is_told(event, why):
    with pytest.raises(BondtraceError, match=f"^the recording is damaged: {why}"):
        Pipeline().run([Batch(EMPTY, [event], 1)])


def test_a_chain_that_is_named_only_after_its_drop_has_its_name():
    # given a drop and, later in the same batch, the event that names the chain which decided on it, and other events
    dropped = rx("eth0", drop("NO_SOCKET", by="nft_do_chain", decided_by=9))
    named = chain_event(BEGIN_NS + 10**9, 9, "ip", "filter", "c_forward", "forward")
    told = []
    pipeline = Pipeline(show=told.append)
    pipeline.run([Batch(dropped, [*events(), losses(at=5000), named], BEGIN_NS + 2 * 10**9)])
    [step] = [step for journey in told for step in journey.passes[0].steps if step.kind == "drop"]
    assert "c_forward" in (step.netfilter or "")
