# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a report: what a browser makes of it, and that names stay names."""

import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
from page import Page, browse, made, needs_browser
from shell import PING

from bondtrace.format.wire import EMPTY
from bondtrace.model import Process
from bondtrace.reporters.html import json_in_html
from build import DEVICES, TAPS, events, losses, lossy, received, record, refused, sent

EVIL = "</script><img src=x onerror=alert(1)>"


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
            "mostly because": mostly(tap["unseen"]),
        }
    passed = {f"{one['dev']} {one['direction']}": str(one["packets"]) for one in summary["passed"]}
    return {**told, "(packets that passed)": {"bound to": "", **passed}}


def mostly(unseen):
    """The most telling reason, with its share where another one is more frequent."""
    ranked = sorted(unseen.items(), key=lambda one: one[1]["trivial"] == one[1]["packets"])
    counts = [one["packets"] for _, one in ranked]
    if not ranked or counts[0] == max(counts):
        return ranked[0][0] if ranked else ""
    return f"{ranked[0][0]} ({counts[0]} of {sum(counts)})"


@needs_browser
@pytest.mark.parametrize("trace", ["ping", "lossy"])
def test_the_numbers_on_the_page_are_those_of_the_summary(tmp_path, run, trace):
    # given a recording, its page and its summary
    recording = PING if trace == "ping" else lossy(tmp_path / "trace.arrows")
    path = made(tmp_path, run, recording)
    summary = json.loads(run("summary", recording, "--json")[1])
    table = run("summary", recording)[1]

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
        "dropped": sum(one["packets"] for one in summary["dropped"] if "harmless" not in one),
        "by-design": sum(one["packets"] for one in summary["dropped"] if "harmless" in one),
    }
    unseen = [
        (f"{tap['name']} [{inode}]", reason, one["packets"] - one["trivial"], one)
        for inode, tap in summary["taps"].items()
        for reason, one in tap["unseen"].items()
    ]
    assert sorted(page.tables["unseen"][1:]) == sorted(
        [tap, str(telling), reason, one["detail"], f"#{one['example']}"]
        for tap, reason, telling, one in unseen
        if telling
    )
    assert sorted(row[:3] for row in page.tables["trivial"][1:]) == sorted(
        [tap, str(one["trivial"]), reason] for tap, reason, _, one in unseen if one["trivial"]
    )
    drops = [[str(one["packets"]), one["dev"], one["function"], one["reason"]] for one in summary["dropped"]]
    harmless = [one.get("harmless") for one in summary["dropped"]]
    assert page.tables["dropped"][1:] == [cells for cells, why in zip(drops, harmless) if not why]
    assert page.tables["by-design"][1:] == [[*cells, why] for cells, why in zip(drops, harmless) if why]
    assert trace == "lossy" or any(harmless)
    assert sum(whole(row[0]) for row in page.tables["paths"][1:]) == summary["journeys"]
    # and the line on losses is that of the table
    assert page.texts["trust"] == table.splitlines()[-1]
    classes = next(values.get("class") for tag, values in page.tags if values.get("id") == "trust")
    assert (classes == "doubt") == (not summary["trust"]["clean"]) == (trace == "lossy")


@needs_browser
def test_the_flow_picture_and_the_steps_of_a_ping(tmp_path, run):
    page, _ = browse(made(tmp_path, run, PING), tmp_path)

    assert {
        "received(6)",
        "sent by this host(4)",
        "bond_handle_frameANOTHER (4)",
        "bond_handle_frameEXACT (2)",
        "ip_rcv(2)",
        "dropped by design in icmp_rcvNO_SOCKET (1)",
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
def test_a_journey_is_opened_by_its_address_and_has_its_story(tmp_path, run):
    path = made(tmp_path, run, PING)
    story = run("explain", PING, "--journey", 5, "--verbose")[1]

    page, console = browse(f"{path.as_uri()}#journey-5", tmp_path)

    opened = [values["id"] for tag, values in page.tags if tag == "details" and "open" in values]
    assert (opened, console) == (["journey-5"], [])
    no_news = json.loads(page.scripts["report"])["journeys"]["list"][4]["no_news"]
    told = re.sub(r"\s+", "", page.texts["journey-5"].replace(f"{no_news}.", ""))
    assert re.sub(r"\s+", "", story.replace("(losses: none.)", "")) in told
    assert no_news.startswith("1 other tap")


@needs_browser
def test_an_error_of_the_script_is_seen_by_these_tests(tmp_path, run):
    path = made(tmp_path, run, PING)
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
def test_hostile_names_stay_names(tmp_path, run):
    recording = hostile(tmp_path, "<img src=x onerror=alert(1)>.arrows")
    path = made(tmp_path, run, recording)
    summary = json.loads(run("summary", recording, "--json")[1])

    page, console = browse(path, tmp_path)

    # no script but those of the page, no element that the page does not make
    assert console == []
    assert EVIL not in path.read_text()
    assert [values for tag, values in page.tags if tag == "img" or any(name.startswith("on") for name in values)] == []
    assert [values.get("id") for tag, values in page.tags if tag == "script"] == ["summary", "report", None, None]
    assert json.loads(page.scripts["summary"]) == summary
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert links and all(link.startswith("#") for link in links)
    assert "b" not in {tag for tag, _ in page.tags}
    # and they are there to be read
    assert page.texts["name"] == str(recording) and EVIL in page.texts["trace"]
    assert cells_of(page).keys() == expected_cells(summary).keys()
    assert f"{EVIL}eth0 rx" in page.tables["table"][0] and "<b>&lt;</b> rx" in page.tables["table"][0]
    assert any(label.startswith("<b>&lt;</b> rx") for label in page.labels)
    assert any(label.startswith("</script><img s") for label in page.labels)


@needs_browser
def test_hostile_names_are_selected_and_drawn_as_names(tmp_path, run):
    recording = hostile(tmp_path, "trace.arrows")
    path = made(tmp_path, run, recording)
    lines = {
        f"--tap '{EVIL}' --dev '{EVIL}eth0'": "selected: 2 of 3",
        f"--dev '{EVIL}' --tap $(x)": "selected: 0 of 3",
        f"'{EVIL}'": "is no option",
    }

    for line, expected in lines.items():
        page, console = browse(f"{path.as_uri()}#select={quote(line)}", tmp_path)

        assert console == []
        assert not {"img", "b"} & {tag for tag, _ in page.tags}
        said = page.texts.get("selected", "") + page.texts.get("select-error", "")
        assert EVIL in said and expected in said


def test_json_in_a_page_cannot_end_its_script():
    value = {EVIL: ["<!--<script>", "a & b", "\u2028", "\ud800"]}

    text = json_in_html(value)

    assert not re.search(r"[<>&\u2028\ud800]", text) and json.loads(text) == value


def test_the_page_loads_nothing(tmp_path, run):
    text = made(tmp_path, run, PING).read_text()
    page = Page(text)

    policy = next(values["content"] for tag, values in page.tags if "http-equiv" in values)
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)
    assert [values for tag, values in page.tags if "src" in values or tag in ("link", "iframe")] == []
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert links and all(link.startswith("#") for link in links)
