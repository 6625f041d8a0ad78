# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages that only some hosts need are attached as the need comes."""

import pytest

from bondtrace.capture.kernel.plan import Plan, Probe, Stage
from bondtrace.capture.kernel.stage_specs import Need
from bondtrace.capture.kernel.symbols import Symbol
from bondtrace.capture.live import needs as module
from bondtrace.capture.live.needs import NeedFollower, needed

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
