# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that a bond's taps never see, and slaves that come and go while the trace runs."""

from collections import Counter

import pytest
from truth import captured_by, disagreement, in_file, traced_time

pytestmark = pytest.mark.lab

LIVE = "exec bondtrace --iface bond0 --json --write $LAB_OUT/trace.arrows >$LAB_OUT/live.jsonl"


@pytest.fixture
def runs(play_all):
    return play_all(scenarios=("withheld", "changes"), command=LIVE)


@pytest.fixture
def withheld(runs):
    return runs["withheld"]


@pytest.fixture
def changes(runs):
    return runs["changes"]


def taps(run):
    """{device: inode} of the tcpdumps."""
    return {
        tap["dev"]: int(inode)
        for one in run.lines("live.jsonl")
        for inode, tap in one["taps"].items()
        if tap["comm"] == "tcpdump"
    }


def answers(journey):
    """{inode: outcome or reason}."""
    told = {missed["tap"]: missed["reason"] for missed in journey["unseen"]}
    told.update({step["tap"]: step["outcome"] for one in journey["passes"] for step in one["steps"] if "tap" in step})
    return told


def received(run, protocol):
    return [
        one for one in run.lines("live.jsonl") if one["direction"] == "rx" and one["packet"]["protocol"] == protocol
    ]


def test_lacp_frames_are_consumed_before_the_bonds_tap(withheld):
    inode = taps(withheld)
    frames = received(withheld, "LACP")
    assert len(frames) >= 4
    for frame in frames:
        slave = frame["passes"][0]["steps"][0]["dev"]
        other = {"eth0": "eth1", "eth1": "eth0"}[slave]
        assert answers(frame) == {
            inode[slave]: "captured",
            inode[other]: "bound-elsewhere",
            inode["bond0"]: "consumed-before",
        }
        verdicts = [
            (step["verdict"], step["reason"]) for step in frame["passes"][0]["steps"] if step["kind"] == "rx_handler"
        ]
        assert verdicts == [("CONSUMED", "LACP frame consumed by the bond")]


def test_datagrams_that_tc_drops_are_dropped_before_the_bonds_tap(withheld):
    inode = taps(withheld)
    datagrams = received(withheld, "UDP")
    assert len(datagrams) == 5
    for datagram in datagrams:
        slave = datagram["passes"][0]["steps"][0]["dev"]
        assert answers(datagram)[inode[slave]] == "captured"
        assert answers(datagram)[inode["bond0"]] == "dropped-before"


def test_pings_pass_all_the_same(withheld):
    inode = taps(withheld)
    replies = [one for one in received(withheld, "ICMP") if one["packet"]["info"].startswith("echo reply")]
    assert len(replies) == 3
    assert {answers(one)[inode["bond0"]] for one in replies} == {"captured"}


def test_a_slave_is_followed_as_it_joins_is_renamed_and_leaves(changes):
    replies = [one for one in received(changes, "ICMP") if one["packet"]["info"].startswith("echo reply")]
    # then each reply is told with the device it came by, under the name it had
    assert [one["passes"][0]["steps"][0]["dev"] for one in replies] == (
        ["eth0"] * 3 + ["eth2"] * 3 + ["up2"] * 3 + ["eth1"] * 3
    )
    assert {one["passes"][0]["steps"][-1]["dev"] for one in replies} == {"bond0"}


def test_sent_packets_are_one_journey_over_whichever_slave_is_active(changes):
    requests = [
        one
        for one in changes.lines("live.jsonl")
        if one["direction"] == "tx" and one["packet"]["info"].startswith("echo request")
    ]
    # given that only eth0 and bond0 have taps of their own, the kernel offers what the others send to nobody
    ways = Counter(tuple(one["steps"][0]["dev"] for one in request["passes"]) for request in requests)
    assert ways == {("bond0", "eth0"): 3, ("bond0",): 9}


@pytest.mark.parametrize("device", ["eth0", "bond0"])
def test_the_taps_agree_throughout(changes, device):
    trace = changes.out / "trace.arrows"
    said = captured_by(trace, taps(changes)[device])
    truth = in_file(changes.out / f"{device}.pcap", *traced_time(trace))
    assert disagreement(said, truth) == ([], [])


def test_the_recording_shows_what_live_showed_though_much_changed(changes):
    assert changes.bondtrace("show", "--json", "trace.arrows").stdout == (changes.out / "live.jsonl").read_text()
