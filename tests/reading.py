# SPDX-License-Identifier: GPL-2.0-or-later
"""A reading of what the kernel counts, and a pipeline that has taken it."""

import numpy as np

import build
from bondtrace.format.batch import Batch
from bondtrace.format.wire import COUNT, EMPTY, STEP_DROP, STEP_HANDLER, STEP_PASS, STEP_TAP
from bondtrace.pipeline import Pipeline

ETH0, BOND0, TAP = 2, 4, build.ON_BOND0
HANDLER, DROP_PLACE = 0x81A0, 0x82B0


def key(ifindex, kind, count, arg=0, more=0, result=0, func=0, outgoing=0, netns=build.HERE):
    """Return a row of ``wire.COUNT``."""
    return ((netns, ifindex, arg, more, kind, result, func, outgoing), count)


READING = np.array(
    [
        key(ETH0, STEP_PASS, 100),
        key(BOND0, STEP_PASS, 90, result=1),
        key(BOND0, STEP_PASS, 7, outgoing=1),
        key(ETH0, STEP_HANDLER, 90, arg=HANDLER, result=1, func=63),
        key(ETH0, STEP_HANDLER, 10, arg=HANDLER, result=2, func=63),
        key(BOND0, STEP_TAP, 80, arg=TAP, result=1, func=2),
        key(BOND0, STEP_TAP, 10, arg=TAP, result=3, func=2),
        key(BOND0, STEP_TAP, 7, arg=TAP, result=1, func=2, outgoing=1),
        key(BOND0, STEP_TAP, 3, arg=77, result=2, func=1),
        key(ETH0, STEP_DROP, 10, arg=DROP_PLACE, more=3),
    ],
    COUNT,
)


def counting():
    """Return a pipeline that has taken the reading."""
    events = [
        *build.events(),
        {"kind": "symbol", "time_ns": 1, "address": HANDLER, "name": "bond_handle_frame"},
        {"kind": "symbol", "time_ns": 1, "address": DROP_PLACE, "name": "__netif_receive_skb_core"},
    ]
    told = Pipeline()
    told.run([Batch(EMPTY, events, 10, READING[:3]), Batch(EMPTY, [], 20), Batch(EMPTY, [], 30, READING)])
    return told
