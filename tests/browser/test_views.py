# SPDX-License-Identifier: GPL-2.0-or-later
"""What a journey looks like in the list."""

import pytest

from bondtrace.browser.lines import text_of
from bondtrace.browser.views import beside, is_dropped, list_lines, part_of, seen_by
from build import (
    FEW,
    HOSTILE_PASSES,
    LLDP,
    ON_ANY,
    ON_BOND0,
    ON_ETH0,
    ON_ETH1,
    TAPS,
    drop,
    handler,
    hostile_scene,
    journeys,
    protocol,
    received,
    refused,
    rx,
    scene,
    sent,
    tap,
)

BOND = {inode: TAPS[inode] for inode in (ON_ETH0, ON_ETH1, ON_BOND0)}


def one(*passes, taps=FEW):
    [journey] = journeys(*passes, around=scene(taps=taps))
    return journey


@pytest.mark.parametrize(
    "passes, taps, seen",
    [
        (received(), FEW, (3, 3, "")),
        (sent(), FEW, (1, 3, "!")),  # on bond0 the filter refused it, on eth0 there was no room
        (refused(), BOND, (2, 3, "")),  # the bond's tap could have been expected to see it, that of eth0 not
        (rx("eth0", tap(ON_ETH0, "unknown"), handler("CONSUMED")), {ON_ETH0: TAPS[ON_ETH0]}, (0, 1, "?")),
        (rx("eth0", tap(LLDP, "ignored"), protocol("ip_rcv")), {}, (0, 0, "")),
        (rx("eth0", tap(ON_ANY), steps_lost=2), {ON_ANY: TAPS[ON_ANY]}, (1, 1, "?")),
    ],
)
def test_how_many_taps_saw_a_packet_of_those_that_could_be_expected_to(passes, taps, seen):
    assert seen_by(one(passes, taps=taps)) == seen


def test_a_line_has_the_time_the_devices_the_taps_and_the_packet():
    rows = [text_of(line).rstrip() for line in list_lines([one(received()), one(sent())], 1, 80)]

    assert rows[1:] == [
        "12:00:00.000000 rx eth0>bond0    3/3    ICMP 10.9.0.1 > 10.9.0.2 echo reply id …",
        "12:00:00.000000 tx bond0>eth0    1/3!   ICMP 10.9.0.2 > 10.9.0.1 echo request i…",
    ]
    heads = rows[0].split()
    assert heads == ["time", "devices", "taps", "packet"]
    assert [rows[0].index(word) for word in heads] == [rows[1].index(word) for word in ("12:", "eth0>", "3/3", "ICMP")]


def test_the_cursor_is_a_line_in_reverse():
    lines = list_lines([one(received()), one(sent())], 1, 80)

    assert {style for style, _ in lines[2]} == {"cursor"} and "cursor" not in {style for style, _ in lines[1]}


def test_a_packet_that_the_kernel_dropped_has_a_mark():
    dropped = one(rx("eth0", tap(ON_ETH0), drop("NO_SOCKET")))
    line = list_lines([dropped], None, 120)[1]

    assert is_dropped(dropped) and not is_dropped(one(received()))
    assert ("red", " ×") in line and "eth0 × " in text_of(line)


def test_of_a_long_way_its_end_is_shown():
    way = rx("eth0", handler("ANOTHER", "bond0"), handler("ANOTHER", "br0", "br_handle_frame"), protocol("ip_rcv"))

    assert " rx eth0>…>br0  " in text_of(list_lines([one(way)], None, 80)[1])
    assert " rx eth0>bond0>br0  " in text_of(list_lines([one(way)], None, 120)[1])


@pytest.mark.parametrize("columns", [1, 10, 20, 40, 60, 80, 120, 300])
def test_every_line_is_as_wide_as_the_list_and_printable(columns):
    found = [*journeys(*HOSTILE_PASSES, around=hostile_scene()), one(sent())]

    told = [text_of(line) for line in list_lines(found, 0, columns)]

    assert {len(line) for line in told} == {columns}
    assert all(line.isprintable() for line in told)


def test_parts_stand_beside_one_another():
    left, right = [[("", "a")], [("", "b")]], [[("red", "x")]]

    assert [text_of(line) for line in beside(left, right, 3)] == ["a    x", "b    "]


def test_a_part_of_lines_is_moved_aside():
    lines = [[("", "0123"), ("red", "4567")], [("", "89")]]

    assert [text_of(line) for line in part_of(lines, 0, 3, 5)] == ["567", "", ""]
    assert [text_of(line) for line in part_of(lines, 1, 1)] == ["89"]
