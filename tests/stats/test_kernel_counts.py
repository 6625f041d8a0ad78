# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of the kernel: by name, and as a summary."""

import pytest
from reading import BOND0, ETH0, READING, counting

import build
from bondtrace.stats import kernel_counts


@pytest.fixture
def pipeline():
    return counting()


def test_a_reading_replaces_the_one_before(pipeline):
    assert pipeline.summary.journeys == pipeline.counted.passes == 107
    assert pipeline.summary.passed == {
        (build.HERE, ETH0, "rx"): 100,
        (build.HERE, BOND0, "rx"): 90,
        (build.HERE, BOND0, "tx"): 7,
    }


def test_a_direction_is_left_out(pipeline):
    only = kernel_counts.of(READING, pipeline.scene, ("tx",))
    assert only.passes == 7 and only.passed == {(build.HERE, BOND0, "tx"): 7}
    assert not only.verdicts and not only.drops


def test_verdicts_and_drops_are_named(pipeline):
    assert pipeline.counted.verdicts == {
        (build.HERE, ETH0, "bond_handle_frame", "ANOTHER"): 90,
        (build.HERE, ETH0, "bond_handle_frame", "EXACT"): 10,
    }
    assert pipeline.counted.drops == {(build.HERE, ETH0, "__netif_receive_skb_core", "NO_SOCKET"): 10}
