# SPDX-License-Identifier: GPL-2.0-or-later
"""CSV: quoted, and nothing that a spreadsheet would compute."""

from dataclasses import replace

from exported import brief, exported_csv

from bondtrace.model import Process
from build import DEVICES, ON_ETH0, TAPS, rx, scene, tap


def test_hostile_names_are_escaped_and_quoted():
    taps = {ON_ETH0: replace(TAPS[ON_ETH0], processes=(Process(1, 'e\x1b[31m\nv"i,l\udcff', ""),))}
    around = scene(taps=taps, devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="et\x1b\r\nh")}, host="a\nb")
    row = exported_csv(rx("eth0", tap(ON_ETH0)), around=around)[1]
    assert brief(row, "host", "dev", "tap_comm") == ("a\\x0ab", "et\\x1b\\x0d\\x0ah", 'e\\x1b[31m\\x0av"i,l\\xff')


def test_a_name_that_begins_as_a_formula_does_begins_with_an_escape():
    names = {41000 + number: f"{sign}cmd" for number, sign in enumerate("=+-@")}
    taps = {
        inode: replace(TAPS[ON_ETH0], inode=inode, processes=(Process(1, name, ""),)) for inode, name in names.items()
    }
    rows = exported_csv(rx("eth0", *map(tap, taps)), around=scene(taps=taps))
    assert [row["tap_comm"] for row in rows] == ["", "\\x3dcmd", "\\x2bcmd", "\\x2dcmd", "\\x40cmd"]


def test_what_does_not_apply_is_empty_and_truth_is_a_word():
    row = exported_csv(rx("eth0"))[0]
    assert brief(row, "kind", "complete", "inferred", "tap", "outcome", "reason") == (
        "enter",
        "true",
        "false",
        "",
        "",
        "",
    )
