# SPDX-License-Identifier: GPL-2.0-or-later
"""An era's answers beside what was recorded, compared whole in every form. Whether they are right: tests/analysis."""

import io
from dataclasses import replace

import pytest

from bondtrace.analysis.eras import find_era
from bondtrace.reporters import as_if
from build import DEVICES, FEW, ON_ANY, ON_BOND0, ON_ETH0, journeys, received, rx, scene, tap

ERA = find_era("2.6.18")
WHY = "skb_bond() had made bond0 of skb->dev before any tap"
UNKNOWN = "the bond's answer for eth0 was not recorded"
ON_ETH0_RX, ON_BOND0_RX = ({"dev": dev, "direction": "rx"} for dev in ("eth0", "bond0"))


@pytest.fixture
def around():
    """A scene with what the old rules ask of the bond."""
    return scene(taps=FEW, devices={**DEVICES, "bond0": replace(DEVICES["bond0"], arp_interval_ms=0)})


def journey(around, passes=None):
    (one,) = journeys(received() if passes is None else passes, around=around)
    return one


def test_under_a_journey_a_tap_is_a_line_and_what_differs_is_marked(around):
    assert as_if.lines(journey(around), around, ERA) == [
        "    as if 2.6.18 (RHEL 5; modelled from source, not run):",
        f"    ≠ tcpdump -i eth0 [41001]: not offered it ({WHY}); recorded: rx on eth0",
        "      tcpdump -i bond0 [41003]: rx on bond0",
        "    ≠ tcpdump -i any [41004]: rx on bond0; recorded: rx on eth0, then rx on bond0",
    ]


def test_in_a_story_a_tap_is_a_sentence_behind_the_rule(around):
    assert as_if.paragraphs(journey(around), around, ERA) == [
        f"As if 2.6.18 (RHEL 5; modelled from source, not run). The rule: {ERA.rule} (source: {ERA.source}).",
        f"tcpdump -i eth0 [41001] would not have been offered it: {WHY}. Recorded was: rx on eth0.",
        "tcpdump -i bond0 [41003] would have been offered it rx on bond0.",
        "tcpdump -i any [41004] would have been offered it rx on bond0. Recorded was: rx on eth0, then rx on bond0.",
    ]


def test_as_json(around):
    assert as_if.answer_objects(journey(around), around, ERA) == {
        "era": "2.6.18",
        "kernels": "RHEL 5",
        "rule": ERA.rule,
        "source": ERA.source,
        "basis": "modelled from source, not run",
        "taps": [
            {"tap": ON_ETH0, "recorded": [ON_ETH0_RX], "differs": True, "why": WHY, "modelled": []},
            {"tap": ON_BOND0, "recorded": [ON_BOND0_RX], "differs": False, "why": "", "modelled": [ON_BOND0_RX]},
            {
                "tap": ON_ANY,
                "recorded": [ON_ETH0_RX, ON_BOND0_RX],
                "differs": True,
                "why": "",
                "modelled": [ON_BOND0_RX],
            },
        ],
    }


def test_what_is_not_known_is_said_in_every_form(around):
    one = journey(around, rx("eth0", tap(ON_ETH0)))

    assert as_if.lines(one, around, ERA)[1] == f"    ? tcpdump -i eth0 [41001]: unknown ({UNKNOWN})"
    assert as_if.paragraphs(one, around, ERA)[1] == (
        f"What tcpdump -i eth0 [41001] would have been offered is unknown: {UNKNOWN}."
    )
    assert as_if.answer_objects(one, around, ERA)["taps"][0]["modelled"] is None


def counted(around, *passes):
    """The counts of these journeys, the first of them twice."""
    counts = as_if.Counts(around, ERA)
    for number, one in enumerate(passes):
        counts.count(journey(around, one), 1 + (number == 0))
    return counts


def test_the_table_of_many_journeys(around):
    stream = io.StringIO()
    as_if.write(counted(around, received()), stream)

    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        "",
        "as if 2.6.18 (RHEL 5; modelled from source, not run):",
        "tap                       bound to    offered      recorded    2.6.18",
        "------------------------  ----------  -----------  ----------  --------  --",
        "tcpdump -i eth0 [41001]   eth0        rx on eth0   2           0         ≠",
        "tcpdump -i bond0 [41003]  bond0       rx on bond0  2           2",
        "tcpdump -i any [41004]    any         rx on bond0  2           2",
        "tcpdump -i any [41004]    any         rx on eth0   2           0         ≠",
        f"The rule: {ERA.rule}",
        f"(source: {ERA.source}).",
    ]


def test_where_some_are_unknown_the_table_marks_no_difference(around):
    stream = io.StringIO()
    as_if.write(counted(around, received(), rx("eth0", tap(ON_ETH0))), stream)

    [line] = [line for line in stream.getvalue().splitlines() if "tcpdump -i eth0 [41001]" in line]
    assert " ".join(line.split("rx on eth0")[1].split()) == "3 0 or more 1"
    assert " ".join(stream.getvalue().splitlines()[2].split()) == "tap bound to offered recorded 2.6.18 packets unknown"


def test_the_table_is_as_narrow_as_is_asked(around):
    told = as_if.table_lines(counted(around, received(), rx("eth0", tap(ON_ETH0))), 70)

    assert told[1].split() == ["tap", "offered", "recorded", "2.6.18", "packets"]
    assert "(too narrow for: bound to; --json has all)" in told
    assert max(map(len, told[1:7])) <= 70


def test_many_journeys_as_json(around):
    told = as_if.counts_object(counted(around, received(), rx("eth0", tap(ON_ETH0))))

    assert (told["era"], told["basis"]) == ("2.6.18", "modelled from source, not run")
    assert told["taps"] == [
        {"tap": inode, "dev": dev, "direction": "rx", "recorded": recorded, "modelled": modelled, "unknown": 1}
        for inode, dev, recorded, modelled in (
            (ON_ETH0, "eth0", 3, 0),
            (ON_BOND0, "bond0", 2, 2),
            (ON_ANY, "bond0", 2, 2),
            (ON_ANY, "eth0", 2, 0),
        )
    ]
