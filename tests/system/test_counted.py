# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting in the kernel: exact to the packet in a flood of which journeys are lost, and the same as what journeys tell
where both trace the same packets."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from bondtrace.format.recording import Recording
from bondtrace.format.wire import RECORD_LIST
from bondtrace.pipeline import Pipeline

pytestmark = pytest.mark.lab

FLOODED = "src net 192.0.2.0/24"
COUNT = f'exec bondtrace $LAB_TRACE --summary-only --json "{FLOODED}" >"$LAB_OUT/counted.json"'
PINGS = "icmp or (vlan and icmp)"
# The counting begins before and ends after the recording; the pings are played within both.
BOTH = f"""
case $LAB_OUT in */unsent) what=() ;; *) what=("{PINGS}") ;; esac
bondtrace $LAB_TRACE --summary-only --json "${{what[@]}}" >"$LAB_OUT/counted.json" 2>"$LAB_OUT/counted.err" &
counting=$!
until [[ $(<"$LAB_OUT/counted.err") == *attached* ]]; do kill -0 $counting || exit 1; read -rt 0.5 <> <(:); done
env --default-signal=INT bondtrace record $LAB_TRACE -o "$LAB_OUT/trace.arrows" "${{what[@]}}" &
recording=$!
trap 'kill -INT $recording' INT
wait $recording || wait $recording
kill -TERM $counting
wait $counting
"""


@pytest.fixture(scope="module")
def flooded(play_all):
    run = play_all(None, ("flood",), COUNT, cpus=2, LAB_FLOOD="60000")["flood"]
    sent = sum(
        int(line.split()[1]) for line in (run.out / "play.log").read_text().splitlines() if line.startswith("sent ")
    )
    assert sent >= 1000
    return run.out, json.loads((run.out / "counted.json").read_text()), sent


def test_every_packet_of_a_flood_is_counted(flooded):
    _, told, sent = flooded
    assert told["trust"]["clean"] and "journeys" not in told
    assert told["passes"] == sent
    assert {(one["dev"], one["direction"]): one["packets"] for one in told["passed"]} == {
        ("eth0", "rx"): sent,
        ("bond0", "rx"): sent,
    }
    assert sum(one["packets"] for one in told["dropped"]) == sent


def test_what_the_taps_captured_of_a_flood_is_what_the_kernel_says_of_their_sockets(flooded):
    out, told, sent = flooded
    for device in ("eth0", "bond0"):
        tap = next(one for one in told["taps"].values() if f"{device}.pcap" in str(one.get("processes")))
        # given the kernel's own counters of the socket: its reader is ended before it has read all that was captured
        received, dropped = (
            int(re.search(rf"(\d+) packets {words}", (out / f"{device}.tcpdump").read_text()).group(1))
            for words in ("received by filter", "dropped by kernel")
        )
        here = next(one for one in tap["devices"] if one["dev"] == device)
        assert here["offered"] == sent
        assert here["captured"] == tap["outcomes"].get("captured", 0) == received - dropped > 0
        assert sum(tap["outcomes"].values()) == sent
        assert tap["unseen"] is None and tap["twice"] is None


PLAYED = {None: ("vlan", "gro", str(Path(__file__).parent / "faults" / "unsent.sh"))}


@pytest.fixture(
    scope="module",
    params=[(kernel, name) for kernel, names in PLAYED.items() for name in names],
    ids=lambda case: f"{case[0] or 'default'}-{Path(case[1]).stem}",
)
def both(request, play_all):
    kernel, name = request.param
    return counted_and_told(play_all(kernel, PLAYED[kernel], BOTH)[Path(name).stem].out)


def counted_and_told(out):
    """(what was counted, the pipeline of the recording) of a run of both."""
    pipeline = Pipeline()
    pipeline.run(Recording(out / "trace.arrows").batches())
    assert pipeline.scene.losses() == {}
    return json.loads((out / "counted.json").read_text()), pipeline


def test_counts_are_those_of_the_journeys(both):
    told, pipeline = both
    journeys, scene = pipeline.summary, pipeline.scene
    assert told["trust"]["losses"] == {}
    outcomes, places = Counter(), Counter()
    for inode, tap in told["taps"].items():
        for outcome, count in tap["outcomes"].items():
            outcomes[int(inode), outcome] += count
        for one in tap["devices"]:
            places[int(inode), one["netns"], one["dev"], one["direction"]] += one["offered"]
    assert outcomes == journeys.outcomes
    assert +places == Counter(
        {
            (inode, netns, scene.device_name(netns, ifindex, 1 << 62), direction): count
            for (inode, (netns, ifindex, direction)), count in journeys.offered.items()
            if count
        }
    )
    assert sum(outcomes.values()) > 4
    dropped = {(one["netns"], one["dev"], one["function"], one["reason"]): one["packets"] for one in told["dropped"]}
    assert dropped == {
        (netns, scene.device_name(netns, ifindex, 1 << 62), function, reason): count
        for (netns, ifindex, function, reason), count in journeys.dropped.items()
    }


def test_what_is_dropped_on_its_way_out_is_no_received_packet(play_all):
    out = play_all(None, PLAYED[None], BOTH)["unsent"].out
    told, pipeline = counted_and_told(out)
    # given that the kernel dropped the answers while it received the pings, in lists
    assert int((out / "unsent").read_text()) == 5
    assert any(
        len(batch.passes) and (batch.passes.records["flags"] & RECORD_LIST).any()
        for batch in Recording(out / "trace.arrows").batches()
    )
    assert (told["dropped"], +pipeline.summary.dropped) == ([], Counter())
