# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of CSV and Parquet: one a step, and one for each tap that did not see the packet."""

import re

from exported import brief, exported_csv
from shell import ROOT

from bondtrace.exporters.rows import COLUMNS, NAMES
from build import (
    ON_5354,
    answered,
    arp,
    beyond_ip,
    given,
    handler,
    local,
    losses,
    protocol,
    received,
    refusal,
    rx,
    scene,
    sent,
    tap,
)


def test_a_row_is_a_step_or_an_unseen_tap():
    rows = exported_csv(received(), sent(100))
    assert tuple(rows[0]) == NAMES
    names = (
        "journey",
        "pass",
        "pass_direction",
        "step",
        "t_ns",
        "kind",
        "round",
        "dev",
        "orig_dev",
        "tap_name",
        "outcome",
        "verdict",
        "next_dev",
        "reason",
        "function",
    )
    assert [brief(row, *names) for row in rows] == [
        ("1", "1", "rx", "1", "0", "enter", "1", "eth0", "eth0", "", "", "", "", "", ""),
        (
            "1",
            "1",
            "rx",
            "2",
            "1000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "3",
            "2000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i eth0",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "4",
            "3000",
            "rx_handler",
            "1",
            "eth0",
            "eth0",
            "",
            "",
            "ANOTHER",
            "bond0",
            "active slave",
            "bond_handle_frame",
        ),
        (
            "1",
            "1",
            "rx",
            "5",
            "4000",
            "tap",
            "2",
            "bond0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "1",
            "1",
            "rx",
            "6",
            "5000",
            "tap",
            "2",
            "bond0",
            "eth0",
            "tcpdump -i bond0",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        ("1", "1", "rx", "7", "6000", "protocol", "2", "bond0", "eth0", "", "", "", "", "", "ip_rcv"),
        ("1", "", "", "", "", "unseen", "", "", "", "tcpdump -i eth1 arp", "", "", "", "bound-elsewhere", ""),
        ("1", "", "", "", "", "unseen", "", "", "", "lldpd", "", "", "", "bound-elsewhere", ""),
        ("2", "1", "tx", "1", "0", "enter", "1", "bond0", "bond0", "", "", "", "", "", ""),
        (
            "2",
            "1",
            "tx",
            "2",
            "1000",
            "tap",
            "1",
            "bond0",
            "bond0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "2",
            "1",
            "tx",
            "3",
            "2000",
            "tap",
            "1",
            "bond0",
            "bond0",
            "tcpdump -i bond0",
            "filtered",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        ("2", "2", "tx", "1", "10000", "enter", "1", "eth0", "eth0", "", "", "", "", "", ""),
        (
            "2",
            "2",
            "tx",
            "2",
            "11000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i any",
            "captured",
            "",
            "",
            "",
            "tpacket_rcv",
        ),
        (
            "2",
            "2",
            "tx",
            "3",
            "12000",
            "tap",
            "1",
            "eth0",
            "eth0",
            "tcpdump -i eth0",
            "full",
            "",
            "",
            "ring",
            "tpacket_rcv",
        ),
        ("2", "", "", "", "", "unseen", "", "", "", "tcpdump -i eth1 arp", "", "", "", "bound-elsewhere", ""),
        ("2", "", "", "", "", "unseen", "", "", "", "lldpd", "", "", "", "bound-elsewhere", ""),
    ]


def test_a_row_says_whose_it_is():
    row = exported_csv(received())[2]
    names = (
        "host",
        "kernel",
        "recording",
        "journey",
        "time",
        "duration_ns",
        "direction",
        "complete",
        "clean",
        "len",
        "ethertype",
        "protocol",
        "src",
        "dst",
        "info",
        "vlan",
        "cpu",
        "netns",
        "netns_name",
        "tap",
        "tap_pid",
        "tap_comm",
        "tap_dev",
        "tap_protocol",
        "detail",
        "inferred",
    )
    assert brief(row, *names) == (
        "lab",
        "6.1.0",
        "trace.arrows",
        "1",
        "2026-11-22T12:00:00.000000000Z",
        "7000",
        "rx",
        "true",
        "true",
        "98",
        "0x0800",
        "ICMP",
        "10.9.0.1",
        "10.9.0.2",
        "echo reply id 128 seq 1",
        "",
        "0",
        "4026531840",
        "host",
        "41001",
        "801",
        "tcpdump",
        "eth0",
        "ALL",
        "",
        "false",
    )


def test_where_something_was_lost_rows_are_not_clean_and_an_unknown_tap_has_its_inode():
    rows = exported_csv(rx("eth0", tap(77)), around=scene(losses(lost=[1])))
    assert {row["clean"] for row in rows} == {"false"}
    assert brief(rows[1], "tap", "tap_name", "tap_pid", "tap_dev") == ("77", "", "", "")


def test_every_column_is_documented_with_its_type_in_order():
    text = (ROOT / "docs" / "export.md").read_text()
    table = text[text.index("## Rows") :]
    assert tuple(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)) == COLUMNS


def test_sockets_and_ends_are_told_in_columns_of_their_own():
    rows = exported_csv(
        rx("eth0", protocol("ip_rcv"), local(17), given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF")),
        rx("eth0", handler("ANOTHER", "bond0"), given(0, "tcp_v4_do_rcv"), at=50),
        rx("eth0", protocol("arp_rcv"), answered(), at=90, packet=arp()),
        around=beyond_ip(taps={}),
    )
    names = ("kind", "socket", "socket_name", "socket_state", "ip_protocol", "outcome", "reason", "end", "end_detail")
    dnsd, nobody = "dnsd's UDP socket *:5354 [12385]", "a connection that was not yet accepted, or is closed"

    assert [brief(row, *names) for row in rows if row["kind"] not in ("enter", "rx_handler")] == [
        ("protocol", "", "", "", "", "", "", "", ""),
        ("local", "", "", "", "17", "", "", "", ""),
        ("socket", "12385", dnsd, "", "", "full", "SOCKET_RCVBUFF", "", ""),
        ("drop", "12385", dnsd, "", "", "", "SOCKET_RCVBUFF", "refused", f"{dnsd}: no room in its receive buffer"),
        ("socket", "0", nobody, "ESTABLISHED", "", "taken", "", "socket", f"{nobody}: taken by TCP"),
        ("protocol", "", "", "", "", "", "", "", ""),
        ("answered", "", "", "", "", "", "", "answered", "answered by this host"),
    ]
    assert [row["end_look_at"][:40] for row in rows if row["end"] == "refused"] == [
        "the socket's receive buffer was full: `s"
    ]
