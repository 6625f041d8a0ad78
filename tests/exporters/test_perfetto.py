# SPDX-License-Identifier: GPL-2.0-or-later
"""Trace event JSON: tracks, slices that nest, instants, arrows."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bondtrace import cli as command_line
from bondtrace.exporters.perfetto import PerfettoExporter
from bondtrace.format.events import chain_event
from bondtrace.model import Process
from build import (
    BEGIN_NS,
    DEVICES,
    ON_8080,
    ON_ANY,
    ON_ETH0,
    TAPS,
    WALL_NS,
    beyond_ip,
    both,
    drop,
    events,
    given,
    late,
    local,
    received,
    record,
    refused,
    rx,
    scene,
    sent,
    stitched,
    tap,
)

PING = Path(__file__).parents[2] / "examples" / "ping.arrows"


def exported(*passes, around=None):
    around, stream = around or scene(), io.StringIO()
    exporter = PerfettoExporter(stream, WALL_NS)
    exporter.begin(Path("trace.arrows"), around)
    exporter.take(stitched(*passes, around=around))
    exporter.end()
    exporter.close()
    return json.loads(stream.getvalue())


def tracks(trace):
    """{(pid, tid): name of the track}, checked: every event is on a named one."""
    names = {
        (one["pid"], one["tid"]): one["args"]["name"] for one in trace["traceEvents"] if one["name"] == "thread_name"
    }
    assert {(one["pid"], one["tid"]) for one in trace["traceEvents"] if one["ph"] != "M"} <= set(names)
    return names


def of_phase(trace, phase):
    """(track, name, µs, ...) of the events of a phase."""
    names = tracks(trace)
    return [
        (names[one["pid"], one["tid"]], one["name"], one["ts"], *([one["dur"]] if "dur" in one else []))
        for one in trace["traceEvents"]
        if one["ph"] == phase
    ]


def misnested(trace):
    """Pairs of slices of one track that overlap and are not one within the other."""
    found, slices = [], [one for one in trace["traceEvents"] if one["ph"] == "X"]
    for place, one in enumerate(slices):
        for other in slices[place + 1 :]:
            first, second = sorted((one, other), key=lambda each: (each["ts"], -each["dur"]))
            end, later = first["ts"] + first["dur"], second["ts"] + second["dur"]
            same = (one["pid"], one["tid"]) == (other["pid"], other["tid"])
            if same and second["ts"] < end - 1e-6 < later - 2e-6:
                found.append((first, second))
    return found


def test_what_is_misnested_is_found_by_these_tests():
    one = {"ph": "X", "pid": 1, "tid": 1, "ts": 0.0, "dur": 10.0}
    within, over, beside = {**one, "ts": 2.0, "dur": 8.0}, {**one, "ts": 5.0}, {**one, "ts": 5.0, "tid": 2}

    assert misnested({"traceEvents": [one, within, beside]}) == []
    assert misnested({"traceEvents": [one, over, beside]}) == [(one, over)]


REPLY = "#1 ICMP 10.9.0.1 > 10.9.0.2 echo reply id 128 seq 1, 98 bytes"


def test_a_pass_is_a_slice_of_its_cpu_and_a_round_one_of_its_device():
    trace = exported(received(at=5))
    assert of_phase(trace, "X") == [
        ("CPU 0", REPLY, 5.0, 7.0),
        ("eth0, CPU 0", REPLY, 5.0, 3.0),
        ("bond0, CPU 0", REPLY, 8.0, 4.0),
    ]


def test_steps_are_instants_of_both():
    told = of_phase(exported(received()), "i")
    on_devices = [one for one in told if not one[0].startswith("CPU")]
    assert on_devices == [
        ("eth0, CPU 0", "tcpdump -i any [41004]: captured", 1.0),
        ("eth0, CPU 0", "tcpdump -i eth0 [41001]: captured", 2.0),
        ("eth0, CPU 0", "bond_handle_frame: ANOTHER", 3.0),
        ("bond0, CPU 0", "tcpdump -i any [41004]: captured", 4.0),
        ("bond0, CPU 0", "tcpdump -i bond0 [41003]: captured", 5.0),
        ("bond0, CPU 0", "ip_rcv", 6.0),
    ]
    assert [(name, at) for track, name, at in told if track == "CPU 0"] == [one[1:] for one in on_devices]


def test_a_drop_has_netfilters_chain():
    around = scene(chain_event(BEGIN_NS, 9, "ip", "filter", "c_forward", "forward"))
    trace = exported(rx("eth0", drop("NETFILTER_DROP", by="nft_do_chain", decided_by=9)), around=around)
    drops = [one["args"] for one in trace["traceEvents"] if one["ph"] == "i" and one["cat"] == "drop"]

    assert drops and {one["netfilter"] for one in drops} == {"ip filter c_forward (hook forward)"}


def test_sockets_and_ends_are_told():
    trace = exported(rx("eth0", local(6), given(ON_8080, "tcp_v4_do_rcv", "LISTEN")), around=beyond_ip())
    [to_tcp, to_socket, *_] = [one for one in trace["traceEvents"] if one["ph"] == "i"][::2]
    [whole, *_] = [one for one in trace["traceEvents"] if one["ph"] == "X"]

    assert (to_tcp["name"], to_tcp["cat"]) == ("→ TCP", "local")
    assert to_socket["name"] == "given to TCP socket 10.9.0.2%bond0:8080 [12386]: taken by TCP (LISTEN)"
    args = {name: to_socket["args"][name] for name in ("function", "outcome", "socket", "state")}
    assert args == {"function": "tcp_v4_do_rcv", "outcome": "taken", "socket": ON_8080, "state": "LISTEN"}
    assert whole["args"]["end"] == "socket: TCP socket 10.9.0.2%bond0:8080 [12386]: taken by TCP (LISTEN)"


def test_arguments_tell_what_happened():
    trace = exported(refused())
    [answer] = [one for one in trace["traceEvents"] if one["ph"] == "i" and one["cat"] == "rx_handler"][:1]
    assert answer["args"] == {
        "round": 1,
        "dev": "eth1",
        "orig_dev": "eth1",
        "function": "bond_handle_frame",
        "verdict": "EXACT",
        "reason": "inactive slave",
    }
    [one, *_] = [one for one in trace["traceEvents"] if one["ph"] == "X"]
    assert one["args"] == {
        "journey": 1,
        "direction": "rx",
        "device": "eth1",
        "cpu": 1,
        "skb": "0xffff888000001100",
        "complete": True,
        "steps lost": 0,
        "end": "unknown: packet sockets took it; whether anything else did was not seen",
        "not seen by": {
            "tcpdump -i eth0 [41001]": "bound-elsewhere: bound to eth0; the packet passed eth1",
            "tcpdump -i bond0 [41003]": "inactive-slave: bound to bond0, and bond_handle_frame kept the packet on "
            "eth1: inactive slave (EXACT)",
            "lldpd [41005]": "protocol: it takes only protocol 0x88cc; this packet is 0x0806",
        },
    }


def test_arrows_lead_from_pass_to_pass():
    trace = exported(received(), sent(100))
    arrows = [one for one in trace["traceEvents"] if one["ph"] in "stf"]
    assert [(one["ph"], one["ts"], one["id"], one.get("bp")) for one in arrows] == [
        ("s", 100.0, 1, None),
        ("f", 110.0, 1, "e"),
    ]


def test_groups_are_the_cpus_and_the_devices_of_each_namespace():
    trace = exported(received())
    assert [one["args"]["name"] for one in trace["traceEvents"] if one["name"] == "process_name"] == [
        "CPUs of lab",
        "devices of lab, host [4026531840]",
    ]
    assert trace["otherData"]["zero"] == "2026-11-22T12:00:00.000000000Z"
    assert [(one["recording"], one["trust"]) for one in trace["otherData"]["recordings"]] == [
        ("trace.arrows", "losses: none")
    ]


def test_what_came_late_stands_after_the_slice():
    trace = exported(
        rx("eth0", tap(ON_ANY), in_list=True, skb=17, frame=5),
        late("eth0", tap(ON_ETH0), at=310, skb=17, frame=5),
        rx("eth0", tap(ON_ANY), in_list=True, at=100, skb=18, frame=6),
    )
    assert [one[2:] for one in of_phase(trace, "X") if one[0] == "CPU 0"] == [(0.0, 2.0), (100.0, 2.0)]
    assert ("CPU 0", "tcpdump -i eth0 [41001]: captured", 311.0) in of_phase(trace, "i")
    assert misnested(trace) == []


def test_hostile_names_are_escaped():
    taps = {ON_ETH0: replace(TAPS[ON_ETH0], processes=(Process(1, "e\x1b[31m\nvil\udcff", ""),))}
    around = scene(taps=taps, devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="et\x1b\u202eh")})
    trace = exported(rx("eth0", tap(ON_ETH0)), around=around)
    assert of_phase(trace, "i")[1][:2] == (
        "et\\x1b\\xe2\\x80\\xaeh, CPU 0",
        "e\\x1b[31m\\x0avil\\xff [41001]: captured",
    )


def test_a_real_recording_and_several(tmp_path, monkeypatch, capfd):
    later = record(tmp_path / "later.arrows", (both(received(), sent(100)), events(host="other")))
    target = tmp_path / "out.json"
    monkeypatch.setattr(
        sys, "argv", ["bondtrace", "export", str(PING), str(later), "--format", "perfetto", "-o", str(target)]
    )
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 0, capfd.readouterr().err
    trace = json.loads(target.read_text())
    assert misnested(trace) == []
    assert min(one["ts"] for one in trace["traceEvents"] if one["ph"] != "M") >= 0
    assert {one["args"]["name"] for one in trace["traceEvents"] if one["name"] == "process_name"} == {
        "CPUs of virtme-ng",
        "devices of virtme-ng, netns of pid 169 [4026531840]",
        "CPUs of other",
        "devices of other, host [4026531840]",
    }
    assert sum(one["ph"] == "X" and "skb" in one["args"] for one in trace["traceEvents"]) == 14 + 3
