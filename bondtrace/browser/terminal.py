# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser on a terminal, by prompt_toolkit: keys and what is typed go in, lines come out.

Invariant: however it ends, the terminal is as it was before.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Optional

from ..errors import missing_package
from ..util.signals import Ended
from .browser import Browser
from .completing import candidates
from .state import MOVES

try:
    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.layout import ConditionalContainer, HSplit, Layout, Window
    from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
    from prompt_toolkit.layout.menus import CompletionsMenu
    from prompt_toolkit.layout.processors import BeforeInput
    from prompt_toolkit.output import ColorDepth
    from prompt_toolkit.styles import Style
except ImportError:
    raise missing_package("browse", "prompt_toolkit", "browse", "python3-prompt-toolkit") from None

STYLES = {
    "bold": "bold",
    "dim": "",
    "red": "ansired",
    "green": "ansigreen",
    "yellow": "ansiyellow",
    "cyan": "ansicyan",
    "bar": "reverse",
    "cursor": "reverse",
    "error": "bold ansired",
    "completion-menu": "fg:default bg:default",
    "completion-menu.completion.current": "fg:default bg:default reverse",
    "completion-menu.meta.completion": "fg:default bg:default",
    "completion-menu.meta.completion.current": "fg:default bg:default reverse",
}
"""The styles of lines, as prompt_toolkit's. What is dim elsewhere is not here: not every terminal has it."""

_OTHERS = (*("enter", "tab", "escape", "left", "right", "h", "l"), *"?vwnNuU")  # besides MOVES
_MENU_ROWS = 6  # of what can follow, at most
_ENOUGH_S = 0.04  # of work before keys are looked at
_ESCAPE_S = 0.05  # an Esc of its own, and not the begin of another key


def run(browser: Browser, with_colours: bool) -> None:
    """Show the browser until the user quits.

    :raises Ended: where a signal ended it.
    """
    terminal = _Terminal(browser, with_colours)
    terminal.application.run(pre_run=terminal.begin)


class _Terminal:
    """The application around a browser. ``_before`` are the words from before others are typed; ``None``: none are."""

    def __init__(self, browser: Browser, with_colours: bool) -> None:
        self._browser = browser
        self._before: Optional[str] = None
        self._working: Optional[asyncio.Task[None]] = None
        is_typing = Condition(lambda: self._before is not None)
        self._typed = Buffer(
            multiline=False,
            on_text_changed=lambda _: self._type(),
            completer=_Completer(browser),
            complete_while_typing=True,
        )
        self._screen = Window(FormattedTextControl(self._text, show_cursor=False, focusable=True))
        self._line = Window(BufferControl(self._typed, [BeforeInput("/")]), height=1)
        below = HSplit([self._line, CompletionsMenu(max_height=_MENU_ROWS)])
        self.application: Application[None] = Application(
            layout=Layout(HSplit([self._screen, ConditionalContainer(below, is_typing)]), self._screen),
            key_bindings=self._bindings(is_typing),
            style=Style.from_dict(STYLES),
            color_depth=None if with_colours else ColorDepth.DEPTH_1_BIT,
            full_screen=True,
        )
        self.application.ttimeoutlen = _ESCAPE_S

    def begin(self) -> None:
        """Begin to work, and to hear signals."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._end, Ended(number))
        self._work_on()

    # --- what is shown ---

    def _text(self) -> StyleAndTextTuples:
        """Return all of the screen but the line in which words are typed, and what can follow below it."""
        size, is_typing = self.application.output.get_size(), self._before is not None
        try:
            rows = size.rows - (1 + self._menu_rows() if is_typing else 0)
            lines = self._browser.lines(size.columns, max(rows, 1), is_typing)
        except Exception as error:  # prompt_toolkit would show it, and wait for a key
            self._end(error)
            return []
        told: StyleAndTextTuples = []
        for line in lines:
            told += [("", "\n")] if told else []
            told += [(f"class:{style}" if style else "", text) for style, text in line]
        return told

    def _menu_rows(self) -> int:
        state = self._typed.complete_state
        return min(len(state.completions), _MENU_ROWS) if state else 0

    # --- work ---

    def _work_on(self) -> None:
        """See to it that work is done while there is any."""
        if self._working is None or self._working.done():
            self._working = self.application.create_background_task(self._work())

    async def _work(self) -> None:
        try:
            while self._work_a_bit():
                self.application.invalidate()
                await asyncio.sleep(0)
        except Exception as error:
            self._end(error)
        self.application.invalidate()

    def _work_a_bit(self) -> bool:
        end_s = time.monotonic() + _ENOUGH_S
        while self._browser.work():
            if time.monotonic() >= end_s:
                return True
        return False

    def _end(self, error: Optional[BaseException] = None) -> None:
        if not self.application.is_done:
            if error is None:
                self.application.exit()
            else:
                self.application.exit(exception=error)

    # --- keys ---

    def _bindings(self, is_typing: Condition) -> KeyBindings:
        keys = KeyBindings()
        for key in (*MOVES, *_OTHERS):
            keys.add(key, filter=~is_typing, eager=True)(_calls(partial(self._browser.press, key)))
        keys.add("/", filter=~is_typing)(_calls(self._begin_typing))
        keys.add("enter", filter=is_typing, eager=True)(_calls(self._keep_typed))
        keys.add("tab", filter=is_typing, eager=True)(_calls(self._complete))
        keys.add("escape", filter=is_typing, eager=True)(_calls(self._take_back))
        keys.add("q", filter=~is_typing)(_calls(self._end))
        keys.add("c-c", eager=True)(_calls(self._end))
        keys.add("<sigint>")(_calls(self._end))
        keys.add("c-z")(_calls(lambda: self.application.suspend_to_background()))
        keys.add("c-l")(_calls(lambda: self.application.renderer.clear()))
        return keys

    def _begin_typing(self) -> None:
        self._before = self._browser.words
        self._typed.set_document(Document(self._before), bypass_readonly=True)
        self.application.layout.focus(self._line)

    def _type(self) -> None:
        if self._before is not None:
            self._browser.type(self._typed.text)
            self._work_on()

    def _complete(self) -> None:
        """Take what can follow: the only candidate, or one after the other."""
        state = self._typed.complete_state
        if state is None or not state.completions:
            self._typed.start_completion(insert_common_part=True)
        elif len(state.completions) == 1:
            self._typed.apply_completion(state.completions[0])
        else:
            self._typed.complete_next()

    def _keep_typed(self) -> None:
        """End typing, where what was typed can be meant."""
        self._browser.type(self._typed.text)
        if not self._browser.problem:
            self._end_typing()

    def _take_back(self) -> None:
        self._browser.type(self._before or "")
        self._work_on()
        self._end_typing()

    def _end_typing(self) -> None:
        self._before = None
        self.application.layout.focus(self._screen)


class _Completer(Completer):
    """Says what can follow in the line."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what can stand at the cursor."""
        scenes = [trace.scene for trace in self._browser.store.traces]
        for one in candidates(document.text_before_cursor, scenes, complete_event.completion_requested):
            yield Completion(one.text, -one.back, one.told, one.meaning)


def _calls(what: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
    """Return a function for a key that calls this."""
    return lambda event: what()
