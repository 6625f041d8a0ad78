# SPDX-License-Identifier: GPL-2.0-or-later
"""pcapng as tshark reads it: packets, interfaces, comments."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from exported import exported_pcapng, needs_tshark

from bondtrace import cli as command_line
from bondtrace.format.events import chain_event
from bondtrace.format.payload import bytes_events
from bondtrace.format.recording import Recorder
from bondtrace.format.rotation import RotatingRecorder
from bondtrace.model import Process
from build import (
    ALL_DEVICES,
    BEGIN_NS,
    DEVICES,
    HERE,
    ON_5354,
    ON_BOND0,
    ON_ETH0,
    TAPS,
    answered,
    arp,
    beyond_ip,
    both,
    drop,
    ether,
    events,
    given,
    ip4,
    late,
    local,
    losses,
    protocol,
    queued,
    received,
    record,
    refusal,
    refused,
    reply,
    rx,
    scene,
    sent,
    tap,
    tx,
    udp,
    vlan,
)

FIELDS = (
    "frame.number",
    "frame.time_epoch",
    "frame.interface_name",
    "frame.packet_flags_direction",
    "frame.packet_flags_reception_type",
    "frame.cap_len",
    "frame.len",
    "_ws.col.Protocol",
    "frame.comment",
)


def tshark(data, *words):
    done = subprocess.run(["tshark", "-n", "-r", "-", *words], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def frames(data, *fields):
    words = [word for name in fields or FIELDS for word in ("-e", name)]
    return [line.split("\t") for line in tshark(data, "-T", "fields", "-E", "aggregator=|", *words)]


@needs_tshark
def test_a_packet_is_there_once_a_device_with_what_happened_there():
    assert frames(exported_pcapng(received(), refused(50), sent(100))) == [
        [
            "1",
            "1795348800.000000000",
            "eth0",
            "0x00000001",
            "1",
            "80",
            "98",
            "ICMP",
            "journey #1, 1 of 2: rx on eth0, CPU 0, pass 1, round 1|captured by tcpdump -i any [41004]|"
            "captured by tcpdump -i eth0 [41001]|bond_handle_frame: ANOTHER, next bond0 (active slave)",
        ],
        [
            "2",
            "1795348800.000003000",
            "bond0",
            "0x00000001",
            "1",
            "80",
            "98",
            "ICMP",
            "journey #1, 2 of 2: rx on bond0, CPU 0, pass 1, round 2|captured by tcpdump -i any [41004]|"
            "captured by tcpdump -i bond0 [41003]|delivered to ip_rcv|"
            "end (not-watched): beyond IP not watched: --sockets|"
            "note: tcpdump -i any [41004] saw it twice: on eth0, then bond0|"
            "not seen by tcpdump -i eth1 arp [41002]: bound to eth1; the packet passed eth0 and bond0 "
            "(bound-elsewhere)|"
            "not seen by lldpd [41005]: bound to eth1; the packet passed eth0 and bond0 (bound-elsewhere)",
        ],
        [
            "3",
            "1795348800.000050000",
            "eth1",
            "0x00000001",
            "1",
            "42",
            "42",
            "ARP",
            "journey #2, 1 of 1: rx on eth1, CPU 1, pass 1, round 1|captured by tcpdump -i any [41004]|"
            "captured by tcpdump -i eth1 arp [41002]|bond_handle_frame: EXACT (inactive slave)|"
            "end (unknown): packet sockets took it; whether anything else did was not seen|"
            "not seen by tcpdump -i eth0 [41001]: bound to eth0; the packet passed eth1 (bound-elsewhere)|"
            "not seen by tcpdump -i bond0 [41003]: bound to bond0, and bond_handle_frame kept the packet on eth1: "
            "inactive slave (EXACT) (inactive-slave)|"
            "not seen by lldpd [41005]: it takes only protocol 0x88cc; this packet is 0x0806 (protocol)",
        ],
        [
            "4",
            "1795348800.000100000",
            "bond0",
            "0x00000002",
            "0",
            "80",
            "98",
            "ICMP",
            "journey #3, 1 of 2: tx on bond0, CPU 0, pass 1, round 1|captured by tcpdump -i any [41004]|"
            "filtered by tcpdump -i bond0 [41003]",
        ],
        [
            "5",
            "1795348800.000110000",
            "eth0",
            "0x00000002",
            "0",
            "80",
            "98",
            "ICMP",
            "journey #3, 2 of 2: tx on eth0, CPU 0, pass 2, round 1|captured by tcpdump -i any [41004]|"
            "full: no room at tcpdump -i eth0 [41001] (ring)|"
            "note: tcpdump -i any [41004] saw it twice: on bond0, then eth0|"
            "not seen by tcpdump -i eth1 arp [41002]: bound to eth1; the packet passed bond0 and eth0 "
            "(bound-elsewhere)|"
            "not seen by lldpd [41005]: bound to eth1; the packet passed bond0 and eth0 (bound-elsewhere)",
        ],
    ]


@needs_tshark
def test_what_was_handed_on_and_what_was_only_shown_are_told():
    around = scene(devices=ALL_DEVICES)
    passes = (
        rx("eth3", queued("vx0"), drop("NO_SOCKET", dev="red", result=1), seq=5, lasts=90),
        tx("red", tap(ON_BOND0), at=1, parent=5, seq=6, again=True, lasts=0),
    )
    comments = [one[0] for one in frames(exported_pcapng(*passes, around=around), "frame.comment")]

    assert "handed to vx0 (gro_cells_receive): to be received there later" in comments[0]
    assert "dropped by the kernel in sch_handle_ingress: NO_SOCKET (a copy of it)" in " ".join(comments)
    assert comments[-1].startswith("journey #1, 3 of 3: received, shown on red, CPU 0, pass 2, round 1")


def test_a_drop_is_told_with_netfilters_chain():
    around = scene(chain_event(BEGIN_NS, 9, "ip", "filter", "c_forward", "forward"))
    data = exported_pcapng(
        rx("eth0", drop("NETFILTER_DROP", "nf_hook_slow", by="nft_do_chain", decided_by=9, result=1)), around=around
    )
    told = "dropped by the kernel in nf_hook_slow: NETFILTER_DROP; netfilter: ip filter c_forward (hook forward)"

    assert f"{told} (a copy of it)".encode() in data


def test_sockets_and_ends_are_told():
    data = exported_pcapng(
        rx("eth0", protocol("ip_rcv"), local(17), given(ON_5354), packet=ether(ip4(udp(), 17))),
        rx("eth0", given(ON_5354), refusal(ON_5354, "SOCKET_RCVBUFF"), at=50, packet=ether(ip4(udp(), 17))),
        rx("eth0", protocol("arp_rcv"), answered(), at=90, packet=arp()),
        around=beyond_ip(),
    )

    for told in (
        "given to dnsd's UDP socket *:5354 [12385]: queued",
        "end (socket): dnsd's UDP socket *:5354 [12385]: queued",
        "end (refused): dnsd's UDP socket *:5354 [12385]: no room in its receive buffer; look at: the socket's receive",
        "answered by this host (arp_xmit)",
        "end (answered): answered by this host",
    ):
        assert told.encode() in data


@needs_tshark
def test_interfaces_say_which_device_they_are():
    data = exported_pcapng(received(), refused(50))
    done = frames(data, "frame.interface_name", "frame.interface_description", "frame.interface_id")
    assert done == [
        ["eth0", f"ether, ifindex 2, netns {HERE} (host), host lab", "0"],
        ["bond0", f"bond (active-backup), ifindex 4, netns {HERE} (host), host lab", "1"],
        ["eth1", f"ether, ifindex 3, netns {HERE} (host), host lab", "2"],
    ]


@needs_tshark
def test_the_tag_beside_the_bytes_is_put_back_until_its_device_takes_it():
    tagged = rx("eth0", tap(ON_ETH0), vlan("bond0.7"), tap(ON_BOND0), vlan=7)
    done = frames(exported_pcapng(tagged), "frame.interface_name", "vlan.id", "frame.len", "frame.cap_len", "icmp.type")
    assert done == [["eth0", "7", "102", "84", "0"], ["bond0.7", "", "98", "80", "0"]]


@needs_tshark
def test_the_tag_in_the_bytes_goes_when_its_device_takes_it():
    tagged = rx("eth0", tap(ON_ETH0), vlan("bond0.7"), tap(ON_BOND0), packet=reply(tag=7))
    done = frames(exported_pcapng(tagged), "frame.interface_name", "vlan.id", "frame.len", "frame.cap_len", "icmp.type")
    assert done == [["eth0", "7", "102", "80", "0"], ["bond0.7", "", "98", "76", "0"]]


@needs_tshark
def test_the_reception_type_is_the_kernels():
    passes = both(*(refused(50 * number, skb=9 + 256 * number) for number in range(4)))
    passes.records["pkt_type"] = [0, 1, 2, 3]
    assert [row[0] for row in frames(exported_pcapng(passes), "frame.packet_flags_reception_type")] == [
        "1",
        "3",
        "2",
        "4",
    ]


@needs_tshark
def test_a_packet_whose_begin_was_not_seen_is_told_without_bytes():
    [row] = frames(exported_pcapng(late("eth0", tap(ON_ETH0))), "frame.cap_len", "frame.len", "frame.comment")
    assert row[:2] == ["0", "0"]
    assert row[2].split("|")[1:3] == ["its begin was not recorded", "captured by tcpdump -i eth0 [41001] (inferred)"]
    assert row[2].endswith("|the record of this journey is incomplete")


@needs_tshark
def test_where_something_was_lost_an_absence_says_so_and_the_statistics_too():
    data = exported_pcapng(refused(), around=scene(losses(lost=[2, 1])))
    assert "(bound-elsewhere) (or it was lost)" in frames(data)[0][-1]
    assert b"losses: records lost 3 (so an absence may be a loss)" in data


@needs_tshark
def test_hostile_names_are_escaped():
    taps = {ON_ETH0: replace(TAPS[ON_ETH0], processes=(Process(1, "e\x1b[31m\nvil\udcff", ""),))}
    around = scene(taps=taps, devices={**DEVICES, "eth0": replace(DEVICES["eth0"], name="et\x1b\u202eh")})
    [row] = frames(exported_pcapng(rx("eth0", tap(ON_ETH0)), around=around), "frame.interface_name", "frame.comment")
    name, comment = (field.replace("\\\\", "\\") for field in row)  # tshark 4.4 doubles backslashes
    assert name == "et\\x1b\\xe2\\x80\\xaeh"
    assert "captured by e\\x1b[31m\\x0avil\\xff [41001]" in comment


@needs_tshark
def test_the_devices_of_several_recordings_are_several_interfaces(tmp_path, monkeypatch, capsys):
    first = record(tmp_path / "first.arrows", (received(), events()))
    second = record(tmp_path / "second.arrows", (refused(), events(host="other")))
    target = tmp_path / "both.pcapng"
    monkeypatch.setattr(
        sys, "argv", ["bondtrace", "export", str(first), str(second), "--format", "pcapng", "-o", str(target)]
    )
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert (caught.value.code, capsys.readouterr().err.splitlines()) == (
        0,
        [
            f"bondtrace: {first}: losses: none",
            f"bondtrace: {second}: losses: none",
            f"bondtrace: 2 journeys written to {target}",
        ],
    )
    done = frames(target.read_bytes(), "frame.interface_name", "frame.interface_description")
    assert [(name, text.rpartition(", ")[2]) for name, text in done] == [
        ("eth0", "host lab"),
        ("bond0", "host lab"),
        ("eth1", "host other"),
    ]
    assert target.stat().st_mode & 0o777 == 0o600


# --- bytes that were kept ---------------------------------------------------------------------------------


@needs_tshark
def test_kept_bytes_are_in_the_file_and_what_is_missing_is_told_by_the_lengths():
    whole = ether(ip4(udp(data=bytes(range(200))), 17))
    passes = [rx("eth0", tap(ON_ETH0), packet=whole, seq=1), rx("eth0", tap(ON_ETH0), packet=whole, seq=2, at=900_000)]
    done = frames(exported_pcapng(*passes, kept=[(0, 1, whole[:150])]), "frame.cap_len", "frame.len", "frame.number")
    assert [(int(kept), int(length)) for kept, length, _ in done] == [(150, len(whole)), (80, len(whole))]


@needs_tshark
@pytest.mark.parametrize("parts", [None, 4000])
def test_kept_bytes_come_out_of_a_recording(parts, tmp_path, monkeypatch):
    whole = ether(ip4(udp(data=bytes(range(200))), 17))
    path = tmp_path / "trace.arrows"
    recorder = RotatingRecorder(path, part_bytes=parts) if parts else Recorder(path)
    for number in range(1, 9):
        around = events() if number == 1 else []
        one = rx("eth0", tap(ON_ETH0), packet=whole, seq=number, at=number * 500_000)
        recorder.write(one, [*around, *bytes_events(BEGIN_NS, [(0, number, whole[: 100 + number])])])
    recorder.close()
    files = sorted(tmp_path.glob("trace*.arrows"))
    assert (len(files) > 1) == bool(parts)
    target = tmp_path / "out.pcapng"
    monkeypatch.setattr(sys, "argv", ["bondtrace", "export", *map(str, files), "--format", "pcapng", "-o", str(target)])
    with pytest.raises(SystemExit):
        command_line.main()
    assert [int(kept) for kept, _ in frames(target.read_bytes(), "frame.cap_len", "frame.number")] == [
        100 + number for number in range(1, 9)
    ]


@needs_tshark
def test_a_device_of_a_type_that_is_not_known_says_so():
    passes = rx("eth0", tap(ON_ETH0), drop("NO_SOCKET"), packet=arp())
    passes.records["arphrd"] = 32
    [row] = frames(exported_pcapng(passes), "frame.interface_description", "frame.encap_type")
    assert row[0].endswith("link type 32 (ARPHRD), its frames are not decoded")
    assert np.int64(row[1]) == 45  # WTAP_ENCAP_USER0
