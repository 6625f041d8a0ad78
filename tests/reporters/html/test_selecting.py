# SPDX-License-Identifier: GPL-2.0-or-later
"""Selecting in the page: what it then shows is what a page of these journeys alone shows."""

import json
import re
import shlex
import time

import numpy as np
import pytest
from browser import Browser
from mixture import many
from page import Page, made, needs_browser, report_of

from bondtrace.format.wire import EMPTY
from bondtrace.stats.kinds import Kinds
from build import ALL_DEVICES, ON_ANY, ON_ETH0, B, both, ether, events, handler, ip4, protocol, record, rx, tap, tx, udp

pytestmark = needs_browser
TABLES = ("paths", "table", "unseen", "trivial", "dropped", "by-design")
SELECTIONS = (
    "--tap 'tcpdump -i eth0'",
    "--tap 41001 --tap lldpd",
    "--tap tcpdump --outcome full",
    "--outcome filtered --outcome ignored",
    "--unseen inactive-slave",
    "--unseen bound-elsewhere --tap 'tcpdump -i bond0 [41003]'",
    "--dropped",
    "--dropped=no_socket --dev peer0",
    "--dropped NO_SOCKET --dev eth1",
    "--dev bond0 --dev peer0",
    "--path 'eth0>bond0'",
    "--path 'bond0 > eth0' --path eth0→bond0.7",
    '--dev "bond0.7" --outcome=full',
    "--outcome full --dev eth1",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser"), "--window-size=1280,2000") as browser:
        yield browser


@pytest.fixture
def mixture(tmp_path):
    passes = many(4, 400)
    parts = [(passes.take(places), []) for places in np.array_split(np.arange(len(passes)), 3)]
    return record(tmp_path / "trace.arrows", (EMPTY, events()), *parts)


def parsed(browser):
    """The page without its scripts."""
    return Page(
        browser.evaluate("document.querySelector('header').outerHTML + document.querySelector('main').outerHTML")
    )


def shown(browser):
    """What the page shows: its tables and figures, without the namespace that is named where there are several."""
    page = parsed(browser)
    plain = re.compile(r" \((host|blue)\)")
    tables = {name: [[plain.sub("", cell) for cell in row] for row in page.tables[name]] for name in TABLES}
    return {**tables, "counts": page.counts}


def select(browser, line):
    """Type a line into the box; return what is said of it: (what was selected, the error)."""
    browser.evaluate(
        f"document.getElementById('select').value = {json.dumps(line)}; document.getElementById('apply').click()"
    )
    page = parsed(browser)
    return page.texts.get("selected", ""), page.texts.get("select-error", "")


def test_what_is_selected_in_the_page_is_what_the_command_line_selects(tmp_path, run, browser, mixture):
    # given the pages of all journeys, and of those that each line selects
    whole = made(tmp_path, run, mixture)
    by_line, counts = {}, []
    for nth, line in enumerate(SELECTIONS):
        (tmp_path / str(nth)).mkdir()
        browser.open(made(tmp_path / str(nth), run, mixture, *shlex.split(line)).as_uri())
        by_line[line] = shown(browser)
        counts.append(int(by_line[line]["counts"]["journeys"]))
    assert 0 < min(counts[:-1]) < max(counts) < 400 and counts[-1] == 0, counts

    # when the lines are typed into the page of all
    browser.open(whole.as_uri())
    before = shown(browser)
    for line in SELECTIONS:
        said, error = select(browser, line)

        # then it shows the same, and says so
        assert shown(browser) == by_line[line], line
        assert (error, said.startswith("selected: ")) == ("", True) and line in said
        listed = browser.evaluate("document.getElementById('journeys-note').textContent")
        assert listed.startswith(f"{by_line[line]['counts']['journeys']} of the ")

    # and all of it again without a selection
    assert select(browser, "") == ("", "") and shown(browser) == before
    assert browser.console == []


def test_time_is_selected_by_bins_of_which_it_says_which(tmp_path, run, browser, mixture):
    report = report_of(made(tmp_path, run, mixture))
    clock, timeline = report["clock"], report["timeline"]
    edge, width = timeline["edges_ns"][60], timeline["width_ns"]
    begin, end = (clock["first_ns"] + bins * width for bins in (20, 90))
    browser.open((tmp_path / "report.html").as_uri())

    def counted(*words):
        return json.loads(run("summary", mixture, "--json", *words)[1])["journeys"]

    for line, exact in (
        (f"--since +{begin}ns", ("--since", f"+{begin}ns")),
        (f"--since +{begin + 1}ns --until +{end - 1}ns", ("--since", f"+{begin}ns", "--until", f"+{end}ns")),
        (f"--slower {edge + 1}ns --dev eth0", ("--slower", f"{edge - 1}ns", "--dev", "eth0")),
        ("--until +10m --since +0s", ()),
    ):
        said, error = select(browser, line)
        assert error == "" and said.startswith(f"selected: {counted(*exact)} of {counted()} journeys")
        assert "times are counted in bins" in said
        listed = browser.evaluate("document.getElementById('journeys-note').textContent")
        assert listed.startswith(f"{counted(*exact)} of the ")
        # an example is one that is selected, too
        examples = {row[4] for row in shown(browser)["unseen"][1:]}
        chosen = json.loads(f"[{','.join(run('show', mixture, '--json', *exact)[1].splitlines())}]")
        assert examples - {""} <= {f"#{journey['id']}" for journey in chosen} and examples


def test_times_of_day_are_those_of_the_host_on_which_the_page_was_made(tmp_path, run, browser, mixture, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    report = report_of(made(tmp_path, run, mixture))
    browser.open((tmp_path / "report.html").as_uri())
    assert browser.evaluate("new Date().getTimezoneOffset()") != -330

    heading = report["journeys"]["list"][200]["heading"]
    begin = re.match(r"\d\d:\d\d:\d\d\.\d{6}", heading).group()
    day = report["trace"]["first"][:10]
    for since in (begin, f"{day}T{begin}", f"{day}T{begin}+05:30"):
        said, _ = select(browser, f"--since {since}")
        found = int(re.match(r"selected: (\d+)", said).group(1))
        exact = json.loads(run("summary", mixture, "--json", "--since", since)[1])["journeys"]
        in_a_bin = 1 + report["timeline"]["width_ns"] // 100_000
        assert exact <= found <= exact + in_a_bin and 100 < exact < 300


WRONG = (
    ("--tap", "--tap needs a value"),
    ("--tap 'tcp", "is not closed"),
    ("--outcome eaten", "there is captured, filtered, full, ignored, unknown"),
    ("--unseen x", "inactive-slave"),
    ("--path 'eth0>'", "is no path"),
    ("--slower soon", "is no length of time"),
    ("--since 25:00", "is no time"),
    ("--since 2026-13-45", "is no time"),
    ("--bogus 1", "there is no option --bogus here: there are --tap, --unseen"),
    ("icmp and host 10.9.0.1", "bondtrace report FILE FILTER"),
    ("--filter icmp", "bondtrace report FILE FILTER"),
)


def test_what_is_wrong_with_a_line_is_said_and_changes_nothing(tmp_path, run, browser, mixture):
    made(tmp_path, run, mixture)
    browser.open((tmp_path / "report.html").as_uri())
    before = shown(browser)

    for line, said in WRONG:
        told, error = select(browser, line)

        assert (told, said in error) == ("", True), error
        assert shown(browser) == before and browser.console == []


def test_a_name_that_nothing_has_is_said(tmp_path, run, browser, mixture):
    made(tmp_path, run, mixture)
    browser.open((tmp_path / "report.html").as_uri())

    said, error = select(browser, "--tap wireshark --dev eth9 --dropped NONSENSE")

    assert error == "" and said.startswith("selected: 0 of 400 journeys")
    assert "no tap wireshark is in this trace: there are tcpdump" in said
    assert "no device eth9 is in this trace: there are " in said and "NONSENSE" in said


def test_without_the_start_of_the_trace_times_are_refused(tmp_path, run, browser):
    made(tmp_path, run, record(tmp_path / "trace.arrows", (many(1, 20), [])))
    browser.open((tmp_path / "report.html").as_uri())

    assert "does not hold the start" in select(browser, "--since +1s")[1]
    assert select(browser, "--slower 1ns")[1] == ""


def test_options_are_chosen_from_lists_and_the_address_keeps_them(tmp_path, run, browser, mixture):
    made(tmp_path, run, mixture)
    browser.open((tmp_path / "report.html").as_uri())

    def choose(option, value):
        browser.evaluate(
            f"(() => {{ const one = document.querySelector('#choices [title=\"{option}\"]'); one.value = "
            f"{json.dumps(value)}; one.dispatchEvent(new Event('change')); }})()"
        )
        return browser.evaluate("document.getElementById('select').value")

    assert choose("--tap", "tcpdump -i eth0 [41001]") == "--tap 'tcpdump -i eth0 [41001]'"
    assert choose("--dropped", "") == "--tap 'tcpdump -i eth0 [41001]' --dropped"
    first = browser.evaluate("document.querySelector('#choices [title=\"--since\"]').options[1].value")
    choose("--since", first)
    line = choose(
        "--since", browser.evaluate("document.querySelector('#choices [title=\"--since\"]').options[2].value")
    )
    assert line.startswith("--tap 'tcpdump -i eth0 [41001]' --dropped --since +") and line.count("--since") == 1
    chosen, address = shown(browser), browser.evaluate("location.href")
    browser.open("about:blank")
    browser.open(address)
    assert shown(browser) == chosen and browser.evaluate("document.getElementById('select').value") == line
    # an unselected journey that is asked for ends the selection
    browser.evaluate("location.hash = '#journey-1'")
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert browser.evaluate("document.getElementById('journey-1').open")
    assert browser.evaluate("document.getElementById('select').value") == ""
    assert browser.console == []


def test_packets_of_kinds_that_the_page_does_not_know_are_left_out_and_counted(
    tmp_path, run, browser, mixture, monkeypatch
):
    monkeypatch.setattr(Kinds.__init__, "__defaults__", (3, *Kinds.__init__.__defaults__[1:]))
    report = report_of(made(tmp_path, run, mixture))
    rest = sum(kind["packets"] for kind in report["kinds"]["list"] if kind.get("is_rest"))
    assert 0 < rest < 400 and sum(kind["packets"] for kind in report["kinds"]["list"]) == 400
    browser.open((tmp_path / "report.html").as_uri())

    said, _ = select(browser, "--outcome captured")

    assert f"of {rest} packets of rare kinds the page does not know enough to select them: they are left out" in said
    said, _ = select(browser, "--since +0s")
    assert said.startswith("selected: 400 of 400") and "rare kinds" not in said


def test_branches_are_drawn_as_lanes_with_what_was_rewritten(tmp_path, run, browser):
    before, after = ether(ip4(udp(), 17)), ether(ip4(udp(4000, 80), 17, dst=9), src=B)
    steps = tap(ON_ETH0), handler("ANOTHER", "bond0"), protocol("ip_rcv")
    nat = both(
        rx("eth0", *steps, packet=before, seq=5, lasts=90),
        tx("out0", tap(ON_ANY), at=5, packet=after, parent=5, seq=6, again=True),
    )
    recording = record(tmp_path / "trace.arrows", (EMPTY, events(devices=ALL_DEVICES)), (nat, []))
    made(tmp_path, run, recording)
    browser.open(f"{(tmp_path / 'report.html').as_uri()}#journey-1")

    rows = browser.evaluate(
        "[...document.querySelectorAll('.lanes .pass')].map(row => [row.querySelector('.what').textContent, "
        "row.querySelectorAll('.line').length, row.querySelectorAll('.bridge').length, "
        "row.querySelector('.dot').style.getPropertyValue('--lane')])"
    )

    assert len(rows) == 2
    (first, *first_marks), (second, *second_marks) = rows
    assert first.startswith("received on eth0 eth0 → bond0") and "captured by 1 tap" in first
    assert first_marks == [1, 0, "0"] and second_marks == [1, 1, "1"]
    assert second.startswith("branch: sent on out0") and "rewritten: destination 10.9.0.2" in second
    assert "rewritten" not in first and browser.console == []
