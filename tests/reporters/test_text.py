# SPDX-License-Identifier: GPL-2.0-or-later
"""What is printed of journeys, compared whole: as text for people, and as JSON by its contract."""

import io
import json
import re
import time
from dataclasses import replace

import pytest

from bondtrace.format.batch import Batch
from bondtrace.format.events import tap_event
from bondtrace.model import Process, Tap
from bondtrace.pipeline import Pipeline
from bondtrace.reporters.json_lines import JsonReporter, journey_object, trust_object
from bondtrace.reporters.story import paragraphs
from bondtrace.reporters.text import TextReporter, duration, printable, trust_line
from build import (
    BEGIN_NS,
    DEVICES,
    HERE,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    SKB,
    TAPS,
    altered,
    both,
    fanout,
    handler,
    journeys,
    late,
    losses,
    protocol,
    received,
    refused,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


FEW = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0, ON_ANY)}


def text(*passes, around=None, colour=False):
    """What the text reporter writes of these passes, in a scene of three taps."""
    around, stream = around or scene(taps=FEW), io.StringIO()
    reporter = TextReporter(stream, around, colour)
    for journey in journeys(*passes, around=around):
        reporter.write(journey)
    return stream.getvalue()


def words(*passes, around=None):
    """What the JSON reporter writes of these passes, parsed, a journey each."""
    around, stream = around or scene(taps=FEW), io.StringIO()
    for journey in journeys(*passes, around=around):
        JsonReporter(stream, around).write(journey)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# --- text ----------------------------------------------------------------------------------------------


def test_text_of_a_reply_through_the_bond():
    assert (
        text(received())
        == """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (7.0 µs)
       1.0 µs  eth0                 rx tap tcpdump -i any [41004]: captured
       2.0 µs  eth0                 rx tap tcpdump -i eth0 [41001]: captured
       3.0 µs  eth0                 bond_handle_frame → ANOTHER, next bond0 (active slave)
       4.0 µs  bond0 (orig eth0)    rx tap tcpdump -i any [41004]: captured
       5.0 µs  bond0 (orig eth0)    rx tap tcpdump -i bond0 [41003]: captured
       6.0 µs  bond0 (orig eth0)    → ip_rcv
    tcpdump -i any [41004] saw it twice: on eth0, then bond0
"""
    )


def test_text_of_an_arp_request_on_the_backup_slave():
    assert (
        text(refused(30))
        == """\
12:00:00.000030 rx eth1 #1 ARP 10.9.0.1 > 10.9.0.2 who-has 10.9.0.2 tell 10.9.0.1, 42 bytes (4.0 µs)
       1.0 µs  eth1                 rx tap tcpdump -i any [41004]: captured
       2.0 µs  eth1                 rx tap [41002] (known only by its inode): captured
       3.0 µs  eth1                 bond_handle_frame → EXACT (inactive slave)
    not seen by tcpdump -i eth0 [41001]: bound to eth0; the packet passed eth1 (bound-elsewhere)
    not seen by tcpdump -i bond0 [41003]: bound to bond0, and bond_handle_frame kept the packet on eth1: inactive \
slave (EXACT) (inactive-slave)
"""
    )


def test_text_of_a_request_sent_on_the_bond_and_its_slave():
    assert (
        text(sent(1_500_000))
        == """\
12:00:01.500000 tx bond0 #1 ICMP 10.9.0.2 > 10.9.0.1 echo request id 128 seq 1, 98 bytes (13.0 µs)
       1.0 µs  bond0                tx tap tcpdump -i any [41004]: captured
       2.0 µs  bond0                tx tap tcpdump -i bond0 [41003]: filtered
    then sent on eth0
      11.0 µs  eth0                 tx tap tcpdump -i any [41004]: captured
      12.0 µs  eth0                 tx tap tcpdump -i eth0 [41001]: full (ring)
    tcpdump -i any [41004] saw it twice: on bond0, then eth0
"""
    )


def test_text_tells_another_cpu_a_veth_and_a_fanout_group():
    # given a packet sent into a veth, received by its peer in another namespace on another CPU
    around = scene(taps={})

    assert (
        text(tx("veth0"), rx("peer0", fanout(), tap(99, "ignored"), at=5, cpu=3), around=around)
        == """\
12:00:00.000000 tx veth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (8.0 µs)
         0 ns  veth0                no tap, rx_handler or protocol handler took it
    then received on peer0 (blue), CPU 3
       6.0 µs  peer0                rx tap: offered to a fanout group
       7.0 µs  peer0                rx tap [99] (known only by its inode): ignored
"""
    )


def test_text_marks_what_is_incomplete_and_what_is_inferred():
    # given a pass that lost steps, one with a late step, and a late record alone
    around = scene(taps={})
    passes = [
        rx("eth0", handler("CONSUMED"), at=0, steps_lost=2),
        rx("eth1", at=10, frame=9, in_list=True, skb=SKB + 64),
        late("eth1", protocol("ip_list_rcv"), at=12, frame=9, skb=SKB + 64),
        late("eth2", tap(5, "unknown"), at=20, frame=8),
    ]

    assert (
        text(*passes, around=around)
        == """\
12:00:00.000000 rx eth0 #1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (2.0 µs) (incomplete)
       1.0 µs  eth0                 bond_handle_frame → CONSUMED (consumed by the bond; why is not recorded)
    2 more steps did not fit the record
12:00:00.000010 rx eth1 #2 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes (3.0 µs)
       3.0 µs  eth1                 → ip_list_rcv (inferred)
12:00:00.000020 rx eth2 #3 unknown its begin was not recorded, 0 bytes (2.0 µs) (incomplete)
       1.0 µs  eth2                 rx tap [5] (known only by its inode): unknown (inferred)
"""
    )


def test_text_in_colour_is_the_same_text_with_the_outcomes_and_verdicts_painted():
    # given the same journeys, plain and in colour
    passes = received(), refused(30), sent(60)
    plain, coloured = text(*passes), text(*passes, colour=True)

    # then without the colours they are the same
    assert "\033" not in plain
    assert re.sub("\033\\[[0-9]+m", "", coloured) == plain

    # and what is painted is: headings, outcomes, verdicts, what was not seen
    painted = re.findall("\033\\[([0-9]+)m([^\033]*)\033\\[0m", coloured)
    assert [(code, word) for code, word in painted if code not in ("1", "2")] == [
        *[("32", "captured")] * 2,
        ("36", "ANOTHER"),
        *[("32", "captured")] * 4,
        ("33", "EXACT"),
        ("32", "captured"),
        ("33", "filtered"),
        ("32", "captured"),
        ("31", "full"),
    ]
    assert [word for code, word in painted if code == "1"] == [
        line for line in plain.splitlines() if not line.startswith(" ")
    ]
    assert [word.partition("#")[0] for code, word in painted if code == "1"] == [
        "12:00:00.000000 rx eth0 ",
        "12:00:00.000030 rx eth1 ",
        "12:00:00.000060 tx bond0 ",
    ]
    assert coloured.count("\033") == 2 * len(painted)


HOSTILE = "\x1b]0;owned\x07\r\n\u202e\udcff"


def hostile_scene():
    """A scene in which every name that others choose holds what a terminal would obey."""
    evil = Tap(7, HERE, 2, 3, "raw", processes=(Process(1234, HOSTILE, HOSTILE),))
    away = Tap(8, HERE, 4, 3, "raw", processes=(Process(1235, f"tcpdump{HOSTILE}", HOSTILE),))
    return scene(
        altered("eth0", name=f"e{HOSTILE}"),
        altered("bond0", name=f"b{HOSTILE}"),
        taps={7: evil, 8: away},
        devices={"eth1": DEVICES["eth1"]},
    )


HOSTILE_PASSES = rx("eth0", tap(7), handler("ANOTHER", "bond0"), tap(7)), tx("eth1", at=50, skb=SKB + 64)
ESCAPED = "\\x1b]0;owned\\x07\\x0d\\x0a\\xe2\\x80\\xae\\xff"


def test_names_cannot_do_anything_to_a_terminal():
    # given devices and processes with escape sequences, line ends, bidi marks and no UTF-8 in their names
    result = text(*HOSTILE_PASSES, around=hostile_scene())

    # then every line is printable, and the names are told
    assert all(line.isprintable() for line in result.split("\n"))
    assert result.count(f"rx tap {ESCAPED} [7]: captured") == 2
    assert f"e{ESCAPED}" in result and f"next b{ESCAPED}" in result
    assert f"not seen by tcpdump{ESCAPED} [8]: bound to b{ESCAPED}; the packet passed eth1" in result


def test_names_cannot_do_anything_in_json():
    stream, around = io.StringIO(), hostile_scene()
    for journey in journeys(*HOSTILE_PASSES, around=around):
        JsonReporter(stream, around).write(journey)
    lines = stream.getvalue().split("\n")

    # then a journey is a line of printable text, and the names are the same as in text
    assert all(line.isprintable() for line in lines) and len(lines) == 3 and lines[2] == ""
    first, second = (json.loads(line) for line in lines[:2])
    assert first["passes"][0]["steps"][2]["next_dev"] == f"b{ESCAPED}"
    assert first["taps"]["7"]["comm"] == first["taps"]["7"]["name"] == ESCAPED
    assert second["unseen"][1]["detail"].startswith(f"bound to b{ESCAPED}; ")
    assert all(printable(string) == string for one in (first, second) for string in strings(one))


def strings(value):
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


@pytest.mark.parametrize(
    "value_ns, words_of_it",
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.0 µs"),
        (21_340, "21.3 µs"),
        (4_200_000, "4.2 ms"),
        (1_500_000_000, "1.50 s"),
        (90_000_000_000, "90.00 s"),
    ],
)
def test_durations(value_ns, words_of_it):
    assert duration(value_ns) == words_of_it


# --- how far it can be trusted -------------------------------------------------------------------------


def test_nothing_lost():
    around = scene(losses(0, sent=[5, 6], lost=[0, 0], steps_lost=[0, 0], too_deep=[0, 0], unbalanced=[0, 0]))

    assert trust_line(around) == "losses: none"


def test_every_loss_is_told_with_its_sum_and_every_stage_that_is_missing():
    # given losses on two CPUs (the newest count) and a stage that is not attached
    stages = [
        {"name": "receive", "without": "nothing is received", "missing": ""},
        {"name": "handlers", "without": "verdicts are not told", "missing": "no bond_handle_frame"},
    ]
    around = scene(
        losses(0, lost=[9, 9]),
        losses(1, lost=[1, 2], steps_lost=[0, 4], too_deep=[5, 0], unbalanced=[6, 0], probe_misses=[0, 7]),
        stages=stages,
    )

    assert trust_line(around) == (
        "losses: records lost 3; steps that did not fit 4; passes nested too deep 5; begins or ends missed 6; "
        "probe firings missed 7; handlers: verdicts are not told (no bond_handle_frame) (so an absence may be a loss)"
    )


def met(*passes, around):
    """The scene after the pipeline took these passes."""
    Pipeline(scene=around).run([Batch(both(*passes), [], BEGIN_NS)])
    return around


def test_taps_known_only_by_inode_are_told_and_are_no_loss():
    # given a known tap, two that are in no list, one of them without even an inode, and a fanout group
    around = met(rx("eth0", tap(ON_ETH0), tap(9), tap(0), tap(9, "filtered"), fanout()), around=scene(taps=FEW))

    assert trust_line(around) == "losses: none; taps known only by inode: 2"
    assert trust_object(around) == {**TRUSTED, "unknown_taps": [0, 9]}

    # when one of them is told of after all, then it is unknown no more
    around.apply(tap_event(BEGIN_NS + 1000, tcpdump(9, "eth0")))
    assert trust_object(around) == {**TRUSTED, "unknown_taps": [0]}


def test_taps_known_only_by_inode_are_told_after_the_losses():
    around = met(rx("eth0", tap(9)), around=scene(losses(0, lost=[3])))

    assert trust_line(around) == "losses: records lost 3 (so an absence may be a loss); taps known only by inode: 1"


@pytest.mark.parametrize(
    "function, what", [("tpacket_rcv", "ring"), ("packet_rcv", "receive buffer"), ("packet_rcv_spkt", "receive buffer")]
)
def test_what_was_full_is_told(function, what):
    passes, around = rx("eth0", tap(ON_ETH0, "full", function)), scene(taps=FEW)
    (journey,) = journeys(passes, around=around)

    assert f"[{ON_ETH0}]: full ({what})\n" in text(passes)
    assert any(
        one.endswith(f", whose {what} had no room for it: it is lost to this tap.")
        for one in paragraphs(journey, around)
    )
    assert words(passes)[0]["passes"][0]["steps"][1]["reason"] == what


# --- JSON ----------------------------------------------------------------------------------------------

UNTOLD = dict.fromkeys(
    (
        "ring_version",
        "ring_bytes",
        "uid",
        "running",
        "fanout_id",
        "has_filter",
        "promiscuous",
        "ignore_outgoing",
        "origdev",
    )
)


def tap_words(inode, name, dev, pid, kind="raw"):
    return {
        str(inode): {
            "pid": pid,
            "comm": "tcpdump",
            "name": name,
            "dev": dev,
            "protocol": "ALL",
            "kind": kind,
            "buffer": "ring",
            **UNTOLD,
            "netns": HERE,
            "running": True,
            "processes": [{"pid": pid, "comm": "tcpdump", "cmdline": name}],
        }
    }


ETH0 = tap_words(ON_ETH0, "tcpdump -i eth0", "eth0", 801)
BOND0 = tap_words(ON_BOND0, "tcpdump -i bond0", "bond0", 803)
ANY = tap_words(ON_ANY, "tcpdump -i any", "any", 804, "cooked")
TRUSTED = {
    "clean": True,
    "losses": {},
    "not_attached": [],
    "does_not_see": [],
    "unknown_taps": [],
    "filter": None,
    "filter_blind": 0,
    "bytes_lost": 0,
}


def test_json_of_a_reply_through_the_bond():
    slave, bond = {"round": 1, "dev": "eth0", "orig_dev": "eth0"}, {"round": 2, "dev": "bond0", "orig_dev": "eth0"}
    captured = {"kind": "tap", "function": "tpacket_rcv", "outcome": "captured"}

    assert words(received(1_123_456)) == [
        {
            "id": 1,
            "time": "2026-11-22T12:00:01.123456000Z",
            "duration_ns": 7000,
            "direction": "rx",
            "complete": True,
            "packet": {
                "len": 98,
                "ethertype": "0x0800",
                "protocol": "ICMP",
                "src": "10.9.0.1",
                "dst": "10.9.0.2",
                "info": "echo reply id 128 seq 1",
                "vlan": [],
            },
            "passes": [
                {
                    "direction": "rx",
                    "cpu": 0,
                    "netns": HERE,
                    "skb": "0xffff888000001000",
                    "steps_lost": 0,
                    "steps": [
                        {"t_ns": 0, "kind": "enter", **slave},
                        {"t_ns": 1000, "tap": ON_ANY, **captured, **slave},
                        {"t_ns": 2000, "tap": ON_ETH0, **captured, **slave},
                        {
                            "t_ns": 3000,
                            "kind": "rx_handler",
                            "function": "bond_handle_frame",
                            "verdict": "ANOTHER",
                            "next_dev": "bond0",
                            "reason": "active slave",
                            **slave,
                        },
                        {"t_ns": 4000, "tap": ON_ANY, **captured, **bond},
                        {"t_ns": 5000, "tap": ON_BOND0, **captured, **bond},
                        {"t_ns": 6000, "kind": "protocol", "function": "ip_rcv", **bond},
                    ],
                }
            ],
            "unseen": [],
            "notes": ["tcpdump -i any [41004] saw it twice: on eth0, then bond0"],
            "taps": {**ETH0, **BOND0, **ANY},
            "trust": TRUSTED,
        }
    ]


def test_json_tells_all_that_identifies_a_tap():
    known = {
        "uid": 1000,
        "running": False,
        "has_filter": True,
        "promiscuous": True,
        "ignore_outgoing": False,
        "origdev": True,
        "fanout_id": 7,
        "ring_version": 3,
        "ring_bytes": 4096,
    }
    around = scene(taps={ON_ETH0: replace(TAPS[ON_ETH0], **known)})

    (one,) = words(rx("eth0", tap(ON_ETH0)), around=around)
    assert one["taps"] == {str(ON_ETH0): {**ETH0[str(ON_ETH0)], **known}}


def test_json_of_an_incomplete_journey_with_losses():
    # given a VLAN packet on the backup slave whose record lost a step, and a process-less tap of another protocol
    lone = Tap(5, HERE, 3, 0x88CC, "raw")
    around = scene(losses(0, lost=[1, 0]), taps={5: lone, ON_BOND0: TAPS[ON_BOND0]})
    place = {"round": 1, "dev": "eth1", "orig_dev": "eth1"}

    assert words(rx("eth1", tap(404, "full"), handler("EXACT"), vlan=7, steps_lost=1, cpu=2), around=around) == [
        {
            "id": 1,
            "time": "2026-11-22T12:00:00.000000000Z",
            "duration_ns": 3000,
            "direction": "rx",
            "complete": False,
            "packet": {
                "len": 98,
                "ethertype": "0x0800",
                "protocol": "ICMP",
                "src": "10.9.0.1",
                "dst": "10.9.0.2",
                "info": "echo reply id 128 seq 1",
                "vlan": [7],
            },
            "passes": [
                {
                    "direction": "rx",
                    "cpu": 2,
                    "netns": HERE,
                    "skb": "0xffff888000001000",
                    "steps_lost": 1,
                    "steps": [
                        {"t_ns": 0, "kind": "enter", **place},
                        {
                            "t_ns": 1000,
                            "kind": "tap",
                            "function": "tpacket_rcv",
                            "tap": 404,
                            "outcome": "full",
                            "reason": "ring",
                            **place,
                        },
                        {
                            "t_ns": 2000,
                            "kind": "rx_handler",
                            "function": "bond_handle_frame",
                            "verdict": "EXACT",
                            "reason": "inactive slave",
                            **place,
                        },
                    ],
                }
            ],
            "unseen": [
                {"tap": 5, "reason": "protocol", "detail": "it takes only protocol 0x88cc; this packet is 0x0800"},
                {
                    "tap": ON_BOND0,
                    "reason": "inactive-slave",
                    "detail": "bound to bond0, and bond_handle_frame kept the packet on eth1: inactive slave (EXACT)",
                },
            ],
            "notes": [],
            "taps": {
                "5": {
                    "pid": None,
                    "comm": None,
                    "name": "(no process: held by the kernel or hidden)",
                    "dev": "eth1",
                    "protocol": "0x88cc",
                    "kind": "raw",
                    "buffer": None,
                    **UNTOLD,
                    "netns": HERE,
                    "processes": [],
                },
                **BOND0,
            },
            "trust": {
                "clean": False,
                "losses": {"records lost": 1},
                "not_attached": [],
                "does_not_see": [],
                "unknown_taps": [],
                "filter": None,
                "filter_blind": 0,
                "bytes_lost": 0,
            },
        }
    ]


def test_json_and_text_tell_the_same_steps_of_a_sent_pair():
    (one,) = words(sent())

    assert [
        (step["t_ns"], step["dev"], step.get("tap"), step.get("outcome"))
        for part in one["passes"]
        for step in part["steps"]
    ] == [
        (0, "bond0", None, None),
        (1000, "bond0", ON_ANY, "captured"),
        (2000, "bond0", ON_BOND0, "filtered"),
        (10000, "eth0", None, None),
        (11000, "eth0", ON_ANY, "captured"),
        (12000, "eth0", ON_ETH0, "full"),
    ]
    assert [part["direction"] for part in one["passes"]] == ["tx", "tx"]


def test_json_numbers_journeys_as_they_come():
    assert [one["id"] for one in words(received(), refused(30), sent(60))] == [1, 2, 3]


def test_names_are_those_of_the_time():
    # given eth0 that is called lan0 later, and a tap that another process took over later
    other = tcpdump(ON_ETH0, "eth0", "icmp", pid=999)
    around = scene(altered("eth0", 50, name="lan0"), tap_event(BEGIN_NS + 50_000, other), taps={ON_ETH0: TAPS[ON_ETH0]})

    # when packets come before and after
    first, second = (
        journey_object(one, around)
        for one in journeys(rx("eth0", tap(ON_ETH0)), rx("eth0", tap(ON_ETH0), at=90), around=around)
    )

    # then each is told with the names of its own time
    assert (first["passes"][0]["steps"][1]["dev"], second["passes"][0]["steps"][1]["dev"]) == ("eth0", "lan0")
    assert (first["taps"][str(ON_ETH0)]["pid"], second["taps"][str(ON_ETH0)]["pid"]) == (801, 999)
    assert ON_ETH1 not in first["taps"]
