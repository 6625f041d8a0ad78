# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a tap was there at a time, row by row of the table of ``TapHistory``."""

from dataclasses import replace

import pytest

from bondtrace.analysis.tap_history import HOOK_MARGIN_NS, Presence, TapHistory, Taps
from build import ON_ETH0, TAPS

HOOKED, NOT_YET, OUT, UNSURE, UNREAD, CLOSED = Presence
TAP = TAPS[ON_ETH0]
MEMBER = replace(TAP, fanout_id=7)
MS = HOOK_MARGIN_NS


def history(*hooks, reads=(), opened=None, closed=None):
    """A history; times are in margins. ``reads`` are (begun, ended, tap)."""
    one = TapHistory([(time * MS, is_in) for time, is_in in hooks])
    for begun, ended, tap in reads:
        one.read(tap, begun * MS, ended * MS)
    if opened:
        one.opened(opened[0] * MS, opened[1] * MS)
    if closed:
        one.closed(closed[0] * MS, closed[1] * MS)
    return one


ALWAYS = [(0, 1, TAP)]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        # its hooks are known
        (history((10, True), reads=[(20, 21, TAP)]), {5: OUT, 10: UNSURE, 11: UNSURE, 12: HOOKED, 99: HOOKED}),
        (history((10, True), reads=[(20, 21, TAP)], opened=(9, 21)), {5: NOT_YET, 11: UNSURE, 12: HOOKED}),
        (history((10, False), reads=ALWAYS), {5: HOOKED, 11: UNSURE, 12: UNREAD}),
        (history((10, False), reads=ALWAYS, closed=(15, 25)), {5: HOOKED, 12: UNREAD, 15: CLOSED, 99: CLOSED}),
        (history((10, False), (30, True), reads=ALWAYS), {5: HOOKED, 20: OUT, 31: UNSURE, 40: UNREAD}),
        # in a fanout group, which it joined after it was bound
        (
            history((10, True), reads=[(20, 21, MEMBER)], opened=(9, 21), closed=(50, 60)),
            {5: NOT_YET, 10: UNSURE, 11: UNSURE, 12: HOOKED, 55: UNSURE, 61: CLOSED},
        ),
        (history((10, True), reads=[(20, 21, replace(MEMBER, running=False))], opened=(9, 21)), {12: OUT}),
        # it opened, and had no hook though these are recorded
        (history(reads=[(20, 21, TAP)], opened=(9, 21)), {9: NOT_YET, 10: OUT, 99: OUT}),
        # only readings
        (history(reads=ALWAYS), {0: HOOKED, 99: HOOKED}),
        (history(reads=[(0, 1, replace(TAP, running=False))]), {0: OUT, 99: OUT}),
        (history(reads=ALWAYS, closed=(50, 60)), {49: HOOKED, 50: UNSURE, 60: UNSURE, 61: CLOSED}),
        (history(reads=[(20, 21, MEMBER)], opened=(9, 21)), {9: NOT_YET, 10: UNSURE, 21: UNSURE, 22: HOOKED}),
    ],
)
def test_presence(one, expected):
    assert {time: one.state(time * MS, hooks_are_recorded=True)[1] for time in expected} == expected


def test_where_hooks_are_not_recorded_their_absence_says_nothing():
    one = history(reads=[(20, 21, TAP)], opened=(9, 21))

    states = [one.state(time * MS, hooks_are_recorded=False)[1] for time in (9, 15, 22)]
    assert states == [NOT_YET, UNSURE, HOOKED]


def test_what_was_read_between_two_hooks_holds_between_them():
    bound = replace(TAP, ifindex=3)
    one = history((10, False), (20, True), (30, False), reads=[(0, 1, TAP), (22, 23, bound)])

    assert [one.at(time * MS) for time in (5, 25)] == [(TAP, True), (bound, True)]
    # and a reading that met a hook is of neither side
    assert history((10, False), reads=[(9, 11, TAP)]).at(5 * MS) == (TAP, False)


def test_older_recordings_have_no_begin_of_readings_and_are_taken_at_their_word():
    one = TapHistory([(10 * MS, False)])
    one.read(TAP, None, 11 * MS)

    assert one.at(5 * MS) == (TAP, True)


def test_a_tap_that_is_listed_again_has_not_closed():
    one = history(reads=ALWAYS, closed=(50, 60))
    one.read(TAP, 70 * MS, 71 * MS)

    assert one.state(99 * MS, True) == (TAP, HOOKED)


def test_strangers_are_taps_of_which_nothing_is_known():
    taps = Taps()
    taps.meet([ON_ETH0, 9])
    assert taps.strangers() == [9, ON_ETH0] and len(taps) == 0

    taps.put(ON_ETH0).read(TAP, 0, 1)
    taps.put(9).closed(0, 1)

    assert taps.strangers() == [9] and list(taps) == [ON_ETH0, 9]


def test_hooks_of_a_tap_that_is_not_listed_yet_are_kept_for_it_in_order():
    taps = Taps()
    for time_ns, is_in in ((30, False), (10, True)):
        taps.hook(5, time_ns, is_in)

    assert 5 not in taps and taps.put(5).hooks == [(10, True), (30, False)]
