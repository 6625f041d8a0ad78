# SPDX-License-Identifier: GPL-2.0-or-later
"""The surroundings, asked as of a time: names, taps and whether they were there, relations, losses."""

from dataclasses import replace

import numpy as np
import pytest

from bondtrace.analysis.scene import Scene
from bondtrace.analysis.tap_history import HOOK_MARGIN_NS, Presence
from bondtrace.format.events import device_event, tap_event
from bondtrace.model import Device, Process, Tap
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    LLDP,
    MORE_DEVICES,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    THERE,
    altered,
    both,
    events,
    hook,
    losses,
    received,
    scene,
    start,
    tcpdump,
)

HOOKED, NOT_YET, OUT, UNSURE, UNREAD, _ = Presence


def at(us):
    """So many µs after the begin, in ns."""
    return BEGIN_NS + us * 1000


# --- events --------------------------------------------------------------------------------------------


def test_what_a_newer_writer_says_is_passed_over():
    # given events with a kind and with fields that are not known here
    device = {"netns": HERE, "ifindex": 2, "name": "eth0", "kind": "ether", "newer": 1}
    tap = {
        "inode": 7,
        "netns": HERE,
        "ifindex": 2,
        "protocol": 3,
        "kind": "raw",
        "newer": 1,
        "processes": [{"pid": 1, "comm": "a", "cmdline": "a", "newer": 1}],
    }
    around = Scene()

    # when they are applied
    for event in (
        {"kind": "newer", "time_ns": 1},
        {"kind": "device", "time_ns": 1, "device": device, "newer": 1},
        {"kind": "tap", "time_ns": 1, "tap": tap},
        {},
    ):
        around.apply(event)

    # then the rest is known
    assert around.device(HERE, 2, 1) == Device(HERE, 2, "eth0", "ether")
    assert around.tap(7, 1) == Tap(7, HERE, 2, 3, "raw", processes=(Process(1, "a", "a"),))


def test_the_begin_and_the_end_of_a_trace():
    around = Scene()
    assert (around.handlers, around.wall_offset_ns, around.ended) == ([], 0, False)

    # when it begins and ends
    for event in (
        start(handlers=["a", "b"], wall_offset_ns=5),
        {"kind": "note", "time_ns": 7, "text": "a word"},
        {"kind": "end", "time_ns": 9},
    ):
        around.apply(event)

    assert (around.handlers, around.wall_offset_ns, around.ended) == (["a", "b"], 5, True)
    assert (around.notes, around.start["host"]) == ([(7, "a word")], "lab")


# --- devices -------------------------------------------------------------------------------------------


def test_a_device_is_called_as_it_was_then():
    # given eth0, called lan0 from 10 µs on, and gone at 20
    around = scene(
        altered("eth0", 10, name="lan0"), {"kind": "device-gone", "time_ns": at(20), "netns": HERE, "ifindex": 2}
    )

    # then it has its name of the time, and keeps the last one once it has gone
    assert [around.device_name(HERE, 2, at(us)) for us in (-5, 0, 9, 10, 19, 20, 99)] == [
        "eth0",
        "eth0",
        "eth0",
        "lan0",
        "lan0",
        "lan0",
        "lan0",
    ]


def test_the_same_ifindex_is_another_device_in_another_namespace():
    around = scene()

    assert [around.device_name(netns, 2, at(0)) for netns in (HERE, THERE, 5)] == ["eth0", "peer0", "if2"]
    assert around.device(5, 2, at(0)) is None
    assert around.namespaces == {HERE: "host", THERE: "blue"}


@pytest.mark.parametrize(
    "name, label",
    [
        ("host", "host"),
        ("netns of pid 7 (python3)", "(this one)"),
        ("container 0123456789ab", "(this one)"),
        ("", "(this one)"),
    ],
)
def test_where_bondtrace_ran_is_this_one_unless_it_has_a_name(name, label):
    around = scene(*({"kind": "namespace", "time_ns": 1, "netns": netns, "name": name} for netns in (HERE, THERE)))

    assert around.namespace_label(HERE) == label
    assert around.namespace_label(THERE) == (name or f"net:[{THERE}]")
    assert around.namespace_label(5) == "net:[5]"


def test_taps_are_told_apart_from_those_that_are_there():
    twins = {inode: tcpdump(inode, "eth0", "-Q", way) for inode, way in ((7, "in"), (8, "out"))}
    around = scene(taps={**twins, 9: tcpdump(9, "eth1")})

    labels = [around.tap_label(inode, at(5)) for inode in (7, 8, 9, 10)]
    assert labels == ["tcpdump -i eth0 -Q in", "tcpdump -i eth0 -Q out", "tcpdump -i eth1", None]

    # when one of them has closed, then its name is that of before, and the other one needs no more
    around.apply({"kind": "tap-gone", "time_ns": at(10), "not_before_ns": at(9), "inode": 8})
    assert [around.tap_label(inode, at(20)) for inode in (7, 8)] == ["tcpdump -i eth0", "tcpdump -i eth0"]


# (lower, upper), and the ends of a veth.
RELATED = {("eth0", "bond0"), ("eth1", "bond0"), ("bond0", "bond0.7"), ("eth2", "br0"), ("veth0", "peer0")}


def test_devices_are_related_when_stacked_or_the_ends_of_a_veth_and_never_else():
    # given every pair of the host's devices
    around = scene()
    keys = {name: (device.netns, device.ifindex) for name, device in DEVICES.items()}

    # then up and down exactly these are related (down also through others, which may have no tap), and all with the far
    # end of a veth that their namespace may send into
    found = {
        way: {(a, b) for a in keys for b in keys if around.devices.related(keys[a], keys[b], way)}
        for way in ("up", "down", "over")
    }
    stacked = RELATED - {("veth0", "peer0")}
    across = {(name, "peer0") for name, device in DEVICES.items() if device.netns == HERE}
    across |= {("peer0", "veth0"), ("other1", "veth0")}
    assert found == {
        "up": stacked | across,
        "down": {(b, a) for a, b in stacked} | {("bond0.7", "eth0"), ("bond0.7", "eth1")},
        "over": {pair for a, b in stacked for pair in ((a, b), (b, a))} | across,
    }


LACP_OF_TWO = {
    name: replace(DEVICES[name], slave_state="active", bond_mode=mode, active_slave=None)
    for name, mode in (("eth0", None), ("eth1", None), ("bond0", "802.3ad"))
}


@pytest.mark.parametrize(
    ("devices", "taps", "waiting"),
    [
        ({}, [None], {"bond0", "bond0.7", "br0"}),  # a tap of all devices: whatever is sent is shown
        ({}, ["bond0"], {"bond0.7"}),
        ({}, ["eth0"], {"bond0", "bond0.7"}),
        ({}, ["eth1"], set()),  # the bond sends by eth0
        ({}, ["eth2"], {"br0"}),
        (LACP_OF_TWO, ["eth1"], set()),  # without a queue it would be shown at once
        (LACP_OF_TWO, ["eth0", "eth1"], {"bond0", "bond0.7"}),
        ({**LACP_OF_TWO, "eth1": replace(LACP_OF_TWO["eth1"], qdisc="tbf")}, ["eth1"], {"bond0", "bond0.7"}),
        ({"eth0": replace(DEVICES["eth0"], master=20), "red": MORE_DEVICES["red"]}, ["eth0"], set()),
    ],
)
def test_what_is_sent_again_below_is_waited_for_where_a_tap_shows_it(devices, taps, waiting):
    host = {name: replace(device, qdisc=device.qdisc or "noqueue") for name, device in {**DEVICES, **devices}.items()}
    around = scene(taps={number: tcpdump(number, dev) for number, dev in enumerate(taps, 1)})
    for device in host.values():
        around.apply(device_event(at(1), device))

    names = {(device.netns, device.ifindex): name for name, device in host.items()}
    assert {names[key] for key in around.waiting()} == waiting

    # when the taps have closed, then nothing more is to be expected
    for number, _ in enumerate(taps, 1):
        around.apply({"kind": "tap-gone", "time_ns": at(10), "not_before_ns": at(9), "inode": number})
    assert around.waiting() == set()


def test_devices_that_are_not_known_are_not_related():
    around = scene()

    assert not around.devices.related((HERE, 2), (HERE, 99), "up") and not around.devices.related(
        (5, 2), (HERE, 4), "up"
    )


def test_a_slave_that_left_its_bond_is_related_no_more_but_one_that_is_gone_is():
    # given eth0 that was released, and eth1 that went away
    around = scene(
        altered("eth0", 10, master=None), {"kind": "device-gone", "time_ns": at(10), "netns": HERE, "ifindex": 3}
    )

    assert not around.devices.related((HERE, 2), (HERE, 4), "up") and around.devices.related((HERE, 3), (HERE, 4), "up")


# --- taps ----------------------------------------------------------------------------------------------


def presences(around, *times_us):
    """For each time: the presence of each tap, by inode."""
    return [{tap.inode: presence for tap, presence in around.taps_at(at(us))} for us in times_us]


def test_taps_that_were_there_from_the_begin_are_hooked():
    assert presences(scene(), -10, 0, 10**9) == [dict.fromkeys((ON_ETH0, ON_ETH1, ON_BOND0, ON_ANY, LLDP), HOOKED)] * 3


def test_a_tap_that_opened_and_closed_unseen_is_unsure_in_between():
    # given a tap that opened between 10 and 20 µs, and closed between 30 and 40
    around = scene(
        tap_event(at(20), tcpdump(5, None), at(10)),
        {"kind": "tap-gone", "time_ns": at(40), "not_before_ns": at(30), "inode": 5},
        taps={},
    )

    assert presences(around, 0, 10, 11, 20, 21, 29, 30, 40, 41) == [
        {5: NOT_YET},
        {5: NOT_YET},
        {5: UNSURE},
        {5: UNSURE},
        {5: HOOKED},
        {5: HOOKED},
        {5: UNSURE},
        {5: UNSURE},
        {},
    ]


def test_a_tap_whose_hooks_were_told_is_there_exactly_in_between():
    # given the same, and exact times: hooked in at 12 ms, out at 32 ms
    margin = HOOK_MARGIN_NS // 1000
    around = scene(
        tap_event(at(20_000), tcpdump(5, None), at(10_000)),
        {"kind": "tap-gone", "time_ns": at(40_000), "not_before_ns": at(30_000), "inode": 5},
        taps={},
    )
    around.take_hooks(both(hook(5, True, at=12_000), hook(5, False, at=32_000)))

    # then only what was under way then is unsure
    assert presences(
        around, 11_999, 12_000, 12_000 + margin, 12_001 + margin, 31_999, 32_000, 32_000 + margin, 32_001 + margin
    ) == [{5: NOT_YET}, {5: UNSURE}, {5: UNSURE}, {5: HOOKED}, {5: HOOKED}, {5: UNSURE}, {5: UNSURE}, {}]


def test_what_was_concluded_holds_until_more_is_told_even_of_the_same_time():
    # given answers, of which nothing is worked out twice
    around = scene(altered("eth0", 10))
    assert around.taps_at(at(20)) is around.taps_at(at(30))
    assert around.above((HERE, 2), at(20)) == {(HERE, 4), (HERE, 5)} == around.above((HERE, 2), at(5))

    # when eth0 leaves its bond, a tap opens and another is hooked out, all at a time at which something was told before
    around.apply(altered("eth0", 10, master=None))
    around.apply(tap_event(at(10), tcpdump(5, None), at(10)))
    around.take_hooks(hook(ON_ETH1, False, at=10))

    # then the answers are others from then on
    later = HOOK_MARGIN_NS // 1000 + 20
    assert [around.above((HERE, 2), at(us)) for us in (20, 5)] == [set(), {(HERE, 4), (HERE, 5)}]
    assert [(one.get(5), one[ON_ETH1]) for one in presences(around, 5, later)] == [(NOT_YET, HOOKED), (HOOKED, OUT)]


def test_a_tap_of_a_fanout_group_is_unsure_on_both_sides_of_a_hook():
    # given a tap that is hooked in, and joins a group afterwards, and leaves
    margin = HOOK_MARGIN_NS // 1000
    around = scene(tap_event(at(20_000), tcpdump(5, None, fanout_id=1), at(10_000)), taps={})
    around.take_hooks(both(hook(5, True, at=12_000), hook(5, False, at=32_000)))

    assert presences(
        around, 11_999, 12_001, 20_000, 31_999 - margin, 32_000 - margin, 32_000 + margin, 32_001 + margin
    ) == [{5: NOT_YET}, {5: UNSURE}, {5: HOOKED}, {5: HOOKED}, {5: UNSURE}, {5: UNSURE}, {5: HOOKED}]


def test_a_tap_that_is_bound_anew_is_out_for_a_while():
    # given a tap from the begin, hooked out at 10 ms and in again at 20 ms
    around = scene(taps={ON_ETH0: TAPS[ON_ETH0]})
    around.take_hooks(both(hook(ON_ETH0, False, at=10_000), hook(ON_ETH0, True, at=20_000)))

    assert [one[ON_ETH0] for one in presences(around, 0, 9_999, 10_500, 15_000, 20_500, 25_000)] == [
        HOOKED,
        HOOKED,
        UNSURE,
        OUT,
        UNSURE,
        HOOKED,
    ]


def test_a_tap_that_is_hooked_in_only_later_is_out_before():
    # given a socket that was there from the begin, but bound only at 10 ms
    around = scene(taps={ON_ETH0: TAPS[ON_ETH0]})
    around.take_hooks(hook(ON_ETH0, True, at=10_000))

    assert [one[ON_ETH0] for one in presences(around, 0, 9_999, 15_000)] == [OUT, OUT, HOOKED]


def read_at(begun_us, ended_us, one, **more):
    """A tap as a reading told it that took so long."""
    return tap_event(at(ended_us), one, read_ns=at(begun_us), **more)


def bindings(around, *times_us):
    """For each time: the ifindex that eth0's tap was bound to, and its presence."""
    return [
        next((tap.ifindex, presence) for tap, presence in around.taps_at(at(us)) if tap.inode == ON_ETH0)
        for us in times_us
    ]


@pytest.fixture
def bound_anew():
    """A tap that is read from 0 to 1 ms, and bound to another device at 10 ms: out and in 100 µs later."""
    around = scene(read_at(0, 1_000, TAPS[ON_ETH0]), taps={})
    around.take_hooks(both(hook(ON_ETH0, False, at=10_000), hook(ON_ETH0, True, at=10_100)))
    return around


def test_how_a_tap_is_bound_is_unread_until_it_was_read_since_its_hook(bound_anew):
    # given no other reading, nobody knows to what
    assert bindings(bound_anew, 5_000, 20_000, 40_000) == [(2, HOOKED), (2, UNREAD), (2, UNREAD)]

    # when it is read, then that is how it was since the hook, and before it nothing has changed
    bound_anew.apply(read_at(30_000, 31_000, replace(TAPS[ON_ETH0], ifindex=3)))
    assert bindings(bound_anew, 5_000, 20_000, 40_000) == [(2, HOOKED), (3, HOOKED), (3, HOOKED)]


def test_a_reading_during_which_a_tap_was_hooked_in_may_tell_of_before_or_of_after(bound_anew):
    # given a reading that began before the hook, and found it bound to nothing
    bound_anew.apply(read_at(10_050, 18_000, replace(TAPS[ON_ETH0], ifindex=0, protocol=0, running=False)))
    assert bindings(bound_anew, 5_000, 20_000) == [(2, HOOKED), (0, UNREAD)]

    # when it is read once more, then that reading counts for all the time since the hook
    bound_anew.apply(read_at(30_000, 31_000, replace(TAPS[ON_ETH0], ifindex=3)))
    assert bindings(bound_anew, 5_000, 12_000, 20_000, 40_000) == [(2, HOOKED), (3, HOOKED), (3, HOOKED), (3, HOOKED)]


def test_a_state_that_no_reading_met_stays_unread(bound_anew):
    # given that it is bound anew again before it was read
    bound_anew.take_hooks(both(hook(ON_ETH0, False, at=20_000), hook(ON_ETH0, True, at=20_100)))
    bound_anew.apply(read_at(30_000, 31_000, TAPS[ON_ETH0]))

    # then how it was in between is not known, also where both readings say the same
    assert [presence for _, presence in bindings(bound_anew, 5_000, 15_000, 40_000)] == [HOOKED, UNREAD, HOOKED]


def test_a_reading_overtaken_by_the_next_hook_tells_neither_of_before_nor_of_after():
    # given a tap that is hooked in at 10 ms and out at 20, and is read from 15 to 25
    around = scene(read_at(0, 1_000, TAPS[ON_ETH0]), taps={})
    around.take_hooks(both(hook(ON_ETH0, True, at=10_000), hook(ON_ETH0, False, at=20_000)))
    around.apply(read_at(15_000, 25_000, replace(TAPS[ON_ETH0], protocol=0)))

    assert [presence for _, presence in bindings(around, 13_000, 30_000)] == [UNREAD, UNREAD]


@pytest.mark.parametrize("times", [{}, {"read_ns": BEGIN_NS}], ids=["older recording", "readings told"])
def test_a_tap_is_out_from_its_hook_until_it_is_hooked_in_again_read_or_not(times):
    # given a tap from the begin that is out from 10 ms to 20, which nobody read
    around = scene(tap_event(BEGIN_NS + 1000, TAPS[ON_ETH0], **times), taps={})
    around.take_hooks(both(hook(ON_ETH0, False, at=10_000), hook(ON_ETH0, True, at=20_000)))
    assert [presence for _, presence in bindings(around, 5_000, 15_000)] == [HOOKED, OUT]

    # and another that is bound only later, and was read meanwhile
    around = scene(tap_event(BEGIN_NS + 30_000_000, TAPS[ON_ETH0], **times), taps={})
    around.take_hooks(hook(ON_ETH0, True, at=10_000))
    assert [presence for _, presence in bindings(around, 5_000)] == [OUT]


def test_a_tap_that_was_listed_after_its_last_hook_was_not_closed_by_then():
    # given a tap that goes out at 10 ms (its device goes down), is listed at 500, and no more at 1,000
    around = scene(
        read_at(0, 1_000, TAPS[ON_ETH0]),
        read_at(400_000, 500_000, TAPS[ON_ETH0]),
        {"kind": "tap-gone", "time_ns": at(1_000_000), "not_before_ns": at(450_000), "inode": ON_ETH0},
        taps={},
    )
    around.take_hooks(hook(ON_ETH0, False, at=10_000))

    assert [
        {inode: presence for inode, presence in one.items() if inode == ON_ETH0}
        for one in presences(around, 100_000, 460_000)
    ] == [{ON_ETH0: OUT}, {}]


def test_whether_a_tap_runs_is_what_its_hooks_say_where_they_tell():
    # given a tap that was read just as it was hooked in, before the kernel had set its flag
    stopped = replace(TAPS[ON_ETH0], running=False)
    around = scene(read_at(10_001, 10_002, stopped), taps={})
    assert bindings(around, 20_000) == [(2, OUT)]
    around.take_hooks(hook(ON_ETH0, True, at=10_000))
    assert bindings(around, 20_000) == [(2, HOOKED)]


def test_a_tap_that_joined_a_group_without_a_hook_is_there_from_when_it_was_listed():
    # given a tap that opens while hooks are told, on a device that is down, and joins a group
    around = scene(
        read_at(20_000, 21_000, replace(TAPS[ON_ETH0], fanout_id=7), not_before_ns=at(10_000)),
        taps={},
        stages=[{"name": "tap hooks", "missing": ""}],
    )
    assert bindings(around, 5_000, 15_000, 30_000) == [(2, NOT_YET), (2, UNSURE), (2, HOOKED)]


def test_a_tap_that_is_listed_again_is_there_again():
    # given a tap whose namespace could not be entered for a while
    around = scene(
        {"kind": "tap-gone", "time_ns": at(20_000), "not_before_ns": at(10_000), "inode": ON_ETH0},
        read_at(30_000, 31_000, TAPS[ON_ETH0]),
        taps={ON_ETH0: TAPS[ON_ETH0]},
    )

    assert bindings(around, 5_000, 40_000) == [(2, HOOKED)] * 2
    assert around.tap(ON_ETH0, at(40_000)) == around.tap(ON_ETH0, at(25_000)) == TAPS[ON_ETH0]


def test_an_event_of_a_tap_that_is_refused_leaves_nothing():
    around = scene(taps={})
    before = list(around.changes_ns)
    with pytest.raises(ValueError):
        around.apply({**read_at(10, 20, TAPS[ON_ETH0], not_before_ns=at(5)), "read_ns": -1})
    assert (around.changes_ns, dict(around.taps)) == (before, {})


def test_a_tap_that_joined_a_group_is_unread_until_that_was_read():
    # given a tap that joins a fanout group at 10 ms: it is hooked out, the group is hooked in
    around = scene(read_at(0, 1_000, TAPS[ON_ETH0]), taps={})
    around.take_hooks(hook(ON_ETH0, False, at=10_000))
    assert bindings(around, 20_000) == [(2, UNREAD)]
    around.apply(read_at(30_000, 31_000, replace(TAPS[ON_ETH0], fanout_id=7)))
    assert bindings(around, 5_000, 20_000) == [(2, HOOKED), (2, HOOKED)]
    assert [around.tap(ON_ETH0, at(us)).fanout_id for us in (5_000, 20_000)] == [None, 7]


def test_what_a_tap_was_is_told_as_sure_only_where_it_was_read(bound_anew):
    assert bound_anew.tap(ON_ETH0, at(20_000)) == TAPS[ON_ETH0]
    assert bound_anew.tap_surely(ON_ETH0, at(5_000)) == TAPS[ON_ETH0]
    assert bound_anew.tap_surely(ON_ETH0, at(20_000)) is bound_anew.tap_surely(999, at(5_000)) is None


def test_a_recording_that_does_not_tell_when_readings_began_is_taken_at_its_word():
    around = scene(tap_event(at(30_000), replace(TAPS[ON_ETH0], ifindex=3)), taps={ON_ETH0: TAPS[ON_ETH0]})
    around.take_hooks(
        both(
            hook(ON_ETH0, False, at=10_000),
            hook(ON_ETH0, True, at=10_100),
            hook(ON_ETH0, False, at=40_000),
            hook(ON_ETH0, True, at=40_100),
        )
    )

    assert bindings(around, 5_000, 20_000, 50_000) == [(2, HOOKED), (3, HOOKED), (3, HOOKED)]


def test_hooks_are_taken_out_of_the_passes_and_the_others_stay_as_they_are():
    # given passes with hooks among them
    passes = both(received(), hook(5, True, at=5), received(20), hook(5, False, at=30))
    around = Scene()

    # when taken
    rest = around.take_hooks(passes)

    # then the passes are left, with their steps
    alone = both(received(), received(20))
    assert (rest.records.tobytes(), rest.steps.tobytes(), rest.offsets.tolist()) == (
        alone.records.tobytes(),
        alone.steps.tobytes(),
        alone.offsets.tolist(),
    )
    assert around.taps.put(5).hooks == [(at(5), True), (at(30), False)]
    assert around.take_hooks(rest) is rest


def test_a_tap_is_told_as_it_was_then_and_as_it_last_was():
    # given a tap that is rebound at 10 µs and closed at 20
    around = scene(
        tap_event(at(10), replace(TAPS[ON_ETH0], ifindex=3)), {"kind": "tap-gone", "time_ns": at(20), "inode": ON_ETH0}
    )

    assert [around.tap(ON_ETH0, at(us)).ifindex for us in (0, 9, 10, 30)] == [2, 2, 3, 3]
    assert around.tap(999, at(0)) is None


def test_every_change_of_devices_and_taps_is_a_time_at_which_answers_may_change():
    # given a scene, when devices, taps and hooks change
    around = scene(taps={}, devices={})
    before = set(around.changes_ns)
    around.apply(altered("eth0", 10))
    around.apply({"kind": "device-gone", "time_ns": at(20), "netns": HERE, "ifindex": 2})
    around.apply(tap_event(at(40), TAPS[ON_ETH0], at(30), at(35)))
    around.apply({"kind": "tap-gone", "time_ns": at(60), "not_before_ns": at(50), "inode": ON_ETH0})
    around.take_hooks(hook(5, True, at=70))
    around.apply(losses(80, lost=[0]))

    # then their times are among the changes, and that of the losses is not
    assert before == set()
    changes = np.array(around.changes_ns)
    assert {at(us) for us in (10, 20, 30, 35, 40, 50, 60, 70)} <= set(changes.tolist())
    assert at(80) not in changes


# --- losses --------------------------------------------------------------------------------------------


def test_losses_are_the_newest_sums_and_only_those_that_are_not_zero():
    around = scene(losses(0, lost=[5, 5], too_deep=[1, 0]), losses(1, lost=[6, 5], too_deep=[0, 0], sent=[9, 9]))

    assert around.losses() == {"records lost": 11}
    assert scene().losses() == {}


def test_missing_stages_are_told_with_what_they_cost_and_why():
    around = Scene()
    for event in events(
        stages=[
            {"name": "tx", "without": "nothing sent is told", "missing": "no symbol"},
            {"name": "rx", "without": "nothing", "missing": ""},
        ]
    ):
        around.apply(event)

    assert around.missing_stages() == ["tx: nothing sent is told (no symbol)"]
