# SPDX-License-Identifier: GPL-2.0-or-later
"""The ping test of the 2014 article and some hundred mixed packets, on a real kernel, against the taps' own word."""

import os
import shutil
from pathlib import Path

import pytest
from emulated import ARCH
from truth import captured_by, disagreement, in_file, traced_time

from bondtrace.format.recording import Recording
from bondtrace.lab import find_scenario

pytestmark = pytest.mark.lab

EVERY = [one for one in os.environ.get("BONDTRACE_KERNELS", "").split(",") if one]
# Of another processor all scenarios are played on every kernel; of this one, on others than its own only the ping.
OWN = [None, *(one for one in EVERY if one != "6.1")] if ARCH else [None]
OTHERS = [None, "5.10", "7.3"] if EVERY and not ARCH else [None]
LIVE = "exec bondtrace --iface bond0 --json --write $LAB_OUT/trace.arrows >$LAB_OUT/live.jsonl"
COLUMNS = Path(__file__).parents[1] / "util" / "test_arrays.py"
# Beside one of the scenarios, how this CPU sorts; in one, only what is received is asked for.
ALSO_SORTING = f"""case $LAB_OUT in
*/gro)
    cat /proc/cpuinfo >$LAB_OUT/cpuinfo.txt
    python3 -m pytest -q -p no:cacheprovider {COLUMNS} >$LAB_OUT/columns.txt ;;
*/received)
    exec bondtrace --iface bond0 --rx --json >$LAB_OUT/live.jsonl ;;
esac
{LIVE}"""


@pytest.fixture(scope="module", params=OWN, ids=[kernel or "default" for kernel in OWN])
def here(play_all, tmp_path_factory, request):
    """{scenario: run} on this Debian's own kernel, in one machine; `received` is the ping once more."""
    again = tmp_path_factory.mktemp("again") / "received.sh"
    shutil.copy(find_scenario("ping").path, again)
    return play_all(request.param, ("ping", "mixed", "gro", str(again)), ALSO_SORTING)


@pytest.fixture(params=OTHERS, ids=[kernel or "default" for kernel in OTHERS])
def ping(request, play, here):
    """The ping, on this Debian's own kernel; `make test-kernels` adds an old one and the newest."""
    return play("ping", LIVE, request.param) if request.param else here["ping"]


@pytest.fixture
def mixed(here):
    return here["mixed"]


def icmp(run, info):
    return [
        one
        for one in run.lines("live.jsonl")
        if one["packet"]["protocol"] == "ICMP" and one["packet"]["info"].startswith(info)
    ]


def tap_of(run, device):
    """The inode of the tcpdump on a device."""
    for one in run.lines("live.jsonl"):
        for inode, tap in one["taps"].items():
            if tap["dev"] == device and tap["comm"] == "tcpdump":
                return int(inode)
    raise AssertionError(f"no tap on {device}")


def told(journey):
    """The steps of a journey as a list of short tuples; without what IP does with a packet once it has it (an echo
    reply that ping's raw socket has a copy of is dropped)."""
    return [
        (
            one["direction"],
            step["kind"],
            step["round"],
            step["dev"],
            step["orig_dev"],
            step.get("function"),
            step.get("tap"),
            step.get("outcome"),
            step.get("verdict"),
            step.get("next_dev"),
        )
        for one in journey["passes"]
        for step in one["steps"]
        if step["kind"] != "drop"
    ]


def received(eth0, bond0, protocol):
    """What must be told of a packet that the active slave receives."""
    return [
        ("rx", "enter", 1, "eth0", "eth0", None, None, None, None, None),
        ("rx", "tap", 1, "eth0", "eth0", "tpacket_rcv", eth0, "captured", None, None),
        ("rx", "rx_handler", 1, "eth0", "eth0", "bond_handle_frame", None, None, "ANOTHER", "bond0"),
        ("rx", "tap", 2, "bond0", "eth0", "tpacket_rcv", bond0, "captured", None, None),
        ("rx", "protocol", 2, "bond0", "eth0", protocol, None, None, None, None),
    ]


def sent(eth0, bond0):
    """What must be told of a packet that the bond sends."""
    return [
        ("tx", "enter", 1, "bond0", "bond0", None, None, None, None, None),
        ("tx", "tap", 1, "bond0", "bond0", "tpacket_rcv", bond0, "captured", None, None),
        ("tx", "enter", 1, "eth0", "eth0", None, None, None, None, None),
        ("tx", "tap", 1, "eth0", "eth0", "tpacket_rcv", eth0, "captured", None, None),
    ]


def test_every_received_ping_goes_from_eth0_to_bond0(ping):
    eth0, bond0 = tap_of(ping, "eth0"), tap_of(ping, "bond0")
    # when the host pings its gateway, and the gateway the host
    replies = [one for one in icmp(ping, "echo reply") if one["direction"] == "rx"]
    requests = [one for one in icmp(ping, "echo request") if one["direction"] == "rx"]
    # then both take the same way, step by step
    assert [told(one) for one in replies] == [received(eth0, bond0, "ip_rcv")]
    assert [told(one) for one in requests] == [received(eth0, bond0, "ip_rcv")]


def test_every_sent_ping_is_one_journey_over_bond0_and_eth0(ping):
    eth0, bond0 = tap_of(ping, "eth0"), tap_of(ping, "bond0")
    out = [one for one in icmp(ping, "echo") if one["direction"] == "tx"]
    assert [told(one) for one in out] == [sent(eth0, bond0), sent(eth0, bond0)]


def test_the_backup_slaves_tap_has_none_of_the_pings(ping):
    eth1 = tap_of(ping, "eth1")
    reasons = [(one["direction"], [(un["tap"], un["reason"]) for un in one["unseen"]]) for one in icmp(ping, "echo")]
    # then every ping says so, and why
    assert reasons == [(direction, [(eth1, "bound-elsewhere")]) for direction in ("tx", "rx", "rx", "tx")]


def test_a_broadcast_on_the_backup_slave_shows_its_tap_and_exact(ping):
    eth1 = tap_of(ping, "eth1")
    backup = [told(one) for one in ping.lines("live.jsonl") if one["passes"][0]["steps"][0]["dev"] == "eth1"]
    expected = [
        ("rx", "enter", 1, "eth1", "eth1", None, None, None, None, None),
        ("rx", "tap", 1, "eth1", "eth1", "tpacket_rcv", eth1, "captured", None, None),
        ("rx", "rx_handler", 1, "eth1", "eth1", "bond_handle_frame", None, None, "EXACT", None),
    ]
    # the host's own request comes back through the bridge, the gateway's is sent to both slaves
    assert backup == [expected, expected]


@pytest.mark.parametrize("device", ["eth0", "eth1", "bond0"])
def test_what_a_tap_captured_is_what_its_file_holds(mixed, device):
    trace = mixed.out / "trace.arrows"
    said = captured_by(trace, tap_of(mixed, device))
    truth = in_file(mixed.out / f"{device}.pcap", *traced_time(trace))
    assert disagreement(said, truth) == ([], [])
    if device != "eth1":
        assert len(truth) >= 200


CLEAN = {
    "clean": True,
    "losses": {},
    "not_attached": [],
    "does_not_see": [],
    "unknown_taps": [],
    "filter": None,
    "filter_blind": 0,
    "selection": None,
    "bytes_lost": 0,
}


def test_the_kernel_takes_every_program_with_typed_arguments(ping):
    [start] = [
        event
        for batch in Recording(ping.out / "trace.arrows").batches()
        for event in batch.events
        if event["kind"] == "start"
    ]
    probes = {probe for stage in start["stages"] for probe in stage["probes"]}
    by_kprobe = {probe for probe in probes if probe.startswith(("kprobe", "kretprobe"))}
    if ARCH and start["kernel"].startswith("6.1."):  # for arm64 it has no fentry
        assert all(probe in by_kprobe or "tracepoint" in probe for probe in probes) and len(by_kprobe) > 10
        return
    # fentry in modules: since 5.11
    in_modules = {"kprobe bond_handle_frame", "kretprobe bond_handle_frame"}
    assert by_kprobe == (in_modules if start["kernel"].startswith("5.10.") else set())


def test_nothing_of_the_pings_was_lost(ping):
    trust = [one["trust"] for one in ping.lines("live.jsonl")]
    assert trust and trust == [CLEAN] * len(trust)


def test_nothing_of_the_mix_was_lost(mixed):
    trust = [one["trust"] for one in mixed.lines("live.jsonl")]
    assert trust and trust == [CLEAN] * len(trust)


def test_every_packet_of_the_mix_is_one_complete_journey(mixed):
    journeys = mixed.lines("live.jsonl")
    ways = {
        tuple(
            (one["direction"], step["dev"])
            for one in journey["passes"]
            for step in one["steps"]
            if step["kind"] == "enter"
        )
        for journey in journeys
    }
    # then each was received by one slave, or sent by the bond and then by its active slave
    assert ways == {(("rx", "eth0"),), (("rx", "eth1"),), (("tx", "bond0"), ("tx", "eth0"))}
    assert {journey["complete"] for journey in journeys} == {True}
    assert {journey["packet"]["protocol"] for journey in journeys} >= {"ARP", "ICMP", "ICMPv6", "UDP", "TCP"}


def test_the_recording_shows_the_journeys_that_live_showed(mixed):
    shown = mixed.bondtrace("show", "--json", "trace.arrows")
    assert shown.stderr == ""
    assert shown.stdout == (mixed.out / "live.jsonl").read_text()


def test_the_recording_opens_with_plain_pyarrow(mixed):
    import pyarrow as pa
    import pyarrow.compute

    with pa.OSFile(str(mixed.out / "trace.arrows")) as file:
        table = pa.ipc.open_stream(file).read_all()
    passes = table.filter(pyarrow.compute.not_equal(table["kind"], 0))
    journeys = mixed.lines("live.jsonl")
    assert len(passes) == sum(len(journey["passes"]) for journey in journeys)


@pytest.fixture
def lists(here):
    return here["gro"]


@pytest.mark.skipif(bool(ARCH), reason="what QEMU's AVX2 does wrong, this CPU has not")
def test_sorting_and_grouping_are_right_on_the_emulated_cpu(lists):
    said = (lists.out / "columns.txt").read_text()
    assert " passed" in said and " failed" not in said and " error" not in said, said


@pytest.mark.skipif(bool(ARCH), reason="what QEMU's AVX2 does wrong, this CPU has not")
def test_the_emulated_cpu_has_no_avx2(lists):
    flags = (lists.out / "cpuinfo.txt").read_text().split()
    assert "sse2" in flags and "avx2" not in flags


@pytest.mark.parametrize("device", ["eth0", "eth1", "bond0"])
def test_in_list_mode_too_a_tap_captured_what_its_file_holds(lists, device):
    trace = lists.out / "trace.arrows"
    said = captured_by(trace, tap_of(lists, device))
    assert disagreement(said, in_file(lists.out / f"{device}.pcap", *traced_time(trace))) == ([], [])


def test_in_list_mode_late_steps_find_their_packets(lists):
    journeys = lists.lines("live.jsonl")
    # given that IP took packets in lists, after their core calls
    functions = {
        step["function"]
        for one in journeys
        for part in one["passes"]
        for step in part["steps"]
        if step["kind"] == "protocol"
    }
    assert functions >= {"ip_list_rcv", "ipv6_list_rcv"}
    # then every received packet still is one complete journey from eth0 to bond0 to its protocol handler
    received = [
        one
        for one in journeys
        if one["direction"] == "rx"
        and one["packet"]["protocol"] != "ARP"
        and one["passes"][0]["steps"][0]["dev"] == "eth0"
    ]
    ways = {
        tuple(
            (step["kind"], step["dev"], step["round"]) for step in one["passes"][0]["steps"] if step["kind"] != "drop"
        )
        for one in received
    }
    assert ways == {
        (
            ("enter", "eth0", 1),
            ("tap", "eth0", 1),
            ("rx_handler", "eth0", 1),
            ("tap", "bond0", 2),
            ("protocol", "bond0", 2),
        )
    }
    assert {one["complete"] for one in journeys} == {True}


def test_only_received_packets_are_told_when_asked_for(here):
    run = here["received"]
    journeys = run.lines("live.jsonl")
    # given that replies are sent inside the receive of their requests: no step of theirs is told as the requests'
    assert {one["direction"] for one in journeys} == {"rx"}
    assert {len(one["passes"]) for one in journeys} == {1}
    assert [told(one) for one in icmp(run, "echo reply")] == [
        received(tap_of(run, "eth0"), tap_of(run, "bond0"), "ip_rcv")
    ]
    assert [told(one) for one in icmp(run, "echo request")] == [
        received(tap_of(run, "eth0"), tap_of(run, "bond0"), "ip_rcv")
    ]
