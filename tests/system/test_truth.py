# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of tap at once, under a flood from every CPU: what bondtrace says of each delivery against what the
tap itself read and what the kernel counted for it; and every reason against the kernel's rules, worked out here
from each tap's binding and the packet's way alone."""

import json
import os
import zlib
from collections import Counter

import pytest
from truth import captured_by, disagreement, in_file, traced_time

from bondtrace.format.recording import Recording
from bondtrace.format.wire import PACKET_BYTES
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

ALL = 3
CPUS = 4
EVERY = os.environ.get("BONDTRACE_KERNELS", "").split(",")
KERNELS = [None if one == "6.1" else one for one in EVERY if one in ("6.1", "6.12", "7.3", "6.18-rt", "7.3-rt")] or [
    None
]


class Trace:
    """A recording of the scenario with what the taps say of themselves."""

    def __init__(self, run):
        self.out = run.out
        self.recording = run.out / "trace.arrows"
        zoo = json.loads((run.out / "zoo.json").read_text())
        other = json.loads((run.out / "elsewhere" / "other.json").read_text())
        self.zoo = {tap["name"]: tap for tap in [*zoo, *other]}
        self.journeys = []
        self.pipeline = Pipeline(show=self.journeys.append)
        self.pipeline.run(Recording(self.recording).batches())
        self.kernel = self.pipeline.scene.start["kernel"]
        self.first_bytes = {}
        for batch in Recording(self.recording).batches():
            for record in batch.passes.records:
                data = record["packet"].tobytes()[: min(int(record["captured"]), PACKET_BYTES)]
                self.first_bytes[int(record["time_ns"]), int(record["skb"])] = zlib.crc32(data)


@pytest.fixture(scope="session", params=KERNELS, ids=[kernel or "default" for kernel in KERNELS])
def trace(play, request):
    """On this Debian's own kernel; `make test-kernels` adds those where plain sockets drop with a reason."""
    command = "exec bondtrace record --iface bond0 -o $LAB_OUT/trace.arrows"
    return Trace(play("taps", command, request.param, cpus=CPUS))


def deliveries(trace, inode):
    """[(outcome, skb->dev, journey)] of a tap, from the journeys."""
    return [
        (step.outcome, step.dev, journey)
        for journey in trace.journeys
        for one in journey.passes
        for step in one.steps
        if step.tap == inode
    ]


def way(journey):
    """The class of a packet's way, from its passes alone: what the rules below are stated for."""
    first = journey.passes[0].steps[0].dev
    if journey.direction == "tx":
        return "sent"
    if first == "eth0":
        return "active"
    return "backup-link-local" if journey.packet.ethertype == 0x88CC else "backup"


def expected(tap, kind, ethertype):
    """ "offered" or the reason why not, by the kernel's rules."""
    dev, protocol = tap["dev"], tap["protocol"]
    matches = protocol in (ALL, ethertype)
    if dev == "eth1" and kind in ("sent", "active"):
        return "bound-elsewhere"
    if dev == "eth0" and kind.startswith("backup"):
        return "bound-elsewhere"
    if dev == "bond0" and kind.startswith("backup"):
        return "inactive-slave"
    if protocol != ALL and kind == "sent":
        return "outgoing-not-offered"
    if not matches:
        return "protocol"
    if protocol != ALL and dev == "any" and kind == "backup":
        return "inactive-slave"
    return "offered"


def special(tap, kind, journey):
    """What sets these taps apart from the rules for all."""
    name = tap["name"]
    if name == "unbound":
        return "not-running"
    if name == "elsewhere":
        return "not-traced"
    if name == "incoming" and kind == "sent":
        return "outgoing-ignored"
    if name == "sender" and journey.passes[0].sender == tap["inode"]:
        return "own-packet"
    return None


def test_every_packet_has_one_complete_journey_and_nothing_was_lost(trace):
    assert trace.pipeline.scene.losses() == {}
    assert trace.pipeline.summary.incomplete == 0
    # then the taps on the bond and on "any" confirm the number of packets sent and received
    captured = {name: trace.zoo[name]["captured"] for name in ("bond", "slave", "backup", "any")}
    ways = Counter(way(journey) for journey in trace.journeys if started(trace, journey))
    both = ways["sent"] + ways["active"]
    backup = ways["backup"] + ways["backup-link-local"]
    assert captured == {"bond": both, "slave": both, "backup": backup, "any": 2 * both + backup}


def started(trace, journey):
    """Did the packet come after the zoo's taps were there?"""
    return not any(
        missed.reason == "not-yet-open" and missed.tap == trace.zoo["bond"]["inode"] for missed in journey.unseen
    )


def open_outcomes(trace, inode):
    """How many of a tap's outcomes are unknown, of packets before what frees an skb was probed, or just then."""
    probed_ns = min(
        (
            event["time_ns"]
            for batch in Recording(trace.recording).batches()
            for event in batch.events
            if event["kind"] == "stage" and event["stage"]["name"] == "ring refusals"
        ),
        default=1 << 63,
    )
    given = deliveries(trace, inode)
    return sum(outcome == "unknown" and journey.time_ns < probed_ns + 10**9 for outcome, _, journey in given)


def test_captured_and_full_are_what_the_kernel_counted(trace):
    said = {
        name: Counter(outcome for outcome, _, _ in deliveries(trace, tap["inode"])) for name, tap in trace.zoo.items()
    }
    # also of the one to which the kernel gives nothing, without a word: of that its counters alone tell
    open_ = {name: open_outcomes(trace, tap["inode"]) for name, tap in trace.zoo.items()}
    assert {name: (counts["captured"], counts["full"]) for name, counts in said.items() if not open_[name]} == {
        name: (tap["captured"], tap["full"]) for name, tap in trace.zoo.items() if not open_[name]
    }
    # where several CPUs filled a ring before what decides was probed, some may be open, and nothing else is
    assert {name for name, count in open_.items() if count} <= {"ring", "ring3"}
    for name in {"ring", "ring3"}:
        tap, counts = trace.zoo[name], said[name]
        assert 0 <= tap["captured"] - counts["captured"] <= open_[name] <= CPUS
        assert counts["captured"] + counts["full"] + open_[name] == tap["captured"] + tap["full"]
    # and the scenario did what it is for: some taps were full, one refused, nobody was asked in vain
    assert all(trace.zoo[name]["full"] > 100 for name in ("tiny", "ring", "ring3", "reserved"))
    assert said["filtered"]["filtered"] > 100
    others = said.keys() - {"elsewhere-any"}
    assert {name: (said[name]["unknown"] - open_[name], said[name]["ignored"]) for name in others} == dict.fromkeys(
        others, (0, 0)
    )
    # while the tap of another namespace that is bound to no device had nothing of it, called or not
    assert set(said["elsewhere-any"]) <= {"ignored"}


def test_captured_is_what_each_tap_read_packet_by_packet(trace, figure):
    checked = wrong = 0
    for name, tap in trace.zoo.items():
        if not tap["reads"] or name == "cooked":  # a cooked tap gets no link-layer header to compare
            continue
        said = Counter(
            (dev, journey.packet.length, crc(trace, journey))
            for outcome, dev, journey in deliveries(trace, tap["inode"])
            if outcome == "captured"
        )
        truth = Counter(tuple(packet) for packet in tap["packets"])
        wrong += ((said - truth) + (truth - said)).total()
        checked += said.total()
    figure(f"truth, kernel {trace.kernel}: {checked} deliveries checked packet by packet, {wrong} disagreeing")
    assert wrong == 0
    assert checked > 10_000


def crc(trace, journey):
    """Of the packet's first bytes, as the recording has them."""
    return trace.first_bytes[journey.passes[0].time_ns, journey.passes[0].skb]


@pytest.mark.parametrize("device", ["eth0", "eth1", "bond0"])
def test_the_tcpdumps_agree_with_their_files(trace, device):
    mine = [
        inode
        for inode, history in trace.pipeline.scene.taps.items()
        if history.last_known().dev == device
        and history.last_known().processes[:1]
        and history.last_known().processes[0].comm == "tcpdump"
    ]
    said = captured_by(trace.recording, mine[0])
    truth = in_file(trace.out / f"{device}.pcap", *traced_time(trace.recording))
    assert disagreement(said, truth) == ([], [])


def test_every_tap_is_offered_or_has_the_right_reason(trace, figure):
    wrong, checked, reasons = [], 0, Counter()
    for journey in trace.journeys:
        if not started(trace, journey):
            continue
        kind = way(journey)
        offered = {step.tap for one in journey.passes for step in one.steps if step.kind == "tap"}
        answers = {missed.tap: missed.reason for missed in journey.unseen} | dict.fromkeys(offered, "offered")
        fanout = [answers.get(tap["inode"]) for name, tap in trace.zoo.items() if name.startswith("fanout")]
        group = ["offered", "fanout-other-member", "fanout-other-member"]
        rule = sorted(fanout, key=lambda answer: answer != "offered")
        checked += 3
        if rule != (["inactive-slave"] * 3 if kind.startswith("backup") else group):
            wrong.append((journey.id, kind, "fanout", fanout))
        for name, tap in trace.zoo.items():
            if name.startswith("fanout") or name in ("early", "late"):
                continue
            if name == "elsewhere-any":  # until 6.15 the kernel calls it for every packet, and it ignores them
                checked += 1
                if answers.get(tap["inode"]) not in ("not-traced", "offered"):
                    wrong.append((journey.id, kind, name, answers.get(tap["inode"])))
                continue
            rule = special(tap, kind, journey) or expected(tap, kind, journey.packet.ethertype)
            checked += 1
            if answers.get(tap["inode"]) != rule:
                wrong.append((journey.id, kind, name, answers.get(tap["inode"]), rule))
        reasons.update(answers.values())
    figure(f"truth, kernel {trace.kernel}: {checked} offers and reasons checked, {len(wrong)} disagreeing")
    assert wrong == []
    assert set(reasons) >= {
        "offered",
        "bound-elsewhere",
        "protocol",
        "not-traced",
        "inactive-slave",
        "outgoing-ignored",
        "own-packet",
        "outgoing-not-offered",
        "fanout-other-member",
        "not-running",
    }


def test_a_tap_opened_and_one_closed_half_way_have_their_own_half(trace):
    early, late = trace.zoo["early"], trace.zoo["late"]
    journeys = [journey for journey in trace.journeys if started(trace, journey)]
    got = [deliveries(trace, tap["inode"]) for tap in (early, late)]
    last_early = max(journey.time_ns for _, _, journey in got[0])
    first_late = min(journey.time_ns for _, _, journey in got[1])
    # then before and after there is no claim about the one that was closed, and the other had not been opened
    assert last_early < first_late
    for journey in journeys:
        reasons = {missed.tap: missed.reason for missed in journey.unseen}
        if journey.time_ns >= first_late:
            assert early["inode"] not in reasons
        if journey.time_ns <= last_early:
            # it is not known while it does not exist, and told as not yet open just before it does
            assert reasons.get(late["inode"], "not-yet-open") == "not-yet-open"


def test_a_tap_on_any_is_told_to_see_a_bonded_packet_twice(trace):
    inode = trace.zoo["any"]["inode"]
    notes = Counter(note for journey in trace.journeys for note in journey.notes if f"[{inode}] saw it" in note)
    both = sum(1 for journey in trace.journeys if started(trace, journey) and way(journey) in ("sent", "active"))
    assert {note.partition(" saw ")[2] for note in notes} == {
        f"it twice: on {first}, then {second}" for first, second in (("eth0", "bond0"), ("bond0", "eth0"))
    }
    assert sum(notes.values()) == both
    assert trace.pipeline.summary.twice[inode] == both
