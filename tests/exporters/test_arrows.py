# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of a recording as a recording: `show` of it is what `show` of the whole with the same selection is."""

import json
import re

import pytest
from shell import PING, bondtrace, failure

from bondtrace.format.payload import Payloads, bytes_events
from bondtrace.format.recording import Recording
from bondtrace.format.trace_set import gather
from build import (
    BEGIN_NS,
    FEW,
    ON_ANY,
    ON_ETH0,
    SKB,
    altered,
    begun,
    both,
    drop,
    events,
    hook,
    in_parts,
    late,
    losses,
    protocol,
    received,
    record,
    refused,
    reply,
    rx,
    sent,
    tap,
)


def exported(path, *words):
    small = path.parent / "small.arrows" if path != PING else words[0]
    words = words if path != PING else words[1:]
    done = bondtrace("export", path, *words, "--format", "arrows", "-o", small, "--force")
    assert done.returncode == 0, done.stderr
    return small, done


def told(path, *words):
    """What `show` prints, as text and JSON, without numbers of journeys and what is said of losses and selections."""
    text = bondtrace("show", path, *words).stdout
    values = [json.loads(line) for line in bondtrace("show", "--json", path, *words).stdout.splitlines()]
    for one in values:
        del one["id"], one["trust"]
    return re.sub(r" #\d+ ", " ", text), values


SELECTIONS = [
    ("icmp",),
    ("--dropped",),
    ("--unseen", "inactive-slave"),
    ("--path", "bond0>eth0"),
    ("--tx", "arp"),
    ("--count", "3"),
    (),
]


@pytest.mark.parametrize("words", SELECTIONS)
def test_the_journeys_are_those_of_the_whole(tmp_path, words):
    small, done = exported(PING, tmp_path / "small.arrows", *words)

    assert told(small) == told(PING, *words)
    assert told(small)[1]
    assert "journeys, and not those" not in done.stderr


@pytest.fixture
def changing(tmp_path):
    """A recording in which devices, taps and losses change between the packets, and late steps come a batch later."""
    parts = []
    for n in range(12):
        at, skb, seq = 200_000 * n, SKB + 0x1000 * n, 5 * n
        listed = {"packet": reply(seq=90 + n), "skb": skb + 128, "seq": seq + 2, "in_list": True, "frame": 7 + n}
        steps = protocol("ip_rcv"), drop("NO_SOCKET")
        parts += [
            (both(received(at, packet=reply(seq=n), skb=skb, seq=seq + 1), refused(at + 40, skb=skb + 64)), []),
            (rx("eth0", tap(ON_ETH0), at=at + 300, **listed), []),
            (
                late("eth0", *steps, at=at + 320, skb=skb + 128, seq=seq + 3, frame=7 + n),
                [altered("eth1", at + 350, mtu=1500 + n), losses(at + 360, lost=[n])],
            ),
            (
                both(hook(ON_ANY, n % 2, at + 400), sent(at + 500, skb=skb + 512)),
                [altered("bond0", at + 600, name=f"b{n}")],
            ),
        ]
    return record(tmp_path / "changing.arrows", (rx("lo", seq=999), events(taps=FEW)), *parts)


@pytest.mark.parametrize(
    "words", [("--dropped",), ("--dev", "b3"), ("--unseen", "not-running"), ("arp",), ("--since", "+1s", "icmp"), ()]
)
def test_what_was_known_at_a_time_is_known_of_the_part(changing, words):
    small, done = exported(changing, *words)

    assert told(small) == told(changing, *words)
    assert told(small)[1], "nothing was selected"
    assert "journeys, and not those" not in done.stderr


def test_the_recording_says_what_it_was_selected_by(tmp_path):
    small, done = exported(PING, tmp_path / "small.arrows", "icmp")
    smaller = tmp_path / "smaller.arrows"
    bondtrace("export", small, "--dropped", "--format", "arrows", "-o", smaller)
    private = tmp_path / "private.arrows"
    bondtrace("export", smaller, "--privacy", "drop", "--format", "arrows", "-o", private)

    assert done.stderr.splitlines() == [
        "bondtrace: selected: 4 of 10 journeys by --filter icmp",
        f"bondtrace: {PING}: losses: none",
        f"bondtrace: 4 journeys written to {small}",
    ]
    last = bondtrace("summary", smaller).stdout.splitlines()[-1]
    assert last == "losses: none; only journeys selected by --filter icmp and --dropped"
    trust = json.loads(bondtrace("summary", "--json", smaller).stdout)["trust"]
    assert trust["selection"] == "--filter icmp and --dropped"
    assert bondtrace("summary", private).stdout.splitlines()[-1].endswith("only journeys selected by (withheld)")


def test_parts_of_a_trace_are_joined_and_the_part_is_none_of_them(tmp_path):
    parts = in_parts(tmp_path / "trace.arrows", part_bytes=1)
    (tmp_path / "other").mkdir()
    small = tmp_path / "other" / "small.arrows"

    done = bondtrace("export", *parts, "--format", "arrows", "-o", small)

    assert done.returncode == 0, done.stderr
    start = next(event for batch in Recording(small).batches() for event in batch.events if event["kind"] == "start")
    assert len(parts) > 3 and not {"trace", "part", "selection"} & set(start)
    assert len(gather((small, *parts))) == 2
    assert told(small) == told(tmp_path) and len(told(small)[1]) == 3


def test_several_traces_are_refused(tmp_path):
    names = [record(tmp_path / f"{name}.arrows", (received(), begun(name, place))) for place, name in enumerate("ab")]

    assert failure(bondtrace("export", *names, "--format", "arrows", "-o", tmp_path / "c"), 2) == (
        f"bondtrace: export --format arrows is for one trace, these are 2: {names[0]}, {names[1]}; give one, or the "
        "parts of one\n"
    )


def test_only_the_bytes_of_packets_that_are_in_it_are_kept(tmp_path):
    # given bytes of two packets, which come with the packets or later
    frames = [reply(seq=n) + bytes(100) for n in (1, 2)]
    passes = [received(1000 * n, packet=frames[n], skb=SKB + 64 * n, seq=n + 1) for n in (0, 1)]
    batches = [(passes[n], bytes_events(BEGIN_NS, [(0, n + 1, frames[n])])) for n in (0, 1)]
    path = record(tmp_path / "whole.arrows", (rx("lo", seq=9), events()), *batches)

    small, _ = exported(path, "icmp[6:2] = 2")

    payloads = Payloads()
    for batch in Recording(small).batches():
        payloads.take(batch.events)
    assert dict(payloads) == {(0, 2): frames[1]}


def test_passes_that_would_be_joined_without_those_in_between_are_told(tmp_path):
    # given a packet that is sent on bond0, one with the same skb on eth0, and the first one's like on eth0
    both_alike = {"skb": SKB, "packet": reply()}
    passes = both(
        rx("eth0", at=0, seq=1, **both_alike), rx("eth0", at=3, seq=2, skb=SKB, packet=reply(seq=2)),
        rx("bond0", at=6, seq=3, **both_alike),
    )  # fmt: skip
    path = record(tmp_path / "reused.arrows", (passes, events()))
    whole = len(told(path, "icmp[6:2] = 1")[1])

    small, done = exported(path, "icmp[6:2] = 1")

    there = len(told(small)[1])
    assert (there != whole) == ("journeys, and not those" in done.stderr)
    assert (whole, there) == (2, 1)


def test_passes_stay_in_their_batches_whatever_times_events_have(tmp_path):
    # given an event from the far future in the first batch, and packets in later ones; every second is dropped
    def packet(n):
        steps = (tap(ON_ETH0), drop("NO_SOCKET")) if n % 2 else (tap(ON_ETH0),)
        return rx("eth0", *steps, at=1000 * n, skb=SKB + 64 * n, packet=reply(seq=n), seq=n + 1)

    first = [*events(), losses(3_600_000_000, lost=[0])]
    path = record(tmp_path / "odd.arrows", (packet(0), first), *((packet(n), []) for n in range(1, 8)))

    for words, wanted in (
        (("--dropped",), [0, 1, 1, 1, 1]),
        (("--rx",), [1] * 8),
        (("--dropped", "--count", "1"), [0, 1]),
    ):
        small, _ = exported(path, *words)
        assert [len(batch.passes) for batch in Recording(small).batches()] == wanted
        assert told(small) == told(path, *words)
