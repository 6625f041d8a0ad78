# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser as its user meets it, key by key; the terminal around it is tested in tests/commands."""

from pathlib import Path

import pytest
from seeing import browsing, listed, screen, work
from shell import PING, REPLY

from bondtrace.analysis.eras import find_era
from bondtrace.browser import store
from bondtrace.errors import BondtraceError
from bondtrace.format.wire import EMPTY
from build import SKB, begun, lossy, received, record, refused, sent, short_trace

CORPUS = sorted((Path(__file__).parents[1] / "data" / "hostile").iterdir())


@pytest.fixture
def browser(tmp_path):
    return browsing(short_trace(tmp_path / "trace.arrows"))


@pytest.fixture
def ping():
    return browsing(PING)


def story(lines):
    """The lines below the bar of the story, and above the status."""
    place = next(place for place, line in enumerate(lines) if line.startswith(("─ ", "▶ ")))
    return [line for line in lines[place + 1 : -1] if line]


def test_the_story_of_the_journey_under_the_cursor_is_that_of_show(browser):
    lines = screen(browser, columns=159, rows=40)

    assert story(lines) == REPLY.splitlines()
    assert "#2 ARP" in story(screen(browser, "j", columns=159, rows=40))[0]
    assert story(screen(browser, "enter", columns=159, rows=40))[0].startswith("Journey #2, ")


def test_the_screen_says_what_is_browsed_and_where_one_is(ping):
    lines = screen(ping, "G")

    assert "ping.arrows" in lines[0] and lines[0].endswith(" 10 journeys")
    assert lines[-1].endswith("10/10") and lines[-1].startswith("/ select  Tab table")


def test_an_absence_that_is_no_news_is_named_if_wanted(ping):
    assert "    1 other tap: not on its way (-v lists it)" in screen(ping)
    assert "    not seen by tcpdump -i eth1 [10960]" in "\n".join(screen(ping, "v"))


# --- selections ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, numbers",
    [
        ("arp", [1, 2, 3, 6, 7, 8]),
        ("icmp and icmp[icmptype] = icmp-echo", [4, 9]),
        ("--unseen inactive-slave", [2, 6]),
        ("--path 'eth0>bond0' icmp", [5, 9]),
        ("--dropped NO_SOCKET", [5]),
        ("--dropped", [2, 5, 6]),
        ("-f arp --dropped", [2, 6]),
        ("", list(range(1, 11))),
    ],
)
def test_what_is_typed_selects(ping, words, numbers):
    ping.type(words)

    assert listed(work(ping)) == numbers
    assert ping.problem == ""


@pytest.mark.parametrize(
    "words, problem",
    [
        ("icm", "the filter 'icm' is not a tcpdump filter"),
        ("arp and", "syntax error"),
        ("--tap", "'--tap' requires an argument"),
        ("--unseen inactive", "'inactive' is not one of"),
        ("--nosuch", "No such option"),
        ("--help", "No such option"),
        ("--path 'eth0", "No closing quotation: a quote is open"),
        ("arp --filter icmp", "two filters were given"),
        ("--slower 1x", "'1x' is no length of time"),
    ],
)
def test_words_that_are_not_finished_say_why_and_change_nothing(ping, words, problem):
    ping.type("arp")
    work(ping)
    ping.type(words)

    assert problem in ping.problem and problem.split()[0] in "\n".join(screen(ping, is_typing=True)[-4:])
    assert listed(work(ping)) == [1, 2, 3, 6, 7, 8] and ping.words == "arp"

    ping.type("icmp")
    assert listed(work(ping)) == [4, 5, 9, 10] and ping.problem == ""


def test_the_cursor_stays_on_its_journey_or_goes_to_the_next(ping):
    screen(ping, *"jjj")  # 4, an ICMP packet
    for words, cursor in (("icmp", 4), ("arp", 6), ("icmp", 4), ("", 4), ("--until +0s", None)):
        ping.type(words)
        work(ping)
        numbers = listed(ping)
        assert (numbers[ping.state.cursor] if numbers else None) == cursor


def test_a_name_that_nothing_has_is_said_with_those_that_there_are(ping):
    ping.type("--tap tcpdmp")
    lines = screen(work(ping))

    assert lines[0].endswith("0 of 10")
    assert lines[-2].startswith("no tap 'tcpdmp' is in this trace: there are tcpdump -i bond0 [1389]")


def test_packets_of_which_a_filter_cannot_decide_are_counted(ping):
    ping.type("ether[90] = 1")
    lines = screen(work(ping))

    assert lines[-1] == "4 packets could not be decided: Tab"
    assert "4 packets have too few bytes kept for this filter" in "\n".join(screen(ping, "tab"))


def test_a_selection_that_cannot_be_asked_of_the_trace_is_reported(tmp_path):
    # given a recording that lacks its begin, and so its clock
    browser = browsing(record(tmp_path / "trace.arrows", (received(), [])))
    browser.type("--since 12:30")

    assert listed(work(browser)) == [1]
    assert "when '12:30' was is not known" in browser.problem and browser.words == ""


def test_a_selection_is_made_again_when_all_is_known(tmp_path, monkeypatch):
    # given chunks of one journey each, and a selection by the name of a device that is told only at the end
    monkeypatch.setattr(store, "PASSES_A_CHUNK", 2)
    events = begun("a")
    late = [one for one in events if one["kind"] == "device"]
    early = [one for one in events if one["kind"] not in ("device", "tap")]
    path = record(tmp_path / "trace.arrows", (received(), early), (refused(9_000_000), []), (sent(20_000_000), late))

    browser = browsing(path, words="--dev bond0")

    assert listed(browser) == [1, 3]
    assert screen(browser)[0].endswith("2 of 3")


# --- keys ----------------------------------------------------------------------------------------------


def test_the_next_that_is_alike_and_the_next_that_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PASSES_A_CHUNK", 2)
    kinds = [received, received, refused, received, refused]
    batches = [(kind(at * 1_000_000, skb=SKB + 64 * at), []) for at, kind in enumerate(kinds)]
    browser = browsing(record(tmp_path / "trace.arrows", (batches[0][0], begun("a")), *batches[1:]))

    reached = []
    for key in "nnNuuUNN":
        browser.press(key)
        reached.append(browser.state.cursor + 1)

    assert reached == [2, 4, 2, 3, 4, 3, 3, 3]
    assert screen(browser)[-1] == "no journey with the same steps and answers before this one"
    assert not screen(browser, "j")[-1].startswith("no journey")


def test_a_story_that_does_not_fit_is_scrolled(ping):
    screen(ping, "j", "enter")
    first = story(screen(ping))
    told = "\n".join(first)
    assert "7 more lines: →" in "\n".join(screen(ping))

    last = story(screen(ping, "right", "G"))
    assert "(losses: none.)" in last and "(losses: none.)" not in told
    assert ping.state.cursor == 1

    assert story(screen(ping, "g", "left"))[: len(first)] == first
    screen(ping, "j")
    assert ping.state.cursor == 2


def test_the_table_is_that_of_the_summary_of_what_is_selected(ping):
    ping.type("--unseen inactive-slave")
    lines = screen(work(ping), "tab")

    assert lines[1] == "selected: 2 of 10 journeys by --unseen inactive-slave"
    assert "tcpdump -i eth1 [10960]  eth1      2/2   2         0" in lines
    assert "losses: none" in lines
    assert "(for example #2)" in "\n".join(screen(ping, "enter"))

    ping.type("")
    assert "10 packets; a cell is offers/captures" in "\n".join(screen(work(ping)))
    assert screen(ping, "tab")[1].startswith("time")


def test_a_table_that_is_too_wide_is_shown_in_parts(ping):
    assert "(too narrow for: bound to, eth1 rx, bond0 tx" in "\n".join(screen(ping, "tab"))
    whole = screen(ping, "w", columns=60)[1]
    assert whole.startswith("tap                      bound to    eth0 rx") and whole.endswith("…")
    moved = screen(ping, "right", columns=60)[1]
    assert moved[:51] == whole[8:59] and "unseen    mostly because" in screen(ping, *["right"] * 12, columns=60)[1]


def test_the_help_names_every_key(ping):
    told = "\n".join(screen(ping, "?", rows=40))

    assert all(word in told for word in ("Enter", "Tab", "Ctrl-C", "PgDn", "g G", "n N", "u U", "w", "v", "/"))
    assert screen(ping, "?")[1].startswith("time")


# --- what there is -------------------------------------------------------------------------------------


def test_several_traces_are_in_one_list_and_have_a_table_each(tmp_path):
    one = record(tmp_path / "a.arrows", (received(), begun("a")))
    other = record(tmp_path / "b.arrows", (sent(), begun("b", 50)))
    browser = browsing(one, other)

    assert listed(browser) == [1, 1]
    assert "/a.arrows and 1 more" in screen(browser)[0] and "/b.arrows and 1 more" in screen(browser, "j")[0]
    told = screen(browser, "tab", rows=60, columns=200)
    assert [line for line in told if line.startswith("==")] == [f"== {one}", f"== {other}"]
    browser.type("--outcome full")
    assert listed(work(browser)) == [1] and "of 2" in screen(browser)[0]


def test_the_answers_of_an_older_kernel_stand_below(ping):
    browser = browsing(PING, era=find_era("2.6.18"))

    assert "as if 2.6.18 (RHEL 5" in "\n".join(screen(browser, "j", rows=60))
    assert "As if 2.6.18 (RHEL 5" in "\n".join(screen(browser, "enter", rows=80))
    told = screen(browser, "tab", rows=60)
    assert any(line.startswith("as if 2.6.18") for line in told)
    browser.type("--unseen inactive-slave")
    selected = screen(work(browser), rows=60)
    assert "tcpdump -i eth1 [10960]  eth1        rx on eth1  2           0         ≠" in selected


def test_losses_are_not_hidden(tmp_path):
    browser = browsing(lossy(tmp_path / "trace.arrows"))

    assert screen(browser)[0].endswith("not all is there: Tab")
    assert "losses: records lost 2 (so an absence may be a loss)" in "\n".join(screen(browser, "tab", rows=60))


def test_a_recording_of_nothing_can_be_looked_at(tmp_path):
    browser = browsing(record(tmp_path / "trace.arrows", (EMPTY, begun("a"))))

    assert screen(browser)[0].endswith("0 journeys")
    for key in ("j", "G", "n", "enter", "right", "pagedown", "tab", "?"):
        screen(browser, key)


@pytest.mark.parametrize("columns, rows", [(1, 1), (2, 2), (5, 3), (20, 4), (40, 8), (159, 24), (160, 24), (300, 90)])
def test_any_size_is_filled(ping, columns, rows):
    for keys in ((), ("G",), ("enter",), ("right", "G"), ("tab",), ("w", "right"), ("?",)):
        screen(ping, *keys, columns=columns, rows=rows)
    screen(ping, is_typing=True)


def test_until_all_is_read_the_list_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PASSES_A_CHUNK", 2)
    parts = [(received(at * 1_000_000, skb=SKB + 64 * at), []) for at in range(1, 6)]
    browser = browsing(record(tmp_path / "trace.arrows", (received(), begun("a")), *parts), until_done=False)
    counts, told = [], []
    while browser.work():
        counts.append(len(browser.search.listing))
        told.append(screen(browser)[0])

    assert counts == sorted(counts) and len(set(counts)) > 3 and counts[-1] == 6
    assert any("reading" in title for title in told) and "reading" not in screen(browser)[0]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_hostile_recording_is_shown_in_printable_text(path):
    try:
        browser = browsing(path)
    except BondtraceError:
        return
    for key in ("j", "enter", "tab", "enter", "w", "tab", "v", "G"):
        screen(browser, key)
    browser.type("--dropped")
    screen(work(browser), "tab")
