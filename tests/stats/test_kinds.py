# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of journeys: what is counted of each is what is counted one by one, and there is room for so many."""

from collections import Counter

import pytest
from mixture import many, one_by_one

from bondtrace.analysis.select import Criteria
from bondtrace.stats.kinds import Kinds
from bondtrace.stats.summary import Summary


@pytest.mark.parametrize("seed", range(3))
def test_the_kinds_together_are_the_summary(seed):
    told, around = one_by_one(many(seed))
    summary, kinds, each = Summary(), Kinds(), Counter()
    for journey in told:
        summary.count(journey)
        each[kinds.number(journey, around)] += 1

    inodes = [tap.inode for tap in kinds.taps]
    offered, outcomes, unseen, trivial, passed, drops = (Counter() for _ in range(6))
    for kind, number in kinds.numbers.items():
        for tap, place, count, _ in kind.offers:
            offered[inodes[tap], place] += count * each[number]
        for tap, outcome, count in kind.outcomes:
            outcomes[inodes[tap], outcome] += count * each[number]
        for one in kind.absent:
            unseen[inodes[one.tap], one.reason] += each[number]
            trivial[inodes[one.tap], one.reason] += each[number] * one.trivial
        passed.update(dict.fromkeys(kind.passed, each[number]))
        for drop, harmless, count in kind.drops:
            drops[drop, harmless] += count * each[number]
    assert offered == +summary.offered and outcomes == summary.outcomes and passed == summary.passed
    assert unseen == summary.unseen and 0 < trivial.total() < unseen.total()
    assert trivial == {which: one.trivial for which, one in summary.absences.items()}
    assert drops == {(drop, harmless): count for drop, harmless, count in summary.ended.drops()}


def test_journeys_of_a_kind_fulfil_the_same_criteria():
    told, around = one_by_one(many(5))
    asked = [
        Criteria(taps=("41001",)),
        Criteria(taps=("lldpd",), outcomes=("ignored",)),
        Criteria(unseen=("bound-elsewhere",), taps=("tcpdump",)),
        Criteria(dropped=("NO_SOCKET",)),
        Criteria(devices=("bond0",)),
        Criteria(paths=(("eth0", "bond0"),)),
    ]
    kinds, found = Kinds(), {}
    for journey in told:
        found.setdefault(kinds.number(journey, around), set()).add(
            tuple(criteria.holds_for(journey, around) for criteria in asked)
        )

    assert all(len(answers) == 1 for answers in found.values()) and len(found) > 10
    assert all(len({next(iter(answers))[nth] for answers in found.values()}) == 2 for nth in range(len(asked)))


@pytest.mark.parametrize("limits", [{"kinds_max": 5}, {"entries_max": 60}])
def test_what_there_is_no_room_for_is_of_a_kind_that_tells_little(limits):
    told, around = one_by_one(many(1))
    kinds = Kinds(**limits)

    numbers = [kinds.number(journey, around) for journey in told]

    whole = Kinds()
    known = list(whole.numbers) if [whole.number(journey, around) for journey in told] else []
    rest = [kind for kind in kinds.numbers if kind.is_rest]
    assert rest and len(kinds.numbers) - len(rest) < len(whole.numbers) / 2
    assert all(kind in whole.numbers for kind in kinds.numbers if not kind.is_rest) and known
    for journey, number in zip(told, numbers):
        kind, full = list(kinds.numbers)[number], list(whole.numbers)[whole.number(journey, around)]
        assert kind in (full, full.rest())
    assert [one.id for one in kinds.examples] == [told[numbers.index(nth)].id for nth in range(len(kinds.numbers))]
