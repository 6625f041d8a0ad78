# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose state programs work with on PREEMPT_RT (bpf/state.c): tasks that take turns inside brackets have one each."""

import ctypes
import shutil

import pytest
from hosted import build

from bondtrace.format.wire import COUNTERS

STACK = 0x9000  # a place on a task's stack: what is called from there has lower ones


@pytest.fixture
def tasks(tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    return build(tmp_path, fentry=True, real_time=True)


def counted(library, name):
    return library.counted(COUNTERS.index(name))


def test_tasks_that_take_turns_have_a_state_each_and_give_it_back(tasks):
    # given a task that is interrupted inside its bracket by one that receives on the same CPU
    assert tasks.begin_as(100, STACK) == 1
    assert tasks.begin_as(200, STACK) == 1, "not nested in the other's"
    first, second = tasks.state_of(100), tasks.state_of(200)
    assert 0 not in (first, second) and first != second
    assert tasks.number_of_bracket(100) != tasks.number_of_bracket(200), "numbers are different on a CPU"
    # when each nests another bracket, and they end in turns
    assert (tasks.begin_as(100, STACK - 500), tasks.begin_as(200, STACK - 500)) == (2, 2)
    assert (tasks.end_as(100), tasks.end_as(200), tasks.end_as(100), tasks.end_as(200)) == (1, 1, 0, 0)
    # then outside of brackets both have the CPU's, and nothing was missed
    assert (tasks.state_of(100), tasks.state_of(200)) == (0, 0)
    assert (counted(tasks, "unbalanced"), counted(tasks, "too_deep")) == (0, 0)


def test_a_bracket_whose_end_was_missed_is_not_nested_in(tasks):
    # given a task that was inside of the program at the end when another task came to it: the kernel skipped that
    assert tasks.begin_as(100, STACK) == 1
    assert tasks.begin_as(100, STACK - 500) == 2
    # when its next bracket begins, then those that began there, or further down on its stack, have ended
    assert tasks.begin_as(100, STACK) == 1
    assert counted(tasks, "unbalanced") == 2


def test_many_tasks_at_once(tasks):
    # given as many tasks as may be interrupted one by the other, and more of those that may take the same states
    assert {tasks.begin_as(task, STACK) for task in range(1, 17)} == {1}
    assert len({tasks.state_of(task) for task in range(1, 17)}) == 16
    same = list(range(128, 128 * 40, 128))
    depths = [tasks.begin_as(task, STACK) for task in same]
    # then those that get none have no bracket, and are counted
    assert 0 < depths.count(0) == counted(tasks, "too_deep")
    assert tasks.state_of(same[depths.index(0)]) == 0
    # and a state that a task has kept for very long, as it ended without a word, is another's
    tasks.wait_ns(ctypes.c_uint64(11 * 10**9))
    assert tasks.begin_as(same[depths.index(0)], STACK) == 1
    assert tasks.state_of(same[0]) == 0 and counted(tasks, "unbalanced") == 1


def test_each_idle_task_is_one_of_its_own(tasks):
    assert tasks.begin_as(0, STACK) == 1 and tasks.state_of(0) > 0
    assert tasks.end_as(0) == 0 and tasks.state_of(0) == 0
