# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables as wide as what they are written to."""

import io

import pytest

from bondtrace.reporters.fitting import WIDTH, Column, drawn, shortened, width_of

COLUMNS = (
    Column(("tap",), least=12),
    Column(("bound to",), tells=(1, 0)),
    Column(("eth0", "rx"), tells=(2, 9)),
    Column(("eth1", "rx"), tells=(0, 7)),
    Column(("eth1", "tx"), tells=(2, 3)),
    Column(("mostly", "because")),
)
ROWS = [
    ["tcpdump -i eth0 icmp [41001]", "eth0", "9/9", "-", "-", "bound-elsewhere"],
    ["(packets that passed)", "", "9", "7", "3"],
]


def lines(width, columns=COLUMNS, rows=ROWS, form="simple"):
    return [line.rstrip() for line in drawn(columns, rows, form, width).splitlines()]


def test_where_there_is_room_it_is_the_plain_table():
    assert lines(120)[0] == "tap                           bound to    eth0 rx    eth1 rx    eth1 tx    mostly because"


@pytest.mark.parametrize(
    "width, table",
    [
        (
            75,
            """\
tap                           bound to  eth0  eth1  eth1  mostly
                                        rx    rx    tx    because
----------------------------  --------  ----  ----  ----  ---------------
tcpdump -i eth0 icmp [41001]  eth0      9/9   -     -     bound-elsewhere
(packets that passed)                   9     7     3""",
        ),
        (
            70,
            """\
tap                           bound to  eth0  eth1  mostly
                                        rx    tx    because
----------------------------  --------  ----  ----  ---------------
tcpdump -i eth0 icmp [41001]  eth0      9/9   -     bound-elsewhere
(packets that passed)                   9     3
(too narrow for: eth1 rx; --format tsv and --json have all)""",
        ),
        (
            60,
            """\
tap                    bound to  eth0  eth1  mostly
                                 rx    tx    because
---------------------  --------  ----  ----  ---------------
tcpdump -i e… [41001]  eth0      9/9   -     bound-elsewhere
(packets that passed)            9     3
(too narrow for: eth1 rx; --format tsv and --json have all)""",
        ),
        (
            40,
            """\
tap           eth0  eth1  mostly
              rx    tx    because
------------  ----  ----  ---------------
tcpdump -i…   9/9   -     bound-elsewhere
(packets th…  9     3
(too narrow for: bound to, eth1 rx;
--format tsv and --json have all)""",
        ),
    ],
)
def test_what_tells_least_is_shortened_or_left_out_first(width, table):
    assert "\n".join(lines(width)) == table


def test_prose_is_written_on_several_lines_and_all_of_it():
    columns = (Column(("stage",)), Column(("probes",), least=12, wraps=True), Column(("why",), least=5, wraps=True))
    rows = [["drops", "kprobe a_rather_long_one\n-> not told", "no such function"], ["VLAN", "none", ""]]

    assert lines(30, columns, rows) == [
        "stage  probes        why",
        "-----  ------------  --------",
        "drops  kprobe a_rat  no such",
        "       her_long_one  function",
        "       -> not told",
        "VLAN   none",
    ]


def test_nothing_is_left_out_for_programs():
    told = lines(20, form="github")
    assert told[0].count("|") == len(COLUMNS) + 1 and told[2].startswith("| tcpdump -i eth0 icmp [41001] | eth0 ")


def test_groups_stand_above_the_first_of_their_columns():
    columns = (
        Column(("tap",)),
        Column(("eth0", "rx"), "(this one)", (2, 1)),
        Column(("eth0", "tx"), "(this one)", (2, 1)),
        Column(("eth9", "rx"), "a container with a long name", (2, 1)),
        Column(("unseen",)),
    )
    rows = [["x", "1/1", "1/1", "-", "0"]]

    assert lines(120, columns, rows)[:2] == [
        "       (this one)            a contai…",
        "tap    eth0 rx    eth0 tx    eth9 rx    unseen",
    ]
    assert lines(30, columns, rows)[:3] == [
        "     (this one)  a c…",
        "tap  eth0  eth0  eth9  unseen",
        "     rx    tx    rx",
    ]


def test_of_a_cut_name_the_inode_stays():
    assert shortened("tcpdump -i eth0 icmp [41001]", 20) == "tcpdump -i… [41001]"
    assert shortened("tcpdump", 7) == "tcpdump"


def test_the_width_is_that_of_columns_or_a_fixed_one(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert width_of(io.StringIO()) == 77
    for wrong in ("", "0", "-5", "x", "²"):
        monkeypatch.setenv("COLUMNS", wrong)
        assert width_of(io.StringIO()) == WIDTH


def test_numbers_stand_at_the_right_however_narrow_it_is():
    columns = (Column(("tap",), least=3), Column(("offers", "/s"), right=True))
    rows = [["a", "5"], ["bcdefgh", "12345678"]]

    assert drawn(columns, rows, "plain", 80).splitlines() == [
        "tap        offers /s",
        "a                  5",
        "bcdefgh     12345678",
    ]
    assert drawn(columns, rows, "plain", 14).splitlines() == [
        "tap     offers",
        "            /s",
        "a            5",
        "bcd…  12345678",
    ]
