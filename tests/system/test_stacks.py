# SPDX-License-Identifier: GPL-2.0-or-later
"""What people stack around a bond (tunnels, VRFs, NAT, redirects, containers, firewalls, tags, fanout groups): every
marked packet's journeys against what the kernel's rules demand (demanded.py), and, whatever the packet, what is said of
each tap against its own file. Above all no tap whose file has a packet is told not to have seen it.
"""

import os

import pytest
from demanded import COPIES, DEMANDED, read, unlike
from stacks import Stack, false_absences, out_of_order, plays, unknowns

pytestmark = pytest.mark.lab

# `make test` plays these on this Debian's own kernel, `make test-stacks` all on the oldest, the current and the newest.
SOME = "vxlan,ipsec,vrf,dnat,ifb,redirect,netfilter,bridge_forward,qinq,fanout,queued"
EVERY = os.environ.get("BONDTRACE_KERNELS", "")
WANTED = os.environ.get("BONDTRACE_SCENARIOS", ",".join(DEMANDED) if EVERY else SOME)
SCENARIOS = [name for name in WANTED.split(",") if name in DEMANDED]
KERNELS = EVERY.split(",") if EVERY else [None]


class Played:
    """A scenario that was played on a kernel, and its recording beside the taps' files."""

    def __init__(self, name, run):
        self.name, self.run = name, run
        self.stack = Stack(run.out)
        self.matched = self.stack.matched()
        self.marks = self.matched.marks(self.stack)
        self.absent = false_absences(self.stack, self.matched, COPIES)


played = plays(Played, KERNELS, SCENARIOS)


def test_nothing_was_lost(played):
    assert played.stack.scene.losses() == {}
    assert played.stack.scene.missing_stages() == []
    assert [journey.id for journey in played.stack.journeys if not journey.complete] == []


def test_what_each_tap_captured_is_what_its_file_has(played, deliveries):
    stack, matched = played.stack, played.matched
    unsure = unknowns(stack.journeys, stack.names)
    false = len(played.absent) + len(matched.missed)
    deliveries(stack.kernel, played.name, len(played.marks), len(matched.pairs), false, unsure)
    assert matched.pairs
    assert {"said, not in the file": matched.wrong, "in the file, not said": matched.missed} == {
        "said, not in the file": [],
        "in the file, not said": [],
    }


def test_no_tap_whose_file_has_a_packet_is_told_not_to_have_seen_it(played):
    assert played.absent == []


def test_every_packet_has_the_journeys_that_the_kernel_demands(played):
    wrong = unlike(played.stack, played.name, played.marks)
    assert wrong == [], "\n".join(wrong)


def test_no_answer_is_unknown_but_those_that_are_demanded(played):
    demanded = sum(reason == "unknown" for one in read(DEMANDED[played.name]) for reason in one.reasons.values())
    found = unknowns(played.stack.journeys, played.stack.names)
    assert len(found) == demanded, found


def test_steps_are_in_order_of_time(played):
    assert out_of_order(played.stack.journeys) == []
