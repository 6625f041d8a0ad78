# SPDX-License-Identifier: GPL-2.0-or-later
"""Taps that did not listen any more in the end."""

from dataclasses import replace

import pytest

from bondtrace.analysis.tap_ends import of_tap
from bondtrace.format.events import device_event, device_gone_event, tap_event, tap_gone_event
from build import BEGIN_NS, DEVICES, HERE, scene, tcpdump

ETH0, ETH2 = DEVICES["eth0"], DEVICES["eth2"]
TAP = tcpdump(7, "eth2")
CLOSED_NS = BEGIN_NS + 5000


def ended(*happened, tap=TAP):
    """How the tap ended, after these events."""
    around = scene(*happened, taps={7: tap})
    found = of_tap(7, around)
    return found and (found.mark, found.detail, found.by_ns)


def down(dev, at):
    return device_event(at, replace(dev, up=False))


CLOSES = tap_gone_event(CLOSED_NS, CLOSED_NS - 500, 7)


@pytest.mark.parametrize(
    "happened, detail",
    [
        ([CLOSES], "its socket was closed"),
        ([down(ETH2, CLOSED_NS - 900), CLOSES], "its socket was closed; its device eth2 was down by then"),
        (
            [device_gone_event(CLOSED_NS - 900, HERE, ETH2.ifindex), CLOSES],
            "its socket was closed; its device eth2 had gone by then",
        ),
        # what came later, or happened to another one
        ([CLOSES, down(ETH2, CLOSED_NS + 900)], "its socket was closed"),
        ([down(ETH0, CLOSED_NS - 900), CLOSES], "its socket was closed"),
    ],
)
def test_a_tap_that_closed(happened, detail):
    assert ended(*happened) == ("closed", detail, CLOSED_NS)


def test_a_tap_whose_device_is_down_or_gone():
    idle = replace(TAP, running=False)
    assert ended(down(ETH2, CLOSED_NS), tap=idle) == ("not hooked in", "its device eth2 was down", None)
    assert ended(tap=replace(idle, ifindex=-1)) == ("not hooked in", "its device had gone", None)


def test_one_that_listens_or_that_nobody_knows_has_not_ended():
    assert ended() is None
    assert ended(tap_event(CLOSED_NS + 900, TAP)) is None
    assert ended(CLOSES, tap_event(CLOSED_NS + 900, TAP)) is None
    assert ended(tap=replace(TAP, protocol=0, running=False)) is None
    assert ended(tap=replace(TAP, running=False)) is None  # why is not known
    assert of_tap(99, scene()) is None
