# SPDX-License-Identifier: GPL-2.0-or-later
"""What keys change of what a screen shows."""

import pytest

from bondtrace.browser.state import BESIDE, State, View, layout, moved, toggled


@pytest.mark.parametrize(
    "key, place",
    [
        *(("j", 51), ("down", 51), ("k", 49), ("up", 49), ("g", 0), ("home", 0), ("G", 99), ("end", 99)),
        *(("pagedown", 59), (" ", 59), ("pageup", 41), ("c-d", 54), ("c-u", 46)),
    ],
)
def test_a_key_moves(key, place):
    assert moved(key, 50, 10, 99) == place


@pytest.mark.parametrize("key", ["j", "k", "pageup", "pagedown", "c-u", "c-d", "g", "G"])
@pytest.mark.parametrize("page", [0, 1, 2])
def test_no_key_moves_beyond_what_there_is_and_none_stands_still_in_it(key, page):
    for last in (0, 1, 5):
        for place in range(last + 1):
            reached = moved(key, place, page, last)
            assert 0 <= reached <= last
            assert reached != place or place in (0, last)


def test_the_cursor_is_on_the_screen_and_the_screen_is_full():
    state = State()
    rows = layout(state).list_rows
    assert (state.at(rows - 1, 100).top, state.at(rows, 100).top) == (0, 1)

    end = state.at(99, 100)
    assert (end.cursor, end.top) == (99, 100 - rows)
    assert end.at(98, 100).top == end.top  # it moves only where it has to
    assert end.at(99, 3).cursor == 2 and end.at(99, 3).top == 0
    assert end.at(99, 0).cursor == 0


def test_a_smaller_screen_still_shows_the_cursor():
    state = State().at(8, 100).sized(80, 8, 100)

    assert state.top <= state.cursor < state.top + layout(state).list_rows


@pytest.mark.parametrize("columns", [1, 80, BESIDE - 1, BESIDE, 300])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 24, 60])
@pytest.mark.parametrize("in_story", [False, True])
def test_the_parts_of_the_screen_fit_it(columns, rows, in_story):
    parts = layout(State(columns, rows, in_story=in_story))

    assert parts.list_rows >= 1 and parts.story_rows >= 0
    if parts.is_beside:
        assert parts.list_columns + 2 + parts.story_columns == columns
    elif rows >= 5:
        assert 2 + 1 + parts.list_rows + (1 + parts.story_rows if parts.story_rows else 0) <= rows


def test_another_journey_is_told_from_its_begin():
    state = State(in_story=True, story_top=7)

    assert state.at(0, 5).story_top == 7
    assert state.at(1, 5).story_top == 0


def test_views_are_opened_and_left():
    table = toggled("tab", State(scrolled=3))
    assert (table.view, table.scrolled) == (View.TABLE, 0)
    assert toggled("tab", table).view is toggled("escape", table).view is View.JOURNEYS
    assert toggled("?", table).view is View.HELP
    assert toggled("enter", table).why and not toggled("enter", table).sentences
    assert toggled("enter", State()).sentences and not toggled("enter", State()).why
    assert toggled("right", table) is None and toggled("right", toggled("w", table)).aside == 8
    assert toggled("x", State()) is None
