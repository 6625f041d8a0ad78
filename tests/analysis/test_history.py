# SPDX-License-Identifier: GPL-2.0-or-later
"""Values over time, and the times between which answers stay."""

from bondtrace.analysis.history import Changes, History


def test_a_history_answers_as_of_a_time():
    # given something that was "a" from 10, "b" from 20, and went at 30
    history = History()
    for time_ns, value in ((10, "a"), (20, "b"), (30, None)):
        history.put(time_ns, value)

    # then each time has its value; before the first it is the first
    assert [history.at(time_ns) for time_ns in (0, 10, 19, 20, 29, 30, 99)] == ["a", "a", "a", "b", "b", None, None]
    assert (history.last_known(), history.first_ns, history.gone_ns) == ("b", 10, 30)


def test_a_history_of_nothing():
    history = History()

    assert (history.at(5), history.last_known(), history.gone_ns) == (None, None, None)


def test_what_came_back_has_not_gone():
    history = History()
    for time_ns, value in ((10, "a"), (20, None), (30, "c")):
        history.put(time_ns, value)

    assert (history.at(25), history.last_known(), history.gone_ns) == (None, "c", None)


def test_the_first_value_since_a_time():
    history = History()
    for time_ns, value in ((10, "a"), (20, None), (30, "c")):
        history.put(time_ns, value)

    assert [history.first_since(time_ns) for time_ns in (0, 10, 11, 30, 31)] == ["a", "a", "c", "c", None]


def test_between_two_changes_a_state_stays():
    changes = Changes()
    changes.add(20, 10, 20)

    assert changes.in_order == [10, 20]
    states = [changes.state(time_ns) for time_ns in (0, 9, 10, 19, 20, 99)]
    assert states[0] == states[1] != states[2] == states[3] != states[4] == states[5]


def test_what_is_learned_is_another_state_at_all_times():
    changes = Changes()
    changes.add(10)
    before = changes.state(5)

    changes.learn()

    assert changes.state(5) != before
