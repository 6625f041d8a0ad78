# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a report: what a browser makes of it, that names stay names, and the command around it."""

import builtins
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bondtrace import cli as command_line
from bondtrace import extras
from bondtrace.format.recording import Recorder
from bondtrace.format.wire import EMPTY
from bondtrace.model import Process
from bondtrace.reporters.html import json_in_html
from build import DEVICES, ON_ETH0, SKB, TAPS, events, losses, received, record, refused, reply, sent

PING = Path(__file__).parents[2] / "examples" / "ping.arrows"
EVIL = "</script><img src=x onerror=alert(1)>"
BROWSER = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)
needs_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")


@pytest.fixture
def inside(monkeypatch, capsys):
    """inside(*words): (exit status, stdout, stderr) of the command line, within this process."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bondtrace", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        return (caught.value.code, *capsys.readouterr())

    return run


class Page(HTMLParser):
    """The elements of a page: ``texts`` by id, ``tables`` by id as rows of texts, ``scripts`` by id or place, ``tags``
    all that there are, each with its attributes, ``counts`` what is shown large."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tables, self.scripts, self.tags, self.counts, self.labels = {}, {}, {}, [], {}, []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag in ("meta", "input", "link", "img", "br", "hr"):
            return
        self._open.append((tag, values))
        if tag == "table":
            self.tables[values.get("id")] = []
        elif tag == "tr" and self._of("table"):
            self.tables[self._of("table").get("id")].append([])
        elif tag in ("td", "th"):
            self.tables[self._of("table").get("id")][-1].append("")
        elif tag == "text" and "node-label" in values.get("class", ""):
            self.labels.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def _of(self, tag):
        return next((values for name, values in reversed(self._open) if name == tag), None)

    def handle_data(self, data):
        for tag, values in self._open:
            if tag != "script" and "id" in values:
                self.texts[values["id"]] = self.texts.get(values["id"], "") + data
            if tag == "dd" and "data-count" in values:
                self.counts[values["data-count"]] = self.counts.get(values["data-count"], "") + data
        if self._of("script") is not None:
            key = self._of("script").get("id", len(self.scripts))
            self.scripts[key] = self.scripts.get(key, "") + data
        if self.labels and self._of("text") is not None and "node-label" in self._of("text").get("class", ""):
            self.labels[-1] += data
        if self._of("td") is not None or (self._of("th") is not None and self._of("table") is not None):
            self.tables[self._of("table").get("id")][-1][-1] += data


def browse(path, directory, *words):
    """(the page after its script ran, what was said on the console)."""
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            f"--user-data-dir={directory / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--window-size=1400,3000",
            *words,
            "--dump-dom",
            path if "://" in str(path) else path.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return Page(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def made(tmp_path, inside, recording, *words):
    """The report of a recording."""
    path = tmp_path / "report.html"
    status, out, _ = inside("report", recording, "-o", path, *words)
    assert (status, out) == (0, "")
    return path


def lossy(path):
    """A recording with every kind of packet of tests/build.py, in which something was lost."""
    parts = [(received(100 * n, packet=reply(seq=n), skb=SKB + 64 * n), []) for n in range(5)]
    return record(
        path, (EMPTY, events()), *parts, (refused(700), []), (sent(800), []), (EMPTY, [losses(900, lost=[2, 0])])
    )


# --- in a browser --------------------------------------------------------------------------------------


def whole(text):
    """A number as the page shows it."""
    return int(text.replace("\u202f", ""))


def cells_of(page):
    """{tap: {column: text}} of the table of taps."""
    head, *rows = page.tables["table"]
    return {row[0]: dict(zip(head[1:], row[1:])) for row in rows}


def expected_cells(summary):
    """The same from the summary's JSON."""
    kinds = [
        name
        for name in ("captured", "filtered", "full", "ignored", "unknown")
        if any(name in tap["outcomes"] for tap in summary["taps"].values())
    ]
    twice = any(tap["twice"] for tap in summary["taps"].values())
    told = {}
    for inode, tap in summary["taps"].items():
        devices = {
            f"{one['dev']} {one['direction']}": f"{one['offered']}/{one['captured']}" if one["offered"] else "-"
            for one in tap["devices"]
        }
        told[f"{tap['name']} [{inode}]"] = {
            "bound to": tap["dev"],
            **devices,
            **{name: str(tap["outcomes"].get(name, 0)) for name in kinds},
            **({"twice": str(tap["twice"])} if twice else {}),
            "unseen": str(sum(one["packets"] for one in tap["unseen"].values())),
        }
    passed = {f"{one['dev']} {one['direction']}": str(one["packets"]) for one in summary["passed"]}
    return {**told, "(packets that passed)": {"bound to": "", **passed}}


@needs_browser
@pytest.mark.parametrize("trace", ["ping", "lossy"])
def test_the_numbers_on_the_page_are_those_of_the_summary(tmp_path, inside, trace):
    # given a recording, its page and its summary
    recording = PING if trace == "ping" else lossy(tmp_path / "trace.arrows")
    path = made(tmp_path, inside, recording)
    summary = json.loads(inside("summary", recording, "--json")[1])
    table = inside("summary", recording)[1]

    # when a browser shows the page
    page, console = browse(path, tmp_path)

    # then nothing went wrong, and its tables have the summary's numbers
    assert console == [] and page.tags[0][1].get("data-drawn") == "yes"
    assert json.loads(page.scripts["summary"]) == summary
    assert cells_of(page) == expected_cells(summary)
    assert {name: whole(text) for name, text in page.counts.items()} == {
        "journeys": summary["journeys"],
        "incomplete": summary["incomplete"],
        "taps": len(summary["taps"]),
        "paths": len(page.tables["paths"]) - 1,
        "dropped": sum(one["packets"] for one in summary["dropped"]),
    }
    assert sorted(page.tables["unseen"][1:]) == sorted(
        [f"{tap['name']} [{inode}]", str(one["packets"]), reason, one["detail"], f"#{one['example']}"]
        for inode, tap in summary["taps"].items()
        for reason, one in tap["unseen"].items()
    )
    if summary["dropped"]:
        assert page.tables["dropped"][1:] == [
            [str(one["packets"]), one["dev"], one["function"], one["reason"]] for one in summary["dropped"]
        ]
    assert sum(whole(row[0]) for row in page.tables["paths"][1:]) == summary["journeys"]
    # and the line on losses is that of the table
    assert page.texts["trust"] == table.splitlines()[-1]
    classes = next(values.get("class") for tag, values in page.tags if values.get("id") == "trust")
    assert (classes == "doubt") == (not summary["trust"]["clean"]) == (trace == "lossy")


@needs_browser
def test_the_flow_picture_and_the_steps_of_a_ping(tmp_path, inside):
    page, _ = browse(made(tmp_path, inside, PING), tmp_path)

    assert {
        "received(6)",
        "sent by this host(4)",
        "bond_handle_frameANOTHER (4)",
        "bond_handle_frameEXACT (2)",
        "ip_rcv(2)",
        "dropped in icmp_rcvNO_SOCKET (1)",
    } <= set(page.labels)
    assert [row[:4] for row in page.tables["latencies"][1:]] == [
        ["eth0 rx", "tap", "tpacket_rcv", "4"],
        ["eth0 rx", "rx_handler", "bond_handle_frame", "4"],
        ["eth0 tx", "tap", "tpacket_rcv", "4"],
        ["eth1 rx", "tap", "tpacket_rcv", "2"],
        ["eth1 rx", "rx_handler", "bond_handle_frame", "2"],
        ["eth1 rx", "drop", "__netif_receive_skb_core", "2"],
        ["bond0 rx", "protocol", "ip_rcv", "2"],
        ["bond0 rx", "tap", "tpacket_rcv", "4"],
        ["bond0 rx", "protocol", "arp_rcv", "2"],
        ["bond0 rx", "drop", "icmp_rcv", "1"],
        ["bond0 tx", "tap", "tpacket_rcv", "4"],
    ]


@needs_browser
def test_a_journey_is_opened_by_its_address_and_has_its_story(tmp_path, inside):
    path = made(tmp_path, inside, PING)
    story = inside("explain", PING, "--journey", 5)[1]

    page, console = browse(f"{path.as_uri()}#journey-5", tmp_path)

    opened = [values["id"] for tag, values in page.tags if tag == "details" and "open" in values]
    assert (opened, console) == (["journey-5"], [])
    told = re.sub(r"\s+", "", page.texts["journey-5"])
    assert re.sub(r"\s+", "", story.replace("(losses: none.)", "")) in told


@needs_browser
def test_an_error_of_the_script_is_seen_by_these_tests(tmp_path, inside):
    path = made(tmp_path, inside, PING)
    path.write_text(re.sub(r'(id="summary">).*?<', r"\1{}<", path.read_text(), count=1))

    page, console = browse(path, tmp_path)

    assert len(console) == 1 and "Uncaught TypeError" in console[0]
    assert "data-drawn" not in page.tags[0][1]


def hostile(directory, filename):
    """A recording in which every name is hostile."""
    evil = Process(1, EVIL, f"{EVIL} \x1b[31m <!-- ${{title}} %{{label}} <b>&amp;")
    devices = {
        name: replace(one, name=f"{EVIL}{name}" if name != "bond0" else "<b>&lt;</b>") for name, one in DEVICES.items()
    }
    taps = {inode: replace(one, processes=(evil,)) for inode, one in TAPS.items()}
    return record(
        directory / filename,
        (EMPTY, events(taps=taps, devices=devices, host=EVIL, kernel=EVIL, filter=EVIL)),
        (received(), []),
        (refused(30), []),
        (sent(60), []),
        (EMPTY, [losses(70, lost=[1])]),
    )


@needs_browser
def test_hostile_names_stay_names(tmp_path, inside):
    recording = hostile(tmp_path, "<img src=x onerror=alert(1)>.arrows")
    path = made(tmp_path, inside, recording)
    summary = json.loads(inside("summary", recording, "--json")[1])

    page, console = browse(path, tmp_path)

    # no script but those of the page, no element that the page does not make
    assert console == []
    assert EVIL not in path.read_text()
    assert [values for tag, values in page.tags if tag == "img" or any(name.startswith("on") for name in values)] == []
    assert [values.get("id") for tag, values in page.tags if tag == "script"] == ["summary", "report", None, None]
    assert json.loads(page.scripts["summary"]) == summary
    assert not any(
        tag in ("b", "a") and "skip" not in str(values) and not values.get("href", "").startswith("#")
        for tag, values in page.tags
    )
    # and they are there to be read
    assert page.texts["name"] == str(recording) and EVIL in page.texts["trace"]
    assert cells_of(page).keys() == expected_cells(summary).keys()
    assert f"{EVIL}eth0 rx" in page.tables["table"][0] and "<b>&lt;</b> rx" in page.tables["table"][0]
    assert any(label.startswith("<b>&lt;</b> rx") for label in page.labels)
    assert any(label.startswith("</script><img s") for label in page.labels)


def test_json_in_a_page_cannot_end_its_script():
    value = {EVIL: ["<!--<script>", "a & b", "\u2028", "\ud800"]}

    text = json_in_html(value)

    assert not re.search(r"[<>&\u2028\ud800]", text) and json.loads(text) == value


def test_the_page_loads_nothing(tmp_path, inside):
    text = made(tmp_path, inside, PING).read_text()
    page = Page(text)

    policy = next(values["content"] for tag, values in page.tags if "http-equiv" in values)
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)
    assert [values for tag, values in page.tags if "src" in values or tag in ("link", "iframe")] == []
    assert all(values["href"].startswith("#") for tag, values in page.tags if tag == "a")


# --- the list ------------------------------------------------------------------------------------------


def report_of(path):
    return json.loads(Page(path.read_text()).scripts["report"])


@pytest.mark.parametrize("wanted, listed", [(0, 0), (2, 2), (10, 10), (100, 10)])
def test_so_many_journeys_are_listed(tmp_path, inside, wanted, listed):
    journeys = report_of(made(tmp_path, inside, PING, "--journeys", wanted))["journeys"]

    assert (journeys["total"], len(journeys["list"])) == (10, listed)


def test_one_direction_alone(tmp_path, inside):
    report = report_of(made(tmp_path, inside, PING, "--tx"))

    assert report["trace"]["directions"] == ["tx"] and report["journeys"]["total"] == 4
    assert {stop["label"] for path in report["flow"]["paths"] for stop in path["stops"][:1]} == {"sent by this host"}


def test_a_recording_without_a_journey(tmp_path, inside):
    report = report_of(made(tmp_path, inside, record(tmp_path / "empty.arrows", (EMPTY, events()))))

    assert report["journeys"] == {"total": 0, "list": []}
    assert [report["flow"]["stops"], report["timeline"]["series"], report["latencies"]["steps"]] == [[], [], []]


# --- the command ---------------------------------------------------------------------------------------


def test_what_it_says_and_who_may_read_it(tmp_path, inside):
    path = tmp_path / "report.html"

    assert inside("report", PING, "-o", path) == (0, "", f"bondtrace: 10 journeys reported in {path}; losses: none\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_to_standard_output(inside):
    status, out, err = inside("report", PING, "-o", "-")

    assert (status, err) == (0, "bondtrace: 10 journeys reported in standard output; losses: none\n")
    assert out.startswith("<!DOCTYPE html>") and out.rstrip().endswith("</html>")


def test_an_existing_file_is_kept_unless_forced(tmp_path, inside):
    path = tmp_path / "report.html"
    path.write_text("mine")

    assert inside("report", PING, "-o", path) == (
        2,
        "",
        f"bondtrace: {path} exists already; name another file, or --force to overwrite it\n",
    )
    assert path.read_text() == "mine"
    assert inside("report", PING, "-o", path, "--force")[0] == 0
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_the_recording_is_not_overwritten_by_its_report(tmp_path, inside):
    recording = lossy(tmp_path / "trace.arrows")
    before = recording.read_bytes()

    assert inside("report", recording, "-o", recording, "--force") == (
        2,
        "",
        f"bondtrace: {recording} is the recording itself; name another file to write\n",
    )
    assert recording.read_bytes() == before


def test_two_traces_are_refused(tmp_path, inside):
    other = lossy(tmp_path / "trace.arrows")

    assert inside("report", PING, other, "-o", tmp_path / "report.html") == (
        2,
        "",
        "bondtrace: a report is of one trace, these are 2: give the parts of one\n",
    )


def test_a_file_that_is_no_recording_leaves_no_report(tmp_path, inside):
    (tmp_path / "notes.txt").write_text("notes")

    status, out, err = inside("report", tmp_path / "notes.txt", "-o", tmp_path / "report.html")

    assert (status, out) == (1, "") and "is no bondtrace recording" in err
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_without_plotly_it_says_how_to_get_it(tmp_path, inside, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)

    assert inside("report", PING, "-o", tmp_path / "report.html") == (
        1,
        "",
        f"bondtrace: report needs the Python package plotly: `{extras.command('report', 'plotly')}`\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_cut_off_is_said_on_the_page(tmp_path, inside):
    path = tmp_path / "trace.arrows"
    recorder = Recorder(path)
    recorder.write(EMPTY, events(taps={ON_ETH0: TAPS[ON_ETH0]}))
    recorder.write(received(), [])  # and it is never closed

    page = made(tmp_path, inside, path)

    assert report_of(page)["trace"]["notes"] == [f"{path} was cut off: this is what is whole of it."]
