# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser of recordings without its terminal: it is told keys and what is typed, and says what the screen shows.

Invariant: work is done in small parts (``work``), so that keys are answered while recordings are read and searched. A
selection that cannot be meant is reported, and changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

from ..analysis.eras import Era
from ..analysis.select import Criteria
from ..errors import BondtraceError
from ..model import Journey
from ..util.untrusted import printable
from . import views
from .lines import Line, cut_front, fitted, width, wrapped
from .listing import Listing, Spot
from .search import Search
from .state import MOVES, State, View, layout, moved, toggled
from .store import Store, Trace

_HINTS = {
    View.JOURNEYS: "/ select  Tab table  Enter {other}  → story  ? help  q quit",
    View.TABLE: "Enter why  w whole  Tab journeys  ? help  q quit",
    View.HELP: "? back  q quit",
}
_PROBLEM_ROWS = 4
_TYPING = "a tcpdump filter, or options: --tap --unseen --outcome ...; Tab completes"


class Browser:
    """What is browsed, and what the screen shows of it.

    ``words`` are those by which journeys are selected. ``problem`` says what is wrong with those that were typed last.

    :param parse: returns what is asked for by words; ``BondtraceError`` where they are wrong.
    """

    def __init__(
        self, traces: list[Trace], parse: Callable[[str], Criteria], words: str = "", era: Optional[Era] = None
    ) -> None:
        self.store = Store(traces)
        self.state = State()
        self.words, self.problem = words, ""
        self.search = Search(self.store, parse(words), era)
        self._fallback = Search(self.store, Criteria(), era), ""
        self._parse, self._era = parse, era
        self._anchor: Optional[Spot] = None  # the journey to which the user has moved
        self._table: tuple[tuple[object, ...], list[Line]] = (), []

    # --- work ---

    def work(self) -> bool:
        """Do a part of what is to be done: search, or read on. Return whether there was anything."""
        was_whole = self.store.is_whole
        has_more = self._search_on() or self.store.read_on()
        self._search_on()  # what has been read is listed at once
        if self.store.is_whole and not was_whole and self.search.criteria:
            self._start(self.search.criteria)  # with all that is known of the surroundings by now
        self._follow()
        return has_more

    def _search_on(self) -> bool:
        try:
            return self.search.go_on()
        except BondtraceError as error:
            self.problem = str(error)
            self.search, self.words = self._fallback
            return True

    # --- what is typed ---

    def type(self, words: str) -> None:
        """Select by these words, which may not be finished."""
        try:
            criteria = self._parse(words)
        except BondtraceError as error:
            self.problem = str(error)
            return
        self.problem = ""
        if criteria != self.search.criteria:
            self._fallback = self.search, self.words
            self._start(criteria)
        self.words = words

    def _start(self, criteria: Criteria) -> None:
        self.search = Search(self.store, criteria, self._era)

    # --- keys ---

    def press(self, key: str) -> None:
        """Change what is shown as a key wants it; other keys are ignored."""
        self.problem = ""
        changed = toggled(key, self.state)
        if changed is not None:
            self.state = changed.at(changed.cursor, len(self._listing))
        elif key in MOVES:
            self._move(key)
        elif key in ("n", "N", "u", "U") and self.state.view is View.JOURNEYS and len(self._listing):
            self._go_like(key)

    def _move(self, key: str) -> None:
        state, parts = self.state, layout(self.state)
        if state.view is not View.JOURNEYS:
            rows = state.rows - 2
            last = max(len(self._lines_of_view()) - rows, 0)
            self.state = replace(state, scrolled=moved(key, min(state.scrolled, last), rows, last))
        elif state.in_story:
            last = max(len(self._story()) - parts.story_rows, 0)
            top = moved(key, min(state.story_top, last), parts.story_rows, last)
            self.state = replace(state, story_top=top)
        else:
            self._go(moved(key, state.cursor, parts.list_rows, max(len(self._listing) - 1, 0)))

    def _go_like(self, key: str) -> None:
        found = self._listing.nearest(self.state.cursor, 1 if key.islower() else -1, key.lower() == "n")
        if found is None:
            which = "with the same steps and answers" if key.lower() == "n" else "with other steps or answers"
            self.problem = f"no journey {which} {'after' if key.islower() else 'before'} this one"
        else:
            self._go(found)

    def _go(self, cursor: int) -> None:
        self.state = self.state.at(cursor, len(self._listing))
        self._anchor = self._listing[self.state.cursor] if len(self._listing) else None

    def _follow(self) -> None:
        """Let the cursor stay on its journey when others are listed."""
        listing = self._listing
        cursor = listing.index(self._anchor) if self._anchor and len(listing) else self.state.cursor
        self.state = self.state.at(cursor, len(listing))

    # --- the screen ---

    def lines(self, columns: int, rows: int, is_typing: bool = False) -> list[Line]:
        """Return what the screen shows: at most so many rows, of exactly so many columns."""
        self.state = self.state.sized(columns, rows, len(self._listing))
        if self.state.view is View.JOURNEYS:
            shown = self._journeys()
        else:
            lines, room = self._lines_of_view(), max(rows - 2, 0)
            top = min(self.state.scrolled, max(len(lines) - room, 0))
            shown = views.part_of(lines, top, room, self.state.aside)
        status = self._status(is_typing)
        lines = views.part_of([self._title(), *shown], 0, max(rows - len(status), 0))
        return [fitted(line, columns) for line in [*lines, *status[:rows]]]

    def _journeys(self) -> list[Line]:
        state, parts = self.state, layout(self.state)
        shown = [self._journey(index) for index in range(state.top, min(state.top + parts.list_rows, self._count))]
        at = state.cursor - state.top if shown else None
        left = views.part_of(views.list_lines(shown, at, parts.list_columns), 0, parts.list_rows + 1)
        told = self._story()
        top = min(state.story_top, max(len(told) - parts.story_rows, 0))
        right = [self._story_bar(len(told), top), *views.part_of(told, top, parts.story_rows)]
        if parts.is_beside:
            return views.beside(left, right, parts.list_columns)
        return [*left, *(right if parts.story_rows else [])]

    def _story(self) -> list[Line]:
        if not self._count:
            return []
        state, spot = self.state, self._listing[self.state.cursor]
        journey, scene = self.store.journey(*spot), spot.chunk.trace.scene
        columns = layout(state).story_columns
        return views.story_lines(journey, scene, columns, state.sentences, state.verbose, self._era)

    def _story_bar(self, count: int, top: int) -> Line:
        parts = layout(self.state)
        number = f"#{self._journey(self.state.cursor).id}" if self._count else ""
        rest = count - top - parts.story_rows
        more = f"{rest} more line{'s' * (rest > 1)}{': →' if not self.state.in_story else ''}" if rest > 0 else ""
        mark = "▶" if self.state.in_story else "─"
        form = "in sentences" if self.state.sentences else "steps"
        return views.bar(f"{mark} {number} {form}", more, parts.story_columns, "bold")

    def _lines_of_view(self) -> list[Line]:
        state = self.state
        if state.view is View.HELP:
            return views.help_lines(state.columns)
        key = (self.search, self.search.share, self.store.share, state.columns, state.why, state.whole)
        if self._table[0] != key:
            told = views.table_lines(self.search.tallies(), state.columns, state.why, state.whole)
            self._table = key, told
        return self._table[1]

    def _title(self) -> Line:
        traces, numbers, columns = self.store.traces, self._numbers(), self.state.columns
        trace = self._listing[self.state.cursor].chunk.trace if self._count else traces[0]
        start = trace.scene.start
        more = f" and {len(traces) - 1} more" if len(traces) > 1 else ""
        host = f" ({start.get('host')}, Linux {start.get('kernel')})" if start else ""
        room = columns - width(numbers) - width(more) - 3
        name = cut_front(trace.name, room)
        host = host if width(name) + width(host) <= room else ""
        return views.bar(printable(f" {name}{more}{host}"), f"{numbers} ", columns)

    def _numbers(self) -> str:
        """Return how many journeys are listed, what is still going on, and whether anything is missing."""
        kept = sum(map(len, self.store.chunks))
        told = f"{self._count:,} of {kept:,}" if self.search.criteria else f"{kept:,} journey{'s' * (kept != 1)}"
        if not self.store.is_whole:
            told += f"; reading {self.store.share:.0%}"
        elif self.search.share < 1:
            told += f"; searching {self.search.share:.0%}"
        elif any(one.scene.losses() or one.scene.missing_stages() or one.reservations() for one in self.store.traces):
            told += "; not all is there: Tab"
        return told

    def _status(self, is_typing: bool) -> list[Line]:
        """Return the lines at the bottom: what is wrong, what is to be said, or what can be done."""
        columns = self.state.columns
        problem = self.problem or (str(self.store.failures[0]) if self.store.failures else "")
        if problem:
            return wrapped([("error", printable(problem))], columns)[:_PROBLEM_ROWS]
        note = self._note()
        if note:
            return wrapped([("yellow", printable(note))], columns)[:_PROBLEM_ROWS]
        hint = _HINTS[self.state.view].format(other="steps" if self.state.sentences else "sentences")
        words = f"[{printable(self.words)}]  " if self.words else ""
        place = f"{self.state.cursor + 1:,}/{self._count:,}" if self._count else ""
        return [views.bar(_TYPING if is_typing else words + hint, place, columns, "")]

    def _note(self) -> str:
        """Return what is to be said of a selection that is done: names that nothing has, what was not decided."""
        if not self.search.criteria or not self._is_of_all:
            return ""
        selections = [one.selection for one in self.search.tallies() if one.selection]
        undecided = sum(one.cut + one.foreign for one in selections)
        undecided_words = f"{undecided:,} packets could not be decided: Tab" * bool(undecided)
        return next(iter(self.search.unknown_names), undecided_words)

    @property
    def _is_of_all(self) -> bool:
        return self.store.is_whole and self.search.share == 1

    @property
    def _listing(self) -> Listing:
        return self.search.listing

    @property
    def _count(self) -> int:
        return len(self.search.listing)

    def _journey(self, index: int) -> Journey:
        return self.store.journey(*self._listing[index])
