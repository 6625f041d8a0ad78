# SPDX-License-Identifier: GPL-2.0-or-later
"""What is offered to follow in the line of the browser in which a selection is typed."""

from dataclasses import replace

import pytest

from bondtrace.browser.completing import OPTIONS, candidates
from bondtrace.commands import selecting
from bondtrace.model import Process
from build import DEVICES, FEW, ON_ETH0, scene


def offered(text, around=None, **more):
    """The lines that may come of one that is typed up to here."""
    found = candidates(text, [around or scene(taps=FEW)], **more)
    return [text[: len(text) - one.back] + one.text for one in found]


@pytest.mark.parametrize(
    "text, lines",
    [
        ("--un", ["--unseen ", "--until "]),
        ("icmp --de", ["icmp --dev "]),
        ("--outcome f", ["--outcome filtered", "--outcome full"]),
        ("--unseen SLAVE", ["--unseen inactive-slave"]),
        ("--tap 'tcpdump -i b", ["--tap 'tcpdump -i bond0'"]),
        ("--tap eth", ["--tap 'tcpdump -i eth0'"]),
        ("--tap=any", ["--tap='tcpdump -i any'"]),
        ("--dev bond0.", ["--dev bond0.7"]),
        ("--path eth0>bond0.", ["--path eth0>bond0.7"]),
        ("--path 'eth0 > bond0.", ["--path 'eth0 >bond0.7'"]),
        ("--dropped --de", ["--dropped --dev "]),
        ("--slower ", []),
        ("icmp ", [f"icmp {name} " for name in OPTIONS]),
        ("icmp or", []),
        ("--filter i", []),
    ],
)
def test_what_can_follow(text, lines):
    assert offered(text) == lines


def test_every_option_of_a_selection_is_offered():
    (options,) = [{one.opts[-1] for one in selecting._typed.params if one.opts[0].startswith("-")}]
    assert set(OPTIONS) == options


def test_where_nothing_is_typed_only_what_was_asked_for_is_offered():
    around = scene(taps=FEW)
    around.start["drop_reasons"] = {"2": "NO_SOCKET", "3": "PKT_TOO_SMALL"}

    assert offered("", is_asked_for=False) == offered("icmp ", is_asked_for=False) == []
    assert offered("--dropped ", around, is_asked_for=False) == []
    assert offered("--dropped ", around) == ["--dropped NO_SOCKET", "--dropped PKT_TOO_SMALL"]
    assert offered("--dropped no", around, is_asked_for=False) == ["--dropped NO_SOCKET"]


def test_taps_of_one_name_are_offered_with_what_tells_them_apart():
    first = FEW[ON_ETH0]
    taps = {**FEW, 50001: replace(first, inode=50001, processes=(Process(9, "tcpdump", "tcpdump -i eth0"),))}
    same = {7: replace(first, inode=7, processes=()), 8: replace(first, inode=8, processes=())}

    assert offered("--tap eth0", scene(taps=taps)) == [
        "--tap 'tcpdump -i eth0 pid 801'",
        "--tap 'tcpdump -i eth0 pid 9'",
    ]
    assert [line[-4:] for line in offered("--tap ", scene(taps=same))] == ["[7]'", "[8]'"]


def test_names_are_quoted_and_what_is_not_printable_is_not_offered():
    around = scene(taps=FEW, devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="a b'c")})
    around.start["drop_reasons"] = {"2": "A\x1b[31m"}

    (found,) = offered("--dev a", around)
    assert selecting.typed(found).devices == ("a b'c",)
    assert offered("--dropped A", around) == []
