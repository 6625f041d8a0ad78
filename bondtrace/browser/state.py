# SPDX-License-Identifier: GPL-2.0-or-later
"""What a screen shows of what there is, and what a key changes of that: values, without a terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Optional

BESIDE = 160  # from so many columns on the story is beside the list
_LIST_ROWS = 4  # of the list while the story is scrolled below it


class View(Enum):
    """What fills the screen."""

    JOURNEYS = "journeys"
    TABLE = "table"
    HELP = "help"


@dataclass(frozen=True)
class State:
    """What is shown on a screen of ``columns`` and ``rows``.

    ``cursor`` is the journey whose story is shown, by its place in the list, of which ``top`` is the first on the
    screen; ``story_top`` is the first line of its story. ``in_story``: keys that move scroll the story. ``sentences``
    and not steps; ``verbose``: with all absences. ``scrolled`` is the first line of a table or of the help, ``aside``
    the table's first column; ``whole``: the table is not fitted to the screen; ``why``: with reasons.
    """

    columns: int = 80
    rows: int = 24
    view: View = View.JOURNEYS
    cursor: int = 0
    top: int = 0
    in_story: bool = False
    story_top: int = 0
    sentences: bool = False
    verbose: bool = False
    scrolled: int = 0
    aside: int = 0
    whole: bool = False
    why: bool = False

    def at(self, cursor: int, count: int) -> State:
        """Return the state with the cursor on that journey of ``count``, which is on the screen."""
        rows = layout(self).list_rows
        cursor = max(min(cursor, count - 1), 0)
        top = max(min(self.top, cursor, count - rows), cursor - rows + 1, 0)
        return replace(self, cursor=cursor, top=top, story_top=self.story_top if cursor == self.cursor else 0)

    def sized(self, columns: int, rows: int, count: int) -> State:
        """Return the state for another size of the screen."""
        return replace(self, columns=max(columns, 1), rows=max(rows, 1)).at(self.cursor, count)


class Layout(NamedTuple):
    """How the screen of journeys is divided: rows of journeys and of the story, columns of both; ``is_beside``: next to
    and not below one another."""

    list_rows: int
    story_rows: int
    list_columns: int
    story_columns: int
    is_beside: bool


def layout(state: State) -> Layout:
    """Return how the screen is divided, without the lines at its top and bottom, and one above each part."""
    room = max(state.rows - 3, 1)
    if state.columns >= BESIDE:
        left = state.columns // 2
        return Layout(room, room, left, state.columns - left - 2, True)
    rows = max(min(_LIST_ROWS, room // 3) if state.in_story else (room - 1) * 2 // 5, 1)
    return Layout(rows, max(room - 1 - rows, 0), state.columns, state.columns, False)


_STEPS = {"up": -1, "k": -1, "c-p": -1, "down": 1, "j": 1, "c-n": 1}
_PAGES = {"pageup": -1.0, "c-b": -1.0, "b": -1.0, "pagedown": 1.0, "c-f": 1.0, " ": 1.0, "c-u": -0.5, "c-d": 0.5}
_ENDS = {"home": 0, "g": 0, "end": 1, "G": 1}

MOVES = (*_STEPS, *_PAGES, *_ENDS)
"""The keys that move."""


def moved(key: str, place: int, page: int, last: int) -> int:
    """Return where a key of ``MOVES`` leads from a place of 0 to ``last``, where so many are a page."""
    if key in _ENDS:
        return last * _ENDS[key]
    step = _STEPS[key] if key in _STEPS else int(_PAGES[key] * max(page - 1, 1)) or (1 if _PAGES[key] > 0 else -1)
    return max(min(place + step, last), 0)


def toggled(key: str, state: State) -> Optional[State]:
    """Return the state after a key that changes what is shown; ``None`` for any other key."""
    view = state.view
    if key in ("?", "tab", "escape"):
        wanted = {"?": View.HELP, "tab": View.TABLE, "escape": View.JOURNEYS}[key]
        view = View.JOURNEYS if view is wanted else wanted
        in_story = state.in_story and key != "escape"
        return replace(state, view=view, scrolled=0, aside=0, in_story=in_story)
    if view is View.JOURNEYS:
        if key == "enter":
            return replace(state, sentences=not state.sentences, story_top=0)
        if key == "v":
            return replace(state, verbose=not state.verbose)
        if key in ("right", "l", "left", "h"):
            return replace(state, in_story=key in ("right", "l"))
    if view is View.TABLE:
        if key == "enter":
            return replace(state, why=not state.why)
        if key == "w":
            return replace(state, whole=not state.whole, aside=0)
        if key in ("right", "l", "left", "h") and state.whole:
            return replace(state, aside=max(state.aside + (8 if key in ("right", "l") else -8), 0))
    return None
