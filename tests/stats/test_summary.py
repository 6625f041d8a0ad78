# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of taps and devices: counted by hand for a small trace, compared whole in every form; and for a large
one the counts by shape are those of counting journey by journey."""

import io
import json

import numpy as np
import pytest

from bondtrace.analysis import assemble
from bondtrace.analysis.stitch import Stitcher
from bondtrace.format.events import tap_event
from bondtrace.model import Process, Tap
from bondtrace.reporters import table
from bondtrace.stats.summary import Summary, shapes
from build import (
    BEGIN_NS,
    HERE,
    LLDP,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    SKB,
    TAPS,
    THERE,
    altered,
    arp,
    both,
    handler,
    hook,
    late,
    losses,
    protocol,
    received,
    refused,
    reply,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tcpdump,
    tx,
)

FEW = {inode: TAPS[inode] for inode in (ON_ETH0, ON_BOND0, ON_ANY)}

# Three replies through the bond and an ARP request on the backup slave. tcpdump -i any is offered each reply twice
# (eth0, bond0), the ARP request once: 7 captured, 3 packets twice. tcpdump -i bond0 never sees the ARP request.
SMALL = received(), received(20, packet=reply(seq=2)), refused(40), received(60, packet=reply(seq=3))


def counted(*passes, around=None):
    """(summary, scene) of these passes."""
    around, summary = around or scene(taps=FEW), Summary()
    summary.add(stitched(*passes, around=around), around)
    return summary, around


def written(*passes, form="simple", why=False, around=None):
    """The summary as text, without the spaces that tables have at their ends of lines."""
    summary, around = counted(*passes, around=around)
    stream = io.StringIO()
    table.write(summary, around, stream, form, why)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))


# --- the table -----------------------------------------------------------------------------------------


def test_the_table():
    assert (
        written(*SMALL)
        == """\
tap                       bound to    eth0 rx    eth1 rx    bond0 rx    captured    twice    unseen    mostly because
------------------------  ----------  ---------  ---------  ----------  ----------  -------  --------  ----------------
tcpdump -i any [41004]    any         3/3        1/1        3/3         7           3        0
tcpdump -i bond0 [41003]  bond0       -          -          3/3         3           0        1         inactive-slave
tcpdump -i eth0 [41001]   eth0        3/3        -          -           3           0        1         bound-elsewhere
[41002]                   unknown     -          1/1        -           1           0        0
(packets that passed)                 3          1          3

4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once a device.
losses: none
"""
    )


def test_the_plain_table_with_reasons_and_losses():
    # given a trace that lost something
    around = scene(losses(0, lost=[2, 1]), taps=FEW)

    assert (
        written(*SMALL, form="plain", why=True, around=around)
        == """\
tap                       bound to    eth0 rx    eth1 rx    bond0 rx    captured    twice    unseen    mostly because
tcpdump -i any [41004]    any         3/3        1/1        3/3         7           3        0
tcpdump -i bond0 [41003]  bond0       -          -          3/3         3           0        1         inactive-slave
tcpdump -i eth0 [41001]   eth0        3/3        -          -           3           0        1         bound-elsewhere
[41002]                   unknown     -          1/1        -           1           0        0
(packets that passed)                 3          1          3

4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once a device.

tcpdump -i eth0 [41001] did not see
         1  bound-elsewhere: bound to eth0; the packet passed eth1 (for example #3)
tcpdump -i bond0 [41003] did not see
         1  inactive-slave: bound to bond0, and bond_handle_frame kept the packet on eth1: inactive slave (EXACT) \
(for example #3)
losses: records lost 3 (so an absence may be a loss)
"""
    )


CELLS = [
    ["tap", "bound to", "eth0 rx", "eth1 rx", "bond0 rx", "captured", "twice", "unseen", "mostly because"],
    ["tcpdump -i any [41004]", "any", "3/3", "1/1", "3/3", "7", "3", "0", ""],
    ["tcpdump -i bond0 [41003]", "bond0", "-", "-", "3/3", "3", "0", "1", "inactive-slave"],
    ["tcpdump -i eth0 [41001]", "eth0", "3/3", "-", "-", "3", "0", "1", "bound-elsewhere"],
    ["[41002]", "unknown", "-", "1/1", "-", "1", "0", "0", ""],
    ["(packets that passed)", "", "3", "1", "3", "", "", "", ""],
]


def test_the_table_for_programs_has_its_cells_between_tabs_and_nothing_else():
    summary, around = counted(*SMALL)
    stream = io.StringIO()

    table.write(summary, around, stream, "tsv", why=True)

    assert stream.getvalue() == "".join("\t".join(row) + "\n" for row in CELLS)


def test_the_table_for_github():
    head, *below = written(*SMALL, form="github").split("\n\n")

    rows = [line.strip("|").split("|") for line in head.splitlines()]
    assert [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}] == CELLS
    assert [set(cell) for cell in rows[1]] == [{"-"}] * len(CELLS[0])
    assert below == [
        "4 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once a device.\nlosses: none\n"
    ]


def cells(*passes, around):
    """The table of these passes, as cells."""
    return [line.split("\t") for line in written(*passes, form="tsv", around=around).splitlines()]


def test_what_was_sent_and_what_taps_did_with_it():
    # given a request on the bond (filtered there) and its slave (no room), and another packet that a tap ignored
    around = scene(taps={})

    assert cells(sent(), rx("eth2", tap(9, "ignored"), tap(9, "unknown"), at=90), around=around) == [
        [
            "tap",
            "bound to",
            "eth0 tx",
            "bond0 tx",
            "eth2 rx",
            "captured",
            "filtered",
            "full",
            "ignored",
            "unknown",
            "twice",
            "unseen",
            "mostly because",
        ],
        ["[41001]", "unknown", "1/0", "-", "-", "0", "0", "1", "0", "0", "0", "0"],
        ["[41003]", "unknown", "-", "1/0", "-", "0", "1", "0", "0", "0", "0", "0"],
        ["[41004]", "unknown", "1/1", "1/1", "-", "2", "0", "0", "0", "0", "1", "0"],
        ["[9]", "unknown", "-", "-", "2/0", "0", "0", "0", "1", "1", "0", "0"],
        ["(packets that passed)", "", "1", "1", "1"],
    ]


def test_the_same_ifindex_in_two_namespaces_has_two_columns():
    # given a packet into another namespace, whose device has eth0's ifindex, and one on eth0
    around = scene(taps={})

    assert cells(tx("veth0"), rx("peer0", tap(9), at=5), rx("eth0", at=50, skb=SKB + 64), around=around) == [
        [
            "tap",
            "bound to",
            "eth0 rx (host)",
            "veth0 tx (host)",
            "peer0 rx (blue)",
            "captured",
            "unseen",
            "mostly because",
        ],
        ["[9]", "unknown", "-", "-", "1/1", "1", "0"],
        ["(packets that passed)", "", "1", "1", "1"],
    ]


def test_incomplete_journeys_are_counted_and_said():
    # given a pass that lost steps, and a late record that fits nothing
    result = written(rx("eth0", steps_lost=3), late("eth0", tap(ON_ETH0), at=9, frame=7), received(20))

    assert "\n3 packets (2 of them incomplete); a cell is offers/captures" in result


def test_nothing_at_all():
    assert (
        written(around=scene(taps={}))
        == """\
tap                    bound to    unseen    mostly because
---------------------  ----------  --------  ----------------
(packets that passed)

0 packets; a cell is offers/captures; an unbound tap is offered a bonded packet once a device.
losses: none
"""
    )


def test_names_cannot_break_the_table():
    # given a process and a device whose names have line ends, tabs and escape sequences
    evil = Tap(5, HERE, 2, 3, "raw", processes=(Process(1, "a\tb\nc\x1b[31m", ""),))
    around = scene(altered("eth0", name="e\t\r\n0"), taps={5: evil}, devices={})

    assert cells(rx("eth0", tap(5)), around=around) == [
        ["tap", "bound to", "e\\x09\\x0d\\x0a0 rx", "captured", "unseen", "mostly because"],
        ["a\\x09b\\x0ac\\x1b[31m [5]", "e\\x09\\x0d\\x0a0", "1/1", "1", "0"],
        ["(packets that passed)", "", "1"],
    ]


# --- JSON ----------------------------------------------------------------------------------------------


def test_the_summary_as_json():
    # given a reply through the bond and an ARP request on the backup slave, with two taps known
    summary, around = counted(received(), refused(40), around=scene(taps={i: TAPS[i] for i in (ON_BOND0, ON_ANY)}))
    stream = io.StringIO()

    # when written
    table.write_json(summary, around, stream)

    # then it is one line, and this object
    def place(dev, **counts):
        return {"netns": HERE, "dev": dev, "direction": "rx", **counts}

    def devices(*offered):
        return [
            place(dev, passed=1, offered=count, captured=count)
            for dev, count in zip(("eth0", "eth1", "bond0"), offered)
        ]

    def known(name, dev, pid, kind):
        return {
            "pid": pid,
            "comm": "tcpdump",
            "name": name,
            "dev": dev,
            "protocol": "ALL",
            "kind": kind,
            "buffer": "ring",
            "ring_version": None,
            "ring_bytes": None,
            "netns": HERE,
            "uid": None,
            "running": True,
            "fanout_id": None,
            "has_filter": None,
            "promiscuous": None,
            "ignore_outgoing": None,
            "origdev": None,
            "processes": [{"pid": pid, "comm": "tcpdump", "cmdline": name}],
        }

    line, end = stream.getvalue().split("\n")
    assert end == ""
    assert json.loads(line) == {
        "journeys": 2,
        "incomplete": 0,
        "dropped": [],
        "passed": [place("eth0", packets=1), place("eth1", packets=1), place("bond0", packets=1)],
        "taps": {
            str(ON_BOND0): {
                **known("tcpdump -i bond0", "bond0", 803, "raw"),
                "watched": True,
                "devices": devices(0, 0, 1),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {
                    "inactive-slave": {
                        "packets": 1,
                        "example": 2,
                        "detail": "bound to bond0, and bond_handle_frame kept the "
                        "packet on eth1: inactive slave (EXACT)",
                    }
                },
            },
            str(ON_ANY): {
                **known("tcpdump -i any", "any", 804, "cooked"),
                "watched": True,
                "devices": devices(1, 1, 1),
                "outcomes": {"captured": 3},
                "twice": 1,
                "unseen": {},
            },
            str(ON_ETH0): {
                "watched": True,
                "devices": devices(1, 0, 0),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {},
            },
            str(ON_ETH1): {
                "watched": True,
                "devices": devices(0, 1, 0),
                "outcomes": {"captured": 1},
                "twice": 0,
                "unseen": {},
            },
        },
        "trust": {
            "clean": True,
            "losses": {},
            "not_attached": [],
            "does_not_see": [],
            "unknown_taps": [],
            "filter": None,
            "filter_blind": 0,
            "bytes_lost": 0,
        },
    }


# --- counting by shape ---------------------------------------------------------------------------------


def test_journeys_that_differ_in_time_and_contents_alone_have_one_shape():
    # given ten replies with other numbers, times and addresses of their skb, and two ARP requests among them
    passes = [received(10 + 10 * n, packet=reply(seq=n), skb=SKB + 64 * n, cpu=n % 2) for n in range(10)]
    around = scene()
    columns = stitched(refused(5), *passes, refused(105), around=around)

    assert list(shapes(columns, around)) == [(0, 2), (1, 10)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(rx("eth1", tap(ON_ANY), at=50), id="device"),
        pytest.param(tx("eth0", tap(ON_ANY), at=50), id="direction"),
        pytest.param(rx("eth0", tap(ON_ETH0), at=50), id="tap"),
        pytest.param(rx("eth0", tap(ON_ANY, "full"), at=50), id="outcome"),
        pytest.param(rx("eth0", tap(ON_ANY, function="packet_rcv"), at=50), id="function"),
        pytest.param(rx("eth0", tap(ON_ANY), handler("EXACT"), at=50), id="a step more"),
        pytest.param(rx("eth0", at=50), id="a step less"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, steps_lost=1), id="steps lost"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, packet=arp()), id="protocol"),
        pytest.param(rx("eth0", tap(ON_ANY), at=50, packet=reply(tag=7)), id="VLAN tag in the bytes"),
        pytest.param(rx("peer0", tap(ON_ANY), at=50), id="namespace"),
    ],
)
def test_journeys_that_differ_in_anything_else_have_two_shapes(other):
    around = scene()
    first = rx("eth0", tap(ON_ANY), at=10, skb=SKB + 64)

    assert list(shapes(stitched(first, other, around=around), around)) == [(0, 1), (1, 1)]


def test_who_sent_it_is_part_of_the_shape():
    around = scene()
    columns = stitched(tx("eth0", at=10), tx("eth0", at=50, sender=ON_ETH0), around=around)

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def test_the_protocol_behind_a_vlan_tag_is_part_of_the_shape():
    # given a reply and an ARP request, both with a tag in their bytes
    around = scene()
    columns = stitched(
        rx("eth0", packet=reply(tag=7), at=10),
        rx("eth0", packet=arp()[:12] + b"\x81\x00\x00\x07" + arp()[12:], at=50),
        around=around,
    )

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def test_changes_that_are_told_late_divide_shapes_too():
    # given a device that changed at 60 ms, and then the word that a tap was hooked out at 10 ms already
    around = scene(altered("lo", 60_000, up=True))
    around.take_hooks(hook(ON_ETH0, False, at=10_000))

    # when packets came at 5, 8, 30, 40 and 90 ms
    columns = stitched(
        *(rx("eth2", at=at, skb=SKB + at) for at in (5_000, 8_000, 30_000, 40_000, 90_000)), around=around
    )

    # then they are of three states
    assert list(shapes(columns, around)) == [(0, 2), (2, 2), (4, 1)]


def test_the_order_of_steps_is_part_of_the_shape():
    around = scene()
    columns = stitched(rx("eth0", tap(1), tap(2), at=10), rx("eth0", tap(2), tap(1), at=50), around=around)

    assert list(shapes(columns, around)) == [(0, 1), (1, 1)]


def one_by_one(columns, around):
    """The counts by the long way."""
    summary = Summary()
    for journey in assemble.journeys(columns, around):
        summary.count(journey)
    return summary


def plain(summary):
    """The counts that are not zero, and the examples."""
    return {
        name: {key: count for key, count in value.items() if count} if hasattr(value, "items") else value
        for name, value in vars(summary).items()
    }


def large_trace(seed):
    """(passes, scene): 400 packets of many kinds, during which devices and taps change, told by events and by hooks
    that come in no order."""
    rng = np.random.default_rng(seed)
    fresh = {600 + n: tcpdump(600 + n, ["eth0", "eth1", "bond0", None][n % 4], pid=n) for n in range(6)}
    happened = [losses(0, lost=[0])]
    for n, one in enumerate(fresh.values()):
        at = int(rng.integers(40_000))
        happened.append(tap_event(BEGIN_NS + (at + 500) * 1000, one, BEGIN_NS + at * 1000))
        if n % 2:
            happened.append(
                {
                    "kind": "tap-gone",
                    "time_ns": BEGIN_NS + 1000 * int(rng.integers(at + 600, 60_000)),
                    "inode": one.inode,
                }
            )
    swap = int(rng.integers(40_000))
    happened += [
        altered("eth0", swap, slave_state="backup"),
        altered("eth1", swap, slave_state="active"),
        altered("bond0", swap, active_slave=3),
    ]
    happened.sort(key=lambda event: event["time_ns"])
    around = scene()
    hooks = [
        hook(inode, bool(added), at=int(at))
        for inode, added, at in zip(
            rng.integers(600, 603, 6), rng.integers(0, 2, 6), np.sort(rng.integers(0, 60_000, 6))
        )
    ]
    around.take_hooks(both(*hooks))  # before the events: those come up to half a second later
    for event in happened:
        around.apply(event)
    kinds = [
        lambda at, **m: received(at, **m),
        lambda at, **m: refused(at, skb=m["skb"]),
        lambda at, **m: sent(at, skb=m["skb"]),
        lambda at, **m: rx("eth1", tap(601), handler("ANOTHER", "bond0"), protocol("ip_rcv"), at=at, **m),
        lambda at, **m: rx("eth2", at=at, **m),
    ]
    parts = [kinds[int(rng.integers(len(kinds)))](150 * n, skb=SKB + 64 * (n % 7)) for n in range(400)]
    return both(*parts), around


@pytest.mark.parametrize("seed", range(12))
def test_counting_by_shape_is_counting_one_by_one(seed):
    # given a large trace in which devices and taps come, change and go
    passes, around = large_trace(seed)
    columns = stitched(passes, around=around)

    # when it is counted in batches by shape
    summary, stitcher = Summary(), Stitcher(around.devices.related)
    for places in np.array_split(np.arange(len(passes)), 9):
        part = passes.take(places)
        summary.add(stitcher.add(part, int(part.records["time_ns"].max())), around)
    summary.add(stitcher.flush(), around)

    # then every count, and the first example of each reason, is that of counting journey by journey
    expected = plain(one_by_one(columns, around))
    assert plain(summary) == expected
    assert expected["journeys"] == 400 and len(expected["unseen"]) > 12


def test_the_taps_of_a_summary_are_the_known_and_those_that_were_offered_something():
    summary, around = counted(rx("eth0", tap(9)), around=scene(taps={LLDP: TAPS[LLDP]}))

    assert summary.inodes(around) == [LLDP, 9]
    assert summary.reasons(LLDP) == [("bound-elsewhere", 1)]
    assert summary.reasons(9) == []


def test_reasons_come_with_the_most_frequent_first():
    # given a tap on eth1 for LLDP, and two packets on eth0, one on eth1
    summary, _ = counted(rx("eth0"), rx("eth1", at=20), rx("eth0", at=40), around=scene(taps={LLDP: TAPS[LLDP]}))

    assert summary.reasons(LLDP) == [("bound-elsewhere", 2), ("protocol", 1)]
    assert summary.examples[LLDP, "bound-elsewhere"] == (1, "bound to eth1; the packet passed eth0")


def test_a_tap_that_lives_in_another_namespace_is_told_so():
    lone = Tap(5, THERE, 0, 3, "cooked")

    assert counted(received(), around=scene(taps={5: lone}))[0].reasons(5) == [("netns", 1)]
