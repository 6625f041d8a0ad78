# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages that only some hosts need are attached as the need comes."""

import numpy as np
import pytest

from bondtrace.capture.kernel.plan import Plan, Probe, Stage
from bondtrace.capture.kernel.stage_specs import FULL_RING, IN_GROUP, WITHOUT_RING, Need
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.live import needs as module
from bondtrace.capture.live.needs import NeedFollower, TapNeeds, needed
from bondtrace.format.wire import COUNT, EMPTY, RECORD, STEP, STEP_FANOUT, STEP_HANDLER, STEP_TAP, Passes
from bondtrace.model import Tap

CHAINS = Need("firewall rules", frozenset(("vxlan",)), ("nf_tables",), ("nft_do_chain",))


class Kernel:
    """Modules with a number for each loading; attaches to any stage that is not ``refused``."""

    def __init__(self):
        self.loadings, self.attached, self.refused = {}, [], False

    def stage(self, missing=""):
        probe = Probe("program", "nft_do_chain", "nft_do_chain", "nf_tables", "fexit")
        return Stage("chains", "tells", "without", () if missing else (probe,), missing, CHAINS.when)

    def attach(self, name):
        self.attached.append(name)
        return self.stage("the kernel refuses" if self.refused else "")

    def follower(self, attached=False):
        plan = Plan((self.stage(),)) if attached else Plan((), (), (self.stage(),))
        return NeedFollower(plan, self.attach, self.loadings.get)


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(module, "needs", lambda: {"chains": CHAINS, "of another plan": CHAINS})
    return Kernel()


def test_what_is_not_needed_is_left_alone(kernel):
    assert kernel.follower().follow({"bond"}, 7) == ([], [])
    assert kernel.attached == []


def test_what_comes_to_be_needed_is_attached_once(kernel):
    follower = kernel.follower()
    kernel.loadings["nf_tables"] = 10

    [event], notes = follower.follow({"bond"}, 7)

    assert (event["kind"], event["time_ns"], event["stage"]["name"]) == ("stage", 7, "chains")
    assert (event["stage"]["when"], event["stage"]["missing"]) == ("firewall rules", "")
    assert notes == [] and follower.follow({"bond"}, 8) == follower.follow({"bond", "vxlan"}, 9) == ([], [])
    assert kernel.attached == ["chains"]


def test_what_was_attached_at_the_start_is_attached_again_only_where_its_module_was_reloaded(kernel):
    kernel.loadings["nf_tables"] = 10
    follower = kernel.follower(attached=True)
    assert follower.follow((), 7) == ([], [])

    del kernel.loadings["nf_tables"]
    assert follower.follow((), 8) == ([], [])
    kernel.loadings["nf_tables"] = 11
    [event], notes = follower.follow((), 9)

    assert event["stage"]["name"] == "chains" and kernel.attached == ["chains"]
    assert notes == ["module nf_tables was reloaded: chains is attached again"]
    assert follower.follow((), 10) == ([], [])


def test_what_cannot_be_attached_is_told_and_tried_again_only_where_the_module_was_reloaded(kernel):
    kernel.loadings["nf_tables"], kernel.refused = 10, True
    follower = kernel.follower(attached=True)
    kernel.loadings["nf_tables"] = 11

    [event], _ = follower.follow((), 7)

    assert event["stage"]["missing"] == "the kernel refuses"
    assert follower.follow((), 8) == ([], []) and len(kernel.attached) == 1


def test_modules_are_looked_for_once_a_second(kernel):
    follower = kernel.follower()
    assert follower.is_due(0)
    follower.follow((), 0)
    assert not follower.is_due(999_999_999) and follower.is_due(1_000_000_000)


def test_at_the_start_what_is_built_in_counts_too(kernel):
    built_in, loaded = ({"nft_do_chain": Symbol("nft_do_chain", where)} for where in ("", "nf_tables"))
    assert needed((), built_in, kernel.loadings.get) == ["chains", "of another plan"]
    assert needed((), loaded, kernel.loadings.get) == []
    assert needed(("vxlan",), {}, kernel.loadings.get) == ["chains", "of another plan"]


# --- what taps need ------------------------------------------------------------------------------------

SECOND_NS = 10**9


def tap(inode, buffer="ring", fanout_id=None):
    return Tap(inode, 1, 0, 3, "raw", buffer=buffer, fanout_id=fanout_id)


def steps(*given):
    """Passes of a step each: (kind, func, result, arg)."""
    made = np.zeros(len(given), STEP)
    for row, (kind, func, result, arg) in zip(made, given):
        row["kind"], row["func"], row["result"], row["arg"] = kind, func, result, arg
    return Passes(np.zeros(len(given), RECORD), made, np.arange(len(given) + 1))


def counted(*given):
    counts = np.zeros(len(given), COUNT)
    for row, (kind, func, result, arg) in zip(counts, given):
        row["key"]["kind"], row["key"]["func"], row["key"]["result"], row["key"]["arg"] = kind, func, result, arg
    return counts


CAPTURED, FILTERED, FULL, UNKNOWN = 1, 2, 3, 0
IN_RING = (STEP_TAP, 2, CAPTURED, 7)


@pytest.mark.parametrize(
    ("known", "passed", "sorts"),
    [
        ([], [], set()),
        ([tap(7)], [IN_RING, (STEP_TAP, 2, FILTERED, 7)], set()),
        ([tap(7), tap(8, "queue")], [], {WITHOUT_RING}),
        ([tap(8, None)], [], {WITHOUT_RING}),  # it is not known what it has
        ([tap(7, fanout_id=3)], [], {IN_GROUP}),
        # what only packets show, as of a tap in a namespace that no list has
        ([], [(STEP_TAP, 1, UNKNOWN, 9)], {WITHOUT_RING}),
        ([], [(STEP_TAP, 3, UNKNOWN, 9)], {WITHOUT_RING}),
        ([], [(STEP_FANOUT, 4, UNKNOWN, 0)], {IN_GROUP}),
        ([tap(7)], [IN_RING, (STEP_TAP, 2, FULL, 7)], {FULL_RING}),
        ([tap(7)], [(STEP_TAP, 2, UNKNOWN, 7)], {FULL_RING}),
        ([tap(7)], [(STEP_HANDLER, 2, FULL, 7)], set()),
    ],
)
@pytest.mark.parametrize("is_counted", [False, True])
def test_what_taps_there_are_is_told_by_their_list_and_by_packets(known, passed, sorts, is_counted):
    needs = TapNeeds()
    passes, counts = (EMPTY, counted(*passed)) if is_counted else (steps(*passed), None)
    needs.notice(passes, counts, {one.inode: one for one in known}, 5)
    assert needs.at(5) == sorts


def test_a_ring_that_was_full_counts_until_it_is_closed_and_a_moment_longer():
    needs, ring = TapNeeds(), {7: tap(7)}
    needs.notice(steps((STEP_TAP, 2, FULL, 7)), None, ring, 0)
    for now_ns, known, expected in [(3600 * SECOND_NS, ring, {FULL_RING}), (3601 * SECOND_NS, {}, set())]:
        needs.notice(EMPTY, None, known, now_ns)
        assert needs.at(now_ns) == expected
    needs.notice(steps((STEP_TAP, 2, FULL, 9)), None, {}, 4000 * SECOND_NS)
    assert [needs.at(second * SECOND_NS) for second in (4000, 4009, 4010)] == [{FULL_RING}, {FULL_RING}, set()]


class Outcomes:
    """A kernel with a stage that taps without a ring need."""

    def __init__(self, attached=False):
        self.did = []
        stage = Stage("outcomes", "tells", "without", (), "", "taps without a ring")
        plan = Plan((stage,)) if attached else Plan((), (), (stage,))
        self.stage = stage
        self.follower = NeedFollower(plan, self.attach, lambda module: None, self.detach)

    def attach(self, name):
        self.did.append(f"attach {name}")
        return self.stage

    def detach(self, name):
        self.did.append(f"detach {name}")

    def at(self, second, *known):
        self.follower.notice(EMPTY, None, {one.inode: one for one in known}, second * SECOND_NS)
        due = self.follower.is_due(second * SECOND_NS)
        return due, [event["stage"]["name"] for event in self.follower.follow((), second * SECOND_NS)[0]]


@pytest.fixture
def of_taps(monkeypatch):
    monkeypatch.setattr(module, "needs", lambda: {"outcomes": Need("taps without a ring", taps=WITHOUT_RING)})


def test_a_stage_comes_with_the_first_tap_that_needs_it_and_goes_some_time_after_the_last(of_taps):
    kernel = Outcomes()
    assert kernel.at(0, tap(7)) == (True, [])  # due because nothing was looked for yet
    assert kernel.at(0.1, tap(7)) == (False, [])
    # when one opens, it is not waited for
    assert kernel.at(0.2, tap(7), tap(8, "queue")) == (True, ["outcomes"])
    assert kernel.at(0.3, tap(7), tap(8, "queue")) == (False, [])
    assert kernel.at(100, tap(8, "queue"))[1] == kernel.at(109.9, tap(7))[1] == kernel.at(105, tap(9, "queue"))[1] == []
    assert kernel.did == ["attach outcomes"]
    kernel.at(115)
    kernel.at(116)
    assert kernel.did == ["attach outcomes", "detach outcomes"]
    assert kernel.at(117, tap(8, "queue"))[1] == ["outcomes"] and kernel.did[2:] == ["attach outcomes"]


def test_what_was_attached_at_the_start_as_it_is_always_needed_here_stays(of_taps):
    kernel = Outcomes(attached=True)
    for second in (0, 50, 100):
        assert kernel.at(second)[1] == []
    assert kernel.did == []
