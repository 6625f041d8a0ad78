# SPDX-License-Identifier: GPL-2.0-or-later
"""Random packets of all kinds, counted as a report counts them, and journey by journey."""

import numpy as np

from bondtrace.analysis import assemble
from bondtrace.format.batch import Batch
from bondtrace.pipeline import Pipeline
from bondtrace.stats.report_data import ReportData, Sample
from build import (
    LLDP,
    ON_5354,
    ON_ANY,
    ON_ETH0,
    ON_ETH1,
    SKB,
    THERE,
    answered,
    both,
    drop,
    enters,
    events,
    fanout,
    forwarded,
    given,
    handler,
    late,
    local,
    protocol,
    received,
    refusal,
    refused,
    rx,
    scene,
    sent,
    stitched,
    tap,
    tx,
    vlan,
)

KINDS = (
    received,
    refused,
    sent,
    lambda at, **m: rx(
        "eth0",
        tap(ON_ETH0, "full"),
        tap(ON_ANY),
        handler("ANOTHER", "bond0"),
        vlan("bond0.7"),
        protocol("arp_rcv"),
        at=at,
        **m,
    ),
    lambda at, **m: rx("eth1", tap(ON_ETH1, "filtered"), handler("CONSUMED"), at=at, **m),
    lambda at, **m: rx("eth1", handler("EXACT"), tap(LLDP, "ignored"), drop("NO_SOCKET"), at=at, **m),
    lambda at, **m: rx(
        "eth2",
        handler("ANOTHER", "peer0", "macvlan_handle_frame"),
        enters(THERE),
        tap(77),
        protocol("ip_rcv"),
        at=at,
        **m,
    ),
    lambda at, **m: rx("peer0", fanout(), drop("NO_SOCKET", "macvlan_handle_frame"), at=at, **m),
    lambda at, **m: rx("eth2", protocol("ip_rcv"), local(17), given(ON_5354), at=at, **m),
    lambda at, **m: rx(
        "eth2", protocol("ip_rcv"), local(17), given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF"), at=at, **m
    ),
    lambda at, **m: rx("eth2", protocol("arp_rcv"), answered(), at=at, **m),
    lambda at, **m: rx("eth2", protocol("ip_rcv"), forwarded(2), at=at, **m),
    lambda at, **m: tx("bond0", at=at, **m),
    lambda at, **m: late("eth0", tap(ON_ETH0), at=at, **m),
)


def many(seed, count=500):
    """Return packets of all kinds, one about every 150 µs, with random times of their steps."""
    rng = np.random.default_rng(seed)
    parts = [
        KINDS[int(rng.integers(len(KINDS)))](150 * n + int(rng.integers(50)), skb=SKB + 64 * n, frame=n)
        for n in range(count)
    ]
    passes = both(*parts)
    passes.steps["t_ns"] = np.sort(2.0 ** rng.uniform(0, 31, len(passes.steps))) + np.arange(len(passes.steps))
    return passes


def digested(passes, limit=100, batches=7, **more):
    """Return the data of a report that took the passes in batches."""
    data = ReportData(Sample(limit), **more)
    pipeline = Pipeline(columns=data.add, directions=data.directions, scene=data.scene, summary=data.summary)
    parts = [passes.take(places) for places in np.array_split(np.arange(len(passes)), batches)]
    given = [Batch(part, [], int(part.records["time_ns"].max())) for part in parts]
    pipeline.run([given[0]._replace(passes=passes.take(np.arange(0)), events=events()), *given])
    return data


def one_by_one(passes):
    """Return (the journeys of the passes, their scene)."""
    around = scene()
    columns = stitched(passes, around=around)
    return list(assemble.journeys(columns, around)), around
