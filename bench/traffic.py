# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes traffic for measurements: passes of examples/ping.arrows, repeated with what differs from packet to packet.

A *ping* is three passes: a request received on the bond's slave (two taps, the rx_handler, the IP stack), and inside it
the reply, sent on the bond and on its slave (one tap each). A *flood* is only the received pass. What differs: times
(two busy CPUs, exponential pauses, every duration and step with noise of its own), addresses (4 bits of entropy;
recordings of the lab have 3 to 5), numbers, the IP id and both checksums, ICMP's sequence number and the time in the
payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bondtrace.format.events import Event
from bondtrace.format.recording import Recording
from bondtrace.format.wire import PACKET_BYTES, RECORD_RX, STEP_DROP, STEP_HANDLER, Array, Passes, concatenate

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "ping.arrows"
CPUS = 2
SPEED_UP = 80  # the example was recorded in an emulated machine
IP_ID, IP_SUM, ICMP_SUM, ICMP_SEQ, PAYLOAD_TIME = 18, 24, 36, 40, 42


def example() -> tuple[list[Event], dict[str, Passes]]:
    """Return the example's events, and by kind of traffic the passes of one packet, in the order in which they end."""
    batches = list(Recording(EXAMPLE).batches())
    passes = concatenate([batch.passes for batch in batches])
    ping = passes.take(np.arange(len(passes) - 3, len(passes)))
    assert ping.records["parent"].tolist() == [12, 12, 0] and np.diff(ping.offsets).tolist() == [1, 1, 4]
    return [event for batch in batches for event in batch.events], {"ping": ping, "flood": ping.take(np.array([2]))}


def make(template: Passes, total: int, per_second: float, chunk: int = 60_000) -> Iterator[Passes]:
    """Yield ``total`` passes like these at this rate, in batches, in the order in which they ended. They are always the
    same."""
    rng = np.random.default_rng(2014)
    begins_ns = np.full(CPUS, int(template.records["time_ns"].min()))
    nth = np.zeros(CPUS, np.int64)
    for first in range(0, total, chunk):
        packets = min(chunk, total - first) // len(template)
        shares = [packets - packets // 2, packets // 2]
        parts = []
        for cpu, share in enumerate(shares):
            noise = 1 + rng.gamma(1.0, 0.2, share)
            busy = int(template.records["duration_ns"].max()) / SPEED_UP * noise
            idle = 1e9 * len(template) * CPUS / per_second - busy.mean()
            if idle < 0:
                raise SystemExit(f"{per_second} passes per second are more than {CPUS} CPUs can do")
            times = begins_ns[cpu] + np.cumsum(busy + rng.exponential(idle, share)).astype(np.int64)
            parts.append(_chunk(template, times, noise, cpu, nth[cpu] + np.arange(share), rng))
            begins_ns[cpu] = times[-1]
            nth[cpu] += share
        both = concatenate(parts)
        ends = both.records["time_ns"] + both.records["duration_ns"]
        yield both.take(np.argsort(ends, kind="stable"))


def _chunk(template: Passes, times: Array, noise: Array, cpu: int, nth: Array, rng: np.random.Generator) -> Passes:
    """Return the passes of one CPU: packets that begin at these times, and take longer by these factors."""
    packets, many = len(times), len(template)
    passes = template.take(np.tile(np.arange(many), packets))
    records = passes.records.reshape(packets, many)
    first_ns = int(template.records["time_ns"].min())
    since = (template.records["time_ns"].astype(np.int64) - first_ns) / SPEED_UP * noise[:, None]
    records["time_ns"] = times[:, None] + since.astype(np.int64)
    inner = np.where(template.records["parent"] > 0, rng.uniform(0.7, 1, (packets, many)), 1) * noise[:, None]
    records["duration_ns"] = (template.records["duration_ns"] / SPEED_UP * inner).astype(np.uint32)
    records["cpu"] = cpu
    base = int(template.records["seq"].min())
    for name in ("seq", "parent"):
        records[name] = np.where(template.records[name] > 0, template.records[name] - base + 1 + nth[:, None] * many, 0)
    records["frame"] = template.records["frame"] - template.records["frame"].min() + 1 + nth[:, None] * many
    received = records["kind"] == RECORD_RX
    slab = np.minimum(rng.geometric(0.2, (packets, 2)), 64) * 512 + [0, 256] + cpu * (1 << 20)  # received, sent
    slab = np.where(received, slab[:, :1], slab[:, 1:])
    records["skb"] = template.records["skb"] // (1 << 21) * (1 << 21) + slab.astype(np.uint64)
    records["last_skb"] = records["skb"] & 0xFFFFFFFF
    records["head"] = template.records["head"] // (1 << 21) * (1 << 21) + slab // 4
    _contents(records, times, nth, rng)
    _steps(passes, inner.reshape(-1), rng)
    return passes


def _contents(records: Array, times: Array, nth: Array, rng: np.random.Generator) -> None:
    """Set what differs in the packets' bytes; a packet is the same in all its passes."""
    received = records["kind"][0] == RECORD_RX
    assert records["packet"].shape[2] == PACKET_BYTES
    for mine in (received, ~received):
        if not mine.any():
            continue
        packet = records["packet"][:, mine]
        for at, value in (
            (IP_ID, nth),
            (ICMP_SEQ, nth),
            (IP_SUM, rng.integers(0, 1 << 16, len(times))),
            (ICMP_SUM, rng.integers(0, 1 << 16, len(times))),
        ):
            packet[:, :, at], packet[:, :, at + 1] = (value >> 8 & 0xFF)[:, None], (value & 0xFF)[:, None]
        seconds, micros = np.divmod(times // 1000, 1_000_000)
        for at, value in ((PAYLOAD_TIME, seconds), (PAYLOAD_TIME + 8, micros)):
            packet[:, :, at : at + 8] = value.astype("<i8").view(np.uint8).reshape(-1, 1, 8)
        records["packet"][:, mine] = packet


def _steps(passes: Passes, noise: Array, rng: np.random.Generator) -> None:
    owner = np.repeat(np.arange(len(passes)), np.diff(passes.offsets))
    since = passes.steps["t_ns"] / SPEED_UP * noise[owner]
    passes.steps["t_ns"] = (since * rng.uniform(0.97, 1, len(since))).astype(np.uint32)
    named = np.isin(passes.steps["kind"], (STEP_DROP, STEP_HANDLER))
    skb = passes.records["last_skb"][owner]
    passes.steps["skb_low"] = np.where(named, passes.steps["skb_low"], skb)
