# SPDX-License-Identifier: GPL-2.0-or-later
"""Journeys as JSON, compared whole by their contract (docs/json.md), and whether an absence can be believed."""

import io
import json
from dataclasses import replace

import pytest

from bondtrace.format.batch import Batch
from bondtrace.format.events import tap_event
from bondtrace.model import Tap
from bondtrace.pipeline import Pipeline
from bondtrace.reporters.json_lines import journey_object, trust_object, write_json
from bondtrace.reporters.text import printable
from build import (
    ALL_DEVICES,
    BEGIN_NS,
    ESCAPED,
    FEW,
    HERE,
    HOSTILE_PASSES,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    altered,
    drop,
    echo,
    ether,
    fanout,
    handler,
    hostile_scene,
    ip4,
    journeys,
    losses,
    queued,
    received,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tcpdump,
    tx,
    udp,
)


def words(*passes, around=None):
    """What the JSON reporter writes of these passes, parsed, a journey each."""
    around, stream = around or scene(taps=FEW), io.StringIO()
    for journey in journeys(*passes, around=around):
        write_json(journey, around, stream)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_names_cannot_do_anything_in_json():
    stream, around = io.StringIO(), hostile_scene()
    for journey in journeys(*HOSTILE_PASSES, around=around):
        write_json(journey, around, stream)
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

ECHO = {
    "len": 98,
    "ethertype": "0x0800",
    "protocol": "ICMP",
    "src": "10.9.0.1",
    "dst": "10.9.0.2",
    "info": "echo reply id 128 seq 1",
    "vlan": [],
    "tags": [],
    "ports": None,
    "encapsulation": None,
}
TAG = {"id": 7, "tpid": "0x8100", "in_frame": False, "priority": 0, "drop_eligible": False}
TAGGED = {**ECHO, "vlan": [7], "tags": [TAG]}

TRUSTED = {
    "clean": True,
    "losses": {},
    "not_attached": [],
    "does_not_see": [],
    "unknown_taps": [],
    "filter": None,
    "filter_blind": 0,
    "selection": None,
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
            "packet": ECHO,
            "passes": [
                {
                    "direction": "rx",
                    "cpu": 0,
                    "netns": HERE,
                    "skb": "0xffff888000001000",
                    "parent": None,
                    "packet": ECHO,
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
            "ends": [{"kind": "not-watched", "pass": 0, "detail": "beyond IP not watched: --sockets"}],
            "taps": {**ETH0, **BOND0, **ANY},
            "sockets": {},
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
            "packet": TAGGED,
            "passes": [
                {
                    "direction": "rx",
                    "cpu": 2,
                    "netns": HERE,
                    "skb": "0xffff888000001000",
                    "parent": None,
                    "packet": TAGGED,
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
            "ends": [{"kind": "unknown", "pass": 0, "detail": "what became of it was not seen"}],
            "sockets": {},
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
                "selection": None,
                "bytes_lost": 0,
            },
        }
    ]


def test_json_of_the_steps_of_a_request_sent_on_the_bond_and_its_slave():
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


def test_json_of_passes_that_hang_together():
    around = scene(devices=ALL_DEVICES, taps=FEW)
    inner = ether(ip4(echo(8)))
    outer = ether(ip4(udp(40000, 4789, data=b"\x08\0\0\0\0\0\x2a\0" + inner), 17))
    shown, tunnel = words(
        rx("eth3", tap(ON_ANY), drop("NO_SOCKET", dev="red", result=1), seq=5, lasts=90),
        tx("red", tap(ON_ANY), at=2, lasts=0, parent=5, seq=6, again=True),
        rx("eth0", handler("ANOTHER", "bond0"), queued("vx0"), packet=outer, skb=77, at=100, seq=7),
        rx("vx0", tap(ON_ANY), at=140, packet=inner, skb=77, seq=8, again=True),
        around=around,
    )

    assert [(part["parent"], part.get("shown"), part.get("inferred")) for part in shown["passes"]] == [
        (None, None, None),
        (0, True, None),
    ]
    assert shown["passes"][0]["steps"][-1]["clone"] is True
    assert [part["parent"] for part in tunnel["passes"]] == [None, None]
    assert tunnel["passes"][0]["steps"][-1] == {
        "t_ns": 2000,
        "kind": "queued",
        "round": 2,
        "dev": "bond0",
        "orig_dev": "eth0",
        "function": "gro_cells_receive",
        "next_dev": "vx0",
    }
    # and the packet is told as it was in each, with what it carried as far as 80 bytes go
    assert tunnel["packet"] == tunnel["passes"][0]["packet"]
    assert (tunnel["packet"]["encapsulation"], tunnel["packet"]["ports"]) == ("VXLAN vni 42", [40000, 4789])
    assert tunnel["packet"]["inner"] == {**ECHO, "dst": "", "info": "[truncated]"}
    assert tunnel["passes"][1]["packet"] == {**ECHO, "info": "echo request id 128 seq 1"}


@pytest.mark.parametrize("tpid, type_", [(0x8100, "0x8100"), (0x88A8, "0x88a8")])
def test_json_of_tags_beside_the_frame_and_in_it(tpid, type_):
    (one,) = words(rx("eth0", vlan=0x7064, tpid=tpid, packet=reply(tag=7)))

    assert one["packet"]["vlan"] == [100, 7]
    assert one["packet"]["tags"] == [
        {"id": 100, "tpid": type_, "in_frame": False, "priority": 3, "drop_eligible": True},
        {"id": 7, "tpid": "0x8100", "in_frame": True, "priority": 0, "drop_eligible": False},
    ]


def test_json_does_not_know_the_type_of_a_tag_in_older_recordings():
    (one,) = words(rx("eth0", vlan=100), around=scene(vlan_tpid=None, taps=FEW))

    assert one["packet"]["tags"][0]["tpid"] is None


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


@pytest.mark.parametrize(
    "function, what", [("tpacket_rcv", "ring"), ("packet_rcv", "receive buffer"), ("packet_rcv_spkt", "receive buffer")]
)
def test_what_was_full_is_told(function, what):
    (one,) = words(rx("eth0", tap(ON_ETH0, "full", function)))

    assert one["passes"][0]["steps"][1]["reason"] == what


def test_taps_known_only_by_inode_are_listed_and_are_no_loss():
    # given a known tap, two that are in no list, one of them without even an inode, and a fanout group
    around, passes = scene(taps=FEW), rx("eth0", tap(ON_ETH0), tap(9), tap(0), tap(9, "filtered"), fanout())
    Pipeline(scene=around).run([Batch(passes, [], BEGIN_NS)])

    assert trust_object(around) == {**TRUSTED, "unknown_taps": [0, 9]}

    # when one of them is told of after all, then it is unknown no more
    around.apply(tap_event(BEGIN_NS + 1000, tcpdump(9, "eth0")))
    assert trust_object(around) == {**TRUSTED, "unknown_taps": [0]}
