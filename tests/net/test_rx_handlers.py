# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of rx_handlers: one row answers who installs it and what its verdicts mean."""

import pytest

from bondtrace.format.wire import VERDICTS
from bondtrace.net import rx_handlers
from bondtrace.net.rx_handlers import RX_HANDLERS


def test_each_function_and_each_kind_stands_once():
    kinds = [kind for one in RX_HANDLERS for kind in one.kinds]

    assert len(set(rx_handlers.FUNCTIONS)) == len(RX_HANDLERS) > 0
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("one", RX_HANDLERS, ids=rx_handlers.FUNCTIONS)
def test_phrases_are_of_verdicts_that_there_are(one):
    assert set(one.phrases) <= set(VERDICTS.values())
    assert {rx_handlers.handler_of(kind) for kind in one.kinds} == {one.function}


@pytest.mark.parametrize(
    ("function", "verdict", "expected"),
    [
        ("br_handle_frame", "CONSUMED", "taken by the bridge"),
        ("br_handle_frame", "ANOTHER", "handed to the upper device"),
        ("vlan_do_receive", "PASS", "no VLAN device took the tag"),
        ("somebody_elses", "EXACT", "only exact matches from here on"),
        (None, "PASS", "left to the device itself"),
        ("br_handle_frame", "unknown", None),
    ],
)
def test_a_verdict_is_explained(function, verdict, expected):
    assert rx_handlers.phrase(function, verdict) == expected


def test_a_kind_that_installs_none():
    assert rx_handlers.handler_of("veth") is None
