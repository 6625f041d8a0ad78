# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes to be above a bond while the bond is traced, in namespaces that are not: from when it is traced on, what
is said of its taps is what their files have; before that nothing is said of them."""

import os

import pytest
from stacks import Stack, false_absences

pytestmark = pytest.mark.lab

KERNELS = os.environ["BONDTRACE_KERNELS"].split(",") if os.environ.get("BONDTRACE_KERNELS") else [None]
COMMAND = 'exec bondtrace record $LAB_TRACE -o "$LAB_OUT/trace.arrows"'
EARLY = "080"  # came by gre2 before anything told that it runs over the bond


@pytest.fixture(scope="session", params=KERNELS, ids=lambda kernel: kernel or "default")
def stack(request, play_all):
    run = play_all(request.param, ("elsewhere",), COMMAND)["elsewhere"]
    return Stack(run.out)


@pytest.fixture
def matched(stack):
    return stack.matched()


def test_the_taps_have_what_their_files_have_from_when_they_are_traced_on(stack, matched):
    # the packet, and the error that answers it
    assert {(name, f"packet-{EARLY}".encode().hex() in data) for name, _, data in matched.missed} == {("gre2", True)}
    assert matched.wrong == []
    for name, mark in (("bond0.60", "081"), ("mv0", "082"), ("gre1", "083"), ("gre2", "084")):
        assert matched.has(name, mark), name


def test_until_then_nothing_is_said_of_them(stack, matched):
    assert false_absences(stack, matched, {}) == []
    [journey] = matched.marks(stack)[EARLY]
    assert {stack.names[one.tap]: one.reason for one in journey.unseen}["gre2"] == "not-traced"


def test_in_the_end_all_of_them_are_covered_and_nothing_else_there(stack):
    names = {stack.scene.device_name(*key, 1 << 62) for key in stack.scene.traced(1 << 62)}
    assert {"eth0", "eth1", "bond0", "bond0.60", "mv0", "gre1", "gre2"} <= names
    assert not names & {"lo", "gre0", "gretap0"}
    assert stack.scene.losses() == {}
