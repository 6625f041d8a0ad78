# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser of handmade recordings, and what its screen shows."""

from bondtrace.browser.browser import Browser
from bondtrace.browser.lines import text_of, width
from bondtrace.commands.browse import trace_of
from bondtrace.commands.selecting import typed
from bondtrace.format.trace_set import gather


def browsing(*paths, words="", until_done=True, **more):
    """Return a browser of these recordings, which has read everything."""
    browser = Browser([trace_of(one, **more) for one in gather(paths)], typed, words, more.get("era"))
    return work(browser) if until_done else browser


def work(browser):
    """Let a browser do all that is to be done."""
    while browser.work():
        pass
    return browser


def screen(browser, *keys, columns=80, rows=24, is_typing=False):
    """Press some keys; return the lines of the screen, each of which is as wide as the screen."""
    for key in keys:
        browser.press(key)
    lines = browser.lines(columns, rows, is_typing)
    told = [text_of(line) for line in lines]
    assert len(told) == rows and {width(line) for line in told} == {columns}
    assert all(line.isprintable() for line in told)
    return [line.rstrip() for line in told]


def listed(browser):
    """The numbers of the journeys that are listed, by trace."""
    listing = browser.search.listing
    spots = [listing[index] for index in range(len(listing))]
    return [int(spot.chunk.numbers[spot.place]) for spot in spots]
